"""Rule-based judges: text and ground truth in, a `Verdict` out.

README.md says what each judge accepts and what it does not. No module here imports torch or r1zero.
"""

from rewards.verdict import Outcome, Verdict

__all__ = ["Outcome", "Verdict"]
