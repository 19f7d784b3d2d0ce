"""What a model is asked and how its answers are judged: see ``r1zero.tasks.task``."""
