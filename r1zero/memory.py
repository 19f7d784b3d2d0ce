"""Will it fit? Bytes per rank of a run, before anything is loaded: ``python -m r1zero.memory [+experiment=NAME]``.

Counts weights, gradients, optimizer states, reference, activations, logits, and the cache of a rollout, for the run's
ZeRO stage and ranks, from the model's shape alone: no GPU, no weights, no network for the models of ``conf/model``. The
sharded parts (weights, gradients, optimizer) are exact to padding; tests compare them with what ranks hold. Activations
are counted for a decoder of attention and gated MLPs. The CUDA context, NCCL and fragmentation are a flat ``OVERHEAD``.
"""

from omegaconf import DictConfig

from r1zero.command_line import errors_in_one_line, run_with_hydra
from r1zero.config.checks import check_ranks
from r1zero.config.compose import resolve
from r1zero.launching.placement import num_gpus, num_ranks


def run(composed: DictConfig) -> None:
    """Print the table; exit code 1 where the run cannot fit."""
    with errors_in_one_line():
        config = resolve(composed)
        check_ranks(config, num_ranks(config), num_gpus())
        from r1zero.training.preflight import check_memory  # loads libraries: after the config was checked

        print(check_memory(config))


if __name__ == "__main__":
    run_with_hydra(run)
