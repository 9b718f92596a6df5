"""The words of pictures: sizes as equations with a layer's own numbers, such as "3×3 = (2-1)·2+1", and worked sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from convcheck.layer.axis import Axis
from convcheck.layer.layer import Layer

AXIS_NAMES = {1: ("positions",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}

#: Digits of a number in a picture; integers below a million are shown in full.
_DIGITS = 3

#: Terms that a worked example writes out.
_TERMS = 9


def times(sizes: Iterable[int]) -> str:
    """Return sizes as ``3×5``."""
    return "×".join(map(str, sizes))


def at(index: Iterable[int]) -> str:
    """Return an index as ``[0,1]``."""
    return f"[{','.join(map(str, index))}]"


def number(value: float) -> str:
    """Return a number in few characters, with a proper minus sign."""
    whole = value == value and abs(value) < 1e6 and value == int(value)
    text = str(int(value)) if whole else f"{value:.{_DIGITS}g}"
    return text.replace("-", "−")


def sum_text(terms: Sequence[tuple[float, ...]]) -> str:
    """Write a sum of products out, as far as it is not too long: ``5·5 + (−1)·2 + 3 more``."""
    products = ["·".join(f"({number(v)})" if v < 0 else number(v) for v in factors) for factors in terms[:_TERMS]]
    rest = len(terms) - len(products)
    return " + ".join(products or ["0"]) + (f" + {rest} more" if rest else "")


def parts_text(parts: Sequence[float]) -> str:
    """Write a sum of numbers with their signs: ``−13 − 19 + 1 = −31``; as far as it is not too long."""
    text = number(parts[0])
    for part in parts[1:_TERMS]:
        text += f" − {number(-part)}" if part < 0 else f" + {number(part)}"
    rest = len(parts) - _TERMS
    return text + (f" + {rest} more" if rest > 0 else "") + f" = {number(sum(parts))}"


def turned(layer: Layer) -> str:
    """Say what turning the kernel does: on two axes, and only there, it is a rotation by 180°."""
    return {1: "reversed end for end", 2: "rotated by 180°", 3: "reversed along all three axes"}[len(layer.axes)]


def dilation_lines(layer: Layer) -> list[str]:
    """How large dL/dO is once zeros are inserted: (m - 1)s + 1."""
    return _equations(layer, [a.dilated_size for a in layer.axes], lambda a: f"({a.output_size}-1)·{a.stride}+1")


def padding_lines(layer: Layer) -> list[str]:
    """How many zeros the full padding has on each side, and what size that makes."""
    texts = []
    for axis in layer.axes:
        (front, behind), reach = axis.full_padding, f"{axis.effective_kernel}-1"
        words = ["padding " if amount >= 0 else "crop, padding " for amount in (front, behind)]
        front_text = f"{front} = {reach}" + (f"-{axis.before}" if axis.before else "")
        behind_text = f"{behind} = {reach}" + (f"-{axis.after}" if axis.after else "")
        behind_text += f"+{axis.remainder}" if axis.remainder else ""
        text = words[0] + front_text
        if front_text != behind_text:
            text = f"{words[0]}in front {front_text}, {words[1].removeprefix('padding ')}behind {behind_text}"
            # More windows than a twin has may fit into what output_padding adds.
            word = "remainder" if axis.fixed_windows is None else "output padding"
            text += f" ({word} {axis.remainder})" if axis.remainder else ""
        texts.append(text)

    def full_size(axis: Axis) -> str:
        front, behind = axis.full_padding
        return f"{front}+{axis.dilated_size}+{behind}".replace("+-", "-")

    sizes = [axis.dilated_size + sum(axis.full_padding) for axis in layer.axes]
    lines = texts[:1] if len(set(texts)) == 1 else _named(layer, texts)
    return [*lines, *_equations(layer, sizes, full_size)]


def crop_lines(layer: Layer) -> list[str]:
    """How large the result of sliding the kernel is: full - e + 1, which is n again."""
    return _equations(layer, layer.input, lambda a: f"{a.size + a.effective_kernel - 1}-{a.effective_kernel}+1")


def input_lines(layer: Layer) -> list[str]:
    """How large the padded input is."""
    if not any(axis.before or axis.after for axis in layer.axes):
        return [f"{times(layer.input)}, no padding"]
    return _equations(layer, [a.padded_size for a in layer.axes], lambda a: f"{a.before}+{a.size}+{a.after}")


def _equations(layer: Layer, results: Sequence[int], expression: Callable[[Axis], str]) -> list[str]:
    """Return one equation for all axes where they agree, or else one per axis."""
    texts = [f"{result} = {expression(axis)}" for result, axis in zip(results, layer.axes, strict=True)]
    if len(set(texts)) == 1:
        return [f"{times(results)} = {expression(layer.axes[0])}"]
    return [times(results), *_named(layer, texts)]


def _named(layer: Layer, texts: Sequence[str]) -> list[str]:
    return [f"{name}: {text}" for name, text in zip(AXIS_NAMES[len(layer.axes)], texts, strict=True)]
