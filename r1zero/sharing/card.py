"""The model card of an export: what was trained and on what, what changed, how to use it and how to repeat it.

It says what the run's files say and nothing more; a run without an evaluation gets a card that says so.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from transformers import PreTrainedTokenizerBase

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value
from r1zero.models.tokens import encode
from r1zero.reporting.statements import comparisons, facts
from r1zero.runs.layout import completions_by_step
from r1zero.runs.metrics import number
from r1zero.runs.reading import Run
from r1zero.tasks.prompts import render

TEMPLATE = Path(__file__).parent / "templates" / "card.md"
MAX_EXAMPLE_CHARS = 1_500
PACKAGES = ("python", "torch", "transformers", "trl", "deepspeed")  # of environment.json
QUESTION = "{question}"


@dataclass(frozen=True)
class Gguf:
    """The GGUF file of an export, and what reading it back showed."""

    name: str
    checked: str


def up_to(run: Run, step: int | None) -> Run:
    """The run as if it had ended at ``step``; None for all of it."""
    return run if step is None else replace(run, rows=[row for row in run.rows if row["step"] <= step])


def model_card(
    run: Run, config: Config, tokenizer: PreTrainedTokenizerBase, name: str, place: str, gguf: Gguf | None
) -> str:
    """The text of README.md.

    Args:
        run: What the run logged, up to the exported step.
        config: The run's.
        tokenizer: The exported one.
        name: Title.
        place: What readers load it by: a name on the Hub, or the folder.
        gguf: The GGUF file beside the weights.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    prompt = render(QUESTION, config.task, tokenizer)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        front=yaml.safe_dump(front_matter(config), sort_keys=False),
        name=name,
        base=base_name(config),
        task=config.task.name,
        steps=run.rows[-1]["step"] if run.rows else 0,
        seed=config.seed,
        version=own_version(),
        table=table(run),
        verdict=verdict(run),
        sampled=f" sampled at temperature {trainer_value(config.trainer, 'temperature'):g}",
        settings=[(key, cell(value)) for key, value in settings(run, config)],
        prompt=fenced(prompt),
        prompt_literal=repr(prompt),
        add_special=encode(prompt, tokenizer) == tokenizer(prompt).input_ids,
        place=place,
        serving=serving_commands(place, gguf.name if gguf else None),
        gguf=gguf.name if gguf else None,
        gguf_check=gguf.checked if gguf else None,
        example=example(run),
        command=command(run),
        versions=versions(run),
    )


def serving_commands(place: str, gguf: str | None) -> list[tuple[str, str]]:
    """(program, command) of what serves an export at ``place``."""
    quoted = shlex.quote(place)
    commands = [("vLLM", f"vllm serve {quoted}"), ("transformers", f"transformers serve {quoted}")]
    return [*commands, *([("llama.cpp", f"llama-server -m {shlex.quote(gguf)}")] if gguf else [])]


def front_matter(config: Config) -> dict[str, Any]:
    """What the Hub reads: library, tags, and base model and data set where they are on the Hub."""
    front: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if is_hub_name(config.model.path):
        front["base_model"] = config.model.path
    source = getattr(config.task, "source", None)
    if source and is_hub_name(source):
        front["datasets"] = [source]
    return front | {"tags": ["r1zero", "grpo", "reinforcement-learning", "reasoning"]}


def is_hub_name(name: str) -> bool:
    """Whether ``name`` is OWNER/NAME and no file or folder of this machine."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def base_name(config: Config) -> str:
    """What was trained, as a reader can find it."""
    if config.model.path == "nano":
        return "the embedded 1 M-parameter model of r1zero"
    return f"`{config.model.path}`" if is_hub_name(config.model.path) else f"`{config.model.name}` (a local model)"


def own_version() -> str:
    """The version of r1zero, where it is installed."""
    try:
        return version("r1zero")
    except PackageNotFoundError:
        return "from a checkout"


def table(run: Run) -> str:
    """First against last evaluation."""
    lines = comparisons(run)
    if not lines:
        return "Nothing was evaluated in this run."
    steps = [row["step"] for row in run.evaluations]
    last = f"step {steps[-1]}" if len(steps) > 1 else "after"
    rows = [("held-out", f"step {steps[0]}", last, "change"), ("---",) * 4]
    return "\n".join(f"| {' | '.join(row)} |" for row in [*rows, *(tuple(map(str.strip, line)) for line in lines)])


def verdict(run: Run) -> str:
    """Whether the accuracy of the last evaluation differs from that of the first."""
    if len(run.evaluations) < 2:
        return "There is no evaluation before and after: what training changed is not known."
    key = f"eval/{run.task}/accuracy"
    first, last = run.evaluations[0], run.evaluations[-1]
    low, high = (number(last, f"{key}_low"), number(first, f"{key}_high"))
    if low is not None and high is not None and low > high:
        return "The two intervals lie apart."
    return "The two intervals overlap, so this run does not show that training raised the accuracy."


def settings(run: Run, config: Config) -> list[tuple[str, Any]]:
    """What a reader asks first: data, reward, and the settings of training."""
    task, trainer = config.task, config.trainer
    weights = ", ".join(f"{name} {weight:g}" for name, weight in config.reward.weights.items() if weight)
    keys = ("learning_rate", "num_generations", "max_completion_length", "temperature", "loss_type", "beta")
    lora = f"LoRA, rank {config.peft.rank}, merged" if config.peft.method == "lora" else "all weights"
    return [
        ("problems", getattr(task, "source", None) or "generated"),
        ("training and held-out rows", f"{task.num_train} and {task.num_test} at most"),
        ("reward", weights),
        ("trained", lora),
        *((key, trainer_value(trainer, key)) for key in keys),
        *((name, value) for name, value in facts(run) if name in ("device", "time")),
    ]


def cell(value: Any) -> str:
    """``value`` in a cell of a table."""
    return str(value).replace("|", "\\|").replace("\n", " ")


def fenced(text: str) -> str:
    """``text`` as a block that nothing in it can end."""
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def example(run: Run) -> dict[str, str] | None:
    """The first held-out problem of the last evaluation, whatever became of it; None without completions."""
    last = run.rows[-1]["step"] if run.rows else -1
    files = [paths for step, paths in completions_by_step(run.directory, "eval").items() if step <= last]
    if not files:
        return None
    row = pd.read_parquet(files[-1][0]).iloc[0]
    text = f"{row['prompt']}{row['completion']}"
    cut = text if len(text) <= MAX_EXAMPLE_CHARS else text[:MAX_EXAMPLE_CHARS] + " [...]"
    return {"outcome": f"judged {row['outcome']}", "text": fenced(cut)}


def command(run: Run) -> str:
    """The command that made the run, as far as it is known; without where its files went."""
    given = shlex.split(str(run.environment.get("command", "")))
    arguments = [argument for argument in given[1:] if not argument.startswith(("hydra.run.dir=", "resume="))]
    if not given or "--rank" in arguments:
        return "# The command is not known; r1zero_config.yaml has every setting."
    sweep = "   # a sweep, of which this is one job" if {"-m", "--multirun"} & set(arguments) else ""
    return f"python -m r1zero.train {shlex.join(arguments)}".strip() + sweep


def versions(run: Run) -> str:
    """What it ran with, in one line."""
    known: Sequence[str] = [f"{name} {run.environment[name]}" for name in PACKAGES if name in run.environment]
    commit = run.environment.get("git_commit")
    changed = " with uncommitted changes" if run.environment.get("git_dirty") else ""
    found = [*known, *([f"commit {commit}{changed}"] if commit else [])]
    return f"Made with {', '.join(found)}." if found else "With which versions is not known."
