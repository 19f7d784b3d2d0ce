"""Dependencies run one way: through the rooms of r1zero, and r1zero -> rewards -> sandbox.

Imports are read from the source, those inside functions and under TYPE_CHECKING included.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the top down; rooms on one floor do not import each other unless they are listed as neighbours below.
FLOORS = [
    ["commands"],
    ["sweeping", "evaluating", "sharing"],
    ["training"],
    ["watching"],
    ["reporting", "nano"],
    ["rollout", "tasks"],
    ["measuring", "models"],
    ["runs"],
    ["launching", "config"],
    ["rewards"],
    ["sandbox"],
]
NEIGHBOURS = {("launching", "config")}
LEVEL = {room: len(FLOORS) - floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path for package in ("r1zero", "rewards", "sandbox") for path in (ROOT / package).rglob("*.py"))
COMMANDS = {path.stem for path in (ROOT / "r1zero").glob("*.py")} - {"__init__"}


def module_of(path: Path) -> str:
    """``r1zero/runs/files.py`` -> ``r1zero.runs.files``; a package is named without ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imported(path: Path) -> set[str]:
    """The modules of this project that ``path`` imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES
            found |= submodules or {node.module}
    return found & MODULES


def room_of(module: str) -> str:
    """``r1zero.runs.files`` -> ``runs``; the commands together are one room."""
    parts = module.split(".")
    if parts[0] != "r1zero":
        return parts[0]
    return "commands" if len(parts) == 1 or parts[1] in COMMANDS else parts[1]


ARROWS = {module_of(path): imported(path) - {module_of(path)} for path in FILES}


def test_every_room_has_a_floor_and_a_face() -> None:
    folders = {path.name for path in (ROOT / "r1zero").iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(LEVEL) - {"commands", "rewards", "sandbox"}
    for folder in folders:
        tree = ast.parse((ROOT / "r1zero" / folder / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), folder
        assert len(tree.body) == 1, f"r1zero/{folder}/__init__.py says what the room is, and holds no code"


def test_no_room_imports_upward() -> None:
    upward = []
    for module, targets in ARROWS.items():
        for target in targets:
            here, there = room_of(module), room_of(target)
            same_floor = LEVEL[here] == LEVEL[there] and here != there and (here, there) not in NEIGHBOURS
            if LEVEL[there] > LEVEL[here] or same_floor:
                upward.append(f"{module} ({here}) imports {target} ({there})")
    assert not upward, "\n".join(sorted(upward))


def test_no_command_imports_another() -> None:
    shared = {"r1zero.command_line"}
    for module, targets in ARROWS.items():
        if room_of(module) == "commands" and module != "r1zero":
            others = {target for target in targets if room_of(target) == "commands"} - shared
            assert not others, (module, others)


def test_no_circle() -> None:
    """Modules that import only what was removed before are removed; in the end none is left."""
    left = {module: set(targets) for module, targets in ARROWS.items()}
    while True:
        free = {module for module, targets in left.items() if not targets & left.keys()}
        if not free:
            break
        for module in free:
            del left[module]
    assert not left, {module: targets & left.keys() for module, targets in left.items()}


def test_few_files_at_the_top_and_none_too_long() -> None:
    assert len(list((ROOT / "r1zero").glob("*.py"))) <= 12
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert not {path: lines for path, lines in long.items() if lines > 300}


# ---- Judges start fast and run without the training stack ----

FORBIDDEN = {"torch", "transformers", "r1zero"}
JUDGES = "rewards.tags, rewards.countdown, rewards.math_answer, rewards.pool, rewards.recipes, rewards.code_tests"
LISTING = f"import sys, sandbox, rewards, {JUDGES}; print(*{{name.split('.')[0] for name in sys.modules}})"


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
