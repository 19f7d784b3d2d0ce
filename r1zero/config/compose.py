"""From what Hydra composed to a typed config that can work.

Everything here runs when the config is composed: a run that cannot work ends in its first second, not its first hour.
An unknown key is refused with the nearest real one. What depends on the machine is left to ``checks.check_ranks``.
"""

import dataclasses
import difflib
import re
import sys
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ValidationError

from r1zero.config.checks import (
    check_alarms,
    check_checkpoints,
    check_eval,
    check_launch,
    check_pays,
    check_peft,
    check_reward,
    check_rollout,
    check_seed,
    check_task,
    check_tracker,
    check_trains,
    pay_by_default,
)
from r1zero.config.kinds import KINDS, class_of
from r1zero.config.schema import PARTS, Config, ModelConfig, PeftConfig, RewardConfig, RolloutConfig, TrackerConfig
from r1zero.config.shorthand import CONF, names_in
from r1zero.config.tasks import TaskConfig
from r1zero.config.trainer_checks import check_group, check_trainer_values
from r1zero.config.trainer_keys import TrainerKeys, check_trainer_keys


def register_schema() -> None:
    """Make the dataclasses known to Hydra as ``schema`` (root) and ``schema/*``, which the YAML files build on."""
    store = ConfigStore.instance()
    root = OmegaConf.structured(Config)
    OmegaConf.set_struct(root.trainer, False)  # GRPOConfig's keys need no `+`; check_trainer_keys knows them all
    root.task = TaskConfig()
    OmegaConf.set_struct(root.task, False)  # the keys of a kind outside the package are known once it is imported
    store.store(name="schema", node=root)
    for kind, keys in KINDS.items():
        task = OmegaConf.structured(keys)
        OmegaConf.set_struct(task, True)
        for key in keys.open_keys:
            OmegaConf.set_struct(task[key], False)
        store.store(group="schema/task", name=kind, node=task)
    store.store(group="schema", name="model", node=ModelConfig)
    reward = OmegaConf.structured(RewardConfig)
    for table in (reward.weights, reward.judges):  # judges differ by task, which refuses those it does not have
        OmegaConf.set_struct(table, False)
    store.store(group="schema", name="reward", node=reward)
    store.store(group="schema", name="peft", node=PeftConfig)
    store.store(group="schema", name="rollout", node=RolloutConfig)
    store.store(group="schema", name="tracker", node=TrackerConfig)


def resolve(composed: DictConfig) -> Config:
    """The typed config, checked.

    Raises:
        ValueError: A value cannot work; the message gives key = value, why, and what to set.
    """
    config = typed(composed)
    check_trainer_keys(config.trainer)
    check_trainer_values(config.trainer)
    check_task(config)
    check_trains(config.task)
    check_seed(config.seed)
    check_eval(config.eval)
    check_reward(config.reward)
    if config.task.accuracy_judge:
        pay_by_default(config.reward, config.task.accuracy_judge)
        check_pays(config.reward)
    check_launch(config.launch)
    check_checkpoints(config)
    check_peft(config)
    check_group(config.trainer)
    check_rollout(config)
    check_alarms(config.alarms)
    check_tracker(config.tracker)
    return config


def typed(composed: DictConfig) -> Config:
    """The config as objects, ``task`` of the class of its kind; values are not checked yet.

    Raises:
        ValueError: There is no such kind of task, it lacks a value, or a key was forced in.
    """
    given = cast(dict[str, Any], OmegaConf.to_container(composed.task))
    keys = class_of(given["kind"])
    refuse_leftovers(given, dict.fromkeys(field.name for field in dataclasses.fields(keys)), "task")
    whole = composed.copy()
    try:
        whole.task = OmegaConf.merge(keys, given)
    except ValidationError as error:
        raise ValueError(f"task.{error.full_key}: {str(error).splitlines()[0]}.") from error
    if unset := sorted(OmegaConf.missing_keys(whole.task)):
        raise ValueError(f"task.{unset[0]} has no value: set it in the task's file, or task.{unset[0]}=... here.")
    config = cast(Config, OmegaConf.to_object(whole))
    refuse_leftovers(OmegaConf.to_container(whole, resolve=True), dataclasses.asdict(config))
    return config


