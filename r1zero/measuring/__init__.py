"""What completions and metrics say: behaviours in text, metrics of a step, statistics, change points, alarms.

Takes texts, tables of completions and rows of ``metrics.jsonl``; gives numbers and sentences. Pure functions: nothing
is written, drawn or rewarded here.

May import ``runs``, ``config`` and the packages below ``r1zero``.
"""
