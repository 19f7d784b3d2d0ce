"""An export: a folder with everything in it, or no folder."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from r1zero.reporting.curve import plot_curve
from r1zero.runs.directory import load_config
from r1zero.runs.layout import CONFIG
from r1zero.runs.reading import Run
from r1zero.sharing.card import Gguf, model_card, up_to
from r1zero.sharing.gguf import check_gguf, compare_gguf, write_gguf
from r1zero.sharing.weights import load_trained
from r1zero.tasks.prompts import render

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Request:
    """What to export and to where.

    Attributes:
        checkpoint: Folder of the model.
        step: Its optimizer step; None for the end of the run.
        out: The folder to make.
        dtype: Type of the weights; None for that of training.
        gguf: ``f16``, ``f32``, or None for no GGUF file.
        name: Title, and the GGUF file's name.
        place: What readers of the card will load it by.
    """

    checkpoint: Path
    step: int | None
    out: Path
    dtype: str | None
    gguf: str | None
    name: str
    place: str


def export(run: Run, request: Request) -> Gguf | None:
    """Write the folder that ``request`` asks for; its GGUF file, if there is one.

    Raises:
        ValueError: The model cannot be loaded, or cannot be a GGUF file; nothing is left behind.
    """
    config = load_config(run.directory)
    model, tokenizer = load_trained(config, request.checkpoint)
    if request.gguf:
        check_gguf(model.config, tokenizer)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=request.out.parent, prefix=".export-") as temporary:
        folder, gguf = Path(temporary) / "model", None
        folder.mkdir()
        if request.gguf:
            path = Path(temporary) / f"{request.name}-{request.gguf.upper()}.gguf"  # alone, as a user has it
            write_gguf(model, tokenizer, path, request.gguf, request.name)
            prompt = render("What is 3 + 4?", config.task, tokenizer)
            gguf = Gguf(path.name, compare_gguf(model, tokenizer, path, request.gguf, [prompt]))
            path.rename(folder / path.name)
        for parameter in model.parameters():  # float32 up to here, so that the comparison is exact
            parameter.data = parameter.data.to(DTYPES[request.dtype or config.model.dtype])
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        seen = up_to(run, request.step)
        plot_curve(seen, folder / "curve.png")
        shutil.copyfile(run.directory / CONFIG, folder / "r1zero_config.yaml")
        card = model_card(seen, config, tokenizer, request.name, request.place, gguf)
        (folder / "README.md").write_text(card, encoding="utf-8")
        put(folder, request.out)
    return gguf


def put(folder: Path, out: Path) -> None:
    """Make ``folder`` appear at ``out``, in the place of what is there."""
    if out.exists():
        out.rename(folder.with_name("old"))  # goes with the temporary folder
    folder.rename(out)
