"""A trained model as a folder for others: ``python -m r1zero.export RUN [out=DIR] [push_to_hub=NAME] [gguf=true]``.

Merged weights, tokenizer, generation config and a model card with the curve, the results and the command that repeats
them: ready for the Hub, vLLM and transformers. The folder is there when it is whole, and replaces nothing unasked.
"""

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from r1zero.command_line import errors_in_one_line, quiet
from r1zero.runs.directory import load_config
from r1zero.runs.reading import load_run

USAGE = """usage: python -m r1zero.export RUN [out=DIR] [checkpoint=final|STEP] [dtype=float32|bfloat16|float16]
       [gguf=true|f16|f32] [push_to_hub=OWNER/NAME] [private=true] [overwrite=true]
out          default: RUN/export
checkpoint   default: final, else the newest
dtype        of the weights; default: as they were trained
gguf         also a GGUF file for llama.cpp, read back and compared; true is f16
push_to_hub  also to a repository of this name, if logged in (`hf auth login`)"""
DEFAULTS = {
    "out": "",
    "checkpoint": "",
    "dtype": "",
    "gguf": "false",
    "push_to_hub": "",
    "private": "false",
    "overwrite": "false",
}
CHOICES = {
    "dtype": ("", "float32", "bfloat16", "float16"),
    "gguf": ("false", "true", "f16", "f32"),
    "private": ("false", "true"),
    "overwrite": ("false", "true"),
}


def parse(arguments: Sequence[str]) -> tuple[Path, dict[str, str]]:
    """The run directory and the values of all keys.

    Raises:
        ValueError: There is not one run directory, or a key or value that is not known.
    """
    given = [argument.partition("=") for argument in arguments if "=" in argument]
    runs = [argument for argument in arguments if "=" not in argument]
    runs += [value for key, _, value in given if key == "run"]
    for key, _, value in given:
        if key not in (*DEFAULTS, "run"):
            near = difflib.get_close_matches(key, DEFAULTS, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(DEFAULTS)}."
            raise ValueError(f"{key} = {value}: no such key. {hint}")
        if key in CHOICES and value.lower() not in CHOICES[key]:
            raise ValueError(f"{key} = {value}: must be one of {', '.join(filter(None, CHOICES[key]))}.")
    if len(runs) != 1 or runs[0].startswith("-"):
        raise ValueError(f"give one run directory; found {' '.join(runs) or 'none'}. {USAGE.splitlines()[0]} ...")
    values = DEFAULTS | {key: value.lower() if key in CHOICES else value for key, _, value in given}
    return Path(runs[0]), values


def export(arguments: Sequence[str]) -> str:
    """Do what the command line asks for; what to print.

    Raises:
        ValueError: An argument cannot work, or the model cannot be exported.
    """
    run_dir, own = parse(arguments)
    run, config = load_run(run_dir), load_config(run_dir)
    out = Path(own["out"] or run_dir / "export")
    if out.exists() and own["overwrite"] == "false":
        raise ValueError(f"out = {out}: is there already. Set another out=DIR, or overwrite=true to replace it.")
    quiet()  # loads libraries, as the next lines do: after the arguments were checked
    from r1zero.runs.checkpoints import checkpoint_path, newest_checkpoint
    from r1zero.sharing.card import serving_commands
    from r1zero.sharing.folder import Request, export
    from r1zero.sharing.hub import check_push, push

    name = own["push_to_hub"]
    if name:
        check_push(name)
    checkpoint = checkpoint_path(run_dir, own["checkpoint"]) if own["checkpoint"] else newest_checkpoint(run_dir)
    step = checkpoint.name.removeprefix("checkpoint-")
    gguf = {"false": None, "true": "f16"}.get(own["gguf"], own["gguf"])
    replaced = " (replaced)" if out.exists() else ""
    written = export(
        run,
        Request(
            checkpoint=checkpoint,
            step=int(step) if step.isdigit() else None,
            out=out,
            dtype=own["dtype"] or None,
            gguf=gguf,
            name=config.run_name,
            place=name or str(out),
        ),
    )
    lines = [f"export     {out}{replaced}, from {checkpoint}", f"card       {out / 'README.md'}"]
    if written:
        lines.append(f"gguf       {out / written.name}, {written.checked}")
    serving = serving_commands(str(out), str(out / written.name) if written else None)
    lines += [f"serve      {command}" for _, command in serving]
    lines.append(
        f"hub        {push(out, name, own['private'] == 'true')}" if name else f"share      hf upload NAME {out}"
    )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line. Bad input ends in one message."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return
    with errors_in_one_line():
        print(export(arguments))


if __name__ == "__main__":
    main()
