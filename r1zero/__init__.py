"""A pure-RL reasoning trainer: a base language model, rule-checked problems, GRPO, and nothing else.

Start reading at ``r1zero/train.py``. Tensor names carry their axes where a function has more than one:

=====  ==========================
``P``  distinct prompts
``G``  group: completions of one prompt
``B``  rows of a micro-batch
``T``  completion tokens
``S``  prompt and completion tokens
``V``  vocabulary
=====  ==========================
"""
