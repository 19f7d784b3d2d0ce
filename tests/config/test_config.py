"""Every experiment composes and validates; every wrong value ends in a message that says what to set."""

import importlib.util
from pathlib import Path

import pytest
from hydra.errors import HydraException
from toy import compose_config

from r1zero.config.compose import explain
from r1zero.config.shorthand import expand
from r1zero.config.tasks import CountdownConfig
from r1zero.runs.directory import claim_run_dir, load_config
from r1zero.training.settings import grpo_config

CONF = Path(__file__).parents[2] / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
OPTIONAL = ("tensorboard", "trackio")  # trackers with a package of their own
CPU = ("++trainer.bf16=false", "++trainer.use_cpu=true", "deepspeed=none")


def test_the_experiments_that_the_readme_promises_exist() -> None:
    assert {"tinyzero_3b", "tinyzero_0_5b", "countdown_smollm2_135m"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_trl_accepts_its_keys(experiment: str, tmp_path: Path) -> None:
    config = compose_config(f"+experiment={experiment}", *CPU)
    args = grpo_config(config, tmp_path)
    assert args.num_generations == config.trainer["num_generations"]
    assert args.output_dir == str(tmp_path / "checkpoints")
    assert (
        f"python -m r1zero.train {'-m ' * experiment.startswith('sweep_')}+experiment={experiment}"
        in (CONF / "experiment" / f"{experiment}.yaml").read_text()
    )


@pytest.mark.parametrize("group", ["task", "model", "peft", "reward", "trainer", "rollout", "deepspeed", "tracker"])
def test_every_choice_of_every_group_composes(group: str) -> None:
    for path in (CONF / group).glob("*.yaml"):
        if path.stem in OPTIONAL and importlib.util.find_spec(path.stem) is None:
            with pytest.raises(ValueError, match=f"pip install {path.stem}"):
                compose_config(f"{group}={path.stem}")
            continue
        rows = ["task.num_train=8"] if group == "task" else []  # sets for evaluation have none, and say so
        cpu = () if group == "trainer" else CPU[:2]
        if path.stem == "mixture":
            compose_config(*expand(["task=[gsm8k,countdown]"]), *cpu)
            continue
        where = ["model.path=some/where"] if path.stem == "own" and group == "model" else []
        compose_config(f"{group}={path.stem}", *rows, *cpu, *where)


def test_the_default_is_the_embedded_model_on_countdown(tmp_path: Path) -> None:
    config = compose_config()
    assert isinstance(config.task, CountdownConfig)
    assert (config.model.path, config.task.template, config.seed) == ("nano", "nano", 0)
    assert grpo_config(config, tmp_path).eval_on_start


@pytest.mark.parametrize("task", ["countdown", "math", "code_nano"])
def test_the_config_of_a_run_is_read_back_as_it_was(task: str, tmp_path: Path) -> None:
    config = compose_config(f"task={task}", "model=qwen2_5_0_5b" if task != "code_nano" else "reward=code")
    claim_run_dir(tmp_path / "run", config)
    assert load_config(tmp_path / "run") == config


def test_the_deepspeed_group_reaches_trl() -> None:
    for name, stage in (("zero1", 1), ("zero2", 2), ("zero2_offload", 2), ("zero3", 3), ("zero3_offload", 3)):
        deepspeed = compose_config(f"deepspeed={name}").deepspeed
        assert deepspeed["zero_optimization"]["stage"] == stage
        assert deepspeed["train_batch_size"] == "auto"
        assert ("offload_optimizer" in deepspeed["zero_optimization"]) == name.endswith("offload")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.learning_rat=1", "trainer.learning_rat = 1: .*Did you mean 'trainer.learning_rate'"),
        ("trainer.zzz=1", "trainer.zzz = 1: TRL's GRPOConfig has no such key"),
        ("trainer.seed=1", "set seed instead"),
        ("trainer.report_to=wandb", "set tracker instead"),
        ("trainer.gradient_checkpointing=true", "set trainer.activation_checkpointing"),
        ("+rewards.weights.format=1", "rewards = .*Did you mean 'reward'"),
        ("++task.number_maximum=5", "task.number_maximum = 5: no such key. Did you mean 'number_max'"),
        ("trainer.num_generations=1", "a group of one has no advantage"),
        ("trainer.num_generations=7", "Nearest that work: .*num_generations=4 or 8"),
        ("task.template=zero", "task.template = zero: must be one of nano"),
        ("task.use_all_numbers=false", "the embedded model's prompt has no words"),
        ("task.num_test=0", "task.num_test = 0: must be at least 1"),
        ("reward.weights.countdown=-1", "must not be negative"),
        ("reward.weights.countdown=0", "nothing pays"),
        ("reward.format_partial_credit=2", r"must be in \[0, 1\]"),
        ("trainer.num_generations=many", "trainer.num_generations = many: must be a number"),
        ("trainer.learning_rate=fast", "trainer.learning_rate = fast: must be a number"),
        ("trainer.per_device_train_batch_size=0", "must be at least 1"),
        ("trainer.temperature=0", "trainer.temperature = 0: must be above 0"),
        ("trainer.top_p=1.5", "trainer.top_p = 1.5: must be above 0 and at most 1"),
        ("trainer.top_k=-1", "trainer.top_k = -1: must not be negative"),
        ("trainer.min_p=2", r"trainer.min_p = 2: must be in \[0, 1\]"),
        ("trainer={top_p:0.9,beta:0.01}", "trainer.beta = 0.01 with top_k, top_p or min_p: the KL term"),
        ("trainer.loss_type=foo", "must be one of grpo, dapo"),
        ("trainer.resume_from_checkpoint=x", "set resume instead"),
        ("trainer.repetition_penalty=1.1", "rollouts do not support it yet"),
        ("rollout.backend=fast", "must be one of native, transformers"),
        ("rollout.max_rows=0", "rollout.max_rows = 0"),
        ("trainer.vllm_mode=server", "with rollout = native: set rollout=vllm"),
        ("peft.method=dora", "must be none or lora"),
        ("peft.rank=0", "must be at least 1"),
        ("memory.check=maybe", "must be refuse, warn or off"),
        ("checkpoints.keep_last=0", "save_strategy=no writes none"),
        ("trainer.save_total_limit=3", "set checkpoints.keep_last"),
        ("launch.num_processes=0", "launch.num_processes = 0: must be at least 1"),
        ("trainer.generation_kwargs={num_beams:2}", "generation_kwargs.num_beams: rollouts know stop_strings alone"),
        ("trainer.generation_kwargs={stop_strings:x}", "must be a list of strings"),
    ],
)
def test_a_wrong_value_says_what_to_set(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config(override)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("rollout=transformers", "only rollout=native and rollout=vllm know them"),
        ("trainer.mask_truncated_completions=true", "Set one of the two"),
    ],
)
def test_stop_strings_where_they_cannot_work(other: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config("trainer.generation_kwargs={stop_strings:[x]}", other)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+experiment=tinyzero_4b", "tinyzero_3b"),  # lists those that exist
        ("modle=nano", "modle"),
        ("seed=abc", "abc"),
        ("task.num_test=many", "many"),
        ("model=gpt", "qwen2_5_3b"),
    ],
)
def test_hydra_refuses_unknown_names_and_wrong_types(override: str, message: str) -> None:
    with pytest.raises(HydraException, match=message):
        compose_config(override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modle=nano", "modle: no such key. Did you mean 'model'"),
        ("task.numtest=3", "task.numtest: no such key. Did you mean 'task.num_test'"),
        ("rewards.weights.format=1", "rewards.weights.format: no such key. Did you mean 'reward.weights'"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(override: str, message: str) -> None:
    with pytest.raises(HydraException) as refused:
        compose_config(override)
    assert message in explain(refused.value)
    assert "+" not in explain(refused.value)  # Hydra's own advice would force the typo in


def test_suggested_batches_work() -> None:
    compose_config("trainer.num_generations=4")
    with pytest.raises(ValueError, match=r"Nearest that work: .*batch_size=2 or 4"):
        compose_config("trainer.per_device_train_batch_size=3", "trainer.gradient_accumulation_steps=4")
    compose_config("trainer.per_device_train_batch_size=2", "trainer.gradient_accumulation_steps=4")


@pytest.mark.parametrize("name", ["mödel", "my model, v1=2", "it's (new)"])
def test_a_folder_of_any_name_is_a_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    model = compose_config(*expand([f"model={name}", "task=gsm8k", *CPU])).model
    assert (model.path, model.name) == (name, name)
