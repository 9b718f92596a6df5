"""Why the kernel is flipped: outputs above, inputs below, and a line for every tap, along one axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import COPIES, Index, Kind, Panel, Story, Wire
from convcheck.explain.pictures.roles import PLAIN, TWIN
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.window import read_positions
from convcheck.layer.axis import Axis
from convcheck.layer.layer import Layer
from convcheck.wording import counted

#: Padded samples that are shown, and rows of the panel: outputs, room for the lines, inputs.
_SHOWN, _ROWS = 24, 5


def story(layer: Layer, chosen: Selection) -> Story:
    """Tell why the kernel is flipped: outputs that read an input meet its taps from the last to the first."""
    roles = PLAIN
    if layer.transposed:
        layer, chosen, roles = layer.twin, chosen.of_twin, TWIN
    names = sizes.AXIS_NAMES[len(layer.axes)]
    # The axis on which most outputs read the entry; of several, the last.
    counts = [len(axis.pairs(p)) for axis, p in zip(layer.axes, chosen.place, strict=True)]
    number = max(range(len(counts)), key=lambda i: (counts[i], i))
    axis, place, output = layer.axes[number], chosen.place[number], chosen.output[number]
    pairs, positions = axis.pairs(place), axis.positions(place)
    along = "" if len(names) == 1 else f"along the {names[number]}; other axes work alike"
    start = max(0, min(positions[0] - _SHOWN // 2, axis.padded_size - _SHOWN))
    shown = range(start, min(axis.padded_size, start + _SHOWN))
    above = _outputs_above(axis, shown)
    ahead = [
        Wire(_above(axis, i), (_ROWS - 1, p), str(a), bold=i == output)
        for i in above
        for a, p in enumerate(axis.window(i))
    ]
    back = [
        Wire(_above(axis, i), (_ROWS - 1, position), str(a), bold=True)
        for position in positions
        for i, a in axis.readers(position)
    ]
    read = list(enumerate(axis.window(output)))
    taps = [str(a) for _, a in pairs]
    # What stands above and below, as it is called forward, and what is handed back to it.
    upper, lower = (roles.output, roles.input) if roles is PLAIN else (roles.grad_output, roles.grad_input)
    equation = " + ".join(f"{roles.grad_output}[{i}]·W[{a}]" for i, a in pairs)
    copied = len(positions) > 1
    said = "; ".join(filter(None, (along, "copies of it count too" if copied else "")))
    down = f"Forward: O[{output}] reads its window", f"Backward: X[{place}] collects from the outputs that read it"
    if roles is TWIN:
        down = f"Backward: X[{output}] collects from its window of dL/dO", (
            f"Forward: O[{place}] collects from the entries of X that reach it"
        )  # fmt: skip
    window = _panel(axis, shown, "1" if roles is PLAIN else "2", down[0], along, ahead, _above(axis, output),
                    [(_ROWS - 1, p) for _, p in read], (upper, lower))  # fmt: skip
    collected = _panel(axis, shown, "2" if roles is PLAIN else "1", down[1], said, back,
                       (_ROWS - 1, positions[0]),
                       [*((_ROWS - 1, p) for p in positions[1:]), *(_above(axis, i) for i, _ in pairs)],
                       (upper, lower))  # fmt: skip
    return Story(
        name="wires",
        title="Why the kernel is flipped: one axis, a line per tap",
        intro=(_INTRO[roles],),
        panels=(window, collected) if roles is PLAIN else (collected, window),
        example=(
            f"Taps from {upper}[{output}], left to right: {', '.join(str(a) for a, _ in read)}. "
            f"Taps from {lower}[{place}], left to right: {', '.join(taps) or 'none'}. "
            f"{lower}[{place}] is {'read' if roles is PLAIN else 'reached'} by "
            f"{counted(len(pairs), 'output') if roles is PLAIN else counted(len(pairs), 'entry', 'entries')}"
            f"{' (one counts as often as it reads it)' if copied else ''}: "
            f"{roles.grad_input}[{place}] = {equation or '0: no output reads it'}, so what slides over "
            f"{roles.grad_output} is the kernel flipped.",
        ),
        trivial=axis.kernel == 1,
    )  # fmt: skip


_INTRO = {
    PLAIN: (
        "Each line is one product: an output reads an input through a tap, whose number is on the line. From an "
        "output down, taps count up from left to right. From an input up, the same lines are met the other way "
        "round: the output further right began its window later, so it reads the input through an earlier tap."
    ),
    TWIN: (
        "Each line is one product: an entry of X is handed out to an output through a tap, whose number is on the "
        "line. From an entry of X down, taps count up from left to right. From an output up, the same lines are met "
        "the other way round: the entry further right reaches it through an earlier tap. So here it is the forward "
        "pass that flips the kernel."
    ),
}


def _above(axis: Axis, output: int) -> Index:
    """Return the cell in which an output stands: above the middle of its window."""
    return 0, output * axis.stride + (axis.effective_kernel - 1) // 2


def _outputs_above(axis: Axis, shown: range) -> range:
    """Return the outputs that stand above some positions of the padded input."""
    half = (axis.effective_kernel - 1) // 2
    first, end = (-(-max(0, place - half) // axis.stride) for place in (shown.start, shown.stop))
    return range(min(first, axis.output_size), min(end, axis.output_size))


def _panel(
    axis: Axis,
    shown: range,
    number: str,
    title: str,
    along: str,
    wires: list[Wire],
    one: Index,
    ends: list[Index],
    sides: tuple[str, str],
) -> Panel:
    """Show outputs, and the padded input below them."""
    kinds = np.full((_ROWS, axis.padded_size), Kind.ABSENT, np.int8)
    place = np.arange(axis.padded_size) - axis.before
    inside, read = (place >= 0) & (place < axis.size), read_positions(axis)
    kinds[-1] = np.where(read, np.where(inside, Kind.VALUE, COPIES.get(axis.mode, Kind.BORDER)), Kind.UNREAD)
    texts: dict[Index, str] = {(row, i): "" for row in range(_ROWS) for i in shown}
    texts |= {(_ROWS - 1, i): str(axis.origin[i]) for i in shown if axis.origin[i] >= 0}
    for i in _outputs_above(axis, shown):
        kinds[_above(axis, i)], texts[_above(axis, i)] = Kind.VALUE, str(i)
    kept = tuple(wire for wire in wires if wire.start[1] in shown and wire.end[1] in shown)
    made = Panel.of(
        number,
        title,
        [along] if along else [],
        np.zeros(kinds.shape),
        (range(_ROWS), shown),
        kinds=kinds,
        outlined=[one, *ends],
    )
    blank = ("",) * len(shown)
    return replace(made, texts=texts, wires=kept, labels=((sides[0], *("",) * (_ROWS - 2), sides[1]), blank))
