"""``python -m sandbox.doctor``: what this machine can hold model-written code with, and what to do about the rest."""

import os
import platform
import shutil
import sys
import time

from sandbox.local import LEVELS, Sandbox
from sandbox.result import SandboxUnavailableError

MEANING = {
    3: "namespaces, Landlock and seccomp",
    2: "Landlock and seccomp",
    1: "seccomp alone: programs cannot open files",
}
# A phrase in a reason, and what helps.
REMEDIES = {
    "unshare": "level 3 needs root with CAP_SYS_ADMIN or unprivileged user namespaces. Docker's default has neither, "
    "and level 2 is meant for it. On Ubuntu 23.10 and later: sysctl kernel.apparmor_restrict_unprivileged_userns=0.",
    "Landlock": "level 2 needs Linux 5.13 or later with landlock in the boot parameter lsm=; gVisor does not have it.",
    "user notification": "level 2 needs Linux 5.5 or later; newer kernels only.",
    "seccomp filters": "nothing runs without seccomp: a kernel with CONFIG_SECCOMP_FILTER is needed.",
    "readable by root alone": "the interpreter belongs in a place that everyone may read, such as /usr or /opt (uv: "
    "UV_PYTHON_INSTALL_DIR=/opt/python; pyenv: PYENV_ROOT=/opt/pyenv), so that programs can run as another user.",
    "own uid: needs root": "nothing to do: the other layers hold. As root, programs also get a user of their own.",
    "does not start": "this Python is not readable by the current user; put it in a place that everyone may read.",
}


def main() -> None:
    """Print the table; exit code 0 when level 2 or 3 works."""
    print(f"sandbox doctor: {platform.system()} {platform.release()} {platform.machine()}, {describe_user()}")
    print(f"interpreter: {sys.executable}")
    works: list[int] = []
    reasons: list[str] = []
    for level in LEVELS:
        outcome, found = try_level(level)
        reasons += found
        works += [level] if outcome.startswith("ok") else []
        print(f"  level {level}  {MEANING[level]:<42} {outcome}")
    bwrap = shutil.which("bwrap")
    print(f"  optional backend bubblewrap: {bwrap or 'not installed (apt install bubblewrap)'}")
    advice = [remedy for phrase, remedy in REMEDIES.items() if any(phrase in reason for reason in reasons)]
    for line in advice:
        print(f"- {line}")
    if works and max(works) >= 2:
        print(f"Model-written code will run at level {max(works)}.")
        return
    print(
        "Model-written code will not run here"
        + (" unless you accept level 1 (task.min_level=1)." if works else ". An HTTP backend can run it elsewhere.")
    )
    sys.exit(1)


def try_level(level: int) -> tuple[str, list[str]]:
    """(one line for the table, reasons for what is missing) of a sandbox at ``level``, self-test included."""
    started = time.perf_counter()
    try:
        with Sandbox(workers=1, level=level) as sandbox:
            program_ms = min(timed(sandbox) for _ in range(5))
    except SandboxUnavailableError as error:
        return f"no: {str(error).removeprefix('sandbox: no sufficient level here. ')[:160]}", [str(error)]
    start_s = time.perf_counter() - started
    missing = sandbox.confinement.missing
    without = f"; without {'; '.join(missing)}" if missing else ""
    layers = ", ".join(sandbox.confinement.layers)
    return f"ok, self-test passed in {start_s:.1f} s, {program_ms:.1f} ms a program: {layers}{without}", list(missing)


def timed(sandbox: Sandbox) -> float:
    """Milliseconds for a trivial program."""
    started = time.perf_counter()
    sandbox.run("print(1)")
    return (time.perf_counter() - started) * 1e3


def describe_user() -> str:
    """``root`` or ``not root``: the user of this process."""
    return "root" if hasattr(os, "geteuid") and os.geteuid() == 0 else "not root"


if __name__ == "__main__":
    main()
