"""Watch a run's model think: ``python -m r1zero.sample RUN ["prompt"]``, the base model beside the trained one.

Both see the same prompt and the same random numbers, and write side by side as they sample. Without a prompt it is a
conversation: a line is a turn, and each model keeps its own. Nothing is judged. One prompt at a time, token by token:
for many, train or evaluate.
"""

import argparse
import itertools
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
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
    from r1zero.rollout.sampling import Sampling

GAP = "  |  "
INTERRUPTED = 128 + signal.SIGINT
RESET, QUIT = "/reset", "/quit"
HELP = f"A line is a turn. {RESET} begins anew, {QUIT} or Ctrl-D ends."


@dataclass
class Chat:
    """A conversation with each of several models: the turns are shared, the replies each model's own.

    Args:
        engines: What replies.
        titles: Their names.
        run: Whose template the turns are put in; None leaves them as they are.
        sampling: How replies are drawn.
        seed: Names the random numbers.
        num_positions: Most tokens of a prompt and its reply.
    """

    engines: "Sequence[Engine]"
    titles: Sequence[str]
    run: Run | None
    sampling: "Sampling"
    seed: int
    num_positions: int
    turns: list[list[tuple[str, str]]] = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self.turns = [[] for _ in self.engines]

    def say(self, question: str) -> None:
        """Show the prompt of the turn, at its first one whole, and the replies; keep both.

        Raises:
            ValueError: The tokenizer has no token for something in it, or it is longer than the models can read.
        """
        number = len(self.turns[0])
        prompts, dropped = [], 0
        for engine, turns in zip(self.engines, self.turns, strict=True):
            prompt, left_out = self.fitting(turns, question, engine)
            prompts.append(prompt)
            dropped = max(dropped, left_out)
        if dropped:
            sys.stdout.write(
                f"(The models read {self.num_positions} tokens: the oldest turns, {dropped}, are left out.)\n"
            )
        sys.stdout.write(f"{prompts[0]}\n" if number == 0 else "")
        key = f"sample/{self.seed}" + (f"/{number}" if number else "")
        streams = [
            engine.stream(prompt, key, self.sampling) for engine, prompt in zip(self.engines, prompts, strict=True)
        ]
        replies = show(self.titles, streams)
        for turns, reply in zip(self.turns, replies, strict=True):
            turns.append((question, reply))

    def fitting(self, turns: Sequence[tuple[str, str]], question: str, engine: "Engine") -> tuple[str, int]:
        """The prompt of ``question`` after as many of the last turns as the model can read, and how many it cannot."""
        from r1zero.models.tokens import encode

        for dropped in range(len(turns) + 1):
            prompt = full_prompt(self.run, question, engine.tokenizer, turns[dropped:])
            length = len(encode(prompt, engine.tokenizer))
            if length + self.sampling.max_tokens <= self.num_positions:
                return prompt, dropped
        raise ValueError(
            f"prompt: {length} tokens and up to {self.sampling.max_tokens} of the reply, and the model reads "
            f"{self.num_positions}. Shorten it, or set --max-tokens."
        )


def full_prompt(
    run: Run | None, question: str, tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]] = ()
) -> str:
    """``question`` in the run's template, as its training prompts are, behind the earlier ``turns``.

    Without a run it is plain text.

    Raises:
        ValueError: It holds something the tokenizer has no token for, or the run's config cannot be read.
    """
    from r1zero.tasks.prompts import BETWEEN, has_unknown, render_turns

    if run is None:
        return "".join([*(f"{asked}{reply}{BETWEEN}" for asked, reply in turns), question])
    prompt = render_turns(turns, question.strip(), load_config(run.directory).task, tokenizer)
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


def show(titles: Sequence[str], streams: Sequence[Iterator[str]]) -> list[str]:
    """Write the streams side by side, in a terminal while they grow, elsewhere when done; the whole texts."""
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
        sys.stdout.flush()
    return texts


def lines_said() -> Iterator[str]:
    """What is typed in a terminal, or the lines of standard input, which are shown as if they were typed."""
    if sys.stdin.isatty():
        while True:
            try:
                yield input("> ")
            except EOFError:
                sys.stdout.write("\n")
                return
    for line in sys.stdin:
        sys.stdout.write(f"> {line.rstrip()}\n")
        yield line


def converse(chat: Chat) -> None:
    """Take turns until there are no more; one that cannot be read is answered in one line, and is not kept."""
    sys.stdout.write(f"{HELP}\n")
    for line in lines_said():
        said = line.strip()
        if said == QUIT:
            return
        if said == RESET:
            chat.reset()
            sys.stdout.write("(Begun anew.)\n")
        elif said.startswith("/"):
            sys.stdout.write(f"{said}: no such command. {HELP}\n")
        elif said:
            try:
                chat.say(said)
            except ValueError as error:
                sys.stdout.write(f"error: {error}\n")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; exits with 2 on a directory without a run, and on a prompt the model cannot read."""
    parser = argparse.ArgumentParser(
        prog="python -m r1zero.sample", description="The base model beside the trained one."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument(
        "prompt", nargs="?", help="a problem, in the words of the run's task; without one, a conversation"
    )
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
    trainer = run.config["trainer"]
    sampling = Sampling(
        max_tokens=arguments.max_tokens or trainer_value(trainer, "max_completion_length"),
        temperature=arguments.temperature or trainer_value(trainer, "temperature"),
        greedy=arguments.greedy,
    )
    try:
        base = ModelConfig(**run.config["model"])
        trained = replace(base, path=str(checkpoint), gguf_package=None)
        tokenizer = load_tokenizer(trained)
        models = [load_model(each) for each in (base, trained)]
        chat = Chat(
            engines=[plain_engine(model, tokenizer) for model in models],
            titles=["step 0", f"now ({checkpoint.name})"],
            run=None if arguments.raw else run,
            sampling=sampling,
            seed=arguments.seed,
            num_positions=getattr(models[0].config, "max_position_embeddings", sys.maxsize),
        )
        if arguments.prompt is not None:
            chat.say(arguments.prompt)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    if arguments.prompt is None:
        try:
            converse(chat)
        except KeyboardInterrupt:
            sys.stdout.write("\n")


if __name__ == "__main__":
    main()
