"""Which system calls a program may make, as a classic BPF filter.

A call that no table below names does not exist for the program (ENOSYS). Two filters are installed: `watch_filter`
reports new threads and new files to the supervisor, which counts them; `main_filter` decides. The kernel obeys the
stricter of the two, so nothing that the supervisor says can allow what `main_filter` denies.

It does not look at paths or at memory behind pointers: a filter cannot. Paths are Landlock's business.
"""

import errno
import platform
import struct

from sandbox.syscalls import NUMBERS

# linux/audit.h
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_BIT = 0x40000000

# linux/seccomp.h
RET_KILL_PROCESS = 0x80000000
RET_ERRNO = 0x00050000
RET_USER_NOTIF = 0x7FC00000
RET_ALLOW = 0x7FFF0000

# linux/bpf_common.h: load a word of seccomp_data, jumps, return
LD, JEQ, JGE, JSET, AND, JA, RET = 0x20, 0x15, 0x35, 0x45, 0x54, 0x05, 0x06
OFFSET_NR, OFFSET_ARCH, OFFSET_ARGS = 0, 4, 16

CLONE_VM, CLONE_SIGHAND, CLONE_THREAD = 0x100, 0x800, 0x10000
CLONE_NEW_ANY = 0x7E020080  # every CLONE_NEW* flag: namespaces and, as CLONE_NEWTIME, time
O_CREAT = 0o100
O_TMPFILE = 0o20000000  # the bit that only O_TMPFILE has
O_ASYNC = 0o20000

