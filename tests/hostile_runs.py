"""Run every hostile behaviour at every moment and in every way: ``python -m tests.hostile_runs [WORD]``.

At import, at construction, in the forward and in the backward pass; plainly, with a time limit, and with two layers
side by side. A run is bad if it passes wrong code, loses a layer, does not end, or leaves a process. Exit status 1 if
there is one. With a word, only the behaviours whose names have it.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import product
from pathlib import Path

from convcheck.targets.process import limits
from tests.targets.hostile import BEHAVIOURS, MOMENTS, RESULTS, source
from tests.targets.test_hostile import HOW, PATIENCE, judged


def main(word: str = "") -> int:
    limits.LAYER_SECONDS = PATIENCE
    chosen = [(name, moment, BEHAVIOURS[name]) for name, moment in product(BEHAVIOURS, MOMENTS)]
    chosen += [(name, moment, RESULTS[name]) for name, moment in product(RESULTS, ["forward", "backward"])]
    tried = bad = 0
    for (name, moment, lines), how in product(chosen, HOW):
        if word not in name:
            continue
        tried += 1
        try:
            with tempfile.TemporaryDirectory() as folder:
                judged(Path(folder), source(lines, moment), **HOW[how])
        except Exception as error:
            bad += 1
            sys.stdout.write(f"bad: {name} · {moment} · {how}: {type(error).__name__}: {error}\n")
    sys.stdout.write(f"{tried} runs of {len(BEHAVIOURS) + len(RESULTS)} behaviours, {bad} bad\n")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
