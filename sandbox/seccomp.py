"""Which system calls a program may make, as a classic BPF filter.

A call that no table below names is not permitted. Two filters are installed: `watch_filter` reports new threads, new
files and removed files to the supervisor, which counts them; `main_filter` decides. The kernel obeys the stricter of
the two, so nothing that the supervisor says can allow what `main_filter` denies.

It does not look at paths or at memory behind pointers: a filter cannot. Paths are Landlock's business.
"""

import errno
import struct

from sandbox import linux
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
LD, JEQ, JGE, JSET, AND, RET = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
OFFSET_NR, OFFSET_ARCH, OFFSET_ARGS = 0, 4, 16

CLONE_VM, CLONE_SIGHAND, CLONE_THREAD = 0x100, 0x800, 0x10000
CLONE_NEW_ANY = 0x7E020080  # every CLONE_NEW* flag: namespaces and, as CLONE_NEWTIME, time
O_CREAT = 0o100
O_TMPFILE = 0o20000000  # the bit that only O_TMPFILE has
O_ASYNC = 0o20000
AT_REMOVEDIR = 0x200

# Stands in for the program's own pid until `patch_pid`; no process has this id.
PID_PLACEHOLDER = 0x7FFFFFF1

ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2 dup3 pipe
pipe2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd
eventfd2 mmap munmap mremap mprotect madvise mincore msync brk rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending
rt_sigtimedwait rt_sigsuspend sigaltstack pause alarm setitimer getitimer futex set_robust_list rseq set_tid_address
gettid getpid getppid getpgrp exit exit_group restart_syscall sched_yield sched_getaffinity clock_gettime clock_getres
clock_nanosleep nanosleep gettimeofday time times getrusage getcpu getrandom uname sysinfo umask getuid geteuid getgid
getegid getresuid getresgid getgroups getrlimit setrlimit wait4 waitid fstat newfstatat stat lstat statx access
faccessat faccessat2 readlink readlinkat getcwd chdir fchdir getdents getdents64 statfs fstatfs ftruncate fallocate
flock fadvise64 sendto recvfrom shutdown getsockopt getsockname getpeername
""".split()

# Calls that take a path and change or open what it names: allowed where Landlock checks the path.
FILE_CALLS = "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 symlink symlinkat truncate".split()
# Those after which a file may have no name, and so escape whoever measures the directory that it was in.
REMOVING_CALLS = "unlink unlinkat rename renameat renameat2".split()

# They report success and do nothing: Landlock does not cover them, and programs call them without need.
IGNORED = """
chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat
setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr fsync fdatasync sync syncfs sync_file_range
""".split()

DENIED = """
execve execveat connect bind listen accept accept4 sendmsg recvmsg sendmmsg recvmmsg setsockopt link linkat mknod
mknodat socket memfd_create memfd_secret tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal
setpriority sched_setaffinity sched_setscheduler sched_setparam sched_setattr ioprio_set setuid setgid setreuid
setregid setresuid setresgid setgroups setfsuid setfsgid capset setsid setpgid personality mlock mlock2 mlockall
timer_create
""".split()

# Not there, so that glibc falls back on clone, whose flags are in a register where a filter can see them.
ABSENT = ["clone3"]

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

# A step of a filter: (operation, where to go if true, where to go if false, constant). A place is the number of steps
# to skip, or an action, which the assembler puts at the end of the filter once for all its users.
Step = tuple[int, int | str, int | str, int]
Rule = str | tuple[Step, ...]

ALLOW, KILL, NOTIFY = f"{RET_ALLOW}", f"{RET_KILL_PROCESS}", f"{RET_USER_NOTIF}"


def fail(error: int) -> str:
    """The action that returns ``error`` to the caller; 0 pretends success."""
    return f"{RET_ERRNO | error}"


def load_argument(index: int) -> Step:
    """Load the low 32 bits of argument ``index``: all that the kernel reads of an int, on little-endian machines."""
    return (LD, 0, 0, OFFSET_ARGS + 8 * index)


def one_of(index: int, values: tuple[int, ...], otherwise: str) -> tuple[Step, ...]:
    """Allow when argument ``index`` is one of ``values``."""
    checks: list[Step] = [(JEQ, ALLOW, 0, value) for value in values]
    checks[-1] = (JEQ, ALLOW, otherwise, values[-1])
    return (load_argument(index), *checks)


def without_bits(index: int, bits: int, refused: str) -> tuple[Step, ...]:
    """Allow when argument ``index`` has none of ``bits``."""
    return (load_argument(index), (JSET, refused, ALLOW, bits))


def clone_rule() -> tuple[Step, ...]:
    """Threads of this process only."""
    thread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD
    refused = fail(errno.EAGAIN)
    return (load_argument(0), (JSET, refused, 0, CLONE_NEW_ANY), (AND, 0, 0, thread), (JEQ, ALLOW, refused, thread))


def fcntl_rule() -> tuple[Step, ...]:
    """The commands above, and F_SETFL without O_ASYNC."""
    refused = fail(errno.EPERM)
    setfl = without_bits(2, O_ASYNC, refused)
    return (load_argument(1), (JEQ, 0, len(setfl), F_SETFL), *setfl, *one_of(1, FCNTL_ALLOWED, refused))


def socketpair_rule() -> tuple[Step, ...]:
    """A stream pair of Unix sockets: what asyncio wakes itself up with."""
    refused = fail(errno.EPERM)
    kind = ((AND, 0, 0, 0xFFFFFFFF ^ SOCK_FLAGS), (JEQ, ALLOW, refused, SOCK_STREAM))
    return (load_argument(0), (JEQ, 0, refused, AF_UNIX), load_argument(1), *kind)


def main_rules(files: bool, truncate: bool) -> dict[str, Rule]:
    """What happens at each named call.

    Args:
        files: Landlock checks paths, so that calls which take one may be allowed.
        truncate: Landlock checks truncation too (ABI 3 on).
    """
    rules: dict[str, Rule] = dict.fromkeys(ALLOWED, ALLOW)
    rules |= {name: fail(0) for name in IGNORED}
    rules |= {name: fail(errno.EPERM) for name in DENIED}
    rules |= {name: fail(errno.ENOSYS) for name in ABSENT}
    rules |= {name: fail(errno.EAGAIN) for name in NO_PROCESSES}
    rules |= dict.fromkeys(VIOLATIONS, KILL)
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
    no_path = fail(errno.EACCES)
    rules |= dict.fromkeys(FILE_CALLS, ALLOW if files else no_path)
    if not files:  # the links in /proc name other processes' files
        rules |= dict.fromkeys(("readlink", "readlinkat"), no_path)
    rules["creat"] = ALLOW if files else no_path
    rules["open"] = without_bits(1, O_TMPFILE, fail(errno.EOPNOTSUPP)) if files else no_path
    rules["openat"] = without_bits(2, O_TMPFILE, fail(errno.EOPNOTSUPP)) if files else no_path
    if not truncate:
        rules["truncate"] = fail(errno.EPERM)
    return rules


def tool_rules() -> dict[str, Rule]:
    """For a process in namespaces of its own that must start an interpreter: exec, fork and signals as well."""
    rules = main_rules(files=True, truncate=True)
    rules |= dict.fromkeys("execve execveat fork vfork arch_prctl kill tgkill".split(), ALLOW)
    rules["prlimit64"] = one_of(0, (0,), fail(errno.EPERM))  # itself
    rules["clone"] = (load_argument(0), (JSET, fail(errno.EPERM), ALLOW, CLONE_NEW_ANY))
    return rules


def watch_rules(files: bool) -> dict[str, Rule]:
    """The calls that the supervisor counts: new threads and, where there is a scratch directory, new and lost files."""
    rules: dict[str, Rule] = {"clone": NOTIFY}
    if files:
        rules |= dict.fromkeys(("creat", "mkdir", "mkdirat", "symlink", "symlinkat", *REMOVING_CALLS), NOTIFY)
        rules["open"] = without_bits(1, O_CREAT, NOTIFY)
        rules["openat"] = without_bits(2, O_CREAT, NOTIFY)
        rules["unlinkat"] = (load_argument(2), (JSET, ALLOW, NOTIFY, AT_REMOVEDIR))
    return rules


def number(name: str, machine: str) -> int | None:
    """The system call's number on ``machine``; None where it does not exist."""
    return NUMBERS[name][list(ARCHITECTURES).index(machine)]


