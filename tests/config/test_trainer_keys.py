"""The table of ``trainer:`` keys is the installed GRPOConfig's, and every key is allowed, set elsewhere or refused."""

import dataclasses
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from toy import compose_config
from trl import GRPOConfig

from r1zero.config.checks import check_ranks
from r1zero.config.trainer_keys import (
    DEFAULTS,
    REFUSED,
    SET_ELSEWHERE,
    TrainerKeys,
    check_trainer_keys,
    trainer_value,
)
from r1zero.rollout.sampling import training_sampling
from r1zero.training.settings import grpo_config

TRL_FIELDS = {field.name: field for field in dataclasses.fields(GRPOConfig) if field.init}
CPU = ("++trainer.bf16=false", "++trainer.use_cpu=true")


def test_every_key_of_trl_is_in_the_table_once() -> None:
    ours = [*DEFAULTS, *SET_ELSEWHERE, *REFUSED]
    assert len(ours) == len(set(ours))
    assert set(ours) == set(TRL_FIELDS)


def named(kind: Any) -> set[Any]:
    """The members of a union, with the enums that YAML has names for as strings."""
    kinds = {kind} if not get_args(kind) or get_origin(kind) in (dict, list) else {*get_args(kind)}
    return {str if isinstance(one, type) and issubclass(one, Enum) else with_names(one) for one in kinds}


def with_names(kind: Any) -> Any:
    """``list[str]`` for a list of an enum."""
    names = get_origin(kind) is list and isinstance(get_args(kind)[0], type) and issubclass(get_args(kind)[0], Enum)
    return list[str] if names else kind


@pytest.mark.parametrize("key", list(DEFAULTS))
def test_types_and_defaults_are_trls(key: str) -> None:
    assert named(get_type_hints(TrainerKeys)[key]) == named(get_type_hints(GRPOConfig)[key])
    default = TRL_FIELDS[key].default
    assert DEFAULTS[key] == (default.value if isinstance(default, Enum) else default)
    assert type(DEFAULTS[key]) is type(default) or isinstance(default, Enum)


def test_what_trl_computes_is_what_we_work_with(tmp_path: Path) -> None:
    """GRPOConfig's own values, made from nothing but its defaults."""
    made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True)
    given = {"use_cpu": True}
    for key in ("bf16", "activation_checkpointing", "max_completion_length", "temperature", "num_generations"):
        assert trainer_value(given, key) == getattr(made, key), key
    half = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, fp16=True)
    assert trainer_value({"fp16": True}, "bf16") == half.bf16 is False
    assert trainer_value({"activation_checkpointing": False}, "activation_checkpointing") is False


def test_without_keys_we_sample_as_trl_would(tmp_path: Path) -> None:
    made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True)
    ours = training_sampling({})
    assert ours.max_tokens == made.max_completion_length == 512
    assert (ours.temperature, ours.top_k, ours.top_p) == (made.temperature, made.top_k, made.top_p)
    assert ours.min_p == made.min_p


