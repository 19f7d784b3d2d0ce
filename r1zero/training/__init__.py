"""TRL's GRPO trainer, composed: from prompts to a gradient.

``trainer`` is the step as TRL calls it, ``collecting`` makes a scored batch, ``micro_batches`` and ``shared_prompts``
find the cheapest way to its gradient, ``durable`` keeps every step (whole checkpoints, exact resume, orderly stops),
``settings`` is what TRL is told, ``memory`` says before the start whether it fits. Takes a config, a task, a model and
what measures held-out accuracy; leaves metrics, completions and checkpoints in the run directory. ``internals`` lists
every private name of other libraries. May import watching and what is below it; nothing above.
"""
