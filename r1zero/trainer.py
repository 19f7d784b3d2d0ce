"""``R1ZeroTrainer``: TRL's GRPO trainer with our rollouts, held-out evaluation and records.

The algorithm (advantages, losses, KL, clipping) is TRL's. What is overridden here either removes work without changing
the gradient (``_prepare_inputs``; tests/test_trainer.py compares updated weights) or adds a record.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import unwrap_model_for_generation

from r1zero.config import Config
from r1zero.evaluate import evaluate_task, write_completions
from r1zero.prompts import encode
from r1zero.reward_functions import reward_functions
from r1zero.rollout import Completion, Sampling, decode, generate, has_plain_cache
from r1zero.tasks import Task
from r1zero.tracking import Tracker

log = logging.getLogger(__name__)

# Tensors of a batch that have a column for each completion token, in TRL's names.
COMPLETION_COLUMNS = (
    "completion_ids",
    "completion_mask",
    "old_per_token_logps",
    "ref_per_token_logps",
    "sampling_per_token_logps",
)
PROMPT_COLUMNS = ("prompt_ids", "prompt_mask")

# Loss types that divide by the rows of a micro-batch; dapo, cispo and vespo divide by the tokens of the whole batch.
MEAN_OVER_ROWS = ("grpo", "dr_grpo", "sapo", "luspo")


def grpo_config(config: Config, run_dir: Path) -> GRPOConfig:
    """TRL's config from ``trainer`` and from what the rest of ``config`` decides.

    Raises:
        ValueError: TRL refuses a value.
    """
    return GRPOConfig(
        output_dir=str(run_dir / "checkpoints"),
        seed=config.seed,
        run_name=config.run_name,
        report_to=[],
        logging_steps=1,
        disable_tqdm=True,
        deepspeed=config.deepspeed or None,
        # TRL wants whole groups in its own evaluation batch; evaluation here is ours and draws one completion each.
        **{"num_generations_eval": 1, **config.trainer},
    )


class R1ZeroTrainer(GRPOTrainer):
    """GRPO on a task, with held-out accuracy measured at step 0 and every ``trainer.eval_steps``.

    Args:
        config: The run's config.
        args: From ``grpo_config``.
        task: Problems and judges.
        model, tokenizer: The base model.
        run_dir: Where completions go.
        tracker: Where metrics go.
    """

    args: GRPOConfig
    model: PreTrainedModel
    max_completion_length: int

    def __init__(
        self,
        config: Config,
        args: GRPOConfig,
        task: Task,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        run_dir: Path,
        tracker: Tracker,
    ) -> None:
        functions, args.reward_weights = reward_functions(task, config.reward.weights)
        super().__init__(
            model=model,
            reward_funcs=[*functions],
            args=args,
            train_dataset=Dataset.from_list(task.train),
            eval_dataset=Dataset.from_list(task.test),
            processing_class=tokenizer,
            rollout_func=rollout,
        )
        self.remove_callback(PrinterCallback)  # the tracker shows progress
        self.config, self.task, self.tokenizer = config, task, tokenizer
        self.run_dir, self.tracker = run_dir, tracker
        self.sampling = Sampling(
            max_tokens=self.max_completion_length,
            temperature=args.temperature,
            top_k=args.top_k,
            top_p=args.top_p,
            min_p=args.min_p,
        )
        self.decode = choose_decode(config.rollout.backend, model)
        self.phase_s: dict[str, float] = {}
        self.rollout_entropy = math.nan
        self.new_tokens = 0
        self.last_evaluated = -1
        self.step_started = self.run_started = time.perf_counter()

    def sample_ids(self, prompts: Sequence[list[int]], keys: Sequence[str], sampling: Sampling) -> list[Completion]:
        """Completions from the current policy."""
        was_training = self.model.training
        with unwrap_model_for_generation(
            self.model_wrapped, self.accelerator, gather_deepspeed3_params=self.args.ds3_gather_for_generation
        ) as model:
            model.eval()
            completions = self.decode(model, prompts, keys, sampling, self.eos_token_ids, self.tokenizer.pad_token_id)
            model.train(was_training)
        return completions

    def sample_texts(
        self, prompts: Sequence[str], keys: Sequence[str], sampling: Sampling
    ) -> list[tuple[Completion, str]]:
        """Completions and their text; each rank decodes its share and all ranks get everything."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        mine = range(rank, len(prompts), world)
        found: list[tuple[int, Completion, str]] = []
        size = self.config.eval.batch_size
        for start in range(0, len(mine), size):
            chosen = mine[start : start + size]
            ids = [encode(prompts[i], self.tokenizer) for i in chosen]
            completions = self.sample_ids(ids, [keys[i] for i in chosen], sampling)
            texts = self.tokenizer.batch_decode([done.ids for done in completions], skip_special_tokens=True)
            found += zip(chosen, completions, texts, strict=True)
        return [(done, text) for _, done, text in sorted(gather_object(found), key=lambda item: item[0])]

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Held-out accuracy, sampled and greedy, in place of TRL's loss on an evaluation set."""
        started = time.perf_counter()
        step = self.last_evaluated = self.state.global_step
        result = evaluate_task(self.task, self.sample_texts, self.sampling, self.config.seed)
        metrics = dict(result.metrics)
        if self.config.eval.greedy:
            greedy = evaluate_task(self.task, self.sample_texts, replace(self.sampling, greedy=True), self.config.seed)
            metrics[f"eval/{self.task.name}/greedy_accuracy"] = greedy.metrics[f"eval/{self.task.name}/accuracy"]
            if self.accelerator.is_main_process:
                path = self.run_dir / "completions" / f"greedy_{step:05d}.parquet"
                write_completions(greedy.completions, path)
        metrics["time/eval_s"] = time.perf_counter() - started
        if self.accelerator.is_main_process:
            write_completions(result.completions, self.run_dir / "completions" / f"eval_{step:05d}.parquet")
            self.tracker.log(step, metrics)
        self.step_started = time.perf_counter()  # an evaluation is not part of a training step
        return metrics

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """Micro-batches of like length, trimmed to their own longest row, without rows that cannot move the policy.

        Removes the work on padding and on groups whose completions all earned the same. Rows only change places within
        one optimizer step, so the gradient is the same (for ``bnpo``, whose normaliser is per micro-batch, nothing is
        dropped, and the partition is another draw from the same shuffle).
        """
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self.model.training and self._buffered_inputs is not before:
            window = min(self.args.gradient_accumulation_steps, self.args.steps_per_generation)
            self._buffered_inputs = by_length(self._buffered_inputs, window, self.can_drop_rows())
            inputs = self._buffered_inputs[self._step % self.args.steps_per_generation]
        return inputs

    def can_drop_rows(self) -> bool:
        """Whether the policy term is the whole loss, so that a row of advantage zero adds nothing to the gradient."""
        only_policy_term = self.beta == 0 and not self._entropy_bonus_enabled and not self.aux_loss_enabled
        # The entropy metric covers every row all the same, because the native rollout measures it.
        measured = self.decode is decode
        return measured and only_policy_term and self.top_entropy_quantile == 1.0 and self.loss_type != "bnpo"

    def _compute_loss(self, model: Any, inputs: Any) -> torch.Tensor:
        """TRL's loss; where it is a mean over the rows of a micro-batch, the dropped rows still count in the mean."""
        loss = super()._compute_loss(model, inputs)
        return loss * inputs.get("row_share", 1.0) if self.loss_type in MEAN_OVER_ROWS else loss

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        """TRL's rewards (rows, judges); a row that one paying judge could not judge is left out as a whole.

        TRL would add up the other judges' scores, and the row would look worse than it may be.
        """
        started = time.perf_counter()
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        paying = self.reward_weights.to(rewards.device) > 0
        rewards[rewards[:, paying].isnan().any(dim=1)] = torch.nan
        self.phase_s["judge"] = time.perf_counter() - started
        return rewards

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        """TRL's batch; every completion with its verdicts is written to disk."""
        output = super()._generate_and_score_completions(inputs)
        self.new_tokens += int(self.accelerator.gather(output["completion_mask"].sum()).sum())
        if self.accelerator.is_main_process and self.model.training:
            table = {
                "prompt": list(self._logs["prompt"]),
                "completion": list(self._logs["completion"]),
                **{f"{name}/score": list(scores) for name, scores in cast(dict, self._logs["rewards"]).items()},
                **{name: list(values) for name, values in cast(dict, self._logs["extra"]).items()},
                "advantage": list(self._logs["advantages"]),
            }
            # Several generations in one optimizer step, if steps_per_generation asks for them, get a file each.
            several = (self.args.steps_per_generation or 1) < self.args.gradient_accumulation_steps
            part = f"-{self._step % self.args.gradient_accumulation_steps}" if several else ""
            path = self.run_dir / "completions" / f"train_{self.state.global_step + 1:05d}{part}.parquet"
            write_completions(pd.DataFrame(table), path)
        return output

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send TRL's metrics of this step, and the times of its phases, to the tracker."""
        super().log(logs, start_time)
        if "train_runtime" in logs or not self.accelerator.is_main_process:
            return
        now = time.perf_counter()
        step_s = now - self.step_started
        self.step_started = now
        metrics = {key: value for key, value in logs.items() if isinstance(value, int | float)}
        if not math.isnan(self.rollout_entropy):
            metrics["entropy"] = self.rollout_entropy  # over all tokens; TRL's misses the dropped rows
        metrics |= {f"time/{phase}_s": seconds for phase, seconds in self.phase_s.items()}
        self.phase_s, self.rollout_entropy = {}, math.nan  # a step that reuses completions has no rollout
        metrics |= {"time/step_s": step_s, "time/elapsed_s": now - self.run_started}
        metrics["perf/tokens_per_s"] = self.new_tokens / step_s
        self.new_tokens = 0
        self.tracker.log(self.state.global_step, metrics)


