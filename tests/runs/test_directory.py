"""What a run directory says about the run."""

import json
from pathlib import Path

from r1zero.runs.directory import add_facts


def test_facts_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    """A resumed run says what holds now; one whose file is lost begins a new one."""
    file = tmp_path / "environment.json"
    add_facts(tmp_path, {"cpu_kernels": ["one"]})
    assert json.loads(file.read_text()) == {"cpu_kernels": ["one"]}
    file.write_text('{"torch": "2.13", "cpu_kernels": ["one"]}')
    add_facts(tmp_path, {"cpu_kernels": []})
    assert json.loads(file.read_text()) == {"torch": "2.13", "cpu_kernels": []}
    assert [path.name for path in tmp_path.iterdir()] == ["environment.json"]
