"""The report of a small run that is written out by hand."""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from written_run import HOSTILE, PNG_MAGIC, finished_rows, page_of, shown_problems, words, write_metrics, write_run

from r1zero import report
from r1zero.reporting import page
from r1zero.reporting.report import before_after_table, write_report


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run of 8 steps."""
    return write_run(tmp_path / "run")


def test_headline_has_both_accuracies_with_intervals_and_problem_count(run_dir: Path) -> None:
    html = page_of(run_dir)
    text = words(html)
    assert "Held-out accuracy 20.0% &rarr; 70.0%" in text
    assert "Step 0: 20.0%, 95% interval 5.7 to 51.0%, on 10 held-out problems of countdown." in text
    assert "Step 8: 70.0%, 95% interval 52.0 to 89.0%, on 10 held-out problems of countdown." in text
    assert "The two intervals do not overlap." in text  # 51.0% < 52.0%
    assert 'class="note"' not in html


def test_overlapping_intervals_are_called_possible_chance(run_dir: Path) -> None:
    rows = finished_rows()
    rows[8]["eval/countdown/accuracy_low"] = 0.50
    write_metrics(run_dir, rows)
    assert "The two intervals overlap: the difference may be chance." in words(page_of(run_dir))


def test_facts_come_from_config_environment_and_metrics(run_dir: Path) -> None:
    text = words(page_of(run_dir))
    for fact in ("model nano", "seed 7", "device cpu", "steps 8", "time 13 min", "median step 2.00 s", "1,234"):
        assert fact.replace(" ", "") in text.replace(" ", ""), fact  # 8 * 100 s = 13 min 20 s


def test_behaviours_say_what_they_mean(run_dir: Path) -> None:
    for path in (run_dir / "completions").glob("eval_*.parquet"):
        pd.read_parquet(path).assign(checks=2).to_parquet(path)
    write_metrics(run_dir, [row | {"emergence/checks/all": 1.0 + row["step"]} for row in finished_rows()])
    html = page_of(run_dir)
    # A button is reached by pointer, finger and keyboard alike; one over the chart, one in each table.
    said = re.findall(
        r'<button type="button" class="what" aria-label="(.*?): (.*?)">\1<span class="meaning">\2</span>', html
    )
    assert len(said) >= 3 and {name for name, _ in said} == {"checks"}
    assert "held against the goal" in said[0][1]


def test_every_text_of_the_run_is_escaped(run_dir: Path) -> None:
    html = page_of(run_dir)
    assert re.findall(r"<script[^>]*>", html) == ['<script type="application/json" id="rows">', "<script>"]
    assert "<img" not in html and "'<i>'" not in html
    rows = json.loads(html.partition('id="rows">')[2].partition("</script>")[0])  # hostile text does not end it early
    assert any(row["text"] == HOSTILE for row in rows)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "why 0 &lt;failed&gt;" in html
    assert "<title>tiny &lt;test&gt; - r1zero</title>" in html
    assert "&#39;&lt;i&gt;&#39;" in html


def test_tags_and_checks_are_highlighted(run_dir: Path) -> None:
    html = page_of(run_dir)
    assert '<span class="tag">&lt;think&gt;</span> 1 + 1 <span class="miss">(too low)</span>' in html
    assert str(page.highlight("17 + 25 = 42")) == '<span class="try">17 + 25 = 42</span>'
    assert '<span class="yes">(yes)</span> <span class="tag">&lt;/answer&gt;</span>' in html


def test_page_needs_no_other_file(run_dir: Path) -> None:
    html = page_of(run_dir)
    assert not re.findall(r'(?:src|href)="([^"]*)"', html) and "url(" not in html
    assert (run_dir / "curve.png").read_bytes().startswith(PNG_MAGIC)
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'" in html  # no other script runs


def test_examples_are_the_first_of_every_kind_of_change(run_dir: Path) -> None:
    html = page_of(run_dir)
    assert shown_problems(html, "Became correct: 6 of 10") == [1, 2, 4, 5, 6]
    assert shown_problems(html, "Became incorrect: 1 of 10") == [3]
    assert shown_problems(html, "Incorrect both times: 2 of 10") == [0, 8]
    assert shown_problems(html, "Correct both times: 1 of 10") == [7]
    assert "first problems by problem number, whatever they look like" in words(html)


def test_an_example_shows_the_same_problem_at_both_steps(run_dir: Path) -> None:
    html = page_of(run_dir)
    article = next(part for part in html.split("<article") if ">problem 2<" in part)
    assert article.count('<section class="sample">') == 3
    before, between, after = article.split('<section class="sample">')[1:]
    assert "step 4</b>" in between and "attempt of problem 2 at step 4" in between
    assert "step 0</b>" in before and "NO_ANSWER" in before and "attempt of problem 2 at step 0" in before
    assert "102 tokens, cut off" in before and "why 2 &lt;failed&gt;" in before
    assert "step 8</b>" in after and 'badge b-good">CORRECT' in after and "attempt of problem 2 at step 8" in after
    assert "cut off" not in after and "detail" not in after  # a correct completion has a null detail


def test_of_several_samples_an_example_shows_the_first(run_dir: Path) -> None:
    before = page_of(run_dir)
    for path in (run_dir / "completions").glob("eval_*.parquet"):
        table = pd.read_parquet(path)
        second = table.assign(sample=1, outcome="WRONG", completion="the second sample")
        pd.concat([second, table.assign(sample=0)]).to_parquet(path)
    html = page_of(run_dir)
    assert "the second sample" not in html[html.index("<article") : html.rindex("</article>")]
    assert shown_problems(html, "Became correct: 6 of 10") == shown_problems(before, "Became correct: 6 of 10")


def test_examples_skip_problems_whose_prompt_changed(run_dir: Path) -> None:
    path = run_dir / "completions" / "eval_00008.parquet"
    table = pd.read_parquet(path)
    table.loc[table["index"] == 1, "prompt"] = "another problem"
    table.iloc[::-1].to_parquet(path)  # the order in the file does not matter either
    html = page_of(run_dir)
    assert shown_problems(html, "Became correct: 5 of 9") == [2, 4, 5, 6, 9]


def test_table_is_aligned_and_has_the_numbers(run_dir: Path) -> None:
    table = before_after_table(run_dir)
    assert table.splitlines() == [
        "held-out                    step 0         step 8        change",
        "accuracy, sampled            20.0%          70.0%  +50.0 points",
        "  95% interval        5.7 to 51.0%  52.0 to 89.0%",
        "accuracy, greedy             30.0%          80.0%  +50.0 points",
        "outcome WRONG                80.0%          30.0%  -50.0 points",
        "truncated                    40.0%          15.0%  -25.0 points",
        "length, tokens                60.0          110.0         +50.0",
        "tries per completion          1.20           1.70         +0.50",
        "held-out problems               10             10",
        # Step 4: 17% is below the 51% of step 0. Step 8: 52% is above it.
        "Held-out accuracy: from step 8 on, every 95% interval lies apart from that of step 0.",
    ]


def test_trained_task_is_reported_when_several_are_evaluated(run_dir: Path) -> None:
    rows = finished_rows()
    rows[0] = {"step": 0, "eval/another/accuracy": 0.99, **rows[0]}
    write_metrics(run_dir, rows)
    assert "20.0%" in before_after_table(run_dir).splitlines()[1]


def test_plotting_leaves_matplotlib_settings_and_no_temporary_file(run_dir: Path) -> None:
    settings = dict(matplotlib.rcParams)
    write_report(run_dir)
    write_report(run_dir)  # a second one replaces the first
    assert dict(matplotlib.rcParams) == settings
    expected = {"metrics.jsonl", "config.yaml", "environment.json", "completions", "curve.png", "report.html"}
    assert {path.name for path in run_dir.iterdir()} == expected


def test_command_line_rebuilds_the_report(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.main([str(run_dir)])
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["accuracy,", "sampled", "20.0%", "70.0%", "+50.0", "points"]
    assert out[-1] == str(run_dir / "report.html")
    assert (run_dir / "report.html").is_file()


def test_directory_without_metrics_says_what_was_looked_for(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = run_dir.parent
    with pytest.raises(ValueError, match=r"looked for .*metrics.jsonl, which does not exist"):
        write_report(outputs / "absent")
    with pytest.raises(SystemExit) as exit_info:
        report.main([str(outputs)])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert f"looked for {outputs / 'metrics.jsonl'}" in error
    assert f"Did you mean {run_dir}?" in error


def test_runs_are_compared_on_common_axes(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_dir, other)
    write_metrics(other, [row | {"alarm/truncation": 1.0} for row in finished_rows()[:5]])
    out = tmp_path / "pages" / "both.html"
    report.main([str(run_dir), str(other), "--out", str(out)])
    same, _, header, first, second, last = capsys.readouterr().out.splitlines()
    assert same == "No setting differs: the runs repeat one another."
    assert header.split()[:4] == ["run", "task", "steps", "first"]
    assert first.split()[2:6] == ["(run)", "countdown", "8", "20.0%"] and "70.0%" in first  # both are named tiny <test>
    assert second.split()[2:6] == ["(other)", "countdown", "4", "20.0%"] and "truncation" in second
    assert last == str(out)
    html = out.read_text()
    assert "tiny &lt;test&gt; (other)" in html and "<script" not in html and "Held-out accuracy" in html
    assert (other / "report.html").is_file() and (run_dir / "report.html").is_file()


def test_a_comparison_begins_with_the_settings_that_differ(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_dir, other)
    config = (run_dir / "config.yaml").read_text().replace("seed: 7", "seed: 8").replace("tiny <test>", "second")
    (other / "config.yaml").write_text(
        config.replace("{max_steps: 8}", "{max_steps: 8, learning_rate: 0.001}") + "tracker: {tags: [a]}\n"
    )
    (other / "environment.json").write_text(json.dumps({"git_commit": "abc", "command": "another", "device": "cpu"}))
    out = tmp_path / "both.html"
    report.main([str(run_dir), str(other), "--out", str(out)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        ["setting", "tiny", "<test>", "second"],
        ["seed", "7", "8"],
        ["trainer.learning_rate", "-", "0.001"],
        [],
    ]
    # Neither names, tags nor commands are settings; what a run ran on comes behind them.
    assert lines[4:8] == [
        ["environment", "tiny", "<test>", "second"],
        ["git_commit", "null", "abc"],
        ["git_dirty", "True", "-"],
        [],
    ]
    html = out.read_text()
    assert html.index("Settings that differ") < html.index("trainer.") < html.index("Results") < html.index("<svg")
