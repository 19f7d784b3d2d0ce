"""Draws completions from a model; nothing is judged, written down or learned here.

Takes: a model with its tokenizer, and for each row a prompt, a key that names its randomness, and a ``Sampling``.
Gives: a ``Completion`` for each row, with its tokens, log-probabilities and entropy, as soon as it has ended; or the
text of one row while it grows. All through ``engine.Engine``, which runs one of the loops in ``engine.LOOPS``: the
native one (``decode``), one of transformers (``library_loops``) or vLLM's (``vllm_loop``). What a further loop has to
keep is in ``loop``.
May import: ``models``, ``config`` and what lies below them; never ``tasks`` or ``training``.
"""
