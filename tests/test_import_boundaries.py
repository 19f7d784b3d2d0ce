"""Dependencies run one way: r1zero -> rewards -> sandbox. Judges start fast and run without the training stack."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {"torch", "transformers", "r1zero"}
MODULES = "rewards.tags, rewards.countdown, rewards.math_answer, rewards.pool, rewards.recipes, rewards.code_tests"
LISTING = f"import sys, sandbox, rewards, {MODULES}; print(*{{name.split('.')[0] for name in sys.modules}})"


def test_importing_rewards_loads_no_training_stack() -> None:
    """In a fresh process: this one may have loaded torch for another test."""
    command = [sys.executable, "-c", LISTING]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert listing.returncode == 0, listing.stderr
    loaded = set(listing.stdout.split())
    assert "rewards" in loaded
    assert not loaded & FORBIDDEN


@pytest.mark.parametrize("path", sorted((ROOT / "rewards").rglob("*.py")), ids=lambda path: path.name)
def test_rewards_names_no_training_stack(path: Path) -> None:
    """Also inside functions, and where torch is not installed."""
    named = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            named.add(node.module.split(".")[0])
    assert not named & FORBIDDEN
