"""How somebody's code is run: in which process, and what it may use there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Where code runs, and what it may use.

    Attributes
    ----------
    timeout : float or None
        Seconds for each layer; by default ten minutes for each call in a worker process, and no limit in this one.
    memory : int or None
        Bytes; in a worker process only.
    threads : int or None
        Of matrix products; in a worker process only.
    in_process : bool
        Whether it runs in this process, as a debugger needs it.
    """

    timeout: float | None = None
    memory: int | None = None
    threads: int | None = None
    in_process: bool = True
