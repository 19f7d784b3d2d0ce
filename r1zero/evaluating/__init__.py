"""Held-out accuracy of any model: during training, and by itself with results on disk that a kill cannot spoil.

Takes a task, a way to sample texts and the ``eval`` group of the config; gives accuracy, pass@k and maj@k with
intervals, one row a completion, and the difference between two results. It is not the reward.

May import ``training`` and what is below it. Nothing below imports it: the trainer is handed what it needs.
"""
