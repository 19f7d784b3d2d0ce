"""Accuracy, its intervals, pass@k and maj@k of tables of completions; how held-out completions are sampled."""

import pandas as pd
import pytest
from toy import compose_config
from trl import GRPOConfig

from r1zero.config.schema import EvalConfig
from r1zero.evaluating.accuracy import by_problem, evaluation_sampling, sample_key, summarise, wanted_k
from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.rollout.sampling import Sampling, training_sampling


def test_ungradeable_problems_leave_the_accuracy_and_are_counted() -> None:
    frame = pd.DataFrame(
        {
            "index": range(4),
            "outcome": ["CORRECT", "WRONG", "UNGRADEABLE", "NO_ANSWER"],
            "length_tokens": [10, 20, 30, 40],
            "truncated": [False, False, False, True],
            **{name: [0, 0, 0, 4] for name in BEHAVIOURS},
        }
    )
    metrics = summarise("toy", frame)
    assert metrics["eval/toy/accuracy"] == pytest.approx(1 / 3)
    assert metrics["eval/toy/num_problems"] == 3
    assert metrics["eval/toy/num_ungradeable"] == 1
    assert metrics["eval/toy/outcome/NO_ANSWER"] == 0.25
    assert metrics["eval/toy/truncated"] == 0.25
    assert metrics["eval/toy/mean_length"] == 25
    assert metrics["eval/toy/behaviour/checks"] == 1


def frame(outcomes: dict[int, list[str]], votes: dict[int, list[str | None]]) -> pd.DataFrame:
    rows = [
        {"index": index, "sample": sample, "outcome": outcome, "vote": votes[index][sample], "length_tokens": 1}
        | {"truncated": False, **dict.fromkeys(BEHAVIOURS, 0)}
        for index, samples in outcomes.items()
        for sample, outcome in enumerate(samples)
    ]
    return pd.DataFrame(rows)


def test_samples_that_cannot_be_judged_leave_their_problem() -> None:
    table = frame(
        {0: ["CORRECT", "UNGRADEABLE", "WRONG"], 1: ["UNGRADEABLE"] * 3, 2: ["WRONG", "WRONG", "CORRECT"]},
        {0: ["7", "9", "5"], 1: [None] * 3, 2: ["1", "1", "4"]},
    )
    problems = by_problem(table, [2, 3], voting=True).set_index("index")
    assert problems["accuracy"][0] == 0.5
    assert problems["pass@2"][0] == 1.0  # both that were judged
    assert problems["maj@2"][0] == 0.5  # a tie of 7 and 5
    assert problems[["pass@3", "maj@3"]].loc[0].isna().all()  # two judged samples say nothing about three
    assert problems[["accuracy", "pass@2"]].loc[1].isna().all()
    assert problems["maj@3"][2] == 0.0
    metrics = summarise("toy", table, [2, 3], voting=True)
    assert metrics["eval/toy/accuracy"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert metrics["eval/toy/pass@2"] == pytest.approx((1 + 2 / 3) / 2)  # of {W, W, C}: 2 of 3 pairs hold the C
    assert metrics["eval/toy/pass@3"] == 1.0
    assert (metrics["eval/toy/num_problems"], metrics["eval/toy/num_ungradeable"]) == (2, 1)


def test_sampling_is_that_of_training_but_for_what_is_set() -> None:
    defaults = GRPOConfig(output_dir="x", use_cpu=True, bf16=False)
    ours = training_sampling({})
    assert (ours.max_tokens, ours.temperature, ours.top_p) == (
        defaults.max_completion_length,
        defaults.temperature,
        defaults.top_p,
    )
    assert (ours.top_k, ours.min_p) == (defaults.top_k, defaults.min_p)
    trained = Sampling(max_tokens=9, temperature=0.7, top_k=5)
    assert evaluation_sampling(EvalConfig(), trained) == trained
    assert evaluation_sampling(EvalConfig(temperature=0), trained) == Sampling(9, 0.7, 5, greedy=True)
    assert evaluation_sampling(EvalConfig(temperature=0.2, top_p=0.9, max_tokens=3), trained) == Sampling(
        3, 0.2, 5, 0.9
    )


def test_k_and_keys() -> None:
    assert wanted_k(EvalConfig()) == []
    assert wanted_k(EvalConfig(num_samples=8)) == [8]
    assert wanted_k(EvalConfig(num_samples=8, k=[4, 1, 2, 4])) == [2, 4]
    assert (sample_key(3, 5, 0), sample_key(3, 5, 2)) == ("eval/3/5", "eval/3/5/2")
    with pytest.raises(ValueError, match=r"eval.k = \[9\]"):
        compose_config("eval.num_samples=8", "eval.k=[9]")