def assemble(rules: dict[str, Rule], default: str, beyond: str, machine: str) -> bytes:
    """The filter as an array of ``struct sock_filter``: the architecture, a binary search for the number, the rules.

    Args:
        rules: By name of the call.
        default: For calls without a rule.
        beyond: For calls newer than any that `sandbox.syscalls` lists.
        machine: The architecture.
    """
    by_number = {nr: rule for name, rule in rules.items() if (nr := number(name, machine)) is not None}
    newest = max(nr for name in NUMBERS if (nr := number(name, machine)) is not None)
    ranges: list[tuple[int, Rule]] = [(0, by_number.get(0, default))]
    for nr in range(1, newest + 2):
        rule = by_number.get(nr, default) if nr <= newest else beyond
        if rule != ranges[-1][1]:
            ranges.append((nr, rule))
    steps: list[Step] = [(LD, 0, 0, OFFSET_ARCH), (JEQ, 0, KILL, ARCHITECTURES[machine]), (LD, 0, 0, OFFSET_NR)]
    if machine == "x86_64":
        steps.append((JGE, KILL, 0, X32_BIT))
    places: dict[Rule, int] = {}
    search(
        ranges, steps, {rule: f"rule {place}" for place, (_, rule) in enumerate(ranges) if not isinstance(rule, str)}
    )
    for _, rule in ranges:
        if not isinstance(rule, str) and rule not in places:
            places[rule] = len(steps)
            steps += rule
    names = {f"rule {place}": places[rule] for place, (_, rule) in enumerate(ranges) if not isinstance(rule, str)}
    actions = sorted({place for step in steps for place in step[1:3] if isinstance(place, str)} - names.keys())
    names |= {action: len(steps) + place for place, action in enumerate(actions)}
    steps += [(RET, 0, 0, int(action)) for action in actions]

    def jump(at: int, place: int | str) -> int:
        return place if isinstance(place, int) else names[place] - at - 1

    return b"".join(
        struct.pack("=HBBI", operation, jump(at, true), jump(at, false), constant)
        for at, (operation, true, false, constant) in enumerate(steps)
    )


