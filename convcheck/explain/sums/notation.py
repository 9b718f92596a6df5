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

#: The sample of X that an output reads through a tap; of a transposed layer, the output that a sample reaches.
_FROM_OUTPUT = ("i·s + a·d - before", r"i s + a d - \mathrm{before}")
_FROM_SAMPLE = ("p·s + a·d - before", r"p s + a d - \mathrm{before}")

#: What a padding mode does with a place outside of the input.
BROUGHT_IN = {"circular": "wrapped round", "reflect": "mirrored at the border", "replicate": "moved to the border"}


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

    def within(self, layer: Layer) -> str:
        """The letter of W's second index, which counts within a group: c' where there are several, transposed f'."""
        letter = self.filter if layer.transposed else "c"
        return f"{letter}'" if layer.groups > 1 else letter

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
            # Of a transposed layer, X is the matrix and what the windows are cut from is O.
            image = not weight and image != layer.transposed
            # Row and column in the matrices of T4; X itself stays as it is.
            if image or len(numbers) < len(index):
                return index
            windows = layer.input if layer.transposed else layer.output
            place = int(np.ravel_multi_index(numbers[2:], layer.kernel if weight else windows))
            if weight:
                return [first, numbers[1] * prod(layer.kernel) + place]
            return [*([first] if layer.batch > 1 else []), second, place]
        if self.layout == "last":
            if weight:
                return [*sites, second, first]
            return [*([first] if layer.batch > 1 else []), *sites, second]
        sizes: tuple[int, ...] = (layer.batch, layer.channels if image else layer.filters)
        if weight:
            sizes = layer.weight_shape[:2]
        return [*(i for i, size in zip((first, second), sizes, strict=True) if size > 1), *sites]

    def formula(self, array: str, layer: Layer) -> Formula:
        """Write the definition of the output, or the general formula of the gradient of an array."""
        f, turned = self.filter, layer.transposed
        weight = ("c", self.within(layer), "a") if turned else (f, self.within(layer), "a")
        # A tap connects an output i and a sample of X that follows from it; transposed, a sample p and an output.
        output, sample = (_FROM_SAMPLE, "p") if turned else ("i", _FROM_OUTPUT)
        every = "(i, a)", "i·s + a·d = p + before", r"i s + a d = p + \mathrm{before}"
        if turned:
            every = "(p, a)", "p·s + a·d = i + before", r"p s + a d = i + \mathrm{before}"
        elif layer.repeats_samples:
            sample = f"r({_FROM_OUTPUT[0]})", f"r({_FROM_OUTPUT[1]})"
            every = "(i, a)", f"{sample[0]} = p", f"{sample[1]} = p"

        def met(letter: str) -> tuple[str, str]:
            return f"{letter} and over all {every[0]} with {every[1]}", rf"{letter},\; {every[0]}:\; {every[2]}"

        grad_output, x = ("grad_output", ("n", f, output)), ("x", ("n", "c", sample))
        index: tuple[Part, ...]
        match array:
            case "input":
                index, factors = ("n", "c", "p"), [grad_output, ("weight", weight)]
                over = (f"{f}, a", f"{f}, a") if turned else met(f)
            case "weight":
                index, factors = weight, [grad_output, x]
                over = ("n, p", "n, p") if turned else ("n, i", "n, i")
            case "bias":
                index, factors, over = (f,), [("grad_output", ("n", f, "i"))], ("n, i", "n, i")
            case _:
                index, factors = ("n", f, "i"), [("weight", weight), x]
                over = met("c") if turned else ("c, a", "c, a")
        start = self.entry("bias", (f,), layer) if array == "output" and layer.bias else None
        left, left_latex = self.entry(explained(array), index, layer)
        written = [self.entry(name, at, layer) for name, at in factors]
        product, product_latex = "·".join(text for text, _ in written), r" \, ".join(latex for _, latex in written)
        bias, bias_latex = (f"{start[0]} + ", f"{start[1]} + ") if start else ("", "")
        text = [f"{left} = {bias}sum over {over[0]} of {product}"]
        latex = [rf"{left_latex} &= {bias_latex}\sum_{{{over[1]}}} {product_latex}"]
        for words in self._remarks(array, layer):
            text.append(f"  {words}")
            latex.append(rf"&\quad \text{{{latex_words(words)}}}")
        return Formula(tuple(text), tuple(latex))

    def _remarks(self, array: str, layer: Layer) -> list[str]:
        """Say what a formula means where there are groups, and where padding repeats samples."""
        if array == "bias":
            return []
        depth, count, f, told = layer.channels_per_group, layer.filters_per_group, self.filter, []
        if layer.repeats_samples:
            told.append(f"r({_FROM_OUTPUT[0]}) is that place, {BROUGHT_IN[layer.padding_mode]} where X has none")
        if layer.groups > 1:
            which = f"{f}' = {f} mod {count}, the filter within the group of {count}"
            which = which if layer.transposed else f"c' = c mod {depth}, the channel within the group of {depth}"
            told.append(f"{which}; {f} div {count} = c div {depth}, the group")
        return told


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
