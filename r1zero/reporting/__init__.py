"""What people read: the page of a run, its learning curve, its table for a terminal, and several runs compared.

Takes a ``runs.reading.Run``, that is what a run left on disk; gives HTML, PNG and text. ``panels`` is the one list of
metrics that are shown together. No model is loaded and nothing is judged again.

May import ``measuring``, ``runs``, ``config`` and the packages below ``r1zero``.
"""
