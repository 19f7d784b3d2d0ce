"""A run as it happens: where metrics go (file, W&B, TensorBoard, Trackio), alarms, the live page, the W&B workspace.

Takes each step's metrics and completions from the trainer; gives the metrics that it adds. It observes: nothing here
changes what is trained.

May import ``reporting``, ``measuring``, ``runs``, ``config`` and the packages below ``r1zero``.
"""
