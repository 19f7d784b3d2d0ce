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

import importlib.util
import sys
from pathlib import Path

# They have common names, and the folder that a command is started in comes first: a `rewards.py` there would be
# imported instead, and fail in a way that says nothing.
for _name in ("conf", "rewards", "sandbox"):
    _spec = importlib.util.find_spec(_name)
    if _spec is not None and _spec.origin is not None and Path(_spec.origin).parents[1] != Path(__file__).parents[1]:
        sys.exit(
            f"error: {_spec.origin} hides the package `{_name}` that r1zero comes with. Give that file another name, "
            "or start the command in another folder."
        )
