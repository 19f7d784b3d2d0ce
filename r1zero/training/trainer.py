"""``R1ZeroTrainer``: TRL's GRPO trainer with our rollouts, held-out evaluation and records.

The algorithm (advantages, losses, KL, clipping) is TRL's. Below this class, ``r1zero.training.lean`` removes work without
changing the gradient and ``r1zero.training.durable`` sees that nothing is lost; here come the rollouts and the records.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import GRPOConfig
from trl.models.utils import unwrap_model_for_generation

from r1zero.config.schema import Config
from r1zero.evaluating.accuracy import evaluate_task, evaluation_sampling, wanted_k
from r1zero.models.lora import lora_config
from r1zero.rollout.engine import Engine, stop_strings
from r1zero.rollout.sampling import Completion, Sampling
from r1zero.runs.files import write_completions
from r1zero.runs.layout import completions_file
from r1zero.tasks.judging import EarlyVerdicts
from r1zero.tasks.task import Task
from r1zero.training.collecting import observe, observed_frame, rollout
from r1zero.training.lean import LeanTrainer
from r1zero.training.mismatch import LogprobDifference
from r1zero.training.reward_functions import reward_functions
from r1zero.training.step_profile import StepProfile, termination
from r1zero.watching.observer import RunObserver
from r1zero.watching.tracking import Tracker

log = logging.getLogger(__name__)


class R1ZeroTrainer(LeanTrainer):
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
            rollout_func=None if config.rollout.backend == "vllm" else rollout,
            peft_config=lora_config(config),
        )
        self.remove_callback(PrinterCallback)  # the tracker shows progress
        self.start_keeping(config)
        self.task, self.tokenizer = task, tokenizer
        self.run_dir, self.tracker = run_dir, tracker
        self.sampling = Sampling(
            max_tokens=self.max_completion_length,
            temperature=args.temperature,
            top_k=args.top_k,
            top_p=args.top_p,
            min_p=args.min_p,
        )
        self.engine = Engine(model, tokenizer, config.rollout, stop_strings(config), self.opened_policy)
        self.rollout_measures_entropy = self.engine.scores and config.rollout.backend != "vllm"
        self.early_verdicts = EarlyVerdicts(task.judges)
        self.profile = StepProfile(model, self.accelerator.device, torch.bfloat16 if args.bf16 else model.dtype)
        self.mismatch = LogprobDifference()
        self.watch = RunObserver(config, task.accuracy_judge, run_dir, tracker, self.accelerator.num_processes)
        self.observations: list[dict[str, Any]] = []
        self.rollout_metrics: dict[str, float] = {}
        self.truths: list[Any] = []
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

    def sample_texts(
        self, prompts: Sequence[str], keys: Sequence[str], sampling: Sampling
    ) -> list[tuple[Completion, str]]:
        """Completions and their text; each rank decodes its share and all ranks get everything."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        mine = range(rank, len(prompts), world)
        sampled = self.engine.sample_texts([prompts[i] for i in mine], [keys[i] for i in mine], sampling)
        everyones = gather_object(list(zip(mine, sampled, strict=True)))
        return [pair for _, pair in sorted(everyones, key=lambda item: item[0])]

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Held-out accuracy, sampled and greedy, in place of TRL's loss on an evaluation set."""
        started = time.perf_counter()
        step = self.state.global_step
        seed, options = self.config.seed, self.config.eval
        sampling = evaluation_sampling(options, self.sampling)
        common = (self.task, self.sample_texts)
        result = evaluate_task(*common, sampling, seed, options.num_samples, wanted_k(options))
        metrics = dict(result.metrics)
        if options.greedy and not sampling.greedy:
            greedy = evaluate_task(*common, replace(sampling, greedy=True), seed)
            metrics[f"eval/{self.task.name}/greedy_accuracy"] = greedy.metrics[f"eval/{self.task.name}/accuracy"]
            if self.accelerator.is_main_process:
                path = completions_file(self.run_dir, "greedy", step)
                write_completions(greedy.completions, path)
        metrics["time/eval_s"] = time.perf_counter() - started
        if self.accelerator.is_main_process:
            write_completions(result.completions, completions_file(self.run_dir, "eval", step))
            self.tracker.log(step, metrics)
            self.watch.finish_evaluation(metrics)
        self.last_evaluated, self.evaluation_due, self.control.should_evaluate = step, False, False
        self.save_if_best(metrics[f"eval/{self.task.name}/accuracy"])
        self.step_started = time.perf_counter()  # an evaluation is not part of a training step
        return metrics

    def _compute_loss(self, model: Any, inputs: Any) -> torch.Tensor:
        """The loss; the training forward's log-probs are compared with the rollout's."""
        loss = super()._compute_loss(model, inputs)
        self.mismatch.add(inputs, self.train_logprobs)
        return loss

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        """TRL's rewards (rows, judges); a row that one paying judge could not judge is left out as a whole.

        TRL would add up the other judges' scores, and the row would look worse than it may be.
        """
        started = time.perf_counter()
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        paying = self.reward_weights.to(rewards.device) > 0
        rewards[rewards[:, paying].isnan().any(dim=1)] = torch.nan
        self.profile.judge_s += time.perf_counter() - started
        return rewards

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        """TRL's batch; every completion with its verdicts is written to disk."""
        self.truths = inputs  # TRL hands the rollout the prompts alone
        output = super()._generate_and_score_completions(inputs)
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
            part = self._step % self.args.gradient_accumulation_steps if several else None
            path = completions_file(self.run_dir, "train", self.state.global_step + 1, part)
            completions = observed_frame(table, self.observations)
            write_completions(completions, path)
            self.watch.add(completions)
        return output

    def note_rollout(self, completions: list[Completion]) -> None:
        """Metrics of all ranks' ``completions`` that TRL cannot know."""
        texts = self.tokenizer.batch_decode([done.ids for done in completions], skip_special_tokens=True)
        self.observations = gather_object(observe(completions, texts, self.truths))
        everyones = gather_object([(len(done.ids), done.truncated, done.entropy) for done in completions])
        num_tokens = sum(length for length, _, _ in everyones)
        self.profile.tokens += num_tokens
        if self.engine.scores:  # over all tokens; TRL's own misses the dropped rows
            self.rollout_metrics["entropy"] = sum(entropy for _, _, entropy in everyones) / num_tokens
        if self.engine.stop is not None:  # TRL takes a completion that ends in a stop string for truncated
            self.rollout_metrics |= termination((length, truncated) for length, truncated, _ in everyones)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send TRL's metrics of this step, and the times of its phases, to the tracker."""
        super().log(logs, start_time)
        mismatch = self.mismatch.metrics()
        if "train_runtime" in logs or not self.accelerator.is_main_process:
            return
        now = time.perf_counter()
        metrics = {key: value for key, value in logs.items() if isinstance(value, int | float)}
        metrics |= mismatch | self.rollout_metrics | self.profile.metrics(now - self.step_started)
        metrics |= {"time/elapsed_s": now - self.run_started, "perf/skipped_steps": self.skipped_steps}
        self.step_started, self.rollout_metrics = now, {}
        self.profile.reset()
        self.tracker.log(self.state.global_step, self.watch.finish_step(self.state.global_step, metrics))
        self.watch.refresh_page()
