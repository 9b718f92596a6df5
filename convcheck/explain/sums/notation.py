"""How the teaching texts write an entry of an array. All are 0-based here, whatever the text is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from convcheck.errors import Parameter, UsageError
from convcheck.layer.layer import Layer

#: Largest size for which indices are written side by side without commas, as in ``x02``.
_SINGLE_DIGIT = 10


@dataclass(frozen=True)
class Notation:
    """One way to write.

    Attributes
    ----------
    name : str
    about : str
        What the text writes, in a sentence.
    symbols : mapping
        Array -> its symbol in text and in LaTeX. "grad_input" and the like are the gradients.
    layout : str
        Where indices stand: "leading" (sample and channel in front), "last" (channels last), "bare" (those of size 1
        left out), "subscript" (bare, and without commas), "matrix" (of the unfolded matrices).
    times : str
        What stands between two factors in text.
    """

    name: str
    about: str
    symbols: Mapping[str, tuple[str, str]]
    layout: str
    times: str = "·"

    def entry(self, array: str, index: Sequence[int | str], layer: Layer) -> tuple[str, str]:
        """Write an entry, in text and in LaTeX; the index is numbers, or letters with one for all spatial axes."""
        text, latex = self.symbols[array]
        parts = [str(part) for part in self._order(array, list(index), layer)]
        joined = ",".join(parts)
        # A gradient is a fraction, whose index belongs to the denominator.
        latex = latex % f"_{{{joined}}}" if "%" in latex else f"{latex}_{{{joined}}}"
        if self.layout == "subscript" and all(part.isdigit() for part in parts) and self._single_digits(layer):
            return text + "".join(parts), latex.replace(joined, "".join(parts))
        return f"{text}[{joined}]", latex

    def _single_digits(self, layer: Layer) -> bool:
        return max(layer.batch, layer.channels, layer.filters, *layer.input, *layer.output) <= _SINGLE_DIGIT

    def _order(self, array: str, index: list[int | str], layer: Layer) -> list[int | str]:
        kind = {"grad_input": "x", "grad_weight": "weight", "output": "grad_output"}.get(array, array)
        if kind in ("bias", "grad_bias") or self.layout == "leading":
            return index
        if self.layout == "matrix":
            return _matrix_index(kind, index, layer)
        first, second, *sites = index
        sizes = (layer.filters, layer.channels_per_group)
        if kind != "weight":
            sizes = (layer.batch, layer.channels if kind == "x" else layer.filters)
        if self.layout == "last":
            if kind == "weight":
                return [*sites, second, first]
            return [*([first] if sizes[0] > 1 else []), *sites, second]
        return [*(i for i, size in zip((first, second), sizes, strict=True) if size > 1), *sites]


def _matrix_index(kind: str, index: list[int | str], layer: Layer) -> list[int | str]:
    """Row and column in the matrices of T4; X itself stays as it is."""
    first, second = index[:2]
    numbers = [i for i in index if isinstance(i, int)]
    if kind == "x" or len(numbers) < len(index):
        return index
    if kind == "weight":
        return [first, numbers[1] * prod(layer.kernel) + int(np.ravel_multi_index(numbers[2:], layer.kernel))]
    column = int(np.ravel_multi_index(numbers[2:], layer.output))
    return [*([first] if layer.batch > 1 else []), second, column]


def _gradient(symbol: str) -> str:
    return rf"\frac{{\partial L}}{{\partial {symbol}%s}}"


def _symbols(x: str, weight: str, output: str, *, ratio: str = "dL/d", bias: str = "b") -> dict[str, tuple[str, str]]:
    found = {"x": (x, x), "weight": (weight, weight), "bias": (bias, bias), "output": (output, output)}
    for name, symbol in (("input", x), ("weight", weight), ("bias", bias), ("output", output)):
        found[f"grad_{name}"] = (f"{ratio}{symbol}", _gradient(symbol))
    return found


OWN = Notation(
    "own", "Sample, channel or filter, then position; dL/dO is what the next layer hands back.",
    _symbols("X", "W", "O"), "leading",
)  # fmt: skip

_T1 = _symbols("x", "w", "o") | {
    "grad_input": ("delta_in", r"\delta^{\mathrm{in}}"),
    "grad_output": ("delta_out", r"\delta^{\mathrm{out}}"),
}
_T3 = _symbols("x", "f", "O") | {"grad_output": ("dO", r"\partial O")}
_T4 = _symbols("X", "W", "O") | {
    "weight": ("W~", r"\tilde W"), "grad_weight": ("dL/dW~", _gradient(r"\tilde W")),
}  # fmt: skip

NOTATIONS: Mapping[str, Notation] = {
    "T0": Notation(
        "T0", "Sums over indices, with partial derivatives.", _symbols("X", "W", "O", ratio="∂L/∂"), "leading"
    ),
    "T1": Notation("T1", "Channels last, and delta for the gradients of the maps.", _T1, "last"),
    "T2": Notation("T2", "One channel, so that rows and columns are enough.", _symbols("X", "w", "O"), "bare"),
    "T3": Notation(
        "T3", "Row and column side by side: x02; dO is the gradient that comes back.", _T3, "subscript", " "
    ),
    "T4": Notation("T4", "Unfolded matrices: W~ has a row per filter, X~ a column per window.", _T4, "matrix"),
}


def notation(name: str | None) -> Notation:
    """Return the notation of a text; the field's own if none is named.

    Raises
    ------
    UsageError
        If there is no such text.
    """
    if name is None:
        return OWN
    if name not in NOTATIONS:
        raise UsageError(Parameter("notation", name), f" is unknown; expected one of {', '.join(NOTATIONS)}")
    return NOTATIONS[name]