def choose_decode(backend: str, model: PreTrainedModel) -> Callable[..., list[Completion]]:
    """The decode loop for ``rollout.backend``; the model's own ``generate`` where the native loop cannot run it."""
    if backend == "native" and has_plain_cache(model):
        return decode
    if backend == "native":
        log.warning("rollout=native has no loop for %s: using its own generate.", type(model).__name__)
    return generate


def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
    """TRL's ``rollout_func``: one completion for each prompt, keyed by (seed, step, row), so not by rank or order."""
    started = time.perf_counter()
    first = trainer.accelerator.process_index * len(prompts)
    part = trainer._step % trainer.args.gradient_accumulation_steps
    place = f"train/{trainer.args.seed}/{trainer.state.global_step}/{part}"
    keys = [f"{place}/{first + row}" for row in range(len(prompts))]
    prompt_ids = [encode(prompt, trainer.tokenizer) for prompt in prompts]
    completions = trainer.sample_ids(prompt_ids, keys, trainer.sampling)
    trainer.phase_s["rollout"] = time.perf_counter() - started
    logprobs = [done.logprobs for done in completions]
    totals = torch.tensor(
        [sum(done.entropy for done in completions), sum(len(done.ids) for done in completions)],
        device=trainer.accelerator.device,
    )
    entropy, tokens = trainer.accelerator.reduce(totals, reduction="sum").tolist()
    trainer.rollout_entropy = entropy / tokens
    return {
        "prompt_ids": prompt_ids,
        "completion_ids": [done.ids for done in completions],
        "logprobs": None if None in logprobs else logprobs,
    }