def search(ranges: list[tuple[int, Rule]], steps: list[Step], names: dict[Rule, str]) -> None:
    """Append a decision tree over ``ranges``, (first number, rule) in ascending order, to ``steps``."""
    middle = len(ranges) // 2
    parts = (ranges[middle:], ranges[:middle])
    at = len(steps)
    steps.append((JGE, 0, 0, ranges[middle][0]))
    targets: list[int | str] = []
    for part in parts:
        if len(part) == 1:
            rule = part[0][1]
            targets.append(rule if isinstance(rule, str) else names[rule])
        else:
            targets.append(len(steps) - at - 1)
            search(part, steps, names)
    steps[at] = (JGE, targets[0], targets[1], ranges[middle][0])


def main_filter(files: bool, truncate: bool, machine: str | None = None) -> bytes:
    """The filter that decides; `pid_places` says where the pid belongs."""
    rules = main_rules(files, truncate)
    return assemble(rules, fail(errno.EPERM), fail(errno.ENOSYS), machine or linux.MACHINE)


def tool_filter(machine: str | None = None) -> bytes:
    """The filter for `sandbox.bubblewrap`."""
    return assemble(tool_rules(), fail(errno.EPERM), fail(errno.ENOSYS), machine or linux.MACHINE)


def watch_filter(files: bool, machine: str | None = None) -> bytes:
    """The filter that reports to the supervisor and otherwise allows."""
    return assemble(watch_rules(files), ALLOW, ALLOW, machine or linux.MACHINE)


def pid_places(program: bytes) -> list[int]:
    """Byte offsets of the constants that `PID_PLACEHOLDER` stands in."""
    return [
        at + 4 for at in range(0, len(program), 8) if program[at + 4 : at + 8] == struct.pack("=I", PID_PLACEHOLDER)
    ]
