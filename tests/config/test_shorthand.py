"""The user's own model and rows in a word: what a command line stands for."""

from pathlib import Path

import pytest

from r1zero.config.shorthand import expand


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's folder with models."""
    for name in ("my model, v1=2", "mödel", "llama"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("model=my model, v1=2", ["model.path='my model, v1=2'", "model.name='my model, v1=2'"]),
        ("model='my model, v1=2'", ["model.path='my model, v1=2'", "model.name='my model, v1=2'"]),
        ("model=mödel", ["model.path='mödel'", "model.name='mödel'"]),
        ("model=llama/", ["model.path=llama", "model.name=llama"]),
        ("model=Owner/Name", ["model.path=Owner/Name", "model.name=Name"]),
        ("task=ROWS.JSONL", ["task=rows", "task.source=ROWS.JSONL", "task.name=ROWS"]),
        ("task=my rows.csv", ["task=rows", "task.source='my rows.csv'", "task.name='my rows'"]),
        ("task=owner/rows", ["task=rows", "task.source=owner/rows", "task.name=rows"]),
    ],
)
def test_names_of_any_spelling(argument: str, words: list[str]) -> None:
    expanded = expand([argument])
    assert [word for word in expanded if word in words] == words


def test_a_model_that_talks_in_turns_is_asked_so() -> None:
    assert "task.template=boxed_chat" in expand(["model=Owner/Name-Instruct", "task=rows.jsonl"])
    assert "task.template=tinyzero_chat" in expand(["model=Owner/Name-Instruct"])
    assert not [word for word in expand(["model=Owner/Name", "task=rows.jsonl"]) if "template" in word]
    given = ["model=Owner/Name-Instruct", "task=rows.jsonl", "task.template=boxed"]
    assert [word for word in expand(given) if "template" in word] == ["task.template=boxed"]


def test_a_mixture_takes_files_beside_names() -> None:
    assert expand(["task=[countdown,my rows.jsonl]"]) == [
        "task=mixture",
        "+task@task.parts.countdown=countdown",
        "+task@task.parts.my_rows=rows",
        "task.parts.my_rows.source='my rows.jsonl'",
        "task.parts.my_rows.name=my_rows",
    ]


def test_a_path_that_is_not_there_names_the_nearest_folder() -> None:
    with pytest.raises(ValueError, match=r"model = ./lama: no such folder, .* Did you mean 'llama'\?"):
        expand(["model=./lama"])
