"""What documents, comments and messages name is there: files, modules, and names in modules."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("r1zero", "rewards", "sandbox", "conf", "tests", "docs", "benchmarks")
IGNORED = {".venv", ".venv-vllm", ".git", "data", "runs", "outputs", "build"}
FILES = sorted(
    path
    for path in ROOT.rglob("*")
    if path.suffix in (".py", ".md", ".yaml", ".toml") and not IGNORED & set(path.relative_to(ROOT).parts)
)
# Of earlier versions, or made up as an example.
HISTORY = {"CHANGELOG.md", "tests/test_import_boundaries.py", "tests/test_references.py"}
EXAMPLE = re.compile(r"NAME|\*|<|\.\.\.")


@cache
def names_in(path: Path) -> set[str]:
    """Top-level names of a module, and ``Class.member``."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {name.id for target in targets if target for name in ast.walk(target) if isinstance(name, ast.Name)}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            members = [member for member in node.body if isinstance(member, ast.FunctionDef | ast.AnnAssign)]
            found |= {f"{node.name}.{getattr(m, 'name', None) or m.target.id}" for m in members}  # type: ignore[union-attr]
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def is_there(dotted: str) -> bool:
    """Whether ``r1zero.runs.files.write_text`` names a module or something in one."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        module = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if module.is_file():
            rest = parts[length : length + 2]
            return not rest or ".".join(rest) in names_in(module) or rest[0] in names_in(module)
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_named_is_there(path: Path) -> None:
    if str(path.relative_to(ROOT)) in HISTORY:
        pytest.skip("speaks of what was")
    text = path.read_text(encoding="utf-8")
    files = re.findall(rf"(?<![\w/.])((?:{'|'.join(PLACES)})/[\w./*<>-]+?\.(?:py|md|yaml|jsonl|json|png))\b", text)
    missing = [name for name in files if not EXAMPLE.search(name) and not (ROOT / name).exists()]
    dotted = re.findall(r"(?<![\w./])r1zero(?:\.[A-Za-z_]\w*)+", text)
    missing += [name for name in dotted if not EXAMPLE.search(name) and not is_there(name)]
    assert not missing
