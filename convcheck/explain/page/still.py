"""The worked entry of a layer as a static SVG, for readers without JavaScript, and its equation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

import numpy as np

from convcheck.explain.page.case import Shown
from convcheck.explain.pictures.sizes import number, times
from convcheck.explain.sums import entry
from convcheck.explain.sums.notation import OWN
from convcheck.explain.sums.terms import Term, explain
from convcheck.layer.arrays import Array
from convcheck.wording import counted

#: Side of a cell, distance of the maps, and height of what stands above a map, in pixels.
_CELL, _GAP, _HEAD = 40, 36, 56

#: Cells of a map that are shown per axis.
_MOST = 9

#: Terms that are written out.
_TERMS = 9


def still(shown: Shown) -> tuple[str, list[str]]:
    """Return the drawing as SVG, and the lines of the equation."""
    layer, at, chosen = shown.layer, shown.operands, shown.chosen
    place = chosen.place
    index = (chosen.sample, chosen.channel, *place)
    found = explain(layer, at, "input", index)
    told = [term for term in found.terms if term.factors[0].index[1] == chosen.filter]
    own = layer.slice_between(chosen.channel, chosen.filter)
    outputs = {term.factors[0].index[2:]: _product(term) for term in told}
    taps = {term.factors[1].index[2:]: _product(term) for term in told}
    maps: tuple[tuple[str, Array, Mapping[tuple[int, ...], str], Mapping[tuple[int, ...], str]], ...] = (
        (f"dL/dO[{chosen.sample},{chosen.filter}]", at.grad_output[chosen.sample, chosen.filter], outputs, {}),
        (f"W[{own[0]},{own[1]}]", at.weight[own], taps, {}),
        (f"dL/dX[{chosen.sample},{chosen.channel}]", np.zeros(layer.input), {place: ""}, {place: number(found.value)}),
    )
    parts, x, bottom = [], 0, 0
    for title, values, marked, texts in maps:
        result = title.startswith("dL/dX")
        wide, high, drawn = _map(x, title, "result" if result else "input", values, marked, texts, result)
        parts += drawn
        x, bottom = x + wide + _GAP, max(bottom, high)
    words = " ".join(title for title, *_ in maps)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {x - _GAP} {bottom}" role="img" '
        f'aria-label="{escape(words)}" class="still">{"".join(parts)}</svg>'
    )
    lines = entry.expanded(found, OWN, _TERMS).text
    products = [_product(term) for term in found.terms[:_TERMS]]
    more = f" + {counted(len(found.terms) - _TERMS, 'more term')}" if len(found.terms) > _TERMS else ""
    left = f"dL/dX[{','.join(map(str, index))}]"
    return svg, [*lines, f"{left} = {' + '.join(products) or '0'}{more} = {number(found.value)}"]


def _product(term: Term) -> str:
    return "·".join(f"({number(f.value)})" if f.value < 0 else number(f.value) for f in term.factors)


def _map(
    x: int,
    title: str,
    role: str,
    values: Array,
    marked: Mapping[tuple[int, ...], str],
    texts: Mapping[tuple[int, ...], str],
    hidden: bool,
) -> tuple[int, int, list[str]]:
    """Return the width, the bottom and the elements of a map: the part of it around what is marked."""
    places = list(marked) or [(0,) * values.ndim]
    # Of a volume the plane of what is marked first, of a line a single row.
    plane = places[0][:-2]
    grid = np.atleast_2d(values[plane])
    flat = {(0, *place)[-2:]: text for place, text in marked.items() if place[:-2] == plane}
    written = {(0, *place)[-2:]: text for place, text in texts.items()}
    starts = [
        max(0, min(min(place[axis] for place in flat) - 1, size - _MOST)) if flat else 0
        for axis, size in enumerate(grid.shape)
    ]
    ends = [min(size, start + _MOST) for start, size in zip(starts, grid.shape, strict=True)]
    note = times(values.shape) + (f", plane {plane[0]}" if plane else "")
    if (starts[0], ends[0], starts[1], ends[1]) != (0, grid.shape[0], 0, grid.shape[1]):
        note += f": rows {starts[0]}–{ends[0] - 1}, columns {starts[1]}–{ends[1] - 1}"
    parts = [
        f'<text x="{x}" y="16" class="head">{escape(title)}</text>',
        f'<text x="{x}" y="36">{role}, {escape(note)}</text>',
    ]
    largest = float(np.abs(grid).max(initial=0)) or 1.0
    for row, column in _cells(starts, ends):
        left, top = x + (column - starts[1]) * _CELL, _HEAD + (row - starts[0]) * _CELL
        value, here = float(grid[row, column]), (row, column) in flat
        text = written.get((row, column), "" if hidden else number(value))
        shade = 0 if hidden or not np.isfinite(value) else abs(value) / largest * 0.45
        color = "#2166ac" if value > 0 else "#b2182b"
        fill = f'fill="{color}" fill-opacity="{shade:.2f}"' if shade else 'fill="none"'
        parts.append(
            f'<rect x="{left}" y="{top}" width="{_CELL}" height="{_CELL}" {fill} '
            f'class="{"cell here" if here else "cell"}"/>'
        )
        if text:
            parts.append(f'<text x="{left + _CELL // 2}" y="{top + 25}" class="number">{escape(text)}</text>')
    width = max((ends[1] - starts[1]) * _CELL, 9 * len(title), 7 * len(note))
    return width, _HEAD + (ends[0] - starts[0]) * _CELL + 4, parts


def _cells(starts: list[int], ends: list[int]) -> Iterator[tuple[int, int]]:
    for row in range(starts[0], ends[0]):
        for column in range(starts[1], ends[1]):
            yield row, column
