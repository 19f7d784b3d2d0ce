"""``LeanTrainer``: TRL's GRPO trainer, the same gradient for less work.

Rows that cannot move the policy are not computed, micro-batches hold little padding, and a prompt is computed once for
its completions. tests/training/test_trainer.py compares updated weights with TRL's over loss types, KL terms, masks and ranks.
"""

from typing import Any, cast

import torch
from transformers import PreTrainedModel

from r1zero.training.durable import ResumableTrainer
from r1zero.training.micro_batches import regrouped, rows_that_move, trimmed, worth_sharing
from r1zero.training.shared_prompts import can_share_prompts, completion_logprobs
from r1zero.training.step_profile import StepProfile

# Loss types that divide by the rows of a micro-batch; dapo and cispo divide by the tokens of the whole batch.
MEAN_OVER_ROWS = ("grpo", "dr_grpo", "sapo", "luspo")
# TRL's metrics that are a mean over a micro-batch's tokens (at sequence level: rows) and zero on dropped rows.
CLIP_METRICS = ("clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", "cispo_clip_ratio")


class LeanTrainer(ResumableTrainer):
    """See the module's docstring; ``R1ZeroTrainer`` builds on it.

    Attributes:
        profile: Counts what is computed.
        rollout_measures_entropy: Whether the rollout knows the entropy of every row, those left out here included.
        train_logprobs: Log-probs (B, T) of the last forward pass.
    """

    model: PreTrainedModel
    profile: StepProfile
    rollout_measures_entropy: bool
    train_logprobs: torch.Tensor

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """Micro-batches that are cheap to compute, trimmed, without rows that cannot move the policy.

        Removes the work on padding and on groups whose completions all earned the same. Rows only change places within
        one optimizer step, and only where the gradient does not depend on the partition.
        """
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self.model.training and self._buffered_inputs is not before:
            window = min(self.args.gradient_accumulation_steps, self.args.steps_per_generation)
            num_rows = sum(len(batch["advantages"]) for batch in self._buffered_inputs)
            if not self.can_regroup_rows():
                self._buffered_inputs = [trimmed(batch) for batch in self._buffered_inputs]
            else:
                rows = self.rows_to_keep(window) if self.can_drop_rows() else None
                self._buffered_inputs = regrouped(
                    self._buffered_inputs, window, rows, self.can_share_prompts(self.model_wrapped)
                )
            self.profile.skipped_rows += num_rows - sum(len(batch["advantages"]) for batch in self._buffered_inputs)
            inputs = self._buffered_inputs[self._step % self.args.steps_per_generation]
        if self.model.training:
            self.profile.add_micro_batch(inputs)
        return inputs

    def can_regroup_rows(self) -> bool:
        """Whether the loss of an optimizer step is the same however its rows are split into micro-batches.

        bnpo, the entropy bonus, the entropy quantile and the router's loss are means over one micro-batch.
        """
        over_micro_batch = self.loss_type == "bnpo" or self._entropy_bonus_enabled or self.aux_loss_enabled
        return not over_micro_batch and self.top_entropy_quantile == 1.0

    def can_drop_rows(self) -> bool:
        """Whether a row of advantage zero adds nothing to the gradient, and every metric can do without it.

        The entropy covers every row all the same where the rollout measures it; vespo's own metric would not.
        """
        others_need_none = self.rollout_measures_entropy and self.loss_type != "vespo"
        return self.can_regroup_rows() and self.beta == 0 and others_need_none

    def can_share_prompts(self, model: Any) -> bool:
        """Whether rows of one prompt may compute it once: then a loss is two forward passes, which ranks would have to
        agree on, and DeepSpeed and DDP count."""
        wrapped = self.accelerator.unwrap_model(model) is not model
        alone = self.accelerator.num_processes == 1 and not self.is_deepspeed_enabled
        return alone and not wrapped and can_share_prompts(model)

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
        prompt = input_ids.size(1) - logits_to_keep
        size = batch_size or len(input_ids)
        parts = list(zip(input_ids.split(size), attention_mask.split(size), strict=True))
        worth_it = all(worth_sharing(ids[:, :prompt], logits_to_keep) for ids, _ in parts)
        if worth_it and not compute_aux_loss and self.can_share_prompts(model):
            with self.accelerator.autocast():
                outputs = [completion_logprobs(model, ids, mask, prompt) for ids, mask in parts]
            entropies = torch.cat([output.entropy for output in outputs]) if compute_entropy else None
            result = torch.cat([output.log_probs for output in outputs]), entropies, None
        else:
            given = {"compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss, **media}
            result = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, **given
            )
        self.train_logprobs = result[0].detach()
        return result

    def rows_to_keep(self, window: int) -> list[int]:
        """For each optimizer step, the rows to compute: as many on all ranks, since TRL gathers a value for each."""
        batches = cast(list[dict[str, Any]], self._buffered_inputs)
        mine = torch.tensor([rows_that_move(batches, window)], device=self.accelerator.device)
        return self.accelerator.gather(mine).amax(dim=0).tolist()

    def _compute_loss(self, model: Any, inputs: Any) -> torch.Tensor:
        """TRL's loss and metrics; the dropped rows still count in every mean."""
        loss = super()._compute_loss(model, inputs)
        if "row_share" not in inputs:
            return loss
        logged = self._metrics["train"]
        share = self.share_of_all_ranks(inputs)
        for name in CLIP_METRICS:
            if name in logged:
                logged[name][-1] *= share
        if "clip_ratio/low_min" in logged:
            logged["clip_ratio/low_min"][-1] = 0.0  # of a dropped row
        return loss * inputs["row_share"] if self.loss_type in MEAN_OVER_ROWS else loss

    def share_of_all_ranks(self, inputs: Any) -> float:
        """What turns TRL's mean over what all ranks kept of a micro-batch into the mean over what they had."""
        if self.importance_sampling_level == "sequence":
            return inputs["row_share"]  # all ranks keep as many
        kept = inputs["completion_mask"].sum().float()
        totals = self.accelerator.reduce(torch.stack([kept, kept / inputs["token_share"]]), reduction="sum")
        return float(totals[0] / totals[1])
