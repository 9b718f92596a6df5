"""Making NumPy's matrix products as fast as the machine allows, before NumPy is imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["choose_kernels"]

_CPU_INFO = Path("/proc/cpuinfo")

#: AMD's family number of Zen 5, whose AVX-512 units OpenBLAS 0.3.31 does not recognise.
_ZEN_5 = 26


def choose_kernels(cpu_info: Path = _CPU_INFO) -> None:
    """Let OpenBLAS use AVX-512 on processors that have it but are newer than OpenBLAS's own list.

    OpenBLAS takes an AMD processor of family 26 for one with AVX2 and runs at half the speed. Naming a core type that
    it knows is the documented way to overrule its choice; a user's own choice stands, and so does what NumPy was
    imported with.
    """
    if "OPENBLAS_CORETYPE" in os.environ or "numpy" in sys.modules:
        return
    try:
        text = cpu_info.read_text(encoding="ascii", errors="replace")
    except OSError:
        return
    first, _, _ = text.partition("\n\n")
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    newer = facts.get("cpu family", "").isdecimal() and int(facts["cpu family"]) >= _ZEN_5
    if facts.get("vendor_id") == "AuthenticAMD" and newer and "avx512vl" in facts.get("flags", "").split():
        os.environ["OPENBLAS_CORETYPE"] = "SKYLAKEX"
