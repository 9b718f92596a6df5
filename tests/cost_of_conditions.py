"""What the conditions cost, in terms of the other checks: ``python -m tests.cost_of_conditions``.

Every layer of the suites is checked on right code, by the forward, central and exact checks alone and with all
conditions; both in turn, so that the machine's speed is the same for both, several times, of which the fastest counts.
Exit status 1 if the conditions take longer than the other checks of all layers together.
"""

from __future__ import annotations

import argparse
import sys
import time

from convcheck import load
from convcheck.checks.check_layer import Demand, check_layer
from convcheck.checks.plan import DEFAULT_CHECKS, WORK_BUDGET
from convcheck.layer.similar import SMALL
from tests.parts import target

WITHOUT = tuple(check for check in DEFAULT_CHECKS if check != "conditions")


def seconds(layer, code, repeats):
    """Processor seconds of the other checks, and of the conditions on top of them."""
    fastest = {}
    for _ in range(repeats):
        for checks in (WITHOUT, DEFAULT_CHECKS):
            began = time.process_time()
            results = check_layer(layer, [code], Demand(checks, WORK_BUDGET, None))
            taken = time.process_time() - began
            assert all(result.acceptable for result in results)
            fastest[checks] = min(taken, fastest.get(checks, taken))
    return fastest[WITHOUT], fastest[DEFAULT_CHECKS] - fastest[WITHOUT]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", default=["textbook", "hostile"], metavar="SUITE")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    code, total = target(), [0.0, 0.0]
    for suite in options.suites:
        for layer in load(suite).layers:
            if layer.multiply_adds <= SMALL:
                taken = seconds(layer, code, options.repeats)
                checks, conditions = (1000 * part for part in taken)
                words = f"{checks:.1f} ms and {conditions:.1f} ms, {conditions / checks:.2f}"
                sys.stdout.write(f"{suite} {layer.name}: {words}\n")
                total = [a + b for a, b in zip(total, taken, strict=True)]
    checks, conditions = (1000 * part for part in total)
    together = f"{conditions / checks:.2f} ({conditions:.0f} ms / {checks:.0f} ms)"
    sys.stdout.write(f"conditions / other checks, of all layers together: {together}\n")
    sys.exit(1 if total[1] > total[0] else 0)


if __name__ == "__main__":
    main()
