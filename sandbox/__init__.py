"""Runs Python programs that nobody has read. README.md is the threat model.

Standard library only; imports nothing of the trainer.
"""

from sandbox.local import Sandbox
from sandbox.result import Confinement, Result, SandboxUnavailableError, Status

__all__ = ["Confinement", "Result", "Sandbox", "SandboxUnavailableError", "Status"]
