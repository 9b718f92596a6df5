"""What other processes of the same user's may see of one: nothing of its memory and its open files, where it is hidden.

Linux lets a process read and write the memory of another one of the same user's, and take its open files, unless that
one is marked as not to be dumped (prctl(2), ptrace(2)), or has a capability that the first one has not. So code under
test that looks for what is expected, or for the connection of the process that judges, finds neither.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress

#: Options of prctl(2).
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24

#: The capability to read any process: root's, of whom every process has all rights otherwise.
_CAP_SYS_PTRACE = 19

#: Version of capget(2)'s structures, of two words of each set of capabilities: effective, permitted, inheritable.
_CAPABILITIES = 0x20080522
_SETS = 3


def hide_memory(*, hidden: bool = True) -> None:
    """Let no other process read this one's memory or take its open files; or let them again."""
    prctl(_PR_SET_DUMPABLE, not hidden)


def read_no_memory() -> None:
    """Give up the right to read other processes than one's own children, for good."""
    prctl(_PR_CAPBSET_DROP, _CAP_SYS_PTRACE)
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        header, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * (2 * _SETS))()
        if library.capget(header, sets) == 0:
            for each in range(_SETS):
                sets[each] &= ~(1 << _CAP_SYS_PTRACE)
            library.capset(header, sets)


def prctl(option: int, value: int) -> None:
    """Set something about this process where the system is Linux."""
    function: Callable[..., int] | None = None
    with suppress(OSError, AttributeError, TypeError):
        function = ctypes.CDLL(None).prctl
    if function is not None:
        function(option, ctypes.c_ulong(value), 0, 0, 0)