def explain(error: Exception) -> str:
    """Hydra's message in one line, with the nearest key or name instead of a list and the advice to force a key in."""
    message = str(error)
    if "override_grammar" in message or "missing EQUAL" in message or message.startswith("Could not override ''"):
        return f"{' '.join(sys.argv[1:])}: not every argument is key=value, such as seed=1 or 'eval.k=[1,4]'."
    if found := re.match(r"Ambiguous value for argument '\W?(.+?)=(.+?)'\n", message):
        return f"{found[1]} = {found[2]}: several values. Add -m to run each in turn, or write {found[1]}=[{found[2]}]."
    if found := re.search(r"missing mandatory value: (?s:.*)full_key: (\S+)", message):
        return f"{found[1]} has no value. Set {found[1]}=..."
    if found := re.match(r"Could not delete from config. '(.+?)' does not exist", message):
        return f"~{found[1]}: there is no such value to take out. `python -m r1zero.train --cfg job` prints all in use."
    if found := re.match(r"Could not append to config. An item is already at '(.+?)'", message):
        return f"+{found[1]}: the key is there already. Set it without +, as {found[1]}=..."
    if found := re.match(r"Could not override '(.+?)'", message):
        return f"{found[1]}: {unknown_key(found[1])} `python -m r1zero.train --cfg job` prints all keys in use."
    if found := re.match(r"(?:In '.*': )?Could not (?:find|load) '([^/']+)/([^']+)'", message):
        return f"{found[1]} = {found[2]}: {unknown_name(found[2], names_in(found[1], [CONF]))}"
    if found := re.match(r"Error merging override (.+)", message):
        return f"{found[1]}: {reason_of(error, found[1])}"
    return " ".join(message.split())


def unknown_key(key: str) -> str:
    """A sentence about a key that there is not; a key of a part is found without the part's name."""
    parts = [*PARTS.items(), *(("task", keys) for keys in KINDS.values()), ("trainer", TrainerKeys)]
    known = [f.name for f in dataclasses.fields(Config)]
    known_parts = [f"{part}.{f.name}" for part, schema in parts for f in dataclasses.fields(schema)]
    if (CONF / key).is_dir() and key not in known:
        return f"set it as +{key}=NAME, with one of {', '.join(names_in(key, [CONF]))}."
    inside = [one for one in known_parts if one.endswith(f".{key}")]
    near = inside or difflib.get_close_matches(key, ["+experiment", *known, *known_parts], n=1, cutoff=0.5)
    return f"no such key. Did you mean '{near[0]}'?" if near else unknown(key, known)


def unknown_name(name: str, known: list[str]) -> str:
    """A sentence about a name that a group of ``conf/`` does not have."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"no such name.{hint} Known: {', '.join(known)}."


def reason_of(error: Exception, override: str) -> str:
    """Why a value cannot take the place of its key's."""
    cause = str(error.__cause__ or error).strip().splitlines()[0].rstrip(".")
    key, _, value = override.partition("=")
    if "list" in cause.lower() and re.fullmatch(r"[\d.]+", value):
        return f"must be a list. Set {key}=[{value}]."
    return f"{cause}. See `python -m r1zero.train --cfg job` for what {key} holds."


def refuse_leftovers(composed: Any, kept: Any, path: str = "") -> None:
    """Refuse keys that were forced in with ``+key`` or ``++key`` and would be dropped without a word."""
    if not isinstance(composed, dict) or not isinstance(kept, dict):
        return
    for key, value in composed.items():
        full = f"{path}.{key}" if path else str(key)
        if key not in kept:
            raise ValueError(f"{full} = {value}: {unknown(str(key), list(kept)) if path else unknown_key(str(key))}")
        refuse_leftovers(value, kept[key], full)


def unknown(key: str, known: list[str]) -> str:
    """A sentence that says the key is unknown and names the nearest known one."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return "no such key." + (f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(sorted(known))}.")
