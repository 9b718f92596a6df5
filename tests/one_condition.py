"""Targets that are wrong under one condition alone, each with the layer on which that shows and the condition."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import ClassVar

import numpy as np

from convcheck import Layer
from convcheck.targets.concurrency import BESIDE
from tests.targets_for_tests import UNFOLD, Backward, Right, SavedOnTheClass, rounded, with_operands

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)
SINGLE = replace(LAYER, dtype="float32")

as_strided = np.lib.stride_tricks.as_strided


class StopsAtZero(Backward):
    """A shortcut for zeros that breaks out of the loop instead of going on with the next filter."""

    def changed(self, x, weight, grad_output):
        shortened = grad_output.copy()
        for image in shortened:
            empty = [f for f in range(len(image)) if (image[f] == 0).any()]
            if empty:
                image[empty[0] + 1 :] = 0
        return x, weight, shortened


class DirtyWhereEmpty(Backward):
    """Leaves dL/dX unwritten where all of grad_output is zero."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        return right if grad_output.any() else (np.full_like(right.input, 7), *right[1:])


class OneBufferForAllCalls(Right):
    buffers: ClassVar = {}

    def backward(self, grad_output):
        given = []
        for name, array in zip("iwb", super().backward(grad_output), strict=True):
            if array is None:
                return (*given, None)
            buffer = self.buffers.setdefault((name, array.shape, array.dtype), np.empty_like(array))
            buffer[...] = array
            given.append(buffer)
        return tuple(given)


class KeptOnAStack(Right):
    """Takes what the last forward pass of any object has saved."""

    stack: ClassVar = []

    def forward(self, x, weight, bias, layer):
        output = super().forward(x, weight, bias, layer)
        self.stack.append((x, weight, layer))
        return output

    def backward(self, grad_output):
        if self.stack:
            self.x, self.weight, self.layer = self.stack.pop()
        return super().backward(grad_output)


class PackedOnce(Right):
    """Keeps the weights of the first call with an address."""

    packed = None, None

    def backward(self, grad_output):
        address = self.weight.__array_interface__["data"]
        if self.packed[0] != address:
            self.packed = address, self.weight.copy()
        return UNFOLD.backward(self.layer, self.x, self.packed[1], grad_output)


class Flushes(Right):
    """Subnormal gradients become zeros."""

    def backward(self, grad_output):
        given = super().backward(grad_output)
        least = np.finfo(grad_output.dtype).smallest_normal
        return tuple(None if array is None else np.where(np.abs(array) < least, 0, array) for array in given)


class BorderLeftDirty(Right):
    """One padded image for all objects, whose border is taken for zeros."""

    memory: ClassVar = {}

    def backward(self, grad_output):
        layer, x = self.layer, self.x
        shape = (*x.shape[:2], *(axis.padded_size for axis in layer.axes))
        size = int(np.prod(shape))
        if self.memory.get("image", np.empty(0)).size < size:
            self.memory["image"] = np.zeros(size)
        padded = self.memory["image"][:size].reshape(shape)
        inside = tuple(slice(axis.before, axis.before + axis.size) for axis in layer.axes)
        padded[(..., *inside)] = x
        bare = replace(layer, padding=0, input=shape[2:])
        right = super().backward(grad_output)
        weight = UNFOLD.backward(bare, padded.astype(x.dtype), self.weight, grad_output).weight
        return right.input, weight, right.bias


class KeptByShapes(Right):
    """Keeps what it needs to know of a layer by the shapes of its arrays, of which the stride is no part."""

    kept: ClassVar = {}

    def backward(self, grad_output):
        key = self.x.shape, self.weight.shape, grad_output.shape, grad_output.dtype
        layer = self.kept.setdefault(key, self.layer)
        return UNFOLD.backward(replace(layer, bias=self.layer.bias), self.x, self.weight, grad_output)


class MadeForItsFirstLayer(Right):
    """An object that keeps how many samples its first call had."""

    samples = 0

    def backward(self, grad_output):
        self.samples = self.samples or len(grad_output)
        right = super().backward(grad_output)
        return right.input, right.weight * (len(grad_output) / self.samples), right.bias


class MemoisedBackward(Right):
    """Computes its gradients once per forward pass."""

    def forward(self, x, weight, bias, layer):
        self.memo = None
        return super().forward(x, weight, bias, layer)

    def backward(self, grad_output):
        self.memo = self.memo or super().backward(grad_output)
        return self.memo