# Stands in for the program's own pid until `patch_pid`; no process has this id.
PID_PLACEHOLDER = 0x7FFFFFF1

ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2 dup3 pipe pipe2
poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
mmap munmap mremap mprotect madvise mincore msync brk
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause alarm setitimer
getitimer futex set_robust_list rseq set_tid_address gettid getpid getppid getpgrp exit exit_group restart_syscall
sched_yield sched_getaffinity clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage
getcpu getrandom uname sysinfo umask getuid geteuid getgid getegid getresuid getresgid getgroups getrlimit setrlimit
wait4 waitid fstat newfstatat stat lstat statx access faccessat faccessat2 readlink readlinkat getcwd chdir fchdir
getdents getdents64 statfs fstatfs ftruncate fallocate flock fadvise64
sendto recvfrom shutdown getsockopt setsockopt getsockname getpeername
""".split()

# Calls that take a path and change or open what it names: allowed where Landlock checks the path.
FILE_CALLS = "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 symlink symlinkat truncate".split()

# They report success and do nothing: Landlock does not cover them, and programs call them without need.
IGNORED = """
chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat
setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr fsync fdatasync sync syncfs sync_file_range
""".split()

DENIED = """
execve execveat socket connect bind listen accept accept4 sendmsg recvmsg sendmmsg recvmmsg link linkat mknod mknodat
memfd_create memfd_secret tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal setpriority
sched_setaffinity sched_setscheduler sched_setparam sched_setattr ioprio_set setuid setgid setreuid setregid setresuid
setresgid setgroups setfsuid setfsgid capset setsid setpgid personality mlock mlock2 mlockall timer_create
""".split()

# What only a second process would need: the answer is the one that the kernel gives at a process limit.
NO_PROCESSES = ["fork", "vfork"]

# No program that solves a problem calls these; one that does is attacking the kernel or another process.
VIOLATIONS = """
ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd bpf perf_event_open userfaultfd keyctl
add_key request_key io_uring_setup io_uring_enter io_uring_register mount umount2 pivot_root chroot unshare setns
open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr init_module finit_module delete_module kexec_load
kexec_file_load reboot swapon swapoff acct quotactl settimeofday clock_settime adjtimex clock_adjtime sethostname
setdomainname iopl ioperm modify_ldt name_to_handle_at open_by_handle_at fanotify_init vmsplice
""".split()

# PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, PR_SET_VMA (glibc names its heaps), PR_GET_DUMPABLE, PR_GET_TIMERSLACK
PRCTL_ALLOWED = (15, 16, 23, 0x53564D41, 3, 30)
# F_DUPFD F_GETFD F_SETFD F_GETFL F_GETLK F_SETLK F_SETLKW F_OFD_* F_DUPFD_CLOEXEC F_GETPIPE_SZ F_GET_SEALS; not
# F_SETOWN or F_SETSIG, which make the kernel signal another process
FCNTL_ALLOWED = (0, 1, 2, 3, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
F_SETFL = 4
# TCGETS FIONREAD TIOCGWINSZ FIOCLEX FIONCLEX FIONBIO
IOCTL_ALLOWED = (0x5401, 0x541B, 0x5413, 0x5451, 0x5450, 0x5421)
AF_UNIX, SOCK_STREAM, SOCK_FLAGS = 1, 1, 0o2004000  # SOCK_CLOEXEC | SOCK_NONBLOCK

Instruction = tuple[int, int, int, int]
ALLOW: Instruction = (RET, 0, 0, RET_ALLOW)
KILL: Instruction = (RET, 0, 0, RET_KILL_PROCESS)
NOTIFY: Instruction = (RET, 0, 0, RET_USER_NOTIF)


def fail(error: int) -> Instruction:
    """Return ``error`` to the caller; 0 pretends success."""
    return (RET, 0, 0, RET_ERRNO | error)


def load_argument(index: int) -> Instruction:
    """Load the low 32 bits of argument ``index``: all that the kernel reads of an int, on little-endian machines."""
    return (LD, 0, 0, OFFSET_ARGS + 8 * index)


def one_of(index: int, values: tuple[int, ...], otherwise: Instruction) -> list[Instruction]:
    """Allow when argument ``index`` is one of ``values``."""
    count = len(values)
    checks = [(JEQ, count - place, 0, value) for place, value in enumerate(values)]
    return [load_argument(index), *checks, otherwise, ALLOW]


def without_bits(index: int, bits: int, refused: Instruction) -> list[Instruction]:
    """Allow when argument ``index`` has none of ``bits``."""
    return [load_argument(index), (JSET, 0, 1, bits), refused, ALLOW]


def clone_rule() -> list[Instruction]:
    """Threads of this process only."""
    thread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD
    return [
        load_argument(0),
        (JSET, 3, 0, CLONE_NEW_ANY),
        (AND, 0, 0, thread),
        (JEQ, 0, 1, thread),
        ALLOW,
        fail(errno.EAGAIN),
    ]


def fcntl_rule() -> list[Instruction]:
    """The commands above, and F_SETFL without O_ASYNC."""
    others = one_of(1, FCNTL_ALLOWED, fail(errno.EPERM))
    setfl = without_bits(2, O_ASYNC, fail(errno.EPERM))
    return [load_argument(1), (JEQ, 0, len(setfl), F_SETFL), *setfl, *others]


def socketpair_rule() -> list[Instruction]:
    """A stream pair of Unix sockets: what asyncio wakes itself up with."""
    return [
        load_argument(0),
        (JEQ, 0, 4, AF_UNIX),
        load_argument(1),
        (AND, 0, 0, 0xFFFFFFFF ^ SOCK_FLAGS),
        (JEQ, 0, 1, SOCK_STREAM),
        ALLOW,
        fail(errno.EPERM),
    ]


def main_rules(files: bool, truncate: bool) -> dict[str, list[Instruction]]:
    """What happens at each named call.

    Args:
        files: Landlock checks paths, so that calls which take one may be allowed.
        truncate: Landlock checks truncation too (ABI 3 on).
    """
    rules: dict[str, list[Instruction]] = {name: [ALLOW] for name in ALLOWED}
    rules |= {name: [fail(0)] for name in IGNORED}
    rules |= {name: [fail(errno.EPERM)] for name in DENIED}
    rules |= {name: [fail(errno.EAGAIN)] for name in NO_PROCESSES}
    rules |= {name: [KILL] for name in VIOLATIONS}
    own_pid = one_of(0, (PID_PLACEHOLDER,), fail(errno.EPERM))
    rules |= {
        "kill": own_pid,
        "tgkill": own_pid,
        "prlimit64": one_of(0, (0, PID_PLACEHOLDER), fail(errno.EPERM)),
        "prctl": one_of(0, PRCTL_ALLOWED, fail(errno.EPERM)),
        "ioctl": one_of(1, IOCTL_ALLOWED, fail(errno.ENOTTY)),
        "fcntl": fcntl_rule(),
        "socketpair": socketpair_rule(),
        "clone": clone_rule(),
    }
    no_path = [fail(errno.EACCES)]
    rules |= {name: [ALLOW] if files else no_path for name in FILE_CALLS}
    rules["creat"] = [ALLOW] if files else no_path
    rules["open"] = without_bits(1, O_TMPFILE, fail(errno.EOPNOTSUPP)) if files else no_path
    rules["openat"] = without_bits(2, O_TMPFILE, fail(errno.EOPNOTSUPP)) if files else no_path
    if not truncate:
        rules["truncate"] = [fail(errno.EPERM)]
    return rules


def watch_rules(files: bool) -> dict[str, list[Instruction]]:
    """The calls that the supervisor counts: new threads and, where there is a scratch directory, new files."""
    rules: dict[str, list[Instruction]] = {"clone": [NOTIFY]}
    if files:
        rules |= {name: [NOTIFY] for name in ("creat", "mkdir", "mkdirat", "symlink", "symlinkat")}
        rules["open"] = without_bits(1, O_CREAT, NOTIFY)
        rules["openat"] = without_bits(2, O_CREAT, NOTIFY)
    return rules


def number(name: str, machine: str) -> int | None:
    """The system call's number on ``machine``; None where it does not exist."""
    return NUMBERS[name][list(ARCHITECTURES).index(machine)]


