"""Measures how the cost of a complete exact check grows: ``python docs/growth.py`` writes the table and the picture.

One size is varied at a time around a layer of 16 channels and filters, a 32×32 image and a 3×3 kernel.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from convcheck import Layer, verify

_FOLDER = Path(__file__).resolve().parent
_START = "<!-- measured by docs/growth.py -->"
_ROUNDS = 5

_VARIED = {"image": (8, 16, 32, 64, 128), "channels": (4, 8, 16, 32, 64), "kernel": (1, 3, 5, 7, 9)}


@dataclass(frozen=True)
class Cost:
    """What a complete exact check of one layer took."""

    varied: str
    size: int
    entries: int
    evaluations: int
    seconds: float


def _layer(image: int = 32, channels: int = 16, kernel: int = 3) -> Layer:
    return Layer(channels, channels, kernel, padding=kernel // 2, input=(image, image), batch=1)


def _cost(varied: str, size: int) -> Cost:
    layer = _layer(**{varied: size})
    seconds = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        report = verify(layer, checks=["exact"], formulations=["unfold"], complete=True)
        seconds.append(time.perf_counter() - start)
    assert report.passed
    results = report.layers[0].results
    entries, evaluations = (sum(getattr(r, name) for r in results) for name in ("entries_checked", "evaluations"))
    # The first round is not counted.
    return Cost(varied, size, entries, evaluations, median(seconds[1:]))


def _costs() -> Iterator[Cost]:
    for varied, sizes in _VARIED.items():
        for size in sizes:
            yield _cost(varied, size)


def _table(costs: list[Cost]) -> str:
    lines = ["| varied | entries compared | forward passes | milliseconds |", "|---|--:|--:|--:|"]
    for cost in costs:
        what = {"image": f"{cost.size}×{cost.size} image", "channels": f"{cost.size} channels and filters"}
        name = what.get(cost.varied, f"{cost.size}×{cost.size} kernel")
        lines.append(f"| {name} | {cost.entries:,} | {cost.evaluations:,} | {1000 * cost.seconds:.1f} |")
    return "\n".join(lines)


def _picture(costs: list[Cost]) -> Figure:
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, varied in zip(figure.subplots(1, len(_VARIED)), _VARIED, strict=True):
        chosen = [cost for cost in costs if cost.varied == varied]
        sizes = [cost.size for cost in chosen]
        axes.loglog(sizes, [cost.entries for cost in chosen], "o-", label="entries compared")
        axes.loglog(sizes, [cost.evaluations for cost in chosen], "s--", label="forward passes")
        axes.loglog(sizes, [1000 * cost.seconds for cost in chosen], "^:", label="milliseconds")
        axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        axes.minorticks_off()
        axes.set_title(f"size of the {varied}" if varied != "channels" else "channels and filters")
    axes.legend()
    return figure


def _main() -> None:
    costs = list(_costs())
    page = _FOLDER / "speed.md"
    head = page.read_text(encoding="utf-8").partition(_START)[0]
    picture = "![Entries, forward passes and time against image, channels and kernel](images/growth.png)"
    page.write_text(f"{head}{_START}\n\n{_table(costs)}\n\n{picture}\n", encoding="utf-8")
    _picture(costs).savefig(_FOLDER / "images" / "growth.png", dpi=150)


if __name__ == "__main__":
    _main()
