"""What libraries of matrix products are told of threads by the environment, before they are loaded.

The threads of OpenBLAS, which is NumPy's, are to sleep soon. After a product, and when they are made, they spin in wait
of more work: by default for some 100 ms, or 2^28 cycles, in which they take a core from whoever else computes, such as
the process in which code under test runs.
"""

from __future__ import annotations

from collections.abc import Mapping

#: An environment variable, and the power of two of the cycles.
BRIEFLY = ("OPENBLAS_THREAD_TIMEOUT", "16")


def at_most(threads: int | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that grants so many threads to libraries yet to be loaded; None grants all.

    Whoever has set ``OMP_NUM_THREADS`` has set it for all of them, which go by it where they have no variable of their
    own or it is not set.
    """
    if threads is None or "OMP_NUM_THREADS" in environment:
        return dict(environment)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) | dict(environment)
