"""Sweeps: many runs of one Hydra command, each with devices of its own, and what they found.

Takes a multirun and its directory; gives run directories, one for each job, a table over settings and seeds, and a
page. A job's state is read from its directory alone, so the same command goes on with a sweep that was killed.

May import everything but ``evaluating`` and the commands.
"""