@pytest.mark.parametrize("key", [*SET_ELSEWHERE, *REFUSED])
def test_a_key_that_does_nothing_here_is_refused_in_one_line(key: str) -> None:
    with pytest.raises(ValueError, match=rf"^trainer\.{key} = 1: .*\.$") as refused:
        check_trainer_keys({key: 1})
    elsewhere = not SET_ELSEWHERE.get(key, "nothing: ").startswith("nothing: ")
    assert ("instead." in str(refused.value)) == elsewhere
    assert "set nothing" not in str(refused.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.chat_template_kwargs={a:1}", "set task.template instead"),
        ("trainer.model_init_kwargs={dtype:bfloat16}", "set model.dtype and model.attn_implementation instead"),
        ("trainer.generation_batch_size=64", "set trainer.steps_per_generation instead"),
        ("trainer.num_generations_eval=2", "set eval.num_samples instead"),
        ("trainer.trust_remote_code=true", "code that comes with a model is never run"),
        ("trainer.push_to_hub=true", "upload checkpoints/final at the end"),
        ("trainer.include_num_input_tokens_seen=all", "num_tokens is always written"),
        ("trainer.save_strategy=best", "checkpoints.keep_best, which saves every best"),
        ("trainer.lr_scheduler_type=reduce_lr_on_plateau", "follows an evaluation loss"),
        ("trainer.sync_ref_model=true", "there is no reference that could move"),
        ("trainer.steps_per_generation=0", "must be at least 1"),
        ("trainer.temperature=null", "trainer.temperature = null: must have a value; leave it out for TRL's 1.0"),
        ("trainer.num_generations=null", "must be at least 1"),
        ("trainer.num_generations=8.5", "must be a whole number"),
        ("trainer.num_generations=[8]", "must be a number"),
        ("trainer.max_completion_length=null", "must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config(override)


def test_a_key_left_out_is_trls_default(tmp_path: Path) -> None:
    config = compose_config("~trainer.num_generations", "~trainer.max_completion_length", *CPU)
    args = grpo_config(config, tmp_path)
    assert (args.num_generations, args.max_completion_length) == (8, 512)


def test_ranks_need_a_gpu_each_and_whole_groups() -> None:
    config = compose_config("launch.num_processes=4")
    check_ranks(config, 4, 0)
    check_ranks(config, 4, 4)
    with pytest.raises(ValueError, match=r"2 GPU\(s\) are visible and each rank needs one. Set it to 2 or fewer"):
        check_ranks(config, 4, 2)
    config.trainer["use_cpu"] = True
    check_ranks(config, 4, 2)
    config.trainer["gradient_accumulation_steps"] = config.trainer["per_device_train_batch_size"] = 1
    check_ranks(config, 8, 0)  # 8 ranks x 1 x 1 are one group of 8
    with pytest.raises(ValueError, match=r"generation batch of 4 completions \(4 process"):
        check_ranks(config, 4, 0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.vllm_mode=server", "trainer.vllm_mode = server: not supported. TRL hands weights"),
        ("trainer.vllm_mode=x", "must be colocate or server"),
        ("+trainer.vllm_server_port=8001", "trainer.vllm_server_port = 8001: belongs to a server"),
        ("+trainer.vllm_group_port=1", "trainer.vllm_group_port = 1: belongs to a server"),
        ("+trainer.vllm_tensor_parallel_size=2", "trainer.vllm_tensor_parallel_size = 2: must be 1"),
        ("+trainer.vllm_structured_outputs_regex=a+", "another distribution than the one that is trained"),
        ("trainer.vllm_gpu_memory_utilization=0", r"must be in \(0, 1\]"),
        ("+trainer.vllm_model_impl=tensorrt", "must be vllm, transformers or auto"),
        ("+trainer.vllm_max_model_length=224", "trainer.max_completion_length = 224 tokens. Set it above that"),
        ("trainer.temperature=2.5", "trainer.temperature = 2.5 with rollout = vllm: vLLM draws at 0.01 to 2.0"),
        ("eval.temperature=0.001", "eval.temperature = 0.001 with rollout = vllm"),
        ("+trainer.vllm_importance_sampling_mode=row", "must be one of token_truncate"),
        ("trainer.loss_type=vespo", "vespo weighs tokens. Set token_truncate or token_mask"),
        ("+trainer.generation_kwargs={seed:1}", "generation_kwargs.seed: rollouts know stop_strings alone"),
    ],
)
def test_what_vllm_cannot_do_is_said(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config("rollout=vllm", override)


def test_vllm_draws_greedily_and_to_stop_strings() -> None:
    compose_config(
        "rollout=vllm", "eval.temperature=0", "++trainer.generation_kwargs={stop_strings:['</answer>']}", *CPU
    )
    compose_config("rollout=vllm", "trainer.vllm_enable_sleep_mode=false", "trainer.vllm_mode=colocate", *CPU)


def test_null_is_a_type_of_the_keys_that_trl_computes() -> None:
    for key in ("bf16", "activation_checkpointing", "steps_per_generation", "epsilon_high"):
        assert DEFAULTS[key] is None
        assert NoneType in named(get_type_hints(TrainerKeys)[key])
