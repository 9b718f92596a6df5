"""How far a right gradient may be off because of rounding: derived per entry and dtype, never picked.

A sum of n products, each rounded, in any order of summation, is off by at most gamma_n * sum of |terms|, with
gamma_n = n*u / (1 - n*u) and u the unit roundoff (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
sections 3.1 and 4.2). Where a sum is made in one format and stored in another, of half precision, u is that of the sum,
and the result is rounded once more, by at most the other format's u of what it is.

Of complex numbers, sizes are moduli. A part of a sum of n products is one of 2n real products, whose sizes add up to at
most |x| |y| each (Cauchy and Schwarz), so that the sum is off by at most sqrt(2) * gamma_2n of its |terms|. Where a
product takes three real ones (Higham, section 23.2.4; PyTorch's convolutions are made so), the imaginary part is
(a + b)(c + d) - ac - bd, of which the sizes add up to at most 3 |x| |y|, with five roundings more: sqrt(10) *
gamma_(n + 5), sqrt(10) being that of 3 and 1 for both parts. The larger of the two holds for either way.

- Analytic side: the sum of |terms| is the same backward pass run on absolute values.
- Numeric side: both forward evaluations are off by at most gamma * (|W| * |x| + |b|) and a step; that reaches an entry
  through the |grad_output| of every output that sees it. Adding these parts up rounds once more, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import log2, prod

import numpy as np
from numpy.typing import NDArray

from convcheck.gradients.numeric.differences import STEP
from convcheck.gradients.numeric.directions import Forward
from convcheck.layer.arrays import Array, Gradients, wide, widest
from convcheck.layer.data import Operands, as_weight
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer

Backward = Callable[[Layer, Array, Array, Array], Gradients]

#: Roundings of the numeric side beyond its sum: the difference of two outputs, the product with grad_output, the
#: division by the step, and the rounding of the bound itself.
_EXTRA_ROUNDINGS = 4


@lru_cache(maxsize=256)
def gamma(terms: int, dtype: str) -> float:
    """gamma_n = n*u / (1 - n*u), infinite where n*u >= 1 and no bound holds."""
    return float(gammas(np.asarray(terms, np.float64), dtype))


def _sizes(operands: Operands) -> Operands:
    """Return the size of every number, in float64."""
    return operands.map(lambda array: np.abs(wide(array)))


def backward_errors(layer: Layer, operands: Operands, backward: Backward, *, exact: bool = True) -> Gradients:
    """Bound the error of a right backward pass alone, against one in float64, for every entry of every gradient.

    Only terms that are not zero count: adding a zero does not round.

    Parameters
    ----------
    layer : Layer
        Its dtype is the one in which the implementation computes.
    backward : callable
        A right backward pass, run in float64 on absolute values.
    exact : bool, default True
        False for an algorithm that works by transforms; see `transformed`.

    Returns
    -------
    Gradients
        In float64.
    """
    sizes = _sizes(operands)
    there = operands.map(lambda array: (array != 0).astype(np.float64))
    total = backward(layer, sizes.x, sizes.weight, sizes.grad_output)
    terms = backward(layer, there.x, there.weight, there.grad_output)
    results = _right(layer, operands, backward)
    extra = {"input": 0.0, "weight": 0.0, "bias": 0.0}
    if not exact:
        relative, largest = _transform_errors(layer, operands)
        extra |= {name: relative * largest[name] for name in ("input", "weight")}
    bounds = {}
    for name in ("input", "weight", "bias"):
        size, count = getattr(total, name), getattr(terms, name)
        if size is not None:
            count = count + _EXTRA_ROUNDINGS
            bound = (gammas(count, layer.sums) + gammas(count, widest(layer.dtype))) * size + extra[name]
            bounds[name] = _stored(layer, bound, getattr(results, name))
    return Gradients(bounds["input"], bounds["weight"], bounds.get("bias"))


def _right(layer: Layer, operands: Operands, backward: Backward) -> Gradients:
    """Return the gradients in float64 where they are stored in fewer bits than they are summed in."""
    if layer.sums == layer.dtype:
        return Gradients(np.zeros(()), np.zeros(()), np.zeros(()))
    wide = operands.wide()
    return backward(layer, wide.x, wide.weight, wide.grad_output)


def _right_output(layer: Layer, operands: Operands, forward: Forward) -> Array:
    if layer.sums == layer.dtype:
        return np.zeros(())
    wide = operands.wide()
    return forward(layer, wide.x, wide.weight, wide.bias)


def _stored(layer: Layer, error: Array, right: Array) -> Array:
    """Bound the error of sums that are off by so much when they have been stored."""
    if layer.sums == layer.dtype:
        return error
    stored = DTYPES[layer.dtype]
    size = np.abs(right) + error
    return error + stored.roundoff * size + np.minimum(stored.smallest / 2, size)


def output_errors(layer: Layer, operands: Operands, forward: Forward, *, exact: bool = True) -> NDArray[np.float64]:
    """Bound the difference of two right forward passes; parameters as of `backward_errors`."""
    allowed = allowed_output_error(layer, operands, forward)
    if exact:
        return allowed
    relative, largest = _transform_errors(layer, operands)
    return allowed + relative * largest["output"]


def gammas(terms: NDArray[np.float64], dtype: str) -> NDArray[np.float64]:
    """`gamma` of every entry of an array of numbers of terms; of complex terms, what takes its place."""
    part = DTYPES[dtype].part
    if part:
        return np.maximum(2**0.5 * gammas(2 * terms + 2, part), 10**0.5 * gammas(terms + 5, part))
    product = terms * DTYPES[dtype].roundoff
    with np.errstate(divide="ignore"):
        return np.where(product < 1, product / np.maximum(1 - product, 0), np.inf)


def allowed_errors(layer: Layer, operands: Operands, forward: Forward, backward: Backward) -> Gradients:
    """Bound |analytic - numeric| for every entry of every gradient of a right implementation.

    Parameters
    ----------
    layer : Layer
        Its dtype is the one in which the implementation computes.
    operands : Operands
        Where the gradients are taken.
    forward, backward : callable
        A right forward and backward pass, run in float64 on absolute values.

    Returns
    -------
    Gradients
        In float64.
    """
    sizes = _sizes(operands)
    analytic = backward(layer, sizes.x, sizes.weight, sizes.grad_output)
    output = forward(layer, sizes.x, sizes.weight, sizes.bias)
    terms = layer.output_terms + 1
    repeats = prod(axis.repeats for axis in layer.axes)
    results, start = _right(layer, operands, backward), np.abs(_right_output(layer, operands, forward))
    # One evaluation's error per unit step: two evaluations, divided by twice the step.
    noise = {}
    for name, reach in (("input", repeats * sizes.weight.max()), ("weight", sizes.x.max()), ("bias", 1.0)):
        summed = (output + STEP * reach) * gamma(terms, layer.sums)
        noise[name] = sizes.grad_output * _stored(layer, summed, start + STEP * reach) / STEP
    ones = np.ones_like(sizes.weight)
    reached = backward(layer, sizes.x, ones, noise["input"])
    over_sites = (0, *range(2, output.ndim))
    per_filter = {name: noise[name].sum(axis=over_sites) for name in ("weight", "bias")}
    # Of the numeric sum, the terms are the outputs.
    sites = layer.batch * prod(layer.output)
    return Gradients(
        _total(analytic.input, layer.input_terms, reached.input, layer, results.input),
        _total(analytic.weight, max(sites, layer.weight_terms), _of_weight(layer, per_filter["weight"]), layer,
               results.weight),
        None if analytic.bias is None else _total(analytic.bias, sites, per_filter["bias"], layer, results.bias),
    )  # fmt: skip


def _of_weight(layer: Layer, per_filter: Array) -> Array:
    """Numbers of the filters, each at all entries of dL/dW that belong to its filter."""
    grouped = per_filter.reshape(layer.groups, layer.filters_per_group, 1)
    entries = layer.channels_per_group * prod(layer.kernel)
    return as_weight(layer, np.repeat(grouped, entries, axis=2))


def _total(sizes: Array, terms: int, noise: Array, layer: Layer, result: Array | None) -> NDArray[np.float64]:
    """Rounding of the analytic sum, of the evaluations, and of the numeric sum."""
    assert result is not None
    summed = terms + _EXTRA_ROUNDINGS
    own = _stored(layer, gamma(summed, layer.sums) * sizes, result) + gamma(summed, widest(layer.dtype)) * (
        sizes + noise
    )
    return (own + noise) * (1 + gamma(summed, widest(layer.dtype)))


def transformed(layer: Layer, operands: Operands, forward: Forward, backward: Backward) -> tuple[Array, Gradients]:
    """Bound the errors of an algorithm that works by Fourier transforms: the output's and the gradients'.

    Such an algorithm rounds relative to the size of whole images, not of the terms of one sum. A transform of n points
    is off by at most log2(n) * eta / (1 - log2(n) * eta) in the 2-norm, relative to its result, with eta = u +
    gamma_4 * (sqrt(2) + u) (Higham, section 24.1); a product of two transformed images is transformed three times and
    multiplied once. By Cauchy's inequality no entry of the product of two images is larger than the product of their
    norms; these are added up over what is summed. The bound of the direct algorithm comes on top.

    Parameters
    ----------
    layer, operands, forward, backward
        As for `allowed_errors`.

    Returns
    -------
    tuple of (array, Gradients)
        In float64.
    """
    relative, terms = _transform_errors(layer, operands)
    points = _transform_points(layer)
    direct = allowed_errors(layer, operands, forward, backward)
    output = output_errors(layer, operands, forward, exact=False)
    # The numeric side: two evaluations, each off by the output's bound after a step, seen through |grad_output|. A step
    # for the input may move every sample of an image by 1, one for the weight a single tap.
    sizes = np.abs(wide(operands.grad_output))
    per_filter = float(sizes.sum(axis=(0, *range(2, sizes.ndim))).max())
    seen = {
        "input": float(sizes.max()) * layer.input_terms,
        "weight": per_filter,
        "bias": per_filter,
    }
    step = {"input": points**0.5 * terms["weight norm"], "weight": terms["x norm"], "bias": 1.0}
    seen = {name: seen[name] * relative * (terms["output"] + step[name]) for name in seen}
    return output, Gradients(
        direct.input + relative * terms["input"] + seen["input"],
        direct.weight + relative * terms["weight"] + seen["weight"],
        None if direct.bias is None else direct.bias + seen["bias"],
    )


def _transform_points(layer: Layer) -> int:
    return prod(axis.padded_size + axis.effective_kernel for axis in layer.axes)


def _transform_errors(layer: Layer, operands: Operands) -> tuple[float, dict[str, float]]:
    """Relative error of a product of two transformed images, and what it is relative to."""
    norms = {
        name: float(np.sqrt((np.abs(wide(array)) ** 2).sum(axis=tuple(range(2, array.ndim))).max()))
        for name, array in (("x", operands.x), ("weight", operands.weight), ("grad_output", operands.grad_output))
    }
    # Padding that repeats samples makes a larger image, and adds up several entries of its gradient.
    copies = prod(axis.copies for axis in layer.axes)
    norms["x"] *= copies**0.5
    points = _transform_points(layer)
    unit = DTYPES[layer.sums].roundoff
    eta = unit + gamma(4, layer.sums) * (2**0.5 + unit)
    relative = 3 * log2(2 * points) * eta / (1 - log2(2 * points) * eta) + gamma(4, layer.sums)
    # What is stored in fewer bits is rounded with that error.
    relative *= 1 + DTYPES[layer.dtype].roundoff * (layer.sums != layer.dtype)
    terms = {
        "output": layer.channels_per_group * norms["x"] * norms["weight"],
        "input": copies * layer.filters_per_group * norms["grad_output"] * norms["weight"],
        "weight": layer.batch * norms["grad_output"] * norms["x"],
    }
    return relative, terms | {"x norm": norms["x"], "weight norm": norms["weight"]}


def allowed_output_error(layer: Layer, operands: Operands, forward: Forward) -> NDArray[np.float64]:
    """Bound the difference of two right forward passes: each is off by gamma * (|W| * |x| + |b|).

    Parameters
    ----------
    layer, operands
        As for `allowed_errors`.
    forward : callable
        A right forward pass, run in float64 on absolute values.
    """
    sizes = _sizes(operands)
    terms = layer.output_terms + 1
    output = forward(layer, sizes.x, sizes.weight, sizes.bias).astype(np.float64)
    right = _right_output(layer, operands, forward)
    once = _stored(layer, gamma(terms, layer.sums) * output, right)
    return 2 * once.astype(np.float64, copy=False) * (1 + gamma(terms, widest(layer.dtype)))
