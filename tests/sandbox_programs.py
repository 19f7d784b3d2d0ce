"""Programs that try to get out, by category. Each prints ESCAPED if it does; bounded, so that a hole does no damage.

Placeholders: SECRET (a file of ours), OUTSIDE (a path we own), PORT (a TCP listener), VICTIM (a process of ours).
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from sandbox import Result, Sandbox


def run_all(sandbox: Sandbox, programs: Iterable[str]) -> list[Result]:
    """One result for each program, in order, two at a time."""
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(sandbox.run, programs))


PRELUDE = """
import ctypes, fcntl, os, resource, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def attempt(action):
    try:
        value = action()
    except (OSError, RuntimeError, ValueError):
        return
    print("ESCAPED", value)
def call(number, *arguments):
    value = libc.syscall(number, *arguments)
    if value < 0:
        raise OSError(ctypes.get_errno(), "")
    return value
"""

# System call numbers are x86_64's.
ATTEMPTS = {
    "read a file": "attempt(lambda: open('SECRET').read())",
    "read through a descriptor of /": "root = os.open('/', os.O_PATH)\nattempt(lambda: os.open('SECRET'[1:], 0, dir_fd=root))",
    "read through a link": "try: os.symlink('SECRET', 'l')\nexcept OSError: pass\nattempt(lambda: open('l').read())",
    "open by handle": "buffer = ctypes.create_string_buffer(200)\nattempt(lambda: call(304, 3, buffer, 0))",
    "list system directories": "for d in ('/etc', '/root', '/home', '/proc', '/sys'): attempt(lambda: os.listdir(d))",
    "read the parent": "for f in ('environ', 'cmdline', 'maps', 'mem', 'fd/0', 'root/etc/passwd'):\n"
    "    attempt(lambda: open(f'/proc/{os.getppid()}/{f}', 'rb').read(10))",
    "find inherited descriptors": "for fd in range(3, 1000): attempt(lambda: os.fstat(fd))",
    "write outside": "attempt(lambda: open('OUTSIDE', 'w'))",
    "truncate": "attempt(lambda: os.truncate('SECRET', 0))",
    "rename": "attempt(lambda: os.rename('SECRET', 'OUTSIDE'))",
    "hard link": "attempt(lambda: os.link('SECRET', 'h'))",
    "unlink": "attempt(lambda: os.unlink('SECRET'))",
    "fork": "attempt(os.fork)",
    "vfork and clone": "attempt(lambda: call(58))\nattempt(lambda: call(56, 17, 0, 0, 0, 0))",
    "clone3": "a = (ctypes.c_uint64 * 11)()\na[4] = 17\nattempt(lambda: call(435, a, 88))",
    "clone a user namespace": "attempt(lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0))",
    "exec": "attempt(lambda: os.execv('/bin/true', ['true']))",
    "subprocess": "attempt(lambda: subprocess.run(['/bin/true']))",
    "signal the victim": "for f in (lambda: os.kill(VICTIM, 9), lambda: call(200, VICTIM, 9), lambda: call(434, VICTIM, 0)):\n"
    "    attempt(f)",
    "signal everything": "attempt(lambda: os.kill(-1, 0))",
    "signal through a descriptor": "r, w = os.pipe()\nattempt(lambda: fcntl.fcntl(r, fcntl.F_SETOWN, VICTIM))\n"
    "attempt(lambda: fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC))\nattempt(lambda: fcntl.ioctl(r, 0x5452, b'1234'))",
    "limit the victim": "attempt(lambda: resource.prlimit(VICTIM, resource.RLIMIT_CORE))",
    "renice the victim": "attempt(lambda: os.setpriority(os.PRIO_PROCESS, VICTIM, 5))",
    "pin the victim": "attempt(lambda: os.sched_setaffinity(VICTIM, {0}))",
    "tcp": "attempt(lambda: socket.create_connection(('127.0.0.1', PORT), 1))",
    "udp, netlink, packets": "for f, t in ((2, 2), (16, 3), (17, 3), (1, 1), (40, 1), (38, 5)): attempt(lambda: socket.socket(f, t))",
    "datagram pair": "attempt(lambda: socket.socketpair(1, 2))",
    "pass descriptors": "a, b = socket.socketpair()\nattempt(lambda: socket.send_fds(a, [b'x'], [0]))",
    "memory file": "attempt(lambda: os.memfd_create('x'))",
    "shared memory": "attempt(lambda: call(29, 0, 4096, 0o1600))\nattempt(lambda: call(64, 0, 1, 0o1600))",
    "raise limits": "attempt(lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)))",
    "another user": "attempt(lambda: call(117, 0, 0, 0))",
    "clear the death signal": "attempt(lambda: call(157, 1, 0, 0, 0, 0))",
    "many threads": "done = threading.Event()\nn = 0\ntry:\n"
    "    for n in range(1000): threading.Thread(target=done.wait, daemon=True).start()\n"
    "except RuntimeError: pass\nprint('ESCAPED' if n > 200 else n)\ndone.set()",
}

# These end in a security violation.
VIOLATIONS = {
    "ptrace": "libc.ptrace(16, VICTIM, 0, 0)",
    "process_vm_readv": "libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0)",
    "bpf": "libc.syscall(321, 0, None, 0)",
    "io_uring": "libc.syscall(425, 4, ctypes.create_string_buffer(256))",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
    "unshare": "libc.unshare(0x10000000)",
    "keyctl": "libc.syscall(250, 0, -3, 0)",
    "userfaultfd": "libc.syscall(323, 0)",
    "x32 open": "libc.syscall(0x40000002, b'SECRET', 0, 0)",
}
