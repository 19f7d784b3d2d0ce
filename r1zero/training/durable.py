"""``ResumableTrainer``: TRL's GRPO trainer, of which nothing is lost.

Adds whole checkpoints that hold all that the next step depends on, exact resume from them, orderly stops, and steps
that are skipped when their gradient is not finite. It changes no number of a run that is not disturbed.

What transformers and TRL leave out of a checkpoint, and is kept here (``RunState``): the micro-batch counter and the
rollout that later steps still use, the order of the data in later epochs, a reference model that moves.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import DistributedType, broadcast_object_list
from safetensors import SafetensorError
from transformers.trainer_utils import SaveStrategy
from trl import GRPOConfig, GRPOTrainer

from r1zero.config.schema import Config
from r1zero.launching.stopping import StopSignal
from r1zero.models.reference import load_reference, save_reference
from r1zero.runs.checkpoints import PARTIAL, best, clear_partial, read_facts, rotate, seal, step_of, whole_checkpoints
from r1zero.training.run_state import CheckpointError, DivergedError, Randomness, RunState, diagnosis

log = logging.getLogger(__name__)


class ResumableTrainer(GRPOTrainer):
    """See the module's docstring; ``R1ZeroTrainer`` builds on it.

    Attributes:
        stop_signal: Catches the signals, once its ``catch`` is called.
        stopped_by: The signal that ended training early; 0 for none. The same on all ranks.
    """

    args: GRPOConfig
    config: Config

    def start_keeping(self, config: Config) -> None:
        """Call before ``train``."""
        self.config, self.stop_signal = config, StopSignal()
        self.stopped_by = 0
        self.last_evaluated = -1
        self.accuracy: float | None = None  # of the last evaluation
        self.evaluation_due = False
        self.skipped_steps = 0
        self.skipped_in_a_row = 0
        self.saving = False
        self.step_end: tuple[RunState, Randomness] | None = None  # None while the weights may be half updated
        self.stoppable_at_once = (
            self.accelerator.num_processes == 1 and self.accelerator.distributed_type != DistributedType.DEEPSPEED
        )

    # ---- Saving ----

    def _get_output_dir(self, trial: Any) -> str:
        """Where transformers writes: beside the checkpoints while one is being written."""
        return str(Path(cast(str, self.args.output_dir)) / PARTIAL) if self.saving else cast(str, self.args.output_dir)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write ``checkpoint-STEP`` under a temporary name, then rename it.

        Raises:
            CheckpointError: It could not be written. Nothing is left of it.
        """
        folder = Path(cast(str, self.args.output_dir))
        name = f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            clear_partial(folder)
        self.accelerator.wait_for_everyone()
        self.saving = True
        try:
            super()._save_checkpoint(model, trial)
            partial = folder / PARTIAL / name
            torch.save(asdict(self.run_state()), partial / f"run_state_{self.accelerator.process_index}.pt")
            if self.ref_model is not None and self.args.sync_ref_model:
                save_reference(self.ref_model, self.accelerator, partial / "reference.pt")
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                seal(partial, folder / name, self.facts())
                rotate(folder, self.config.checkpoints.keep_last, self.config.checkpoints.keep_best)
                clear_partial(folder)
        except (OSError, RuntimeError, SafetensorError) as error:  # a full disk to each library
            clear_partial(folder)
            raise CheckpointError(f"{folder / name} could not be written ({error}).") from error
        finally:
            self.saving = False
        self.accelerator.wait_for_everyone()

    def facts(self) -> dict[str, Any]:
        """What the manifest says about this checkpoint."""
        step = self.state.global_step
        zero = self.config.deepspeed.get("zero_optimization", {}).get("stage", 0)
        accuracy = self.accuracy if self.last_evaluated == step else None
        return {"step": step, "num_ranks": self.accelerator.num_processes, "zero_stage": zero, "accuracy": accuracy}

    def run_state(self) -> RunState:
        """This rank's state at the end of a step."""
        reused = self._step % (cast(int, self.args.steps_per_generation) * self.num_iterations) != 0
        return RunState(
            micro_step=self._step,
            buffered=self._buffered_inputs if reused else None,
            num_tokens=self.state.num_input_tokens_seen,
            last_evaluated=self.last_evaluated,
            evaluation_due=self.evaluation_due,
            skipped_steps=self.skipped_steps,
        )

    def save_last_step(self) -> bool:
        """Save the last finished step after training was cut short; False where there is nothing new to save.

        Nothing of the step that was cut off is in it: the weights have not moved since, all else is put back.
        """
        step = self.state.global_step
        if self.step_end is None or step == 0 or not self.stoppable_at_once:
            return False
        if any(step_of(path) == step for path, _ in whole_checkpoints(Path(cast(str, self.args.output_dir)))):
            return False
        state, randomness = self.step_end
        randomness.restore()
        self._step, self._buffered_inputs = state.micro_step, state.buffered
        self.state.num_input_tokens_seen = state.num_tokens
        self.evaluation_due = self.control.should_evaluate and self.last_evaluated != step
        self._save_checkpoint(self.model_wrapped, None)
        return True

    def save_final(self, name: str) -> None:
        """Save the weights that are trained to ``checkpoints/NAME``, whole or not at all."""
        folder = Path(cast(str, self.args.output_dir))
        self.save_model(str(folder / PARTIAL / name))
        if self.args.should_save:
            seal(folder / PARTIAL / name, folder / name, {"step": self.state.global_step})
            clear_partial(folder)

    # ---- Resuming ----

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """TRL's; kept, since its order in later epochs depends on how often it was drawn."""
        self.sampler: Any = super()._get_train_sampler(dataset)
        return self.sampler

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        """transformers' state, and ours, from the checkpoint."""
        epochs, micro_batches = super()._init_training_state(*args, **kwargs)
        checkpoint = args[3] if len(args) > 3 else kwargs["resume_from_checkpoint"]
        if checkpoint is None:
            return epochs, micro_batches
        if self.shuffle_dataset:
            for _ in range(epochs):
                torch.randperm(self.sampler.num_samples, generator=self.sampler.generator)
        path = Path(checkpoint) / f"run_state_{self.accelerator.process_index}.pt"
        device = self.accelerator.device
        place = device if device.type != "cpu" else "cpu"  # of several ranks it is cpu:0, which torch.load refuses
        state = RunState(**torch.load(path, map_location=place, weights_only=True))
        self._step, self._buffered_inputs = state.micro_step, state.buffered
        self.last_evaluated, self.skipped_steps = state.last_evaluated, state.skipped_steps
        self.accuracy = read_facts(Path(checkpoint)).get("accuracy")
        self.args.eval_on_start = state.evaluation_due
        if self.ref_model is not None and self.args.sync_ref_model:
            load_reference(self.ref_model, self.accelerator, Path(checkpoint) / "reference.pt")
        return epochs, micro_batches

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """transformers', which would train one step too many from a checkpoint of the last step."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)

    # ---- Stopping ----

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Where a stop signal may cut in at once: the step is thrown away. Several ranks stop at a step's end only."""
        with self.stop_signal.interruptible(self.stoppable_at_once):
            yield

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """TRL's; a stop signal may cut it off."""
        with self.interruptible():
            return super().training_step(model, inputs, num_items_in_batch)

    def stop_requested(self) -> int:
        """The stop signal that any rank has received, 0 for none; all ranks get the same answer."""
        received = torch.tensor([self.stop_signal.number], device=self.accelerator.device)
        return int(self.accelerator.gather(received).max())

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """transformers' end of a step: also where several ranks stop, and where a new best is saved."""
        if self.stopped_by:
            return  # transformers ends the epoch after the step that stopped has ended
        self.step_end = (self.run_state(), Randomness.now())
        if self.skipped_in_a_row:
            self.control.should_save = False  # the weights that led here may not be good ones
        self.stopped_by = self.stop_requested()
        if self.stopped_by:
            self.evaluation_due = self.control.should_evaluate
            self.control.should_evaluate = False
            self.control.should_save = self.control.should_training_stop = True
        super()._maybe_log_save_evaluate(*args, **kwargs)
        self._tr_loss = torch.nan_to_num(self._tr_loss)  # transformers resets it by subtraction, which keeps a NaN
        if self.skipped_in_a_row > self.config.guard.max_skipped_steps:
            raise DivergedError(self.diagnosis)

    def save_if_best(self, accuracy: float) -> None:
        """Have this step saved when its held-out ``accuracy`` belongs to the best so far."""
        self.accuracy = accuracy if math.isfinite(accuracy) else None
        keep = self.config.checkpoints.keep_best
        if not keep or self.state.global_step == 0 or self.args.save_strategy == SaveStrategy.NO:
            return
        found = whole_checkpoints(Path(cast(str, self.args.output_dir)))
        rivals = [read_facts(path)["accuracy"] for path in best(found, keep)]
        among_best = [len(rivals) < keep or accuracy > min(rivals)]
        broadcast_object_list(among_best)  # a shared disk may show other ranks another moment
        self.control.should_save |= self.accuracy is not None and among_best[0]

    # ---- Guarding ----

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """transformers' norm, on which the optimizer steps next: without gradients when it is not finite."""
        norm = super()._get_grad_norm(model, grad_norm)
        value = float(norm) if norm is not None else 0.0
        loss = float(self._tr_loss)
        bad = torch.tensor([not (math.isfinite(value) and math.isfinite(loss))], device=self.accelerator.device)
        if not bool(self.accelerator.gather(bad).any()):
            self.skipped_in_a_row = 0
            self.step_end = None
            return norm
        self.skipped_steps += 1
        self.skipped_in_a_row += 1
        self.diagnosis = diagnosis(model, self.state.global_step + 1, loss, value, self._get_learning_rate())
        if self.accelerator.is_main_process:
            log.warning("Step %d is skipped: %s", self.state.global_step + 1, self.diagnosis)
        if self.accelerator.distributed_type != DistributedType.DEEPSPEED:  # which has skipped the step by itself
            model.zero_grad(set_to_none=True)  # an optimizer leaves weights without a gradient, and moments, alone
        return norm
