"""What every test has in common: one thread per process.

The arrays of the tests are small, so threads cost more than they give, and pytest-xdist already keeps every core busy.
"""

import os

# Before anything imports NumPy; the commands that tests start inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402 - after the threads are settled
from hypothesis import Phase, settings  # noqa: E402

from convcheck.gradients.numeric.differences import packing_for  # noqa: E402
from convcheck.gradients.numeric.rounding import gamma  # noqa: E402

#: For mutation testing, where it is enough that an example fails: the simplest one need not be found.
settings.register_profile("mutation", phases=(Phase.explicit, Phase.generate))


@pytest.fixture(autouse=True)
def _nothing_found_before() -> None:
    """Tests change what formats hold, and what follows from that is kept, by layer."""
    packing_for.cache_clear()
    gamma.cache_clear()
