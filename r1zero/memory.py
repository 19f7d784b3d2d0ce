"""Will it fit? Bytes per rank of a run, before anything is loaded: ``python -m r1zero.memory [+experiment=NAME]``.

Counts weights, gradients, optimizer states, reference, activations, logits, and the cache of a rollout, for the run's
ZeRO stage and ranks, from the model's shape alone: no GPU, no weights, no network for the models of ``conf/model``. The
sharded parts (weights, gradients, optimizer) are exact to padding; tests compare them with what ranks hold. Activations
are counted for a decoder of attention and gated MLPs. The CUDA context, NCCL and fragmentation are a flat ``OVERHEAD``.
"""

import logging

import hydra
from omegaconf import DictConfig

from r1zero.config.compose import register_schema, resolve
from r1zero.training.memory import check_memory

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="train")
def main(composed: DictConfig) -> None:
    """Print the table; exit code 1 where the run cannot fit."""
    try:
        print(check_memory(resolve(composed)))
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    register_schema()
    main()
