"""The config of a run: what may be set, with which defaults, and what cannot work.

Takes: what Hydra composed from ``conf/`` and the command line (``compose.resolve``).
Gives: a ``schema.Config``, checked; ``trainer_keys.trainer_value`` for TRL's keys; a ValueError of one line that says
what to set. Who knows the machine also calls ``checks.check_ranks``.
May import: ``rewards``. Never torch, transformers or trl: a wrong config is answered before they are loaded.
"""