class KeptByInputAndGradOutput(Right):
    """Computes its gradients once for the same input and grad_output, whatever the weights."""

    def __init__(self):
        self.kept = {}

    def backward(self, grad_output):
        key = self.x.tobytes(), grad_output.tobytes()
        if key not in self.kept:
            self.kept[key] = super().backward(grad_output)
        return self.kept[key]


class KeptByAllAddresses(Right):
    """Computes its gradients once for arguments that lie where others have lain."""

    def __init__(self):
        self.kept = {}

    def backward(self, grad_output):
        key = tuple(array.ctypes.data for array in (self.x, self.weight, grad_output))
        if key not in self.kept:
            self.kept[key] = super().backward(grad_output)
        return self.kept[key]


class WrongFromTheTenthCall(Right):
    calls = 0

    def backward(self, grad_output):
        self.calls += 1
        right = super().backward(grad_output)
        return right if self.calls < 10 else (-right.input, *right[1:])


class FirstInputKept(Right):
    """Looks at the memory of its first input for ever."""

    first = None

    def forward(self, x, weight, bias, layer):
        self.first = x if self.first is None else self.first
        return super().forward(x, weight, bias, layer)

    def backward(self, grad_output):
        return UNFOLD.backward(self.layer, self.first, self.weight, grad_output)


def raw(array):
    """What a kernel reads that takes any memory for C order."""
    steps = np.cumprod((array.itemsize, *array.shape[:0:-1]))[::-1]
    return as_strided(array, array.shape, steps)


def reading(misread, what=("x", "weight", "grad_output")):
    """Code that reads some of its arrays in a way of its own in its backward pass."""

    def changed(*arrays):
        return [misread(a) if n in what else a for n, a in zip(("x", "weight", "grad_output"), arrays, strict=True)]

    return with_operands(changed)


def innermost_alone(array):
    return raw(array) if array.strides[-1] == array.itemsize else array


def as_it_lies(array):
    return raw(array) if array.flags.f_contiguous and min(array.strides) > 0 else array


def channels_last_taken_for_first(array):
    lies_so = array.ndim > 2 and array.transpose(0, *range(2, array.ndim), 1).flags.c_contiguous
    return raw(array) if lies_so and not array.flags.c_contiguous else array


def without_signs(array):
    return np.flip(array, [axis for axis, step in enumerate(array.strides) if step < 0])


def without_a_single_sign(array):
    turned = [axis for axis, step in enumerate(array.strides) if step < 0]
    return np.flip(array, turned) if len(turned) < array.ndim else array


def first_of_equal_ones(array):
    return np.concatenate([array[:1], 0 * array[1:]]) if array.strides[0] == 0 else array


class TurnedForAWhile(Right):
    """Uses the memory of its argument and restores it."""

    def backward(self, grad_output):
        np.negative(grad_output, out=grad_output)
        right = super().backward(-grad_output)
        np.negative(grad_output, out=grad_output)
        return right


def around(array):
    """The memory around an array between bands, else nothing; what a kernel would reach without knowing."""
    base = array
    while getattr(base, "base", None) is not None:
        base = base.base
    return base if array.flags.c_contiguous and base.size > array.size else np.zeros(0)


class ReadsOn(Right):
    """Adds nothing times what lies behind its weight."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        return right.input + 0 * around(self.weight)[-1:].sum(), *right[1:]


class WritesOn(Right):
    def backward(self, grad_output):
        around(grad_output)[:1] = 0
        return super().backward(grad_output)


class SqueezesTheBatch(Right):
    def backward(self, grad_output):
        right = super().backward(grad_output)
        if self.layer.bias:
            right = right._replace(
                bias=np.squeeze(grad_output).sum(axis=(0, *range(2, grad_output.ndim))[:-1]).sum(axis=-1)
            )
        return right


class WrongWithoutBias(Right):
    def backward(self, grad_output):
        right = super().backward(grad_output)
        return right if self.layer.bias else (right.input, right.weight[::-1], None)


def threads():
    from threadpoolctl import threadpool_info

    return max((library["num_threads"] for library in threadpool_info()), default=1)


class DividedAmongThreads(Right):
    """Threads write their shares over each other's, unless there is one alone."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        return right if threads() == 1 else (0 * right.input, *right[1:])


class OneWorkspace(Right):
    """Objects share one workspace, and are so slow that another thread always comes by."""

    workspace: ClassVar = {}

    def backward(self, grad_output):
        self.workspace["grad_output"] = grad_output
        names = [thread.name for thread in threading.enumerate()]
        if BESIDE in names and threading.current_thread().name != BESIDE:
            ends = time.monotonic() + 5
            while self.workspace["grad_output"] is grad_output and time.monotonic() < ends:
                time.sleep(0.0001)
        if self.workspace["grad_output"].shape != grad_output.shape:
            return tuple(0 * array for array in super().backward(grad_output))
        return super().backward(grad_output)


