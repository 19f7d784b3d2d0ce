"""Brings the base model into memory and keeps what belongs to it; draws no tokens and knows no tasks.

Takes: the ``model`` and ``peft`` parts of the config.
Gives: a model and a tokenizer of transformers (``load``; ``hub`` where there is no network), LoRA adapters and their
merged export (``lora``), a reference model's weights on disk (``reference``), token ids (``tokens``), the FLOPs of a
forward pass (``flops``), and on a CPU what makes a model faster (``cpu``, which changes torch and TRL for the process).
May import: ``runs``, ``config`` and what lies below them.
"""
