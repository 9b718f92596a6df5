"""What OpenBLAS, NumPy's library of matrix products, is told before NumPy is imported: its threads are to sleep soon.

After a product, and when they are made, they spin in wait of more work: by default for some 100 ms, or 2^28 cycles,
in which they take a core from whoever else computes, such as the process in which code under test runs.
"""

from __future__ import annotations

#: An environment variable, and the power of two of the cycles.
BRIEFLY = ("OPENBLAS_THREAD_TIMEOUT", "16")
