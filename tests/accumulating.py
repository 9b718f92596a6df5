"""A right convolution, written out term by term, whose sums are made in a format of one's choice."""

import numpy as np

from convcheck.gradients import unfold
from convcheck.layer.arrays import at_sites


def rounded(array, bits):
    """Round to so many significant bits."""
    fraction, exponent = np.frexp(np.asarray(array, np.float64))
    return np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits)


class Accumulating:
    """Its sums are made one term after the other.

    Attributes
    ----------
    bits : dict of str to int
        In how many bits the sums of an array are made.
    tile : dict of str to (int, int)
        After how many terms the sum of an array is stored, and in how many bits.
    operands : dict of str to int
        To how many bits the operands of an array are rounded first.
    """

    bits, tile, operands, compensated = {}, {}, {}, ()

    def total(self, name, terms):
        """Add up terms, each an array."""
        bits = self.bits.get(name, 24)
        length, stored = self.tile.get(name, (None, bits))
        parts = total = error = 0.0
        for number, term in enumerate(terms, 1):
            if name in self.compensated:
                next_term = rounded(term - error, bits)
                new = rounded(total + next_term, bits)
                error = rounded(rounded(new - total, bits) - next_term, bits)
                total = new
            else:
                total = rounded(total + term, bits)
            if length and number % length == 0:
                parts, total = parts + rounded(total, stored), 0.0
        return parts + (rounded(total, stored) if length else total)

    def given(self, name, *arrays):
        """Widen operands, rounded on the way where that is asked for."""
        bits = self.operands.get(name, 53)
        return [rounded(array, bits) for array in arrays]

    def forward(self, x, weight, bias, layer):
        self.layer, self.x, self.weight = layer, x, weight
        wide_x, wide_weight = self.given("output", x, weight)
        columns = unfold.unfold(layer, wide_x)
        rows = wide_weight.reshape(layer.groups, layer.filters_per_group, -1)
        terms = (rows[:, :, k, None] * columns[:, :, k, None] for k in range(columns.shape[2]))
        output = self.total("output", terms).reshape(layer.output_shape)
        if bias is not None:
            output = output + bias.astype(np.float64).reshape(-1, *[1] * len(layer.input))
        return output.astype(x.dtype)

    def backward(self, grad_output):
        layer, dtype = self.layer, grad_output.dtype
        return tuple(np.asarray(found).astype(dtype) for found in (
            self.grad_input(layer, grad_output), self.grad_weight(layer, grad_output),
            self.total("bias", self.samples(layer, *self.given("bias", grad_output))),
        ))  # fmt: skip

    @staticmethod
    def samples(layer, grad_output):
        """Return grad_output site by site."""
        flat = np.moveaxis(grad_output, 1, 0).reshape(layer.filters, -1)
        return (flat[:, k] for k in range(flat.shape[1]))

    def grad_input(self, layer, grad_output):
        grad, weight = self.given("input", grad_output, self.weight)
        grad = grad.reshape(layer.batch, layer.groups, layer.filters_per_group, *layer.output)
        weight = weight.reshape(layer.groups, layer.filters_per_group, layer.channels_per_group, *layer.kernel)

        def terms():
            sizes = [axis.padded_size for axis in layer.axes]
            for f in range(layer.filters_per_group):
                for tap in np.ndindex(*layer.kernel):
                    padded = np.zeros((layer.batch, layer.groups, layer.channels_per_group, *sizes))
                    seen = at_sites(axis.tap_slice(a) for axis, a in zip(layer.axes, tap, strict=True))
                    factor = weight[(slice(None), f, slice(None), *tap)]
                    padded[seen] = factor.reshape(1, *factor.shape, *[1] * len(tap)) * grad[:, :, f, None]
                    inside = at_sites(slice(axis.before, axis.before + axis.size) for axis in layer.axes)
                    yield padded[inside].reshape(layer.input_shape)

        return self.total("input", terms())

    def grad_weight(self, layer, grad_output):
        grad, x = self.given("weight", grad_output, self.x)
        columns = unfold.unfold(layer, x)
        rows = grad.reshape(layer.batch, layer.groups, layer.filters_per_group, -1)
        terms = (
            rows[n, :, :, k, None] * columns[n, :, None, :, k] for n in range(layer.batch) for k in range(rows.shape[3])
        )
        return self.total("weight", terms).reshape(layer.weight_shape)


def accumulating(**attributes):
    """Return a class of it."""
    return type("Accumulating", (Accumulating,), attributes)
