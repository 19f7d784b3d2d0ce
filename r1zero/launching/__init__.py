"""The processes of a run: how many there are, which one this is, and their start, watch and end.

Takes: a ``Config`` and the environment that torchrun, DeepSpeed, accelerate or SLURM left.
Gives: the number of ranks and GPUs and the place of this one (``placement``), ranks that run and their exit code
(``launch``), a request to stop that tears nothing (``stopping``).
May import: ``config``. torch only inside the functions that talk to GPUs or other ranks.
"""
