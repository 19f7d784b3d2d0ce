"""A command answers at once, without the training stack, until it knows that its arguments and config can work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "trl", "sympy", "mpmath", "pandas", "matplotlib"}
MAX_CPU_S = 4.0  # measured: 0.1 to 1.2 s; the training stack takes 8
# Runs a command as `python -m` does, then says how it ended, what it cost, and what it loaded.
PROBE = """
import json, os, runpy, sys
sys.argv = sys.argv[1:]
end = None
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as error:
    end = error.code
cpu = sum(os.times()[:2])
print()
print(json.dumps({"end": end, "cpu_s": cpu, "loaded": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def probe(code: str, *arguments: str, cwd: Path) -> tuple[str, dict]:
    """What it printed, and what PROBE found."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    printed, _, found = result.stdout.rstrip("\n").rpartition("\n")
    return printed + result.stderr, json.loads(found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("r1zero.train --cfg job", "max_completion_length: 224"),
        ("r1zero.train --help", "Powered by Hydra"),
        ("r1zero.evaluate -h", "usage: python -m r1zero.evaluate"),
        ("r1zero.data -h", "usage: python -m r1zero.data"),
        ("r1zero.memory --help", "Powered by Hydra"),
        ("r1zero.sample -h", "usage: python -m r1zero.sample"),
        ("r1zero.export -h", "usage: python -m r1zero.export"),
        ("r1zero.report -h", "usage: python -m r1zero.report"),
        ("r1zero.dashboard -h", "usage: python -m r1zero.dashboard"),
    ],
)
def test_help_and_config_are_printed_at_once(arguments: str, said: str, tmp_path: Path) -> None:
    printed, found = probe(PROBE, *arguments.split(), cwd=tmp_path)
    assert said in printed
    assert found["cpu_s"] < MAX_CPU_S
    allowed = {"pandas"} if "dashboard" in arguments else set()  # its help names the view, which lists metrics
    assert not HEAVY & set(found["loaded"]) - allowed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("r1zero.train modle=nano", "modle: no such key. Did you mean 'model'"),
        ("r1zero.train trainer.learning_rat=1", "Did you mean 'trainer.learning_rate'"),
        ("r1zero.train trainer.seed=1", "set seed instead"),
        ("r1zero.train trainer.num_generations=1", "a group of one has no advantage"),
        ("r1zero.train task.template=zero", "must be one of nano"),
        ("r1zero.train reward.weights.countdown=-1", "must not be negative"),
        ("r1zero.train rollout=vllm trainer.vllm_mode=x", "must be colocate or server"),
        ("r1zero.train resume=nowhere", "no run is there"),
        ("r1zero.memory trainer.zzz=1", "has no such key"),
        ("r1zero.evaluate eval.k=[9]", "pass@9 needs at least 9 samples"),
        ("r1zero.evaluate compare=one", "give two results"),
        ("r1zero.export nowhere", "which does not exist"),
        ("r1zero.data trainer.temperature=0", "must be above 0"),
    ],
)
def test_a_wrong_config_is_answered_at_once(arguments: str, message: str, tmp_path: Path) -> None:
    if "resume" in arguments and any(Path("/dev").glob("nvidia*")):
        pytest.skip("torch counts the GPUs first")
    _, found = probe(PROBE, *arguments.split(), cwd=tmp_path)
    assert found["end"].startswith("error: ")
    assert message in found["end"]
    assert "\n" not in found["end"]
    assert found["cpu_s"] < MAX_CPU_S
    assert not HEAVY & set(found["loaded"])


@pytest.mark.parametrize("room", ["config", "launching", "runs"])
def test_rooms_that_every_command_needs_are_light(room: str, tmp_path: Path) -> None:
    names = [f"r1zero.{room}.{path.stem}" for path in (ROOT / "r1zero" / room).glob("[!_]*.py")]
    code = f"import sys, json, {', '.join(names)}\nprint()\nprint(json.dumps(sorted(sys.modules)))"
    _, loaded = probe(code, cwd=tmp_path)
    assert not HEAVY & set(loaded)
