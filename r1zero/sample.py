"""Watch a run's model think: ``python -m r1zero.sample RUN "prompt"``, the base model beside the trained one.

Both see the same prompt and the same random numbers, and write side by side as they sample. Nothing is judged. One
prompt at a time, token by token: for many, train or evaluate.
"""

import argparse
import itertools
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from r1zero.config.schema import ModelConfig, RolloutConfig
from r1zero.config.trainer_keys import trainer_value
from r1zero.runs.checkpoints import newest_checkpoint
from r1zero.runs.directory import load_config
from r1zero.runs.reading import Run, load_run

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from r1zero.rollout.engine import Engine

GAP = "  |  "


def full_prompt(run: Run, question: str, tokenizer: "PreTrainedTokenizerBase") -> str:
    """``question`` in the run's template, as its training prompts are.

    Raises:
        ValueError: It holds something the tokenizer has no token for, or the run's config cannot be read.
    """
    from r1zero.tasks.prompts import has_unknown, render

    prompt = render(question.strip(), load_config(run.directory).task, tokenizer)
    if has_unknown(prompt, tokenizer):
        raise ValueError(
            f"prompt = {question!r}: holds something that the run's tokenizer cannot write. The embedded model knows "
            "'Numbers: 3 5 7 Target: 22' with integers from 0 to 200, and nothing else."
        )
    return prompt


def plain_engine(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> "Engine":
    """An engine that samples from ``model`` as it was loaded: no stop strings, no autocast."""
    from r1zero.rollout.engine import Engine

    return Engine(model.eval(), tokenizer, RolloutConfig("native", max_rows=1), [], lambda: nullcontext(model))


def wrapped(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` characters; its own line breaks stay."""
    lines = (textwrap.wrap(line, width, drop_whitespace=False) or [""] for line in text.split("\n"))
    return [part for line in lines for part in line]


def columns(texts: Sequence[str], width: int) -> list[str]:
    """``texts`` side by side on lines of at most ``width`` characters.

    >>> columns(["one two", "1"], 13)
    ['one   |  1', 'two   |']
    """
    each = max(4, (width - len(GAP) * (len(texts) - 1)) // len(texts))
    blocks = [wrapped(text, each) for text in texts]
    rows = itertools.zip_longest(*blocks, fillvalue="")
    return [GAP.join(cell.ljust(each) for cell in row).rstrip() for row in rows]


def show(titles: Sequence[str], streams: Sequence[Iterator[str]]) -> None:
    """Write the streams side by side; in a terminal while they grow, elsewhere when they are done."""
    size = shutil.get_terminal_size()
    texts = [""] * len(streams)
    shown = 0
    for step in itertools.zip_longest(*streams):
        texts = [old if new is None else new for old, new in zip(texts, step, strict=True)]
        if sys.stdout.isatty():
            lines = columns([f"{title}\n\n{text}" for title, text in zip(titles, texts, strict=True)], size.columns)
            tail = lines[-(size.lines - 1) :]
            back = f"\x1b[{shown}F\x1b[J" if shown else ""  # up over the last picture, and clear it
            sys.stdout.write(back + "\n".join(tail) + "\n")
            sys.stdout.flush()
            shown = len(tail)
    if not sys.stdout.isatty():
        whole = [f"{title}\n\n{text}" for title, text in zip(titles, texts, strict=True)]
        sys.stdout.write("\n".join(columns(whole, size.columns)) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; exits with 2 on a directory without a run, and on a prompt the model cannot read."""
    parser = argparse.ArgumentParser(
        prog="python -m r1zero.sample", description="The base model beside the trained one."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("prompt", help="a problem, in the words of the run's task")
    parser.add_argument("--raw", action="store_true", help="take the prompt as it is, without the run's template")
    parser.add_argument("--checkpoint", type=Path, help="default: checkpoints/final, else the newest")
    parser.add_argument("--greedy", action="store_true", help="take the likeliest token each time")
    parser.add_argument("--temperature", type=float, help="default: the run's")
    parser.add_argument("--max-tokens", type=int, help="default: the run's")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another completion (default: %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        run = load_run(arguments.run)
        checkpoint = arguments.checkpoint or newest_checkpoint(arguments.run)
    except ValueError as error:
        parser.error(str(error))
    # They take seconds to load: by now the arguments were checked.
    import transformers

    from r1zero.models.load import load_model, load_tokenizer
    from r1zero.rollout.sampling import Sampling

    transformers.utils.logging.disable_progress_bar()
    try:
        base = ModelConfig(**run.config["model"])
        trained = replace(base, path=str(checkpoint), gguf_package=None)
        tokenizer = load_tokenizer(trained)
        prompt = arguments.prompt if arguments.raw else full_prompt(run, arguments.prompt, tokenizer)
        engines = [plain_engine(load_model(each), tokenizer) for each in (base, trained)]
    except (ValueError, OSError) as error:
        parser.error(str(error))
    trainer = run.config["trainer"]
    sampling = Sampling(
        max_tokens=arguments.max_tokens or trainer_value(trainer, "max_completion_length"),
        temperature=arguments.temperature or trainer_value(trainer, "temperature"),
        greedy=arguments.greedy,
    )
    sys.stdout.write(f"{prompt}\n")
    key = f"sample/{arguments.seed}"
    streams = [engine.stream(prompt, key, sampling) for engine in engines]
    show(["step 0", f"now ({checkpoint.name})"], streams)


if __name__ == "__main__":
    main()
