"""What the tests of a program came to: a report, the verdict on it, and a count of what could not be judged."""

from dataclasses import dataclass, field
from typing import Literal

from rewards.verdict import Outcome, Verdict
from sandbox import Status

Score = Literal["all", "fraction"]


@dataclass(frozen=True)
class TestReport:
    """How a program did.

    Attributes:
        status: ``accepted``, ``wrong_answer``, or the status of the run that went wrong.
        passed, total: Tests.
        detail: The first failure, for a person.
    """

    __test__ = False  # not a test case, whatever pytest makes of the name

    status: str
    passed: int
    total: int
    detail: str = ""


def verdict(report: TestReport, score: Score) -> Verdict:
    """1.0 / CORRECT when all tests pass; else 0.0 or, with ``fraction``, the share that passed.

    TIMEOUT for a run beyond its time, UNGRADEABLE for an infrastructure error or tests that do not run; else WRONG.
    """
    detail = f"{report.passed} of {report.total} tests" + (f"; {report.detail}" if report.detail else "")
    match report.status:
        case "accepted":
            return Verdict(1.0, Outcome.CORRECT, detail)
        case Status.INFRASTRUCTURE_ERROR | "broken_tests":
            return Verdict(None, Outcome.UNGRADEABLE, f"{report.status}: {report.detail}")
    share = report.passed / report.total if score == "fraction" else 0.0
    outcome = Outcome.TIMEOUT if report.status == Status.TIMEOUT else Outcome.WRONG
    return Verdict(share, outcome, f"{report.status}: {detail}")


@dataclass
class Ledger:
    """Counts what could not be judged, so that a run with a broken sandbox stops instead of training on what is left.

    Attributes:
        max_share: Share of infrastructure errors, after retries, above which `check` raises.
        judged, failed: Completions so far.
    """

    max_share: float = 0.01
    judged: int = 0
    failed: int = 0
    last_error: str = field(default="", repr=False)

    def record(self, report: TestReport) -> None:
        """Count one report."""
        self.judged += 1
        if report.status == Status.INFRASTRUCTURE_ERROR:
            self.failed += 1
            self.last_error = report.detail

    def check(self) -> None:
        """Raise when too many failed. Two are forgiven: a single one in a first small batch is more than any share.

        Raises:
            JudgeUnavailableError: The share is above `max_share`.
        """
        if self.failed > max(2, self.max_share * self.judged):
            raise JudgeUnavailableError(
                f"{self.failed} of {self.judged} completions could not be judged because the sandbox failed, and more "
                f"than {self.max_share:.0%} are not accepted (task.max_infrastructure_errors). Last error: "
                f"{self.last_error}. `python -m sandbox.doctor` tests this machine."
            )


class JudgeUnavailableError(RuntimeError):
    """The tools behind a judge are broken; going on would train on whatever still happens to work."""
