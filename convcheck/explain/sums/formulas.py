"""The general formulas of the forward pass and the three gradients, in any notation, and with a layer's numbers."""

from __future__ import annotations

from collections.abc import Sequence

from convcheck.explain.pictures.sizes import AXIS_NAMES
from convcheck.explain.sums.document import Formula
from convcheck.explain.sums.notation import Notation
from convcheck.layer.axis import Axis
from convcheck.layer.layer import Layer


def general(array: str, notation: Notation, layer: Layer) -> Formula:
    """Return the definition of the output, or the formula of a gradient."""

    def name(symbol: str, *index: str) -> tuple[str, str]:
        return notation.entry(symbol, index, layer)

    # Where f is the kernel, as in T3, it cannot count filters too.
    f = "j" if notation.symbols["weight"][0] == "f" else "f"
    factors: tuple[tuple[str, str], ...]
    match array:
        case "input":
            left = name("grad_input", "n", "c", "p")
            over = (
                "f and over all (i, a) with i·s + a·d = p + before",
                r"f,\; (i, a):\; i s + a d = p + \mathrm{before}",
            )
            factors = (name("grad_output", "n", f, "i"), name("weight", f, "c", "a"))
        case "weight":
            left = name("grad_weight", f, "c", "a")
            over = ("n, i", "n, i")
            factors = (name("grad_output", "n", f, "i"), name("x", "n", "c", "i·s + a·d - before"))
        case "bias":
            left = name("grad_bias", f)
            over = ("n, i", "n, i")
            factors = (name("grad_output", "n", f, "i"),)
        case _:
            left = name("output", "n", f, "i")
            over = ("c, a", "c, a")
            factors = (name("weight", f, "c", "a"), name("x", "n", "c", "i·s + a·d - before"))
    start = notation.entry("bias", (f,), layer) if array == "output" and layer.bias else None
    return _sum(left, over, factors, start)


def _sum(
    left: tuple[str, str],
    over: tuple[str, str],
    factors: Sequence[tuple[str, str]],
    start: tuple[str, str] | None,
) -> Formula:
    first, first_latex = (f"{start[0]} + ", f"{start[1]} + ") if start else ("", "")
    text = f"{left[0]} = {first}sum over {over[0]} of {'·'.join(text for text, _ in factors)}"
    product = r" \, ".join(latex for _, latex in factors).replace("·", r" ").replace("before", r"\mathrm{before}")
    return Formula((text,), (rf"{left[1]} &= {first_latex}\sum_{{{over[1]}}} {product}",))


def with_numbers(array: str, index: Sequence[int], notation: Notation, layer: Layer) -> Formula:
    """Return the formula of one entry: which indices its sum runs over, and how they hang together."""
    lines = {"input": _input_lines, "weight": _weight_lines, "bias": _bias_lines, "output": _output_lines}
    symbol = array if array == "output" else f"grad_{array}"
    left, latex = notation.entry(symbol, index, layer)
    texts = lines[array](index, layer)
    return Formula(
        (f"{left} sums over", *(f"  {text}" for text in texts)),
        (rf"{latex} &\text{{ sums over}}", *(rf"&\quad \text{{{_latex(text)}}}" for text in texts)),
    )


def _latex(text: str) -> str:
    return text.replace("·", r"$\cdot$").replace("_", r"\_").replace(">=", r"$\ge$").replace("<=", r"$\le$")


def _input_lines(index: Sequence[int], layer: Layer) -> list[str]:
    _, c, *place = index
    first = c // layer.channels_per_group * layer.filters_per_group
    lines = [f"filters f = {_span(first, layer.filters_per_group)}"]
    for name, axis, p in zip(AXIS_NAMES[len(layer.axes)], layer.axes, place, strict=True):
        pairs = ", ".join(f"({i},{a})" for i, a in axis.readers(p + axis.before)) or "none"
        rule = f"i·{axis.stride} + a·{axis.dilation} = {p} + {axis.before}"
        lines.append(
            f"{name}: (i, a) with {rule}, 0 <= i <= {axis.output_size - 1}, 0 <= a <= {axis.kernel - 1}: {pairs}"
        )
    return lines


def _weight_lines(index: Sequence[int], layer: Layer) -> list[str]:
    lines = [f"samples n = {_span(0, layer.batch)}"]
    for name, axis, a in zip(AXIS_NAMES[len(layer.axes)], layer.axes, index[2:], strict=True):
        place = f"i·{axis.stride} + {a}·{axis.dilation} - {axis.before}"
        lines.append(f"{name}: i = {_span(0, axis.output_size)}, {_input_sample(place, axis)}")
    return lines


def _bias_lines(index: Sequence[int], layer: Layer) -> list[str]:
    lines = [f"samples n = {_span(0, layer.batch)}"]
    for name, axis in zip(AXIS_NAMES[len(layer.axes)], layer.axes, strict=True):
        lines.append(f"{name}: i = {_span(0, axis.output_size)}")
    return lines


def _output_lines(index: Sequence[int], layer: Layer) -> list[str]:
    first = index[1] // layer.filters_per_group * layer.channels_per_group
    lines = [f"channels c = {_span(first, layer.channels_per_group)}"]
    for name, axis, i in zip(AXIS_NAMES[len(layer.axes)], layer.axes, index[2:], strict=True):
        place = f"{i}·{axis.stride} + a·{axis.dilation} - {axis.before}"
        lines.append(f"{name}: a = {_span(0, axis.kernel)}, {_input_sample(place, axis)}")
    return lines


def _input_sample(place: str, axis: Axis) -> str:
    return f"input sample {place}, if it is in 0..{axis.size - 1}"


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}..{first + count - 1}"