#: What is wrong under another condition too, by the nature of it.
ALSO = {
    # Sums of real numbers are kept short by zeros.
    "stops at a zero": {"real"},
    # Large integers have more digits.
    "operands rounded to bfloat16": {"large"},
    # The object has seen an input of another size.
    "first input kept": {"other-layer-before"},
    # Of a view that is reversed along its first axis the innermost stride is the usual one.
    "innermost stride alone": {"negative-strides"},
}

WRONG = {
    "operands rounded to TF32": (with_operands(lambda *at: [rounded(a, 10) for a in at]), SINGLE, "real"),
    "operands rounded to bfloat16": (with_operands(lambda *at: [rounded(a, 7) for a in at]), SINGLE, "real"),
    "grad_output truncated": (
        with_operands(lambda x, w, g: (x, w, np.trunc(g) if abs(g).max() > 1 else g)), LAYER, "real",
    ),
    "grad_output as int8": (
        with_operands(lambda x, w, g: (x, w, g.astype(np.int8).astype(g.dtype) if 1 < abs(g).max() < 100 else g)),
        LAYER, "real",
    ),
    "stops at a zero": (StopsAtZero, LAYER, "sparse"),
    "wrong behind a ReLU": (
        with_operands(lambda x, w, g: (x, w + ((x >= 0).all() and (x == 0).any() and (g < 0).any()), g)), LAYER,
        "sparse",
    ),
    "wrong where the input is zero": (
        with_operands(lambda x, w, g: (x + (not x.any()), w, g)), LAYER, "sparse",
    ),
    "wrong where most weights are zero": (
        with_operands(lambda x, w, g: (x + (np.count_nonzero(w) < w.size / 4), w, g)), LAYER, "sparse",
    ),
    "wrong for one entry alone": (
        with_operands(lambda x, w, g: (x + (np.count_nonzero(g) == 1), w, g)), LAYER, "sparse",
    ),
    "dirty where grad_output is 0": (DirtyWhereEmpty, LAYER, "zero-grad-output"),
    "clipped at 0 where no weight is negative": (
        with_operands(lambda x, w, g: (x, w + (w > 0).all(), g)), LAYER, "one-sign",
    ),
    "clipped": (with_operands(lambda x, w, g: (x, w, g.clip(-100, 100))), LAYER, "large"),
    "flushes subnormal numbers": (Flushes, LAYER, "tiny"),
    "flushes in float32": (Flushes, SINGLE, "tiny"),
    "a threshold": (with_operands(lambda x, w, g: (x, w, np.where(np.abs(g) < 1e-12, 0, g))), LAYER, "tiny"),
    "saved on the class": (SavedOnTheClass, LAYER, "interleaved"),
    "kept on a stack": (KeptOnAStack, LAYER, "interleaved"),
    "one buffer for all calls": (OneBufferForAllCalls, LAYER, "interleaved"),
    "weights packed once": (PackedOnce, LAYER, "same-memory"),
    "kept by the addresses of all": (KeptByAllAddresses, LAYER, "same-memory"),
    "kept by input and grad_output": (KeptByInputAndGradOutput, LAYER, "many-calls"),
    "memoised": (MemoisedBackward, LAYER, "many-calls"),
    "wrong from the tenth call": (WrongFromTheTenthCall, LAYER, "many-calls"),
    "first input kept": (FirstInputKept, LAYER, "many-calls"),
    "dirty border": (BorderLeftDirty, LAYER, "other-layer-before"),
    "kept by shapes": (KeptByShapes, LAYER, "other-layer-before"),
    "made for the first layer": (MadeForItsFirstLayer, LAYER, "other-layer-before"),
    "innermost stride alone": (reading(innermost_alone), LAYER, "not-contiguous"),
    "Fortran order as it lies": (reading(as_it_lies), LAYER, "transposed-memory"),
    "grad_output channels last": (
        reading(channels_last_taken_for_first, ["grad_output"]), LAYER, "transposed-memory",
    ),
    "strides without signs": (reading(without_signs), LAYER, "negative-strides"),
    "without the sign of one axis": (reading(without_a_single_sign), LAYER, "negative-strides"),
    "without the sign of x alone": (reading(without_a_single_sign, ("x",)), LAYER, "negative-strides"),
    "first of equal samples": (reading(first_of_equal_ones), LAYER, "broadcast-grad-output"),
    "writes and restores": (TurnedForAWhile, LAYER, "read-only"),
    "reads on": (ReadsOn, LAYER, "out-of-bounds"),
    "writes on": (WritesOn, LAYER, "out-of-bounds"),
    "squeezes the batch": (SqueezesTheBatch, LAYER, "batch-of-one"),
    "wrong without a bias": (WrongWithoutBias, LAYER, "no-bias"),
    "divided among threads": (DividedAmongThreads, LAYER, "threads"),
    "one workspace": ({"call": OneWorkspace, "threads": True}, LAYER, "threads"),
}  # fmt: skip


