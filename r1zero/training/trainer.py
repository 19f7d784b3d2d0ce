"""``R1ZeroTrainer``: TRL's GRPO trainer with our rollouts, our micro-batches, held-out evaluation and records.

The algorithm (advantages, losses, KL, clipping) is TRL's (``trl/trainer/grpo_trainer.py``); ``r1zero.minimal`` has it
on a screen. This page alone overrides TRL's private methods (``internals`` lists them); what they do is in the files
beside it (``r1zero/training/__init__.py``). Weights are equal to TRL's: tests/training/test_against_trl.py.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import unwrap_model_for_generation

from r1zero.config.schema import Config
from r1zero.models.lora import new_adapter
from r1zero.models.reference import load_reference, save_reference
from r1zero.rollout.engine import engine_of
from r1zero.rollout.sampling import SampleTexts, Sampling
from r1zero.runs.files import write_completions
from r1zero.runs.layout import completions_file
from r1zero.tasks.task import Task
from r1zero.training.collecting import Collector, sample_on_all_ranks
from r1zero.training.cut_sampling import score_as_drawn
from r1zero.training.durable import DurableTrainer
from r1zero.training.equal_groups import rows_of_equal_groups, silence_record, std_within_groups, without_signal
from r1zero.training.internals import check_hooks
from r1zero.training.micro_batches import Savings, cheapened, count_dropped_rows, num_rows
from r1zero.training.mismatch import LogprobDifference
from r1zero.training.reward_functions import reward_functions
from r1zero.training.shared_prompts import can_share_prompts, shared_logprobs
from r1zero.training.step_profile import StepProfile
from r1zero.watching.observer import RunObserver
from r1zero.watching.tracking import Tracker

# Measures a policy: (how to sample texts, training's sampling) -> metrics, and tables named ``eval`` and ``greedy``.
HeldOut = Callable[[SampleTexts, Sampling], tuple[dict[str, float], dict[str, pd.DataFrame]]]


class R1ZeroTrainer(DurableTrainer, GRPOTrainer):
    """GRPO on a task, with held-out accuracy measured at step 0 and every ``trainer.eval_steps``.

    Args:
        config: The run's config.
        args: From ``grpo_config``.
        task: Problems and judges.
        held_out: Measures a policy, see ``evaluating.accuracy.HeldOutAccuracy``.
        model, tokenizer: The base model.
        run_dir: Where completions go.
        tracker: Where metrics go.

    Raises:
        RuntimeError: This TRL or transformers lacks a hook that is overridden here.
    """

    args: GRPOConfig
    model: PreTrainedModel
    max_completion_length: int

    def __init__(
        self,
        config: Config,
        args: GRPOConfig,
        task: Task,
        held_out: HeldOut,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        run_dir: Path,
        tracker: Tracker,
    ) -> None:
        check_hooks(type(self))
        functions, args.reward_weights = reward_functions(task, config.reward.weights)
        super().__init__(
            config,
            model=model,
            reward_funcs=[*functions],
            args=args,
            train_dataset=Dataset.from_list(task.train),
            eval_dataset=Dataset.from_list(task.test),
            processing_class=tokenizer,
            rollout_func=self.rollout,
            peft_config=new_adapter(config, model),
        )
        self.remove_callback(PrinterCallback)  # the tracker shows progress
        self.task, self.held_out, self.run_dir, self.tracker = task, held_out, run_dir, tracker
        sampling = Sampling(self.max_completion_length, args.temperature, args.top_k, args.top_p, args.min_p)
        score_as_drawn(model, sampling)
        self.engine = engine_of(config, model, tokenizer, self.opened_policy)
        self.use_vllm = config.rollout.backend == "vllm"  # for TRL's importance ratios: what samples is our engine
        self.profile = StepProfile(model, self.accelerator.device, torch.bfloat16 if args.bf16 else model.dtype)
        self.collector = Collector(self.engine, task.judges, sampling, self.profile)
        means = self._entropy_bonus_enabled or self.aux_loss_enabled or self.top_entropy_quantile != 1.0
        self.savings = Savings.of(self.loss_type, self.beta, bool(means), self.engine.scores)
        self.mismatch = LogprobDifference()
        self.observer = RunObserver(config, task.accuracy_judge, run_dir, tracker, self.accelerator.num_processes)
        self.step_started = self.run_started = time.perf_counter()

    @contextmanager
    def opened_policy(self) -> Iterator[PreTrainedModel]:
        """The current policy, ready to sample from."""
        was_training = self.model.training
        unwrapped = unwrap_model_for_generation(self.model_wrapped, self.accelerator)
        # Autocast from outside the loop casts the trained weights once, not at every token.
        with self.interruptible(), unwrapped as model, self.accelerator.autocast():
            model.eval()
            yield model
            model.train(was_training)

    def rollout(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        """TRL's ``rollout_func``: this rank's completions of ``prompts``, and their verdicts."""
        part = self._step % self.args.gradient_accumulation_steps
        name = f"train/{self.args.seed}/{self.state.global_step}/{part}"
        return self.collector.rollout(prompts, name, self.accelerator.process_index * len(prompts))

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        """TRL's batch; every completion with its verdicts is written to disk."""
        self.collector.expect(inputs)
        self._last_loaded_step = self.state.global_step  # TRL has no weights to hand over: our engine does
        output = super()._generate_and_score_completions(inputs)
        groups = self.rewards_BJ, self.reward_weights, cast(int, self.num_generations)
        self._metrics["train"]["reward/std_within_groups"].append(std_within_groups(*groups))
        if self.multi_objective_aggregation == "sum_then_normalize":
            equal_B = rows_of_equal_groups(*groups)
            first = self.accelerator.process_index * len(inputs)
            output["advantages"] = without_signal(equal_B[first : first + len(inputs)], output["advantages"])
            silence_record(equal_B, cast(Any, self._logs["advantages"]))
            self._metrics["train"]["frac_reward_zero_std"][-1] = float(equal_B.float().mean())
        if self.accelerator.is_main_process and self.model.training:
            table = {
                **{name: list(self._logs[name]) for name in ("prompt", "completion")},
                **{f"{name}/score": list(scores) for name, scores in cast(dict, self._logs["rewards"]).items()},
                **{name: list(values) for name, values in cast(dict, self._logs["extra"]).items()},
                "advantage": list(self._logs["advantages"]),
            }
            completions = self.collector.frame(table)
            write_completions(completions, self.rollout_file())
            self.observer.add(completions)
        return output

    def rollout_file(self) -> Path:
        """Where a rollout is kept; several in one optimizer step, if the config asks for it, get a file each."""
        several = (self.args.steps_per_generation or 1) < self.args.gradient_accumulation_steps
        part = self._step % self.args.gradient_accumulation_steps if several else None
        return completions_file(self.run_dir, "train", self.state.global_step + 1, part)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        """TRL's rewards (rows, judges); a row that one paying judge could not judge is left out as a whole.

        TRL would add up the other judges' scores, and the row would look worse than it may be.
        """
        started = time.perf_counter()
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        paying = self.reward_weights.to(rewards.device) > 0
        rewards[rewards[:, paying].isnan().any(dim=1)] = torch.nan
        self.rewards_BJ = rewards
        self.profile.judge_s += time.perf_counter() - started
        return rewards

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """TRL's micro-batch of a rollout that is split so that little is computed (``micro_batches``)."""
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if not self.model.training:
            return inputs
        if self._buffered_inputs is not before:
            batches = cast(list[dict[str, Any]], self._buffered_inputs)
            window = min(self.args.gradient_accumulation_steps, cast(int, self.args.steps_per_generation))
            share_prompts = self.may_share_prompts(self.model_wrapped)
            cheap = cheapened(batches, window, self.savings, share_prompts, self.max_over_ranks)
            self.profile.skipped_rows += num_rows(batches) - num_rows(cheap)
            self._buffered_inputs = cheap
            inputs = cheap[self._step % cast(int, self.args.steps_per_generation)]
        self.profile.add_micro_batch(inputs)
        return inputs

    def max_over_ranks(self, counts: list[int]) -> list[int]:
        """The element-wise maximum over ranks."""
        mine = torch.tensor([counts], device=self.accelerator.device)
        return self.accelerator.gather(mine).amax(dim=0).tolist()

    def may_share_prompts(self, model: Any) -> bool:
        """Whether a prompt may be computed once for all its rows: on one rank with a bare model only.

        It takes two forward passes. Ranks might decide differently, and DeepSpeed and DDP expect one.
        """
        alone = self.accelerator.num_processes == 1 and not self.is_deepspeed_enabled
        return alone and self.accelerator.unwrap_model(model) is model and can_share_prompts(model)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **media: Any,
    ) -> Any:
        """TRL's log-probs (B, T), entropies and router loss; a prompt is computed once for all its completions."""
        shared = None
        if not compute_aux_loss and self.may_share_prompts(model):
            with self.accelerator.autocast():
                shared = shared_logprobs(model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy)
        if shared is not None:
            result = *shared, None
        else:
            given = {"compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss, **media}
            result = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, **given
            )
        self.mismatch.see(result[0])
        return result

    def _compute_loss(self, model: Any, inputs: Any) -> torch.Tensor:
        """TRL's loss and metrics, corrected for rows left out; notes how far rollout and training disagree."""
        loss = super()._compute_loss(model, inputs)
        self.mismatch.add(inputs)
        if "row_share" not in inputs:
            return loss
        return count_dropped_rows(loss, inputs, self._metrics["train"], self.savings, self.share_of_all_ranks(inputs))

    def share_of_all_ranks(self, inputs: Any) -> float:
        """The factor from a mean over what is left of a micro-batch on all ranks to one over what was there before."""
        if self.importance_sampling_level == "sequence":
            return inputs["row_share"]  # all ranks keep as many
        kept = inputs["completion_mask"].sum().float()
        totals = self.accelerator.reduce(torch.stack([kept, kept / inputs["token_share"]]), reduction="sum")
        return float(totals[0] / totals[1])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send TRL's metrics of this step, and the times of its phases, to the tracker."""
        super().log(logs, start_time)
        mismatch = self.mismatch.metrics()  # all ranks take part, so it stands before the return
        if "train_runtime" in logs or not self.accelerator.is_main_process:
            return
        now = time.perf_counter()
        metrics = {key: value for key, value in logs.items() if isinstance(value, int | float)}
        metrics |= mismatch | self.collector.metrics() | self.profile.metrics(now - self.step_started)
        metrics |= {"time/elapsed_s": now - self.run_started, "perf/skipped_steps": self.guard.skipped}
        self.step_started = now
        self.profile.reset()
        self.tracker.log(self.state.global_step, self.observer.finish_step(self.state.global_step, metrics))
        self.observer.refresh_page()

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Held-out accuracy, sampled and greedy, in place of TRL's loss on an evaluation set."""
        started = time.perf_counter()
        step = self.state.global_step
        place = self.accelerator.process_index, self.accelerator.num_processes
        metrics, tables = self.held_out(partial(sample_on_all_ranks, self.engine, *place), self.collector.sampling)
        metrics = metrics | {"time/eval_s": time.perf_counter() - started}
        if self.accelerator.is_main_process:
            for name, completions in tables.items():
                write_completions(completions, completions_file(self.run_dir, name, step))
            self.tracker.log(step, metrics)
            self.observer.finish_evaluation(metrics)
        self.note_evaluation(metrics[f"eval/{self.task.name}/accuracy"])
        self.step_started = time.perf_counter()  # an evaluation is not part of a training step
        return metrics

    # ---- What GRPO keeps between steps, for ``DurableTrainer`` ----

    def batch_state(self) -> tuple[int, Any]:
        """TRL's counter of micro-batches, and the rollout that later steps still train on."""
        reused = self._step % (cast(int, self.args.steps_per_generation) * self.num_iterations) != 0
        return self._step, self._buffered_inputs if reused else None

    def restore_batch_state(self, micro_step: int, buffered: Any) -> None:
        """Put both back."""
        self._step, self._buffered_inputs = micro_step, buffered

    def save_extra(self, folder: Path) -> None:
        """A reference model that moves."""
        if self.ref_model is not None and self.args.sync_ref_model:
            save_reference(self.ref_model, self.accelerator, folder / "reference.pt")

    def restore_extra(self, checkpoint: Path, epochs: int) -> None:
        """The reference, and the order of the data, which in later epochs depends on how often it was drawn."""
        if self.shuffle_dataset:
            for _ in range(epochs):
                torch.randperm(self.order.num_samples, generator=self.order.generator)
        if self.ref_model is not None and self.args.sync_ref_model:
            load_reference(self.ref_model, self.accelerator, checkpoint / "reference.pt")

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """TRL's order of the data; kept for ``restore_extra``."""
        self.order: Any = super()._get_train_sampler(dataset)
        return self.order
