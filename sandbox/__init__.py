"""Runs Python programs that nobody has read. README.md says against which attacks, and against which not.

Standard library only; imports nothing of the trainer.
"""

from sandbox.local import Sandbox
from sandbox.result import Confinement, Result, SandboxUnavailableError, Status

__all__ = ["Confinement", "Result", "Sandbox", "SandboxUnavailableError", "Status"]
