"""A run on disk: its directory, its files, its checkpoints, and how a run is resumed.

Takes a config and what training hands over: metrics, tables of completions, folders of weights. Gives them back as
``reading.Run``, as a checkpoint to go on from, or as the config that a run began with. ``layout`` names what is in
a run directory, ``checkpoints`` what is in a checkpoint; ``files`` alone replaces files and takes locks.

May import ``launching``, ``config`` and the packages below ``r1zero``; reading a run loads no torch.
"""