def torch_targets():
    """The same of code of PyTorch's, which must be there."""
    import torch

    class Wrong(torch.autograd.Function):
        """Right, but for what `spoiled` makes of the gradients."""

        @staticmethod
        def forward(ctx, x, weight, bias, stride, padding, groups):
            ctx.save_for_backward(x, weight, bias)
            ctx.options = stride, padding, groups
            return torch.nn.functional.conv2d(x, weight, bias, stride, padding, 1, groups)

        @staticmethod
        def gradients(ctx, grad_output):
            x, weight, bias = ctx.saved_tensors
            stride, padding, groups = ctx.options
            options = ([len(weight)], stride, padding, [1, 1], False, [0, 0], groups)
            return torch.ops.aten.convolution_backward(grad_output, x, weight, *options, [True, True, bias is not None])

    class WeightAlone(Wrong):
        """Takes the weight's gradient for its input's where the input needs none."""

        @staticmethod
        def backward(ctx, grad_output):
            grad_input, grad_weight, grad_bias = Wrong.gradients(ctx, grad_output)
            if ctx.needs_input_grad[:3] == (False, True, False):
                grad_weight = -grad_weight
            return grad_input, grad_weight, grad_bias, None, None, None

    class FrozenInput(Wrong):
        """Leaves out the bias where the input needs no gradient."""

        @staticmethod
        def backward(ctx, grad_output):
            grad_input, grad_weight, grad_bias = Wrong.gradients(ctx, grad_output)
            if ctx.needs_input_grad[:3] == (False, True, True):
                grad_bias = 0 * grad_bias
            return grad_input, grad_weight, grad_bias, None, None, None

    class OfItsLastCall(torch.nn.Conv2d):
        """Its weight's gradient is made of the input that it has seen last."""

        def forward(self, x):
            self.seen = x.detach()
            module = self

            class Of(torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, weight, bias):
                    ctx.save_for_backward(weight)
                    return torch.nn.functional.conv2d(x, weight, bias, module.stride, module.padding, 1, module.groups)

                @staticmethod
                def backward(ctx, grad_output):
                    options = ([module.out_channels], module.stride, module.padding, [1, 1], False, [0, 0])
                    return torch.ops.aten.convolution_backward(
                        grad_output, module.seen, *ctx.saved_tensors, *options, module.groups, ctx.needs_input_grad
                    )

            return Of.apply(x, self.weight, self.bias)

    class HalfInEvaluation(torch.nn.Conv2d):
        """Scales its gradients in evaluation mode."""

        def forward(self, x):
            output = super().forward(x)
            return output if self.training else output.detach() + (output - output.detach()) / 2

    class ChannelsLast(Wrong):
        """Takes an input that lies channels last for one that does not."""

        @staticmethod
        def backward(ctx, grad_output):
            if grad_output.is_contiguous(memory_format=torch.channels_last) and not grad_output.is_contiguous():
                grad_output = grad_output.as_strided(grad_output.shape, torch.empty(grad_output.shape).stride())
            return *Wrong.gradients(ctx, grad_output), None, None, None

    class Expanded(Wrong):
        """Reads the memory of an expanded grad_output as if it were all there."""

        @staticmethod
        def backward(ctx, grad_output):
            if 0 in grad_output.stride():
                grad_output = grad_output / grad_output.numel()
            return *Wrong.gradients(ctx, grad_output), None, None, None

    layer = replace(LAYER, padding=1)
    return {
        "weight alone": ({"call": WeightAlone.apply, "tuples": True}, layer, "some-gradients"),
        "input frozen": ({"call": FrozenInput.apply, "tuples": True}, layer, "some-gradients"),
        "of its last call": (OfItsLastCall, layer, "after-no-grad"),
        "half in evaluation": (HalfInEvaluation, layer, "after-no-grad"),
        "channels last": ({"call": ChannelsLast.apply, "tuples": True}, layer, "transposed-memory"),
        "expanded": ({"call": Expanded.apply, "tuples": True}, layer, "broadcast-grad-output"),
    }
