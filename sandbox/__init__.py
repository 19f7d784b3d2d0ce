"""Runs Python programs that nobody has read. README.md is the threat model.

Standard library only; imports nothing of the trainer.
"""

from sandbox.local import Sandbox
from sandbox.result import Confinement, Result, SandboxUnavailableError, Status
from sandbox.worker import Program

__all__ = ["Confinement", "Program", "Result", "Sandbox", "SandboxUnavailableError", "Status"]
