"""Right code with limits, as people write it: what each forward pass refuses stands in its name."""

import time

import numpy as np

import convcheck
from convcheck import Layer


class _Base:
    """Takes what `limited` leaves it."""

    def forward(self, x, weight, bias, layer):
        self.limited(x, weight, layer)
        self.saved = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        return convcheck.backward(*self.saved, grad_output)

    def limited(self, x, weight, layer):
        pass


class OneStrideAndPadding(_Base):
    """One number each, no dilation, no groups: it takes no notice of the rest."""

    def forward(self, x, weight, bias, layer):
        known = Layer(
            x.shape[1], len(weight), weight.shape[2:], layer.stride[0], layer.padding[0][0], input=x.shape[2:],
            bias=bias is not None, batch=len(x), dtype=x.dtype,
        )  # fmt: skip
        return super().forward(x, weight, bias, known)


class NoRemainder(_Base):
    def limited(self, x, weight, layer):
        for n, axis in zip(layer.input, layer.axes, strict=True):
            if axis.remainder:
                raise ValueError(f"{n} does not fit")


class SquareOnly(_Base):
    def limited(self, x, weight, layer):
        assert len(set(layer.kernel)) == 1, "square kernels only"
        assert len(set(layer.input)) == 1, "square images only"


class SameOnly(_Base):
    def limited(self, x, weight, layer):
        if layer.padding != Layer(**{**layer.spec(), "padding": "same"}).padding:
            raise ValueError("padding must be same")


class ValidOnly(_Base):
    def limited(self, x, weight, layer):
        if any(map(any, layer.padding)):
            raise ValueError("no padding here")


class PaddingAboveZero(_Base):
    def limited(self, x, weight, layer):
        p = layer.padding[0][0]
        if layer.kernel[0] > 1 and not np.zeros(9)[p:-p].size:
            raise ValueError("empty")


class MultiplesOfEight(_Base):
    def limited(self, x, weight, layer):
        if layer.channels % 8 or layer.filters % 8:
            raise RuntimeError("channels must be a multiple of 8")


class MultiplesOfSixteen(_Base):
    def limited(self, x, weight, layer):
        if layer.channels % 16 or layer.filters % 16:
            raise RuntimeError("channels must be a multiple of 16")


class ThreeByThree(_Base):
    """As Winograd's kernels are."""

    def limited(self, x, weight, layer):
        if set(layer.kernel) != {3} or set(layer.stride) != {1} or set(layer.dilation) != {1}:
            raise NotImplementedError("3x3 with stride 1 only")


class Depthwise(_Base):
    def limited(self, x, weight, layer):
        if layer.groups != layer.channels:
            raise ValueError("depthwise only")


class OneSample(_Base):
    def limited(self, x, weight, layer):
        if len(x) != 1:
            raise ValueError("one image at a time")


class AsManyFiltersAsChannels(_Base):
    def limited(self, x, weight, layer):
        if layer.channels != layer.filters:
            raise ValueError("residual blocks only")


class StrideOrDilation(_Base):
    """Each alone is fine."""

    def limited(self, x, weight, layer):
        if max(layer.stride) > 1 and max(layer.padding[0]) > 0 and layer.batch > 2:
            raise ValueError("not together")


class Single(_Base):
    """Gives float32 whatever comes in."""

    def forward(self, x, weight, bias, layer):
        narrow = Layer(**{**layer.spec(), "dtype": "float32"})
        return super().forward(*(a if a is None else a.astype(np.float32) for a in (x, weight, bias)), narrow)

    def backward(self, grad_output):
        return super().backward(grad_output.astype(np.float32))


class SingleInside(Single):
    """Computes in float32 and gives what it was given."""

    def forward(self, x, weight, bias, layer):
        self.dtype = x.dtype
        return super().forward(x, weight, bias, layer).astype(x.dtype)

    def backward(self, grad_output):
        return tuple(
            gradient if gradient is None else gradient.astype(self.dtype) for gradient in super().backward(grad_output)
        )


class SingleOnly(_Base):
    """Refuses all but float32."""

    dtype = "float32"

    def limited(self, x, weight, layer):
        if layer.dtype != self.dtype:
            raise TypeError(f"{self.dtype} only")


class HalfOnly(SingleOnly):
    """Refuses all but float16."""

    dtype = "float16"


class Nothing(_Base):
    def limited(self, x, weight, layer):
        raise ValueError("never")


class Slow(_Base):
    """A second per call, by a clock of its own that tests can set."""

    seconds = 1.0

    def limited(self, x, weight, layer):
        time.sleep(self.seconds)


class Restless(_Base):
    """Never the same twice: a draw from few numbers would be, now and then."""

    calls = 0

    def forward(self, x, weight, bias, layer):
        Restless.calls += 1
        return super().forward(x, weight, bias, layer) + Restless.calls


class WrongEverywhere(_Base):
    def forward(self, x, weight, bias, layer):
        return super().forward(x, weight, bias, layer)[..., :-1]


class WrongBackward(NoRemainder):
    def backward(self, grad_output):
        grad_input, grad_weight, grad_bias = super().backward(grad_output)
        return grad_input, grad_weight[..., ::-1], grad_bias


class BackwardRaises(SquareOnly):
    """What only backward cannot do is an error, and no limit."""

    def backward(self, grad_output):
        layer, x, _ = self.saved
        if not layer.padding[0][0]:
            raise ValueError(f"shapes of {x.shape} do not fit")
        return super().backward(grad_output)
