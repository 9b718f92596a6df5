"""How somebody's code is run: in which process, and what it may use there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """Where code runs, and what it may use.

    Attributes
    ----------
    timeout : float or None
        Seconds for all calls of each layer; by default an hour in a worker process, a day where every entry is checked,
        and no limit in this process.
    memory : int or None
        Bytes; in a worker process only, by default what is free.
    threads : int or None
        Of matrix products; in a worker process only.
    in_process : bool
        Whether it runs in this process, as a debugger needs it.
    keep_case : Path or None
        Folder in which requests are kept that a program answered wrongly, in place of the mapping's.
    complete : bool
        Whether every entry is checked, however long it takes.
    """

    timeout: float | None = None
    memory: int | None = None
    threads: int | None = None
    in_process: bool = True
    keep_case: Path | None = None
    complete: bool = False

    @property
    def seconds(self) -> float:
        """How long all calls of a layer may take in a worker process."""
        if self.timeout is not None:
            return self.timeout
        return COMPLETE_SECONDS if self.complete else LAYER_SECONDS


#: Seconds that all calls of a layer may take in a worker process where nobody gave a limit, so that code which hangs
#: does not do so for ever; and where every entry is checked, of layers of any size.
LAYER_SECONDS = 3600.0
COMPLETE_SECONDS = 86400.0

#: What is said of a layer's further calls, once its seconds are over.
USED_UP = "not run: the target has used up its timeout of {:g} s for this layer; a longer timeout lets it go on"

#: Code runs in this process, without limits.
IN_PROCESS = Limits()


def free_memory() -> int:
    """Return the bytes of memory that are free: of the machine, of the container, and of what this process may use."""
    import psutil

    return max(0, min([psutil.virtual_memory().available, *_in_containers(), *_within_ulimits()]))


def _in_containers() -> Iterator[int]:
    """Yield what is free in each control group (cgroup v2, or v1's usual place) that this process is in."""
    root = Path("/sys/fs/cgroup")
    groups = [root / "memory"]
    with suppress(OSError, IndexError):
        inside = Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition("::")[2]
        here = root / inside.lstrip("/")
        groups += [here, *(parent for parent in here.parents if parent.is_relative_to(root))]
    for group in groups:
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            with suppress(OSError, ValueError):
                yield int((group / limit).read_text()) - int((group / used).read_text()) + _cached(group)


def _cached(group: Path) -> int:
    """Return the bytes of a control group that are copies of files, and given back when they are needed."""
    with suppress(OSError):
        for line in (group / "memory.stat").read_text().splitlines():
            name, _, size = line.partition(" ")
            if name == "inactive_file":
                return int(size)
    return 0


def _within_ulimits() -> Iterator[int]:
    with suppress(ImportError):
        import resource

        import psutil

        used = psutil.Process().memory_info().vms
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            limit = resource.getrlimit(kind)[0]
            if limit != resource.RLIM_INFINITY:
                yield limit - used