def by_length(batches: list[dict[str, Any]], window: int, drop_zero_advantages: bool = False) -> list[dict[str, Any]]:
    """The same rows in micro-batches of like length, longest first, each trimmed to its longest completion and prompt.

    Args:
        batches: Micro-batches of one generation batch; tensors have the rows as first axis.
        window: Micro-batches of one optimizer step. Rows stay within their window.
        drop_zero_advantages: Leave out rows whose advantage is exactly zero, except where a micro-batch would be empty.

    Returns:
        As many micro-batches. ``row_share`` in each is its rows over the rows it had, for losses that divide by rows.
    """
    regrouped = []
    for start in range(0, len(batches), window):
        group = batches[start : start + window]
        sizes = [len(batch["completion_mask"]) for batch in group]
        lengths_B = torch.cat([batch["completion_mask"] for batch in group]).sum(dim=1)
        order_B = lengths_B.argsort(descending=True, stable=True)
        if drop_zero_advantages:
            moves_B = torch.cat([batch["advantages"] for batch in group])[order_B] != 0
            missing = max(0, len(group) - int(moves_B.sum()))
            fillers = (~moves_B).nonzero().squeeze(1).flip(0)[:missing]  # the shortest rows cost least
            moves_B[fillers] = True
            order_B = order_B[moves_B]
        parts_B = order_B.tensor_split(len(group))
        for batch, size, rows in zip(group, sizes, parts_B, strict=True):
            chosen = {
                key: torch.cat([other[key] for other in group])[rows]
                for key, value in batch.items()
                if isinstance(value, torch.Tensor) and value.dim() > 0
            }
            regrouped.append(trimmed({**batch, **chosen, "row_share": len(rows) / size}))
    return regrouped


def trimmed(batch: dict[str, Any]) -> dict[str, Any]:
    """``batch`` without the columns that are padding in every row."""
    completion = max(1, int(batch["completion_mask"].sum(dim=1).max()))
    prompt = max(1, int(batch["prompt_mask"].sum(dim=1).max()))
    narrow = {key: batch[key][:, :completion] for key in COMPLETION_COLUMNS if key in batch}
    narrow |= {key: batch[key][:, -prompt:] for key in PROMPT_COLUMNS}
    return batch | narrow
