"""Tests the sandbox on this machine before its first use: runs programs in it that try to get out.

That the kernel accepted a restriction does not show that it works: kernels, containers and security modules differ.
"""

import contextlib
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Protocol

from sandbox.result import Result, SandboxUnavailableError, Status

PROBES = """
import ctypes, os, resource, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
SECRET, OUTSIDE, PORT, UNIX = {secret!r}, {outside!r}, {port}, {unix!r}
# In a namespace of its own, this process may have the number that the trainer has outside.
TRAINER = {trainer} if {trainer} != os.getpid() else 0

def connect(family, address):
    with socket.socket(family) as other:
        other.settimeout(1)
        other.connect(address)

def must(done):
    if done < 0:
        raise OSError(ctypes.get_errno(), "")

def change_mode():
    os.chmod(SECRET, 0o777)
    if os.stat(SECRET).st_mode & 0o777 != 0o777:
        raise PermissionError

probes = dict(
    read_a_file_of_the_trainer=lambda: open(SECRET).read(),
    list_its_directory=lambda: os.listdir(os.path.dirname(SECRET)),
    write_outside=lambda: open(OUTSIDE, "w"),
    link_outside=lambda: os.link(SECRET, "link"),
    remove_a_file=lambda: os.unlink(SECRET),
    change_its_mode=change_mode,
    read_the_environment_of_the_trainer=lambda: open("/proc/%d/environ" % TRAINER).read(),
    open_a_tcp_socket=lambda: connect(socket.AF_INET, ("127.0.0.1", PORT)),
    open_a_unix_socket=lambda: connect(socket.AF_UNIX, UNIX),
    send_a_datagram=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT)),
    fork=os.fork,
    start_a_program=lambda: subprocess.run(["/bin/true"]),
    replace_itself=lambda: os.execv("/bin/true", ["true"]),
    signal_its_parent=lambda: os.kill(os.getppid(), 0),
    signal_the_trainer=lambda: os.kill(TRAINER, 0),
    limit_its_parent=lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE),
    raise_its_own_limits=lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
    make_a_memory_file=lambda: os.memfd_create("probe"),
    make_shared_memory=lambda: must(libc.shmget(0, 4096, 0o1600)),
    become_another_user=lambda: must(libc.setresuid(0, 0, 0)),
    hold_on_to_inherited_files=lambda: [os.fstat(descriptor) for descriptor in range(3, 6)],
)
for name, probe in probes.items():
    try:
        probe()
        print(name, flush=True)
    except (OSError, ValueError):
        pass
print("end")
"""
# Programs that must end in a certain way.
EXPECTED = {
    "blocks = [bytearray(16 << 20) for _ in range(64)]; print('end')": Status.MEMORY_LIMIT,
    "import os\nwhile True: os.write(1, bytes(1 << 16))": Status.OUTPUT_LIMIT,
    "import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0); print('end')": Status.SECURITY_VIOLATION,
}


class Tested(Protocol):
    """What the self-test needs of a sandbox; see `sandbox.Sandbox`."""

    level: int

    def run(
        self,
        code: str,
        stdin: str = "",
        *,
        timeout_s: float | None = None,
        memory_mb: int | None = None,
        output_mb: int | None = None,
    ) -> Result:
        """Run a script."""


def check(sandbox: Tested) -> None:
    """Run programs that try to get out, and programs that must meet a limit.

    Raises:
        SandboxUnavailableError: One of them got out or went beyond its limit, or an ordinary program did not run.
    """
    result, breaches = probe(sandbox)
    if breaches:
        raise SandboxUnavailableError(
            f"the self-test got out at level {sandbox.level}: {', '.join(breaches)}. Please report this machine's "
            "kernel and container; `python -m sandbox.doctor` prints what is in force."
        )
    if result.status is not Status.OK or result.stdout.split() != ["end"]:
        raise SandboxUnavailableError(
            f"the self-test did not run: {result.status} {result.error or result.stderr[-500:]}"
        )
    for code, status in EXPECTED.items():
        result = sandbox.run(code, timeout_s=30.0, memory_mb=256, output_mb=1)
        if result.status is not status:
            raise SandboxUnavailableError(
                f"the self-test expected {status} from {code!r} and saw {result.status} {result.error}"
            )


def probe(sandbox: Tested) -> tuple[Result, list[str]]:
    """The run of the probes, with a file and sockets of ours to attack, and the names of those that succeeded."""
    with tempfile.TemporaryDirectory(prefix="r1zero-selftest-") as planted, contextlib.ExitStack() as stack:
        token = secrets.token_hex(8)
        secret = Path(planted) / "secret"
        secret.write_text(token, encoding="ascii")
        secret.chmod(0o600)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(os.path.join(planted, "socket"))
        unix.listen()
        source = PROBES.format(
            secret=str(secret),
            outside=os.path.join(planted, "outside"),
            port=tcp.getsockname()[1],
            unix=os.path.join(planted, "socket"),
            trainer=os.getpid(),
        )
        result = sandbox.run(source, timeout_s=30.0)
        breaches = [line for line in result.stdout.split() if line != "end"]
        if secret.read_text(encoding="ascii") != token:
            breaches.append("the planted file was changed")
    return result, breaches
