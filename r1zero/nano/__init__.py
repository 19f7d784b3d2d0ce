"""The embedded base model and everything it was made from; a run loads ``weights/`` and imports nothing from here.

Takes: nothing but the source code; ``python -m r1zero.nano.pretrain`` makes the weights anew.
Gives: program-written text (``corpus``), the tokenizer (``tokenizer``), the weights (``pretrain``), and the problems of
the task ``arithmetic`` (``python -m r1zero.nano.arithmetic``).
May import: ``tasks`` and ``config``, for the problem generator and the prompt.
"""
