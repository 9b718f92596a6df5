"""How the teaching texts write entries and the general formulas. All are 0-based here, whatever the text is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from convcheck.errors import Parameter, UsageError
from convcheck.explain.sums.writers import Formula, latex_words
from convcheck.layer.layer import Layer
from convcheck.wording import did_you_mean

#: Largest size for which indices are written side by side without commas, as in ``x02``.
_SINGLE_DIGIT = 10

#: One axis of an index: a number, a letter, or an expression in text and in LaTeX.
Part = int | str | tuple[str, str]

_INPUT_SAMPLE = ("i·s + a·d - before", r"i s + a d - \mathrm{before}")


@dataclass(frozen=True)
class Symbol:
    """How an array is called in text and in LaTeX.

    As a ``fraction`` it stands in the denominator of ∂L/∂, and so does its index.
    """

    text: str
    latex: str
    fraction: bool = False

    def at(self, index: str) -> str:
        """Write an entry in LaTeX."""
        entry = f"{self.latex}_{{{index}}}"
        return rf"\frac{{\partial L}}{{\partial {entry}}}" if self.fraction else entry


@dataclass(frozen=True)
class Notation:
    """One way to write.

    Attributes
    ----------
    name, alias : str
        As users choose it; the alias is the number of the teaching text that writes so.
    about : str
        What the text writes, in a sentence.
    symbols : mapping
        Array -> its symbol. "grad_input" and the like are the gradients.
    layout : str
        Where indices stand: "leading" (sample and channel in front), "last" (channels last), "bare" (those of size 1
        left out), "subscript" (bare, and without commas), "matrix" (of the unfolded matrices).
    times : str
        What stands between two factors in text.
    """

    name: str
    alias: str
    about: str
    symbols: Mapping[str, Symbol]
    layout: str
    times: str = "·"

    @property
    def filter(self) -> str:
        """The letter that counts filters: not f where that is the kernel."""
        return "j" if self.symbols["weight"].text == "f" else "f"

    def channel(self, layer: Layer) -> str:
        """The letter that counts the channels of W, which are those of a group: c' where there are several groups."""
        return "c'" if layer.groups > 1 else "c"

    def entry(self, array: str, index: Sequence[Part], layer: Layer) -> tuple[str, str]:
        """Write an entry, in text and in LaTeX; an index of letters has one for all spatial axes."""
        symbol = self.symbols[array]
        parts = [part if isinstance(part, tuple) else (str(part),) * 2 for part in self._order(array, index, layer)]
        texts, latex = ([part[which] for part in parts] for which in (0, 1))
        sizes = (layer.batch, layer.channels, layer.filters, *layer.input, *layer.output)
        if self.layout == "subscript" and all(map(str.isdigit, texts)) and max(sizes) <= _SINGLE_DIGIT:
            return symbol.text + "".join(texts), symbol.at("".join(latex))
        return f"{symbol.text}[{','.join(texts)}]", symbol.at(",".join(latex))

    def _order(self, array: str, index: Sequence[Part], layer: Layer) -> Sequence[Part]:
        """Put the parts of an index where this notation has them, and leave out those that it leaves out."""
        if array in ("bias", "grad_bias") or self.layout == "leading":
            return index
        first, second, *sites = index
        numbers = [i for i in index if isinstance(i, int)]
        weight, image = array in ("weight", "grad_weight"), array in ("x", "grad_input")
        if self.layout == "matrix":
            # Row and column in the matrices of T4; X itself stays as it is.
            if image or len(numbers) < len(index):
                return index
            place = int(np.ravel_multi_index(numbers[2:], layer.kernel if weight else layer.output))
            if weight:
                return [first, numbers[1] * prod(layer.kernel) + place]
            return [*([first] if layer.batch > 1 else []), second, place]
        if self.layout == "last":
            if weight:
                return [*sites, second, first]
            return [*([first] if layer.batch > 1 else []), *sites, second]
        sizes = (layer.batch, layer.channels if image else layer.filters)
        if weight:
            sizes = (layer.filters, layer.channels_per_group)
        return [*(i for i, size in zip((first, second), sizes, strict=True) if size > 1), *sites]

    def formula(self, array: str, layer: Layer) -> Formula:
        """Write the definition of the output, or the general formula of the gradient of an array."""
        f, own = self.filter, self.channel(layer)
        grad_output = self.entry("grad_output", ("n", f, "i"), layer)
        weight = self.entry("weight", (f, own, "a"), layer)
        x = self.entry("x", ("n", "c", _INPUT_SAMPLE), layer)
        start = "", ""
        match array:
            case "input":
                index: tuple[str, ...] = ("n", "c", "p")
                factors = [grad_output, weight]
                over = (
                    "f and over all (i, a) with i·s + a·d = p + before",
                    r"f,\; (i, a):\; i s + a d = p + \mathrm{before}",
                )
            case "weight":
                index, factors, over = (f, own, "a"), [grad_output, x], ("n, i", "n, i")
            case "bias":
                index, factors, over = (f,), [grad_output], ("n, i", "n, i")
            case _:
                index, factors, over = ("n", f, "i"), [weight, x], ("c, a", "c, a")
                if layer.bias:
                    bias, bias_latex = self.entry("bias", (f,), layer)
                    start = f"{bias} + ", f"{bias_latex} + "
        left, left_latex = self.entry(explained(array), index, layer)
        product, product_latex = "·".join(text for text, _ in factors), r" \, ".join(latex for _, latex in factors)
        text = [f"{left} = {start[0]}sum over {over[0]} of {product}"]
        latex = [rf"{left_latex} &= {start[1]}\sum_{{{over[1]}}} {product_latex}"]
        if layer.groups > 1 and array != "bias":
            depth, count = layer.channels_per_group, layer.filters_per_group
            grouped = f"c' = c mod {depth}, the channel within the group of {depth}; {f} div {count} = c div {depth}"
            text.append(f"  {grouped}, the group")
            latex.append(rf"&\quad \text{{{latex_words(grouped)}, the group}}")
        return Formula(tuple(text), tuple(latex))


