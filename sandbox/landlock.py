"""Landlock: which files a program may open, whatever its user id allows.

Linux's own interface through ctypes (linux/landlock.h). It does not cover chmod, chown, utime, xattr, stat, pathname
Unix sockets or UDP; `sandbox.seccomp` does.
"""

import ctypes
import os
import struct

from sandbox.linux import libc, syscall

SYS_CREATE_RULESET, SYS_ADD_RULE, SYS_RESTRICT_SELF = 444, 445, 446  # the same on every architecture
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_SYM, TRUNCATE = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12, 1 << 14
# How many access rights each ABI knows: 13 at first, then REFER, TRUNCATE and, with ABI 5, IOCTL_DEV.
NUM_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
NUM_RIGHTS_NEWEST = 16
READ = READ_FILE | READ_DIR
SCRATCH = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | TRUNCATE
FILE_RIGHTS = WRITE_FILE | READ_FILE | TRUNCATE


def abi() -> tuple[int, str]:
    """The version the kernel offers, or 0 and the reason."""
    version = libc.syscall(SYS_CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION)
    if version >= 1:
        return version, ""
    return 0, f"the kernel refuses it ({os.strerror(ctypes.get_errno())}): needs Linux 5.13 with landlock in lsm="


def ruleset(version: int, rules: list[tuple[str, int]]) -> int:
    """A descriptor of a ruleset that allows ``rules`` (path, rights) and denies all else the ABI knows.

    From ABI 4 on TCP is denied too, from ABI 6 signals and abstract sockets beyond the program itself.
    Paths that do not exist are left out.
    """
    handled = (1 << NUM_RIGHTS.get(version, NUM_RIGHTS_NEWEST)) - 1
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", 0b11)
    if version >= 6:
        attributes += struct.pack("=Q", 0b11)
    descriptor = syscall(SYS_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    for path, rights in rules:
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        allowed = rights & handled if os.path.isdir(path) else rights & handled & FILE_RIGHTS
        syscall(SYS_ADD_RULE, descriptor, RULE_PATH_BENEATH, struct.pack("=Qi", allowed, parent), 0)
        os.close(parent)
    return descriptor


def restrict_self(descriptor: int) -> None:
    """Put this process under the ruleset, for good."""
    syscall(SYS_RESTRICT_SELF, descriptor, 0)
