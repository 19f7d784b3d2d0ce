"""What an installed wheel holds, and that it works from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from toy import compose_config

from r1zero import __main__ as command
from r1zero.models.load import load_tokenizer
from r1zero.tasks.build import build_task
from r1zero.tasks.rows import local_path, read_rows

ROOT = Path(__file__).parents[1]
PACKAGES = ("r1zero", "rewards", "sandbox", "conf")
BUILD = "from setuptools import build_meta; build_meta.build_wheel('.')"  # needs no network, as `pip wheel` would


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build folder is left in the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    subprocess.run([sys.executable, "-c", BUILD], cwd=copy, check=True, capture_output=True, timeout=120)
    return next(copy.glob("*.whl"))


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        entries = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "r1zero = r1zero.__main__:main" in archive.read(entries).decode()
    assert wanted == found


def test_the_packaged_rows_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = compose_config("+experiment=arithmetic_nano", "task.num_train=4", "task.num_test=4")
    assert len(build_task(config, load_tokenizer(config.model)).train) == 4
    assert local_path("pkg://r1zero/nano/arithmetic.jsonl") == ROOT / "r1zero" / "nano" / "arithmetic.jsonl"
    with pytest.raises(ValueError, match=r"task.source = pkg://no_such/rows\.jsonl: no package 'no_such' is installed"):
        next(read_rows("pkg://no_such/rows.jsonl", "train"))
    with pytest.raises(ValueError, match="no such file"):
        next(read_rows("pkg://r1zero/nano/rows.jsonl", "train"))


def test_the_command_lists_the_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ([], ["--help"]):
        monkeypatch.setattr(sys, "argv", ["r1zero", *arguments])
        command.main()
        out = capsys.readouterr().out
        assert "  train      Train a base model to reason\n" in out
        assert all(f"\n  {name} " in out for name in command.COMMANDS)
    files = {path.stem for path in (ROOT / "r1zero").glob("[!_]*.py")} - {"command_line"}
    assert set(command.COMMANDS) == files


def test_a_command_is_its_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: became.append([path, *arguments]))
    monkeypatch.setattr(sys, "argv", ["r1zero", "train", "-m", "seed=0,1", "run_name=a b"])
    command.main()
    assert became == [[sys.executable, sys.executable, "-m", "r1zero.train", "-m", "seed=0,1", "run_name=a b"]]
    monkeypatch.setattr(sys, "argv", ["r1zero", "trian"])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: r1zero trian: no such command. Did you mean 'train'?\n"


def test_a_module_of_the_users_folder_that_hides_a_package_is_named(tmp_path: Path) -> None:
    """``rewards.py`` is what many call the file with their own judge."""
    (tmp_path / "rewards.py").write_text("def mine(text, row): ...\n")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "r1zero.train", "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == (
        f"error: {tmp_path}/rewards.py hides the package `rewards` that r1zero comes with. Give that file another "
        "name, or start the command in another folder.\n"
    )


@pytest.mark.slow
def test_an_installed_wheel_trains_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which sees this one's dependencies but not the checkout."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", tmp_path / "env" / "bin" / "python"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    program, folder = tmp_path / "env" / "bin" / "r1zero", tmp_path / "elsewhere"
    folder.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    short = ("trainer.max_steps=2", "task.num_test=8", "tracker=none")
    for arguments in (
        ("+experiment=arithmetic_nano", *short),
        ("task=code_nano", "reward=code", *short),
        ("launch.num_processes=2", *short),
        ("-m", "seed=0,1", *short),
    ):
        subprocess.run([program, "train", *arguments], cwd=folder, env=environment, check=True, timeout=600)
    for experiment in (ROOT / "conf" / "experiment").glob("*.yaml"):
        subprocess.run(
            [program, "train", f"+experiment={experiment.stem}", "--cfg", "job"],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
        )
    assert len(list((folder / "runs").iterdir())) == 3
