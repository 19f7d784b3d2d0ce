"""What a model is asked and how its answers are judged.

``build.build_task`` takes a config and a tokenizer and gives a ``task.Task``: training and held-out rows, and judges by
name. A kind of task is a module here (``countdown``, ``math``, ``code``, ``gym``) or outside the package, named by the
``builder`` of its keys in ``r1zero.config.tasks``. ``rows`` reads files and the Hub, ``prompts`` puts questions into
templates, ``judging`` calls judges, ``overlap`` compares texts.

May import ``config``, ``models``, ``rewards`` and ``sandbox``; knows nothing of rollouts, training and reports.
"""
