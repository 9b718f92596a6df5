"""Conditions under which a gradient can be wrong that is right otherwise, and circumstances that were never tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from convcheck.layer.fields import USUAL
from convcheck.layer.layer import Layer
from convcheck.mistakes.mistake import OtherName

#: Every condition by its slug, in words; `convcheck.checks.conditions` runs them.
CONDITIONS = {
    name: OtherName(code, name, title, fix, f"a gradient that is right on the layer's own data: {what}", why)
    for code, name, what, title, fix, why in (
        (
            "CC801", "real", "real numbers instead of integers",
            "the gradient is right on small integers and off by more than rounding on real numbers",
            "Look for numbers that are rounded, truncated or kept in a narrower type on the way.",
            "Real data are real numbers.",
        ),
        (
            "CC802", "sparse",
            "four in ten entries are 0, and all of one sample's grad_output; an input as behind a ReLU, or of zeros "
            "alone; the weight or grad_output mostly 0; one entry of grad_output alone",
            "the gradient is right on nonzero data and wrong where entries are 0",
            "Look for a shortcut that leaves out zeros: a break for a continue, an index into what is left.",
            "Behind a ReLU half of the entries are 0, and behind a maximum nearly all of grad_output.",
        ),
        (
            "CC803", "zero-grad-output", "all of grad_output is 0",
            "all of grad_output is 0, so every gradient is 0, and this one is not",
            "Look for memory that is never written, and for a term that does not contain grad_output.",
            "A loss that is met, or masked, passes nothing back.",
        ),
        (
            "CC804", "one-sign", "all entries positive, then all negative",
            "the gradient is right on data of both signs and wrong on data of one sign",
            "Look for an absolute value, a maximum, or an unsigned type.",
            "Images, and what a ReLU leaves, have no negative entries.",
        ),
        (
            "CC805", "large", "integers as large as keep every sum exact",
            "the gradient is right on small integers and wrong on large ones, on which nothing rounds either",
            "Look for an overflow, a narrower type, or a function that is no product: a power, a sign, a table.",
            "A gradient is linear in grad_output, whatever its size.",
        ),
        (
            "CC806", "interleaved", "three forward passes, then their backward passes in another order",
            "the gradient is right for one call at a time and wrong where two calls are in flight",
            "Keep what backward needs on the object or in the cache of its own call, never on the class or the module; "
            "do not return one buffer from several calls.",
            "A network has several layers of one kind, and some are used twice before any backward pass.",
        ),
        (
            "CC807", "same-memory", "other data in the same memory, on the same object",
            "the gradient is right at the first call and wrong once the same arrays hold other numbers",
            "Look for what is computed once and kept: packed weights, an unfolded input, a cache by address or shape.",
            "An optimizer changes the weight where it lies, and a loader fills the same batch again.",
        ),
        (
            "CC808", "tiny",
            "data scaled by a power of two until their products are as small as normal numbers get, and subnormal",
            "the gradient is right on integers and wrong on the same integers times a small power of two",
            "Look for a threshold below which numbers count as 0, a small number that is added, a narrower type, and "
            "for subnormal numbers that the backward pass makes zeros of while the forward pass does not.",
            "Gradients become small in deep networks, and a scaled loss is undone at the end only; code that makes "
            "zeros of subnormal numbers in its forward pass too is not accused.",
        ),
        (
            "CC809", "other-layer-before",
            "the code has just served a larger layer, a smaller one, another data type, and one of the same shapes "
            "with another stride, padding or dilation",
            "the gradient is right as long as the code serves this layer alone, and wrong after another one",
            "Look for a buffer that is not cleared, and for what is kept by a shape or a size and depends on more: the "
            "stride, the padding, the data type.",
            "A network has layers of many sizes, and its last batch is smaller.",
        ),
        (
            "CC810", "many-calls",
            "twelve passes of one object, in the same memory and in other memory in turn, on data of every kind; then "
            "one in which the weights alone are others, and its backward pass once more for another grad_output",
            "the gradient is right at the first call and wrong at a later one of the same object",
            "Look for what is kept of the first call, such as a reference to its input, a plan made for its data, or "
            "the gradients that it gave; and for a counter.",
            "Training calls the same layer again and again; a Jacobian calls backward for many upstream gradients.",
        ),
        (
            "CC811", "not-contiguous", "views with gaps between entries, and with gaps between rows",
            "the gradient is right for contiguous arrays and wrong for views with gaps",
            "Use the strides that come with an array, or make a contiguous copy of it first.",
            "A slice of a larger array is a view, and so is what a concatenation passes back.",
        ),
        (
            "CC812", "transposed-memory", "arrays in Fortran's order, and with the channels last in memory",
            "the gradient is right for arrays in C order and wrong where memory is in another order",
            "Use the strides that come with an array, or bring it into C order first: np.ascontiguousarray(x), "
            "x.contiguous().",
            "What a transposition, or a layer that works channels last, passes on has this memory.",
        ),
        (
            "CC813", "negative-strides", "views that are reversed, along every axis or along one",
            "the gradient is right for contiguous arrays and wrong for reversed views",
            "Use the strides that come with an array, with their signs, or make a contiguous copy of it first.",
            "A flip is a view with negative strides.",
        ),
        (
            "CC814", "broadcast-grad-output", "a grad_output with stride 0: one entry for all, and one for each map",
            "the gradient is right for a grad_output with memory of its own and wrong where entries share it",
            "Use the strides that come with an array, or make a contiguous copy of it first.",
            "Behind a sum or a mean grad_output is one number, expanded: that is how most tests call backward.",
        ),
        (
            "CC815", "read-only", "arguments that cannot be written",
            "the gradient is right for arrays that can be written and wrong for others",
            "Do not write into arguments, not even for a while; work on a copy.",
            "Arrays in mapped files, in shared memory and of other frameworks cannot be written.",
        ),
        (
            "CC816", "out-of-bounds", "arguments between bands of NaN in one larger piece of memory",
            "the result depends on memory beyond the arguments, or that memory is written",
            "Mask the indices that leave an array: in the padding, and in the last block those beyond the number of "
            "channels, filters or samples.",
            "What lies beyond an array is another one, or nothing.",
        ),
        (
            "CC817", "some-gradients", "one gradient alone is asked for, and all but one",
            "the gradient is right where all gradients are asked for and wrong where only some are",
            "Look at what backward does by what is asked for, such as ctx.needs_input_grad, and at the order in which "
            "it returns the gradients.",
            "The first layer needs no gradient of its input, and a frozen one none of its weight.",
        ),
        (
            "CC818", "after-no-grad",
            "the same object makes a pass without gradients, in evaluation mode, before the forward pass, and between "
            "it and the backward pass; and both passes in evaluation mode",
            "the gradient is right in training alone and wrong around a pass without gradients or in evaluation mode",
            "Keep what backward needs with the call that it belongs to, and let evaluation mode change nothing: a "
            "convolution has none.",
            "Training is interrupted by validation, and frozen networks are differentiated in evaluation mode.",
        ),
        (
            "CC819", "batch-of-one", "the same layer with a single sample",
            "the gradient is right for several samples and wrong for one",
            "Look for a squeeze that drops the axis of the batch, and for broadcasting along it.",
            "The last batch has what is left over, and inference has one sample.",
        ),
        (
            "CC820", "no-bias", "the same layer without a bias",
            "the gradient is right with a bias and wrong without one",
            "Look for what is computed beside the bias, and for the number of values that are returned.",
            "In front of a normalization layers have no bias.",
        ),
        (
            "CC821", "threads",
            "one thread, and all that there are; two layers at once, where the mapping says threads: true",
            "the gradient is right as usual, and wrong with one thread, with all, or beside another layer",
            "Look for memory that threads share, and for work that is divided by a number of threads.",
            "The number of threads is the user's, and servers call layers from several threads.",
        ),
    )
}  # fmt: skip


class Untried(NamedTuple):
    """A circumstance in which no layer of a suite was checked.

    Attributes
    ----------
    lacking : str
        What the suite lacks.
    shown_by : callable
        Whether a layer has it.
    change : dict
        What gives it to a layer.
    """

    words: OtherName
    lacking: str
    shown_by: Callable[[Layer], bool]
    change: dict[str, Any]


def _untried(
    number: int, name: str, what: str, why: str, shown_by: Callable[[Layer], bool], change: dict[str, Any]
) -> Untried:
    title, fix = f"no layer {what} was checked: {why}", f"Add a layer {what} to the suite."
    words = OtherName(f"CC{850 + number}", f"untried-{name}", title, fix, told_of=f"a suite without a layer {what}")
    return Untried(words, f"a layer {what}", shown_by, change)


def _has(field: str, value: object, layer: Layer) -> bool:
    return bool(getattr(layer, field) == value)


def _beyond_a_tile(layer: Layer) -> bool:
    return layer.batch > 8 and min(layer.channels_per_group, layer.filters_per_group) > 64


#: Kernels are cut into tiles of up to so many channels, filters and samples; the tail beyond them is code of its own.
TILE = {"channels": 65, "filters": 66, "groups": 1, "batch": 9}

UNTRIED = (
    *(
        _untried(number, dtype, f"in {dtype}", "sums may be kept in another type, or be rounded",
                 partial(_has, "dtype", dtype), {"dtype": dtype})
        for number, dtype in enumerate(USUAL)
    ),
    _untried(20, "no-bias", "without a bias", "what is computed beside it may fail",
             partial(_has, "bias", False), {"bias": False}),
    _untried(21, "batch-of-one", "with a batch of 1", "an axis of size 1 may be dropped or broadcast",
             partial(_has, "batch", 1), {"batch": 1}),
    _untried(22, "tile", "of more than 64 channels and filters and a batch above 8",
             "code that works in tiles treats what is left over by itself",
             _beyond_a_tile, TILE),
)  # fmt: skip
