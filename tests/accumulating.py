"""A right convolution, written out term by term, whose sums are made in a format of one's choice."""

import numpy as np

from convcheck.gradients import FASTEST, formulation, unfold
from convcheck.layer.arrays import at_sites
from convcheck.layer.data import as_weight, by_filter

#: For what is no sum of a format's.
BUILT_IN = formulation(FASTEST)


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


class OfAnyKind:
    """Right on layers of every kind: the terms of its sums are made one by one, and added in an order of one's choice.

    Attributes
    ----------
    bits : int
        In which the sums are made.
    pairwise, compensated : bool
        Whether terms are added two by two, or with what was lost kept aside.
    blocks : int or None
        Terms of a partial sum, which is stored.
    stored : int
        Bits of a partial sum; these are added up in float32.
    """

    bits, pairwise, compensated, blocks, stored = 24, False, False, None, 24

    def total(self, terms):
        if self.blocks is None:
            return self.added(terms, self.bits)
        starts = range(0, len(terms), self.blocks)
        parts = [rounded(self.added(terms[i : i + self.blocks], self.bits), self.stored) for i in starts]
        return self.added(parts, 24)

    def added(self, terms, bits):
        if self.pairwise:
            while len(terms) > 1:
                pairs = zip(terms[::2], terms[1::2], strict=False)
                terms = [rounded(a + b, bits) for a, b in pairs] + terms[len(terms) // 2 * 2 :]
            return terms[0]
        total = lost = 0.0
        for term in terms:
            term = rounded(term - lost, bits)
            new = rounded(total + term, bits)
            lost = rounded(rounded(new - total, bits) - term, bits) if self.compensated else 0.0
            total = new
        return total

    def forward(self, x, weight, bias, layer):
        self.layer, self.x, self.weight = layer, x.astype(np.float64), weight.astype(np.float64)
        shape = (layer.groups, layer.filters_per_group, layer.channels_per_group, *layer.kernel)
        parts = self.parts(by_filter(layer, self.weight), shape, axis=2)
        output = self.total([BUILT_IN.forward(layer, self.x, as_weight(layer, part), None) for part in parts])
        if bias is not None:
            output = output + bias.astype(np.float64).reshape(-1, *[1] * len(layer.input))
        return output.astype(x.dtype)

    @staticmethod
    def parts(weight, shape, axis):
        """Yield a weight's entries for one channel or filter of each group and one tap, all others 0."""
        for one in range(shape[axis]):
            for tap in np.ndindex(*shape[3:]):
                place = [slice(None)] * 3
                place[axis] = one
                part = np.zeros(shape)
                part[(*place, *tap)] = weight[(*place, *tap)]
                yield part

    def backward(self, grad_output):
        layer, dtype, grad = self.layer, grad_output.dtype, grad_output.astype(np.float64)
        backward = BUILT_IN.backward
        shape = (layer.groups, layer.filters_per_group, layer.channels_per_group, *layer.kernel)
        parts = self.parts(by_filter(layer, self.weight), shape, axis=1)
        grad_input = self.total([backward(layer, self.x, as_weight(layer, part), grad).input for part in parts])
        each = []
        for sample in range(layer.batch):
            for site in np.ndindex(*layer.output):
                one = np.zeros_like(grad)
                one[(sample, slice(None), *site)] = grad[(sample, slice(None), *site)]
                each.append(backward(layer, self.x, self.weight, one))
        grad_weight = self.total([found.weight for found in each])
        grad_bias = self.total([found.bias for found in each]).astype(dtype) if layer.bias else None
        return grad_input.astype(dtype), grad_weight.astype(dtype), grad_bias