def explained(array: str) -> str:
    """Return the symbol of what is explained: of O itself, and of the gradient of any other array."""
    return array if array == "output" else f"grad_{array}"


def _symbols(x: str, weight: str, output: str, *, ratio: str = "dL/d") -> dict[str, Symbol]:
    plain = {"x": x, "weight": weight, "bias": "b", "output": output}
    gradients = {"input": x, "weight": weight, "bias": "b", "output": output}
    return {name: Symbol(symbol, symbol) for name, symbol in plain.items()} | {
        f"grad_{name}": Symbol(ratio + symbol, symbol, fraction=True) for name, symbol in gradients.items()
    }


_OWN_SYMBOLS = _symbols("X", "W", "O")

OWN = Notation(
    "own", "", "Sample, channel or filter, then position; dL/dO is what the next layer hands back.", _OWN_SYMBOLS,
    "leading",
)  # fmt: skip

_TEXTS = (
    Notation(
        "index-sums", "T0", "Sums over indices, with partial derivatives.", _symbols("X", "W", "O", ratio="∂L/∂"),
        "leading",
    ),
    Notation(
        "channels-last", "T1", "Channels last, and delta for the gradients of the maps.",
        _symbols("x", "w", "o") | {
            "grad_input": Symbol("delta_in", r"\delta^{\mathrm{in}}"),
            "grad_output": Symbol("delta_out", r"\delta^{\mathrm{out}}"),
        }, "last",
    ),
    Notation("same-size", "T2", "One channel, so that rows and columns are enough.", _symbols("X", "w", "O"), "bare"),
    Notation(
        "dilate-flip", "T3",
        "Row and column side by side: x02; dO is the gradient that comes back, f the kernel, and j counts filters.",
        _symbols("x", "f", "O") | {"grad_output": Symbol("dO", r"\partial O")}, "subscript", " ",
    ),
    Notation(
        "unfold", "T4", "Unfolded matrices: W~ has a row per filter, X~ a column per window.",
        _OWN_SYMBOLS | {
            "weight": Symbol("W~", r"\tilde W"), "grad_weight": Symbol("dL/dW~", r"\tilde W", fraction=True),
        }, "matrix",
    ),
)  # fmt: skip

#: By name.
NOTATIONS: Mapping[str, Notation] = {each.name: each for each in (OWN, *_TEXTS)}

#: What can be asked for in place of a notation: their names.
LIST = "list"


def listing() -> str:
    """Write the notations, one on a line."""
    names = {each.name: each.name + (f", {each.alias}" if each.alias else "") for each in NOTATIONS.values()}
    width = max(map(len, names.values()))
    return "".join(f"{names[each.name]:<{width}}  {each.about}\n" for each in NOTATIONS.values())


def notation(name: str | None) -> Notation:
    """Return a notation by its name, or by its alias; the field's own if none is named.

    Raises
    ------
    UsageError
        If there is no such notation.
    """
    known = {each.alias: each for each in _TEXTS} | dict(NOTATIONS)
    if name is None:
        return OWN
    if name not in known:
        hint = did_you_mean(name, known)
        raise UsageError(
            Parameter("notation", name), f" is unknown;{hint} expected one of {', '.join(NOTATIONS)}, or {LIST}"
        )
    return known[name]
