"""``DurableTrainer``: stands in front of a transformers ``Trainer``, of GRPO or another, so that no step is lost.

Adds whole checkpoints that hold all that the next step depends on, exact resume from them, orderly stops, and steps
that are skipped when their gradient is not finite. It changes no number of a run that is not disturbed. This is the one
page that names transformers' private hooks (``internals`` lists them); it knows nothing of GRPO. What a subclass keeps
between steps besides transformers' state goes through ``batch_state`` and the three methods after it.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import DistributedType, broadcast_object_list
from safetensors import SafetensorError
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer
from transformers.trainer_utils import SaveStrategy

from r1zero.config.schema import Config
from r1zero.launching.stopping import StopSignal
from r1zero.runs.checkpoints import PARTIAL, best, clear_partial, read_facts, rotate, seal, step_of, whole_checkpoints
from r1zero.runs.reshard import LOAD_UNIVERSAL
from r1zero.training.guard import StepGuard, diagnosis, is_finite
from r1zero.training.run_state import Randomness, RunState
from r1zero.training.universal import mend_optimizer

log = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """A checkpoint could not be written; the ones before it are whole."""


class DurableTrainer(Trainer):
    """See the module's docstring. Stands in front of a trainer class in the list of bases.

    Args:
        config: The run's config.
        arguments: Of the trainer class behind it.

    Attributes:
        stop_signal: Catches the signals, once its ``catch`` is called.
        stopped_by: The signal that ended training early; 0 for none. The same on all ranks.
        guard: Counts the steps that were skipped.
        last_evaluated: Step of the last evaluation, -1 before the first.
    """

    def __init__(self, config: Config, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.config, self.stop_signal, self.guard = config, StopSignal(), StepGuard(config.guard.max_skipped_steps)
        self.checkpoints = Path(cast(str, self.args.output_dir))
        self.stopped_by = 0
        self.last_evaluated = -1
        self.accuracy: float | None = None  # of the last evaluation
        self.evaluation_due = False
        self.saving = False
        self.step_end: tuple[RunState, Randomness] | None = None  # None while the weights may be half updated
        self.stoppable_at_once = (
            self.accelerator.num_processes == 1 and self.accelerator.distributed_type != DistributedType.DEEPSPEED
        )

    # ---- What a subclass keeps between steps ----

    def batch_state(self) -> tuple[int, Any]:
        """Micro-batches so far, and what later steps still train on (None for nothing)."""
        return 0, None

    def restore_batch_state(self, micro_step: int, buffered: Any) -> None:
        """Put back what ``batch_state`` gave."""

    def save_extra(self, folder: Path) -> None:
        """Write what else a checkpoint in ``folder`` needs; all ranks call it."""

    def restore_extra(self, checkpoint: Path, epochs: int) -> None:
        """Read what ``save_extra`` wrote, and repeat what ``epochs`` whole epochs did to random generators."""

    # ---- Saving ----

    def _get_output_dir(self, trial: Any) -> str:
        """Where transformers writes: beside the checkpoints while one is being written."""
        return str(self.checkpoints / PARTIAL if self.saving else self.checkpoints)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write ``checkpoint-STEP`` under a temporary name, then rename it.

        Raises:
            CheckpointError: It could not be written. Nothing is left of it.
        """
        name = f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            clear_partial(self.checkpoints)
        self.accelerator.wait_for_everyone()
        self.saving = True
        try:
            super()._save_checkpoint(model, trial)
            partial = self.checkpoints / PARTIAL / name
            self.run_state().save(partial / f"run_state_{self.accelerator.process_index}.pt")
            self.save_extra(partial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                seal(partial, self.checkpoints / name, self.facts())
                rotate(self.checkpoints, self.config.checkpoints.keep_last, self.config.checkpoints.keep_best)
                clear_partial(self.checkpoints)
        except (OSError, RuntimeError, SafetensorError) as error:  # a full disk to each library
            clear_partial(self.checkpoints)
            raise CheckpointError(f"{self.checkpoints / name} could not be written ({error}).") from error
        finally:
            self.saving = False
        self.accelerator.wait_for_everyone()

    def facts(self) -> dict[str, Any]:
        """What the manifest says about this checkpoint."""
        step = self.state.global_step
        zero = self.config.deepspeed.get("zero_optimization", {}).get("stage", 0)
        accuracy = self.accuracy if self.last_evaluated == step else None
        ranks = self.accelerator.num_processes
        batch = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps * ranks
        reused = self.batch_state()[1] is not None
        return {
            **{"step": step, "num_ranks": ranks, "zero_stage": zero, "accuracy": accuracy},
            **{"batch": batch, "reused": reused},
        }

    def run_state(self) -> RunState:
        """This rank's state at the end of a step."""
        micro_step, buffered = self.batch_state()
        return RunState(
            micro_step=micro_step,
            buffered=buffered,
            num_tokens=self.state.num_input_tokens_seen,
            last_evaluated=self.last_evaluated,
            evaluation_due=self.evaluation_due,
            skipped_steps=self.guard.skipped,
        )

    def save_last_step(self) -> bool:
        """Save the last finished step after training was cut short; False where there is nothing new to save.

        Nothing of the step that was cut off is in it: the weights have not moved since, all else is put back.
        """
        step = self.state.global_step
        if self.step_end is None or step == 0 or not self.stoppable_at_once:
            return False
        if any(step_of(path) == step for path, _ in whole_checkpoints(self.checkpoints)):
            return False
        state, randomness = self.step_end
        randomness.restore()
        self.restore_batch_state(state.micro_step, state.buffered)
        self.state.num_input_tokens_seen = state.num_tokens
        self.evaluation_due = self.control.should_evaluate and self.last_evaluated != step
        self._save_checkpoint(self.model_wrapped, None)
        return True

    def save_final(self, name: str) -> None:
        """Save the weights that are trained to ``checkpoints/NAME``, whole or not at all."""
        self.save_model(str(self.checkpoints / PARTIAL / name))
        if self.args.should_save:
            seal(self.checkpoints / PARTIAL / name, self.checkpoints / name, {"step": self.state.global_step})
            clear_partial(self.checkpoints)

    # ---- Resuming ----

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        """transformers' state, and ours, from the checkpoint."""
        epochs, micro_batches = super()._init_training_state(*args, **kwargs)
        checkpoint = args[3] if len(args) > 3 else kwargs["resume_from_checkpoint"]
        if checkpoint is None:
            return epochs, micro_batches
        self.state.compute_steps(self.args, self.state.max_steps)  # how often to save and evaluate is not the file's
        path = Path(checkpoint)
        # A rank that the writer did not have begins as the first one.
        places = [path / f"run_state_{rank}.pt" for rank in (self.accelerator.process_index, 0)]
        place = next(place for place in places if place.is_file())
        state = RunState.load(place, self.accelerator.device)
        facts = read_facts(path)
        micro_step = state.micro_step * facts["num_ranks"] // self.accelerator.num_processes  # of as large a batch
        self.restore_batch_state(micro_step, state.buffered)
        self.restore_extra(path, epochs)
        self.last_evaluated, self.guard.skipped = state.last_evaluated, state.skipped_steps
        self.accuracy = facts.get("accuracy")
        self.args.eval_on_start = state.evaluation_due
        return epochs, micro_batches

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """transformers', and the learning rate of the next step from this run's schedule, not from that of the file.

        They are the same unless the run goes on for longer: then the file may end in a learning rate of zero.
        """
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self.config.deepspeed.get("checkpoint") == LOAD_UNIVERSAL["checkpoint"]:
            mend_optimizer(cast(Any, self.optimizer).optimizer.optimizer, Path(checkpoint))
        schedule = getattr(self.lr_scheduler, "scheduler", self.lr_scheduler)  # DeepSpeed's wrapper holds it
        if checkpoint is None or not isinstance(schedule, LambdaLR):
            return
        step = schedule.last_epoch
        schedule._last_lr = [
            rate * share(step) for rate, share in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
        ]
        for group, rate in zip(cast(Any, self.optimizer).param_groups, schedule._last_lr, strict=True):
            group["lr"] = rate

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """transformers', silent about an output head that is the embedding and therefore is not in the file."""
        tied = set(getattr(self.model, "_tied_weights_keys", None) or ())
        missing = [key for key in load_result.missing_keys if key not in tied]
        super()._issue_warnings_after_load(load_result._replace(missing_keys=missing))

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
        """The trainer's; a stop signal may cut it off."""
        with self.interruptible():
            return super().training_step(model, inputs, num_items_in_batch)

    def stop_requested(self) -> int:
        """The stop signal that any rank has received, 0 for none; all ranks get the same answer."""
        received = torch.tensor([self.stop_signal.number], device=self.accelerator.device)
        return int(self.accelerator.gather(received).max())

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """transformers' end of a step: also where several ranks stop, and where a new best is saved."""
        if self.stopped_by:
            return  # the second call, at the epoch's end: the stop has been dealt with
        self.step_end = (self.run_state(), Randomness.now())
        if self.guard.in_a_row:
            self.control.should_save = False  # the weights that led here may not be good ones
        self.stopped_by = self.stop_requested()
        if self.stopped_by:
            self.evaluation_due = self.control.should_evaluate
            self.control.should_evaluate = False
            self.control.should_save = self.control.should_training_stop = True
        super()._maybe_log_save_evaluate(*args, **kwargs)
        self._tr_loss = torch.nan_to_num(self._tr_loss)  # transformers resets it by subtraction, which keeps a NaN
        self.guard.check()

    def note_evaluation(self, accuracy: float) -> None:
        """The policy of this step was evaluated; it is saved when its ``accuracy`` belongs to the best so far."""
        self.last_evaluated, self.evaluation_due = self.state.global_step, False
        self.control.should_evaluate = False
        self.accuracy = accuracy if math.isfinite(accuracy) else None
        keep = self.config.checkpoints.keep_best
        if not keep or self.state.global_step == 0 or self.args.save_strategy == SaveStrategy.NO:
            return
        rivals = [read_facts(path)["accuracy"] for path in best(whole_checkpoints(self.checkpoints), keep)]
        among_best = [len(rivals) < keep or accuracy > min(rivals)]
        broadcast_object_list(among_best)  # a shared disk may show other ranks another moment
        self.control.should_save |= self.accuracy is not None and among_best[0]

    # ---- Guarding ----

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """transformers' gradient norm; without finite gradients there are none, and the optimizer changes nothing."""
        norm = super()._get_grad_norm(model, grad_norm)
        value = float(norm) if norm is not None else 0.0
        loss = float(self._tr_loss)
        bad = torch.tensor([not is_finite(loss, value)], device=self.accelerator.device)
        if not bool(self.accelerator.gather(bad).any()):
            self.guard.admit()
            self.step_end = None
            return norm
        step = self.state.global_step + 1
        self.guard.skip(diagnosis(model, step, loss, value, self._get_learning_rate()))
        if self.accelerator.is_main_process:
            log.warning("Step %d is skipped: %s", step, self.guard.reason)
        if self.accelerator.distributed_type != DistributedType.DEEPSPEED:  # which has skipped the step by itself
            model.zero_grad(set_to_none=True)  # an optimizer leaves weights without a gradient, and moments, alone
        return norm
