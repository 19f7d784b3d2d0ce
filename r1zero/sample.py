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
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from r1zero.config.schema import ModelConfig
from r1zero.models.load import load_model
from r1zero.rollout.decode import Sampling, keyed_uniforms
from r1zero.runs.reading import Run, load_run
from r1zero.tasks.prompts import TEMPLATES, encode, render

GAP = "  |  "


def newest_checkpoint(run_dir: Path) -> Path:
    """``checkpoints/final``, or else the checkpoint of the highest step.

    Raises:
        ValueError: There is none yet.
    """
    final = run_dir / "checkpoints" / "final"
    if (final / "config.json").is_file():
        return final
    saved = {path: path.name.rpartition("-")[2] for path in run_dir.glob("checkpoints/checkpoint-*")}
    steps = {int(step): path for path, step in saved.items() if step.isdigit() and (path / "config.json").is_file()}
    if not steps:
        raise ValueError(
            f"{run_dir / 'checkpoints'}: holds no model yet. Wait for the end of the run, or have it save on the way: "
            "trainer.save_strategy=steps trainer.save_steps=50."
        )
    return steps[max(steps)]


def full_prompt(run: Run, question: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """``question`` in the run's template, as its training prompts are.

    Raises:
        ValueError: It holds something the tokenizer has no token for.
    """
    name = str(run.setting("task", "template"))
    # The embedded model's template is the question itself, with a space before the tag.
    question = f"{question.strip()} " if name == "nano" else question
    prompt = render(TEMPLATES[name], question, "(1 + 2) / 3", tokenizer)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in encode(prompt, tokenizer):
        raise ValueError(
            f"prompt = {question!r}: holds something that the run's tokenizer cannot write. The embedded model knows "
            "'Numbers: 3 5 7 Target: 22' with integers from 0 to 200, and nothing else."
        )
    return prompt


@torch.no_grad()
def stream(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, sampling: Sampling, key: str
) -> Iterator[str]:
    """The completion so far, after each token, until the end-of-sequence token or ``sampling.max_tokens``."""
    eos = model.generation_config.eos_token_id if model.generation_config is not None else None
    ends = {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
    uniforms_1T = keyed_uniforms([key], sampling.max_tokens).to(model.device)
    inputs = torch.tensor([encode(prompt, tokenizer)], device=model.device)
    cache, ids = None, []
    for at in range(sampling.max_tokens):
        out = model(input_ids=inputs, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        log_probs_1V = (out.logits[:, -1].float() / (1.0 if sampling.greedy else sampling.temperature)).log_softmax(-1)
        inputs = sampling.choose(log_probs_1V, log_probs_1V.exp(), uniforms_1T[:, at])[:, None]
        ids.append(int(inputs))
        yield str(tokenizer.decode(ids, skip_special_tokens=True))
        if ids[-1] in ends:
            return


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
    transformers.utils.logging.disable_progress_bar()
    try:
        run = load_run(arguments.run)
        checkpoint = arguments.checkpoint or newest_checkpoint(arguments.run)
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        prompt = arguments.prompt if arguments.raw else full_prompt(run, arguments.prompt, tokenizer)
        base = load_model(ModelConfig(**run.config["model"])).eval()
        trained = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    except (ValueError, OSError) as error:
        parser.error(str(error))
    trainer = run.config["trainer"]
    sampling = Sampling(
        max_tokens=arguments.max_tokens or trainer.get("max_completion_length", 256),
        temperature=arguments.temperature or trainer.get("temperature", 1.0),
        greedy=arguments.greedy,
    )
    sys.stdout.write(f"{prompt}\n")
    key = f"sample/{arguments.seed}"
    streams = [stream(model, tokenizer, prompt, sampling, key) for model in (base, trained)]
    show(["step 0", f"now ({checkpoint.name})"], streams)


if __name__ == "__main__":
    main()
