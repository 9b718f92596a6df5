"""Several forward passes of a layer asked for as one: taken apart for code that knows its batch and its filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.data import as_weight, by_filter
from convcheck.layer.layer import Layer
from convcheck.targets.target import TargetContractError


@dataclass(frozen=True)
class Passes:
    """Forward passes of a layer, each with an input of its own or each with a weight.

    Attributes
    ----------
    copies : int
    varies : {"x", "weight"}
        Which has a leading axis for the passes.
    """

    layer: Layer
    copies: int
    varies: str
    x: Array
    weight: Array
    bias: Array | None

    @classmethod
    def of(cls, of: Layer, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Passes:
        """Take apart what `Target.merged` is given."""
        copies = max(len(x) // of.batch, layer.filters // of.filters)
        if len(x) > of.batch:
            return cls(of, copies, "x", x.reshape(copies, *of.input_shape), weight, bias)
        # Each group has the filters of one pass after those of another.
        parts = by_filter(layer, weight).reshape(of.groups, copies, of.filters_per_group, -1)
        side_by_side = of.alike(**{name: copies * getattr(of, name) for name in ("groups", "channels", "filters")})
        weight = as_weight(side_by_side, parts.swapaxes(0, 1)).reshape(copies, *of.weight_shape)
        if bias is not None:
            bias = bias.reshape(of.groups, copies, -1)[:, 0].reshape(-1)
        return cls(of, copies, "weight", x, weight, bias)

    def some(self, part: slice) -> tuple[Array, Array, Array | None]:
        """Return the arguments of some of the passes."""
        if self.varies == "x":
            return self.x[part], self.weight, self.bias
        return self.x, self.weight[part], self.bias

    def together(self, outputs: Array) -> Array:
        """Return outputs, one of each pass, as that of the one pass that was asked for."""
        of = self.layer
        if self.varies == "x":
            return outputs.reshape(-1, *of.output_shape[1:])
        split = outputs.reshape(self.copies, of.batch, of.groups, of.filters_per_group, *of.output)
        return np.moveaxis(split, 0, 2).reshape(of.batch, -1, *of.output)


def run_each(
    forward: Callable[[Layer, Array, Array, Array | None], Array],
    layer: Layer,
    varies: str,
    arguments: tuple[Array, Array, Array | None],
    outputs: Array,
) -> Array:
    """Run passes one after the other, and return their outputs, for which there is memory, one behind the other.

    Raises
    ------
    TargetContractError
        If an output is none of the layer.
    """
    x, weight, bias = arguments
    for number, place in enumerate(outputs):
        own_x, own_weight = (x[number], weight) if varies == "x" else (x, weight[number])
        output = np.asarray(forward(layer, own_x, own_weight, bias))
        if output.shape != place.shape or output.dtype != place.dtype:
            # The one before was of the right kind.
            raise TargetContractError(
                f"a further forward pass gives an output of shape {output.shape} and dtype {output.dtype}; "
                f"expected {layer.output_shape} and {layer.dtype}"
            )
        place[...] = output
    return outputs
