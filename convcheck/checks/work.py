"""What checking a layer costs, foreseen before anything is computed: for progress, and to share work evenly.

Work is counted in multiply-adds, and other things in as many as take about as long. How long each of them takes was
measured; only ratios count, and nothing depends on them but the order of the work and the time that is said to be left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

from convcheck.checks import conditions
from convcheck.gradients import ORACLE
from convcheck.layer.layer import Layer
from convcheck.targets.target import Target

#: Multiply-adds that a core makes in a second, about, with all that goes with them.
PACE = 5e9

#: A pass of any code, however small its layer.
_CALL = 1e6

#: The oracle's pass, per output site and tap.
_TERM = 2e4

#: An entry of a layer's arrays, in each pass: drawn, copied, compared.
_ENTRY = 100.0

#: Passes that the checks of an implementation take beside its differences and the conditions.
_PASSES = 6


def beside(layer: Layer, implementations: Sequence[Target], checks: Collection[str], budget: float) -> list[float]:
    """Work that each implementation's check takes beside differences; the first one's includes the definition's.

    Parameters
    ----------
    checks : collection of str
        The kinds asked for.
    budget : float
        Multiply-adds that the conditions may take.
    """
    entries = prod(layer.input_shape) + prod(layer.weight_shape) + prod(layer.output_shape)
    one_pass = _CALL + layer.multiply_adds + _ENTRY * entries
    oracle = _TERM * prod(layer.output) * prod(layer.kernel)
    work = []
    for number, implementation in enumerate(implementations):
        passes: float = _PASSES
        if not implementation.builtin and "conditions" in checks:
            passes += min(sum(condition.passes for condition in conditions.RUNS.values()), budget / one_pass)
        slow = (number == 0) + 3 * (implementation.name == ORACLE)
        work.append(passes * one_pass + slow * oracle)
    return work
