"""Which run a command goes on with, and on how many ranks."""

import json
import os
from pathlib import Path

import pytest
from cut_off import written
from toy import compose_config

from r1zero.runs.checkpoints import MANIFEST, newest_checkpoint, resumed_trainer, seal
from r1zero.runs.directory import claim_run_dir
from r1zero.runs.reshard import needs_resharding, reshard
from r1zero.runs.resume import open_run


def claimed(path: Path, *overrides: str) -> Path:
    claim_run_dir(path, compose_config(*overrides))
    return path


def test_resume_auto_takes_the_run_directory_itself(tmp_path: Path) -> None:
    command = ["resume=auto", "seed=3"]
    for _ in range(2):  # the first begins the run, the second goes on with it
        config, place = open_run(compose_config(*command), tmp_path / "run", command)
        assert (config.seed, config.resume, place) == (3, None, tmp_path / "run")


def test_resume_auto_finds_the_newest_unfinished_run_with_this_config(tmp_path: Path) -> None:
    for age, (name, overrides) in enumerate({"new": ["seed=1"], "old": ["seed=1"], "other": ["seed=2"]}.items()):
        run_dir = claimed(tmp_path / name, *overrides)
        os.utime(run_dir / "config.yaml", (1e9 - age, 1e9 - age))
    done = claimed(tmp_path / "done", "seed=1")
    (done / "status.json").write_text('{"status": "finished", "step": 3}')
    fresh = tmp_path / "fresh"
    fresh.mkdir()  # by Hydra
    command = ["resume=auto", "seed=1"]
    assert open_run(compose_config(*command), fresh, command)[1] == tmp_path / "new"
    assert not fresh.exists()
    other = ["resume=auto", "seed=7"]
    fresh.mkdir()
    assert open_run(compose_config(*other), fresh, other)[1] == fresh


def test_a_resumed_run_keeps_its_config(tmp_path: Path) -> None:
    place = claimed(tmp_path / "run", "seed=5", "trainer.learning_rate=1e-5")
    command = [f"resume={place}", "launch.num_processes=1"]
    config, _ = open_run(compose_config(*command), tmp_path / "new", command)
    assert (config.seed, config.trainer["learning_rate"], config.launch.num_processes) == (5, 1e-5, 1)
    command = [f"resume={place}", "seed=5"]
    with pytest.raises(ValueError, match=r"that run has trainer.learning_rate = 1e-05 and this command 0.0003"):
        open_run(compose_config(*command), tmp_path / "new", command)
    with pytest.raises(ValueError, match="no run is there"):
        open_run(compose_config(f"resume={tmp_path}/none"), tmp_path / "new", [])


def test_another_number_of_ranks_goes_on_with_the_same_batches(tmp_path: Path) -> None:
    checkpoint = written(tmp_path, 3)
    facts = json.loads((checkpoint / MANIFEST).read_text())
    (checkpoint / MANIFEST).write_text(json.dumps(facts | {"num_ranks": 2}))
    trainer = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}
    assert resumed_trainer(checkpoint, 1, trainer)["gradient_accumulation_steps"] == 6
    with pytest.raises(ValueError, match=r"in batches of 24 completions, which 4 rank.s. .* = 4 cannot go on with"):
        resumed_trainer(checkpoint, 4, trainer)
    (checkpoint / MANIFEST).write_text(json.dumps(facts | {"num_ranks": 2, "batch": 48}))  # begun on four
    assert resumed_trainer(checkpoint, 2, trainer)["gradient_accumulation_steps"] == 6


def test_zero_shards_of_another_number_of_ranks_are_put_together(tmp_path: Path) -> None:
    checkpoint = written(tmp_path, 3)
    facts = json.loads((checkpoint / MANIFEST).read_text())
    (checkpoint / MANIFEST).write_text(json.dumps(facts | {"num_ranks": 2, "zero_stage": 2}))
    assert needs_resharding(checkpoint, 1) and not needs_resharding(checkpoint, 2)
    (checkpoint / "latest").write_text("global_step3")  # a folder that is not there: DeepSpeed cannot convert it
    with pytest.raises(
        ValueError, match=r"cannot put its shards together \(.+\)\. Set launch.num_processes=2, or"
    ) as told:
        reshard(checkpoint)
    assert "\n" not in str(told.value)
    (checkpoint / MANIFEST).write_text(json.dumps(facts | {"num_ranks": 2, "zero_stage": 0}))
    assert not needs_resharding(checkpoint, 1)


def saved(folder: Path, step: int, *files: str) -> None:
    """A sealed folder of weights."""
    partial = folder.parent / ".partial"
    partial.mkdir(parents=True)
    for name in files:
        (partial / name).write_text("{}")
    seal(partial, folder, {"step": step})


def test_weights_are_those_of_the_highest_step(tmp_path: Path) -> None:
    """A run of 4 steps that was extended and killed after its sixth: ``final`` is that of step 4."""
    checkpoints = tmp_path / "checkpoints"
    saved(checkpoints / "final", 4, "config.json")
    saved(checkpoints / "checkpoint-4", 4, "config.json")
    assert newest_checkpoint(tmp_path).name == "final"
    saved(checkpoints / "checkpoint-6", 6, "config.json")
    assert newest_checkpoint(tmp_path).name == "checkpoint-6"
    assert newest_checkpoint(tmp_path, adapter=True).name == "checkpoint-6"  # it has no adapter: the model it is


def test_a_lora_run_goes_on_from_its_adapter(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    saved(checkpoints / "checkpoint-2", 2, "adapter_config.json")
    assert {newest_checkpoint(tmp_path, lora).name for lora in (False, True)} == {
        "checkpoint-2"
    }  # killed before its end
    saved(checkpoints / "adapter", 4, "adapter_config.json")
    saved(checkpoints / "final", 4, "config.json")
    assert [newest_checkpoint(tmp_path, lora).name for lora in (False, True)] == ["final", "adapter"]
    claim_run_dir(tmp_path, compose_config("peft=lora"))
    command = [f"model={tmp_path}", "peft=lora"]
    config, _ = open_run(compose_config(f"model.path={tmp_path}", "peft=lora"), tmp_path / "next", command)
    assert config.model.path == str(checkpoints / "adapter")
