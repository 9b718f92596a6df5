"""Sizes as equations with a layer's own numbers, such as "3×3 = (2-1)·2+1"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from convcheck.layer.axis import Axis
from convcheck.layer.layer import Layer

AXIS_NAMES = {1: ("positions",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}

#: Digits of a number in a picture; integers below a million are shown in full.
_DIGITS = 3


def times(sizes: Iterable[int]) -> str:
    """Return sizes as ``3×5``."""
    return "×".join(map(str, sizes))


def number(value: float) -> str:
    """Return a number in few characters, with a proper minus sign."""
    whole = value == value and abs(value) < 1e6 and value == int(value)
    text = str(int(value)) if whole else f"{value:.{_DIGITS}g}"
    return text.replace("-", "−")


def dilation_lines(layer: Layer) -> list[str]:
    """How large dL/dO is once zeros are inserted: (m - 1)s + 1."""
    return _equations(layer, [a.dilated_size for a in layer.axes], lambda a: f"({a.output_size}-1)·{a.stride}+1")


def padding_lines(layer: Layer) -> list[str]:
    """How many zeros the full padding has on each side, and what size that makes."""
    sizes = [axis.dilated_size + sum(axis.full_padding) for axis in layer.axes]
    texts = [_padding(axis) for axis in layer.axes]
    if len(set(texts)) == 1:
        lines = [texts[0]]
    else:
        names = AXIS_NAMES[len(layer.axes)]
        lines = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
    return [*lines, *_equations(layer, sizes, _full_size)]


def crop_lines(layer: Layer) -> list[str]:
    """How large the result of sliding the kernel is: full - e + 1, which is n again."""
    return _equations(layer, layer.input, lambda a: f"{a.size + a.effective_kernel - 1}-{a.effective_kernel}+1")


def input_lines(layer: Layer) -> list[str]:
    """How large the padded input is."""
    if not any(axis.before or axis.after for axis in layer.axes):
        return [f"{times(layer.input)}, no padding"]
    return _equations(layer, [a.padded_size for a in layer.axes], lambda a: f"{a.before}+{a.size}+{a.after}")


def _full_size(axis: Axis) -> str:
    front, behind = axis.full_padding
    return f"{front}+{axis.dilated_size}+{behind}".replace("+-", "-").lstrip("+")


def _padding(axis: Axis) -> str:
    front, behind = axis.full_padding
    reach = f"{axis.effective_kernel}-1"
    front_text = f"{front} = {reach}" + (f"-{axis.before}" if axis.before else "")
    behind_text = f"{behind} = {reach}" + (f"-{axis.after}" if axis.after else "")
    behind_text += f"+{axis.remainder}" if axis.remainder else ""
    words = [("padding " if amount >= 0 else "crop, padding ") for amount in (front, behind)]
    if front_text == behind_text:
        return words[0] + front_text
    text = f"{words[0]}in front {front_text}, {words[1].removeprefix('padding ')}behind {behind_text}"
    return text + (f" (remainder {axis.remainder})" if axis.remainder else "")


def _equations(layer: Layer, results: Sequence[int], expression: Callable[[Axis], str]) -> list[str]:
    """Return one equation for all axes where they agree, or else one per axis."""
    texts = [f"{result} = {expression(axis)}" for result, axis in zip(results, layer.axes, strict=True)]
    if len(set(texts)) == 1:
        return [f"{times(results)} = {expression(layer.axes[0])}"]
    names = AXIS_NAMES[len(layer.axes)]
    return [times(results), *(f"{name}: {text}" for name, text in zip(names, texts, strict=True))]