def assemble(rules: dict[str, list[Instruction]], default: Instruction, machine: str) -> list[Instruction]:
    """The whole filter: architecture first, then a binary search for the number."""
    by_number = {nr: rule for name, rule in rules.items() if (nr := number(name, machine)) is not None}
    ranges: list[tuple[int, list[Instruction]]] = [(0, by_number.get(0, [default]))]
    for nr in range(1, max(by_number) + 2):
        rule = by_number.get(nr, [default])
        if rule != ranges[-1][1]:
            ranges.append((nr, rule))
    program = [(LD, 0, 0, OFFSET_ARCH), (JEQ, 1, 0, ARCHITECTURES[machine]), KILL, (LD, 0, 0, OFFSET_NR)]
    if machine == "x86_64":
        program += [(JGE, 0, 1, X32_BIT), KILL]
    return program + search(ranges)


def search(ranges: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """A decision tree over ``ranges``, (first number, what to do) in ascending order."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = search(ranges[:middle]), search(ranges[middle:])
    if len(below) <= 255:  # a conditional jump reaches 255 instructions
        return [(JGE, len(below), 0, ranges[middle][0]), *below, *above]
    return [(JGE, 0, 1, ranges[middle][0]), (JA, 0, 0, len(below)), *below, *above]


def encode(program: list[Instruction]) -> bytes:
    """The filter as an array of ``struct sock_filter``."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def main_filter(files: bool, truncate: bool, machine: str | None = None) -> bytes:
    """The filter that decides; `pid_places` says where the pid belongs."""
    rules = main_rules(files, truncate)
    return encode(assemble(rules, fail(errno.ENOSYS), machine or platform.machine()))


def watch_filter(files: bool, machine: str | None = None) -> bytes:
    """The filter that reports to the supervisor and otherwise allows."""
    return encode(assemble(watch_rules(files), ALLOW, machine or platform.machine()))


def pid_places(program: bytes) -> list[int]:
    """Byte offsets of the constants that `PID_PLACEHOLDER` stands in."""
    return [at + 4 for at in range(0, len(program), 8) if program[at + 4 : at + 8] == struct.pack("=I", PID_PLACEHOLDER)]
