"""Judge any model on held-out problems: ``python -m r1zero.evaluate run=DIR | model=PATH task=a,b [key=value ...]``.

Prompts, judges and the decode loop are those of training. A killed evaluation continues with the same command.
``compare=A,B`` compares two results, problem by problem.
"""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1zero.command_line import errors_in_one_line, quiet
from r1zero.evaluating.layout import RESULT, TABLE
from r1zero.evaluating.plan import plan
from r1zero.reporting.text import aligned, interval, percent
from r1zero.runs.files import read_json, write_text
from r1zero.tasks.own_judges import JudgeFailedError
from rewards.code_tests import JudgeUnavailableError

INTERRUPTED = 128 + signal.SIGINT

USAGE = """usage: python -m r1zero.evaluate [run=DIR [checkpoint=final|STEP|base] | model=NAME|PATH|HUB_ID]
       [task=NAME,NAME,...] [name=REASONING_GYM_DATA_SET] [output=DIR] [--config-dir DIR] [KEY=VALUE ...]
       python -m r1zero.evaluate compare=DIR,DIR
KEY=VALUE as for r1zero.train: eval.num_samples=16 eval.k=[1,8] eval.temperature=0.6 eval.max_tokens=3072"""


def evaluate(arguments: Sequence[str]) -> list[Path]:
    """Evaluate what the command line asks for; the folders of the results.

    Raises:
        ValueError: An argument cannot work, a model or data set cannot be had, or it cannot be sampled from.
    """
    todo = plan(arguments)
    quiet()  # loads libraries, as the next lines do: after the arguments were checked
    from r1zero.evaluating.accuracy import evaluation_sampling
    from r1zero.evaluating.on_disk import evaluate_in
    from r1zero.models.fit import check_context, longest_prompt
    from r1zero.rollout.engine import load_engine, stop_strings_of
    from r1zero.rollout.loop import RolloutError
    from r1zero.rollout.sampling import training_sampling
    from r1zero.tasks.build import build_task
    from r1zero.tasks.prompts import check_prompts

    engine = load_engine(todo.configs[0])
    tasks = [build_task(config, engine.tokenizer) for config in todo.configs]
    for config, task in zip(todo.configs, tasks, strict=True):
        sampling = evaluation_sampling(config.eval, training_sampling(config.trainer))
        check_prompts(task, config, engine.tokenizer)
        prompt_tokens = longest_prompt((row["prompt"] for row in task.test), engine.tokenizer)
        with engine.opened() as model:
            check_context(model, prompt_tokens, sampling.max_tokens, "eval.max_tokens")
    try:
        return [
            evaluate_in(todo.output, config, task, engine.stopping_at(stop_strings_of(config, engine.loop)))
            for config, task in zip(todo.configs, tasks, strict=True)
        ]
    except RolloutError as error:
        raise ValueError(str(error)) from error


def table(folders: Sequence[Path]) -> str:
    """The results, a line a task: accuracy, pass@k and maj@k with their intervals."""
    results = [read_json(folder / RESULT) for folder in folders]
    lines: list[list[str]] = [["task", "problems", "samples", "metric", "value", "95% interval"]]
    for result in results:
        lines += lines_of(result, result["task"])
        for part in parts_of(result):
            lines += lines_of(result, part)
    return aligned(lines)


def parts_of(result: Mapping[str, Any]) -> list[str]:
    """The tasks that a mixture is made of; none for another task."""
    measured = [key.split("/")[1] for key in result["metrics"] if key.endswith("/accuracy")]
    return [name for name in measured if name != result["task"]]


def lines_of(result: Mapping[str, Any], name: str) -> list[list[str]]:
    """The lines of one task: its metrics with their intervals, lengths and what could not be judged."""
    metrics, lines = result["metrics"], []
    labels = {"accuracy": f"avg@{result['num_samples']}" if result["num_samples"] > 1 else "pass@1"}
    labels |= {f"{kind}@{k}": f"{kind}@{k}" for k in result["k"] for kind in ("pass", "maj")}
    labels["greedy_accuracy"] = "greedy"
    front = [name, f"{metrics[f'eval/{name}/num_problems']:.0f}", str(result["num_samples"])]
    for key, label in labels.items():
        if f"eval/{name}/{key}" in metrics:
            value = percent(metrics[f"eval/{name}/{key}"])
            lines.append([*front, label, value, interval(metrics, f"eval/{name}/{key}")])
            front = ["", "", ""]
    lines.append(["", "", "", "mean length", f"{metrics[f'eval/{name}/mean_length']:.0f}", ""])
    lines.append(["", "", "", "truncated", percent(metrics[f"eval/{name}/truncated"]), ""])
    if metrics[f"eval/{name}/num_ungradeable"]:
        lines.append(["", "", "", "not judged", f"{metrics[f'eval/{name}/num_ungradeable']:.0f} problems", ""])
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """The command line. Bad input ends in one message; Ctrl-C keeps what is done."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return
    try:
        with errors_in_one_line():
            pair = next((argument for argument in arguments if argument.startswith("compare=")), None)
            if pair is not None:
                print(compared(pair, arguments))
                return
            folders = evaluate(arguments)
    except JudgeFailedError as error:
        sys.exit(f"error: {error} What is done is kept: mend it, and give the same command again.")
    except JudgeUnavailableError as error:
        sys.exit(f"error: {error}\nWhat is done is kept: give the same command again when the sandbox works.")
    except KeyboardInterrupt:
        print("\nInterrupted. What is done is kept: the same command goes on from here.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    text = table(folders)
    write_text(text + "\n", folders[0].parent / TABLE)
    print(text)
    for folder in folders:
        print(f"result     {folder / RESULT}")


def compared(pair: str, arguments: Sequence[str]) -> str:
    """The comparison that ``compare=A,B`` asks for."""
    both = [Path(part) for part in pair.partition("=")[2].split(",") if part]
    if len(both) != 2 or len(arguments) != 1:
        raise ValueError("compare: give two results and nothing else, compare=DIR,DIR.")
    from r1zero.evaluating.compare import compare

    return compare(*both)


if __name__ == "__main__":
    main()
