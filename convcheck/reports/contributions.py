"""What one entry of a gradient, or of the output, is made of, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.layer.products import Entry, products
from convcheck.wording import counted, readable

_GRADIENTS = {"output": "O", "input": "dL/dX", "weight": "dL/dW", "bias": "dL/db"}
_SYMBOLS = {"x": "X", "bias": "b", "grad_output": "dL/dO"}

#: So many terms are written out.
_WRITTEN = 4


def entry_name(gradient: str, index: tuple[int, ...]) -> str:
    """Return an entry as formulas write it: ``dL/dX[0,0,0,2]``."""
    return f"{_GRADIENTS[gradient]}{_place(index)}"


def contributions(layer: Layer, operands: Operands, gradient: str, index: tuple[int, ...]) -> str:
    """Return which terms that are not zero make an entry what it should be, the first few of them written out."""
    if layer.is_complex and gradient != "output":
        # The gradients of complex numbers are made with these.
        operands = replace(operands, x=operands.x.conj(), weight=operands.weight.conj())
    written: list[str] = []
    total, only = 0, ""
    for factors in products(layer, gradient, index):
        if gradient == "output":
            # What reaches an output is its input, through a tap.
            factors = factors[::-1]
        numbers = [getattr(operands, name)[place].item() for name, place in factors]
        if all(numbers):
            total += 1
            only = _reaching(factors, numbers, "conj " if layer.is_complex and gradient != "output" else "")
            if total <= _WRITTEN:
                written.append("·".join(map(_factor, (*numbers, 1.0)[:2])))
    if not total:
        return "nothing but zeros reaches it"
    if total > 1:
        return f"it is the sum of {counted(total, 'term')}, {' + '.join(written)}{' + ...' if total > _WRITTEN else ''}"
    return only


def _reaching(factors: Sequence[Entry], numbers: Sequence[complex], conjugate: str) -> str:
    """Say what reaches an entry, and through what."""
    (name, place), *others = factors
    verb = f"{_SYMBOLS[name]}{_place(place)} = {readable(numbers[0], 6)} reaches it"
    if not others:
        return f"{verb} and nothing else does"
    ((through, at),) = others
    number = readable(numbers[1], 6)
    if through == "x":
        return f"{verb} through {conjugate}X{_place(at)} = {number}"
    return f"{verb} through tap {_place(at[2:])}" + ("" if numbers[1] == 1 else f", where {conjugate}W is {number}")


def _factor(value: complex) -> str:
    text = readable(value, 6)
    return f"({text})" if isinstance(value, complex) else text


def _place(index: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, index))}]"
