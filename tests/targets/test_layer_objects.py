# ruff: noqa: N803 - the names that people use
"""How a class is constructed, where its objects keep what, and what is said where that is not clear."""

from types import SimpleNamespace

import numpy as np
import pytest

import convcheck
from convcheck import Layer, TargetError, verify
from convcheck.checks.observed import Observed
from convcheck.layer.data import integer_operands
from convcheck.targets import resolve
from convcheck.targets.attributes import gradient_rank, leaves, rank
from convcheck.targets.binding import bind
from convcheck.targets.construction import word_of

LAYER = Layer(2, 3, 3, input=(6, 5))


class Conv:
    """Right, with PyTorch's names; what differs is in the classes derived from it."""

    stride, padding, mistaken = 1, 0, False

    def __init__(self, in_channels, out_channels, kernel_size):
        self.keep(np.ones((out_channels, in_channels, kernel_size, kernel_size)), np.ones(out_channels))

    def keep(self, weight, bias):
        self.weight, self.bias = weight, bias

    def held(self):
        return self.weight, self.bias

    def forward(self, x):
        weight, bias = self.held()
        sizes = {"kernel": weight.shape[2:], "stride": self.stride, "padding": self.padding}
        layer = Layer(
            channels=x.shape[1], filters=len(weight), **sizes, input=x.shape[2:], batch=len(x), dtype=x.dtype.name
        )
        self.saved = layer, x
        return convcheck.forward(layer, x, weight, np.ravel(bias))

    def backward(self, grad_output):
        grad_input, grad_weight, grad_bias = self.gradients(grad_output)
        self.leave(-grad_weight if self.mistaken else grad_weight, grad_bias)
        return grad_input

    def gradients(self, grad_output):
        return convcheck.backward(*self.saved, self.held()[0], grad_output)

    def leave(self, weight, bias):
        self.grad_weight, self.grad_bias = weight, bias


def passes(result):
    """Whether a result passed; a condition may not apply."""
    return result.acceptable if result.condition else result.status == "passed"


def wrong(found, layer=LAYER, **mapping):
    """The gradients that do not pass, of any check."""
    report = verify(layer, target={"call": found, **mapping})
    return {r.gradient for r in report.layers[0].results if not passes(r)}


def found_out(found, layer=LAYER, **mapping):
    target = resolve({"call": found, **mapping}, None)
    assert not Observed.of(target, layer, integer_operands(layer)).faults
    return list(target.found)


def messages(found, layer=LAYER, **mapping):
    report = verify(layer, target={"call": found, **mapping})
    assert not report.passed
    return " ".join(r.message or "" for r in report.layers[0].results)


class InLists(Conv):
    def keep(self, weight, bias):
        self.params, self.grads = [weight, bias[:, None]], [np.zeros_like(weight), np.zeros((len(bias), 1))]

    def held(self):
        return self.params

    def leave(self, weight, bias):
        self.grads[0][...] = weight
        self.grads[1][...] = bias[:, None]


class InNamespaces(Conv):
    def keep(self, weight, bias):
        self.p, self.grads = SimpleNamespace(w=weight, b=bias), SimpleNamespace(w=None, b=None)

    def held(self):
        return self.p.w, self.p.b

    def leave(self, weight, bias):
        self.grads.w, self.grads.b = weight, bias


class Private(Conv):
    def keep(self, weight, bias):
        self.__weight, self._b1 = weight, bias

    def held(self):
        return self.__weight, self._b1

    def leave(self, weight, bias):
        self._dw, self._db1 = weight, bias


class LooksAtTheSameMemory(Conv):
    """Its rows are a view of the weight."""

    def keep(self, weight, bias):
        self.W, self.rows, self.b = weight, weight.reshape(len(weight), -1), bias

    def held(self):
        return self.rows.reshape(self.W.shape), self.b

    def leave(self, weight, bias):
        self.dW, self.db = weight, bias


class AddsUp(Conv):
    """Into arrays that were made with the object, in float64."""

    def keep(self, weight, bias):
        self.W, self.b = weight, bias
        self.dW, self.db = np.zeros_like(weight), np.zeros_like(bias)

    def held(self):
        return self.W, self.b

    def leave(self, weight, bias):
        self.dW += weight
        self.db += bias

    def zero_grad(self):
        self.dW[...] = self.db[...] = 0
        self.saved = None


class Returns(Conv):
    def backward(self, grad_output):
        grad_input, grad_weight, grad_bias = self.gradients(grad_output)
        return -grad_weight if self.mistaken else grad_weight, grad_bias, grad_input


class ReturnsNames(Conv):
    def backward(self, grad_output):
        dx, dw, db = self.gradients(grad_output)
        return {"dX": dx, "dW": -dw if self.mistaken else dw, "db": db}


class LeavesAll(Conv):
    def backward(self, grad_output):
        self.grad_input = super().backward(grad_output)


class HandsOnACache(Conv):
    def forward(self, x):
        return super().forward(x), (x,)

    def backward(self, dout, cache):
        assert cache[0].ndim == 4
        return super().backward(dout)


class AsksForMore(Conv):
    def forward(self, x, train):
        assert train is True
        return super().forward(x)

    def backward(self, x, dz, y):
        assert x.shape[1] == y.shape[1] - 1
        return super().backward(dz)


class SetUpLate(Conv):
    def __init__(self, out_channels, kernel_size):
        self.sizes, self.ready = (out_channels, kernel_size), False

    def forward(self, x):
        if not self.ready:
            super().__init__(x.shape[1], *self.sizes)
            self.ready = True
        return super().forward(x)


class SetUpLateButNamed(SetUpLate):
    def __init__(self, out_channels, kernel_size):
        super().__init__(out_channels, kernel_size)
        self.weight = self.bias = None


@pytest.mark.parametrize(
    ("right", "found"),
    [
        (InLists, ["weight in params.0", "bias in params.1"]),
        (InNamespaces, []),
        (Private, []),
        (LooksAtTheSameMemory, []),
        (AddsUp, []),
        (Returns, ["backward returns (grad_weight, grad_bias, grad_input)"]),
        (ReturnsNames, []),
        (LeavesAll, []),
        (HandsOnACache, []),
        (AsksForMore, ["forward is given train=True"]),
        (SetUpLate, ["its parameters are made at the first forward pass, and set after it"]),
        (SetUpLateButNamed, ["its parameters are made at the first forward pass, and set after it"]),
    ],
)
def test_right_passes_and_wrong_is_caught_whatever_the_convention(right, found):
    class Mistaken(right):
        mistaken = True

    assert wrong(right) == set()
    assert wrong(Mistaken) == {"weight"}
    assert found_out(right) == found


FLOAT32 = Layer(2, 3, 3, input=(6, 5), dtype="float32")


@pytest.mark.parametrize("right", [InLists, InNamespaces, Private, AddsUp, Returns, SetUpLate])
def test_objects_made_in_another_dtype_are_right_in_the_layers(right):
    assert wrong(right, FLOAT32) == set()


def test_memory_of_another_dtype_is_set_too():
    assert wrong(LooksAtTheSameMemory, FLOAT32) == set()


class Sized(Conv):
    """Takes its sizes as each derived class wants them."""

    def __init__(self, channels, filters, kernel, stride, padding):
        super().__init__(channels, filters, kernel)
        self.stride, self.padding = stride, padding


class Pairs(Sized):
    def __init__(self, inChans, nFilters, kernelSize, stride, padding):
        super().__init__(inChans, nFilters, kernelSize[0], stride[1], padding)


class OnePair(Sized):
    def __init__(self, n_in, n_out, ksize, s=1, p=0):
        super().__init__(n_in, n_out, ksize[1], s + 0, p + 0)


class Words(Sized):
    def __init__(self, in_channels, out_channels, kernel_size, padding, stride=1):
        super().__init__(in_channels, out_channels, kernel_size, stride, {"SAME": 1, "VALID": 0}[padding])


class WordByDefault(Sized):
    """Ignores what it does not know."""

    def __init__(self, in_channels, out_channels, kernel_size, padding="valid"):
        super().__init__(in_channels, out_channels, kernel_size, 1, kernel_size // 2 if padding == "same" else 0)


class Sides(Sized):
    def __init__(self, in_ch, out_ch, kh, kw, stride_height=1, stride_width=1, pad_h=0, pad_w=0):
        self.keep(np.ones((out_ch, in_ch, kh, kw)), np.ones(out_ch))
        self.stride, self.padding = (stride_height, stride_width), (pad_h, pad_w)


class OwnSides(Sides):
    def __init__(self, in_ch, out_ch, up, across):
        super().__init__(in_ch, out_ch, up, across)


class Given(Conv):
    def __init__(self, filters, b):
        self.keep(filters, b)


class Shaped(Conv):
    def __init__(self, in_shape, num_kernels, k):
        channels, self.height, self.width = in_shape
        super().__init__(channels, num_kernels, k)

    def forward(self, x):
        assert x.shape[2:] == (self.height, self.width)
        return super().forward(x)


class ShapedWithBatch(Shaped):
    def __init__(self, batch_input_shape, num_kernels, k):
        super().__init__(batch_input_shape[1:], num_kernels, k)
        assert len(batch_input_shape) == 4


class SizedByItsInput(Shaped):
    def __init__(self, input_size, depth, in_depth, k):
        super().__init__((in_depth, *input_size), depth, k)


class CountsGaps(Conv):
    """Dilation as the number of samples between taps."""

    def __init__(self, channels, filters, kernel, dilation=0):
        super().__init__(channels, filters, kernel)
        self.gaps = dilation

    def forward(self, x):
        weight, bias = self.held()
        sizes = {"kernel": weight.shape[2:], "dilation": self.gaps + 1, "input": x.shape[2:], "batch": len(x)}
        self.saved = Layer(x.shape[1], len(weight), **sizes, dtype=x.dtype.name), x
        return convcheck.forward(self.saved[0], x, weight, bias)


class NoneByZero(CountsGaps):
    """A dilation of 0 as none, and any other as it is."""

    def __init__(self, channels, filters, kernel, dilation=0):
        super().__init__(channels, filters, kernel, (dilation or 1) - 1)


class CountsGapsPerAxis(CountsGaps):
    def __init__(self, channels, filters, kernel, dilation=(0, 0)):
        super().__init__(channels, filters, kernel, np.array(dilation))

    def forward(self, x):
        self.gaps = self.gaps + np.zeros(2, int)
        return super().forward(x)


GAPS = "dilation as the number of samples between taps"
STRIDED = Layer(2, 3, 3, stride=2, padding=1, input=(7, 5))
SAME = Layer(2, 3, 3, padding=1, input=(5, 6))
DILATED = Layer(2, 3, 2, dilation=3, input=(6, 7))


@pytest.mark.parametrize(
    ("target", "layer", "mapping", "found"),
    [
        (Pairs, STRIDED, {}, ["kernelSize as one number per axis", "stride as one number per axis"]),
        (OnePair, STRIDED, {}, ["ksize as one number per axis"]),
        (Words, SAME, {}, ['padding as "SAME" or "VALID"']),
        (Words, LAYER, {}, ['padding as "SAME" or "VALID"']),
        (WordByDefault, SAME, {}, []),
        (Sides, Layer(2, 3, (3, 2), stride=(1, 2), padding=(0, 1), input=(6, 5)), {}, []),
        (OwnSides, Layer(2, 3, (3, 2), input=(6, 5)), {"keywords": {"kernel": ["up", "across"]}}, []),
        (Given, LAYER, {}, []),
        (Shaped, LAYER, {}, []),
        (ShapedWithBatch, LAYER, {}, []),
        (SizedByItsInput, LAYER, {}, []),
        (CountsGaps, LAYER, {}, [GAPS]),
        (CountsGaps, DILATED, {}, [GAPS]),
        (CountsGapsPerAxis, DILATED, {}, [GAPS]),
        (NoneByZero, LAYER, {}, []),
        (NoneByZero, DILATED, {}, []),
    ],
)
def test_constructors_are_given_what_they_take(target, layer, mapping, found):
    class Mistaken(target):
        mistaken = True

    assert wrong(target, layer, **mapping) == set()
    assert wrong(Mistaken, layer, **mapping) == {"weight"}
    assert [text.removeprefix("its constructor takes ") for text in found_out(target, layer, **mapping)] == found


@pytest.mark.parametrize("target", [Words, WordByDefault])
@pytest.mark.parametrize("layer", [Layer(2, 3, 3, padding=2, input=(5, 6)), Layer(2, 3, 2, padding=1, input=(5, 6))])
def test_padding_that_is_no_word_is_refused(target, layer):
    report = verify(layer, target=target)
    assert {r.status for r in report.layers[0].results} == {"skipped"}
    assert '"same" or "valid" only' in report.layers[0].results[0].message


def test_a_padding_that_is_refused_as_a_number_and_as_a_word_is_an_error():
    class Refuses(Sized):
        def __init__(self, channels, filters, kernel, stride, padding):
            if padding != 0:
                raise ValueError("no padding")
            super().__init__(channels, filters, kernel, stride, padding)

    assert wrong(Refuses) == set()
    assert "ValueError: no padding" in messages(Refuses, SAME)


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        (Layer(1, 1, 3, input=(5, 5)), "valid"),
        (Layer(1, 1, 3, padding=1, input=(5, 5)), "same"),
        (Layer(1, 1, (3, 5), padding=(1, 2), input=(5, 7)), "same"),
        (Layer(1, 1, 3, padding=2, dilation=2, input=(5, 5)), "same"),
        (Layer(1, 1, 2, padding="same", input=(5, 5)), None),
        (Layer(1, 1, 3, padding=1, stride=2, input=(5, 5)), "same"),
        (Layer(1, 1, 3, padding="same", stride=2, input=(6, 6)), None),
        (Layer(1, 1, 3, padding=1, stride=2, input=(6, 6)), None),
        (Layer(1, 1, 3, padding=2, input=(5, 5)), None),
    ],
)
def test_a_word_stands_for_a_padding_only_where_all_read_it_alike(layer, word):
    assert word_of(layer) == word


class Learns(Conv):
    def __init__(self, in_channels, out_channels, kernel_size, lr=0.01):
        super().__init__(in_channels, out_channels, kernel_size)
        self.lr = lr

    def backward(self, grad_output):
        grad_input, grad_weight, grad_bias = self.gradients(grad_output)
        self.weight -= self.lr * (-grad_weight if self.mistaken else grad_weight)
        self.bias = self.bias - self.lr * grad_bias
        return grad_input


class LearnsByArgument(Learns):
    def backward(self, grad_output, learning_rate):
        assert learning_rate != 0
        self.lr = learning_rate
        return super().backward(grad_output)


class LearnsByItself(Learns):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__(in_channels, out_channels, kernel_size)
        self.lr = 1e-3


class LearnsTheMean(Learns):
    def gradients(self, grad_output):
        grad_input, grad_weight, grad_bias = super().gradients(grad_output)
        return grad_input, grad_weight / len(grad_output), grad_bias / len(grad_output)


UPDATES = ["grad weight in the update of the weight", "grad bias in the update of the bias"]


class TestUpdates:
    @pytest.mark.parametrize(
        ("right", "mapping", "found"),
        [
            (Learns, {}, UPDATES),
            (Learns, {"constants": {"lr": 0.25}}, UPDATES),
            (LearnsByArgument, {}, UPDATES),
            (LearnsByItself, {}, ["its lr is set to 0.5", *UPDATES]),
            (LearnsTheMean, {"mean_over_batch": ["weight", "bias"]}, UPDATES),
        ],
    )
    @pytest.mark.parametrize("layer", [LAYER, Layer(2, 3, 3, input=(6, 5), batch=3, dtype="float32")])
    def test_gradients_are_read_off_them(self, right, mapping, found, layer):
        class Mistaken(right):
            mistaken = True

        assert wrong(right, layer, **mapping) == set()
        assert wrong(Mistaken, layer, **mapping) == {"weight"}
        assert found_out(right, layer, **mapping) == found

    @pytest.mark.parametrize("seed", range(5))
    def test_reading_them_off_adds_no_error(self, seed):
        """Where little else rounds: one output, one tap."""
        layer = Layer(1, 1, 1, input=(1, 1), batch=1, seed=seed)
        assert wrong(Learns, layer) == set()

    def test_an_update_made_too_early_shows(self):
        class TooEarly(Learns):
            def backward(self, grad_output):
                super().backward(grad_output)
                return self.gradients(grad_output)[0]

        assert wrong(TooEarly) == {"input"}

    def test_a_rate_by_which_a_division_rounds_is_refused(self):
        assert "constants: {lr: 0.5}" in messages(Learns, constants={"lr": 0.01})

    def test_an_update_that_is_none_by_design_is_a_change_of_the_arguments(self):
        class WritesIntoItsWeight(Conv):
            def backward(self, grad_output):
                grad_input = super().backward(grad_output)
                self.weight -= 1
                return grad_input

        report = verify(LAYER, target=WritesIntoItsWeight)
        names = {d.name for r in report.layers[0].results for d in r.diagnosis}
        assert names == {"inputs-modified"}

    def test_a_rate_that_nobody_can_know_is_asked_for(self):
        class Fixed(Conv):
            def backward(self, grad_output):
                grad_input, grad_weight, _ = self.gradients(grad_output)
                self.weight -= 0.01 * grad_weight
                return grad_input

        assert "keep its learning rate in an attribute lr" in messages(Fixed)


class PerPosition(Conv):
    def __init__(self, in_channels, out_channels, kernel_size, input_shape):
        super().__init__(in_channels, out_channels, kernel_size)
        self.b = np.ones((out_channels, *(n - kernel_size + 1 for n in input_shape[1:])))
        del self.bias

    def held(self):
        return self.weight, np.zeros(len(self.weight))

    def forward(self, x):
        return super().forward(x) + self.b

    def leave(self, weight, bias):
        self.dW = weight

    def backward(self, grad_output):
        self.db = grad_output.sum(axis=0)
        return super().backward(grad_output)


class AtWrongPositions(PerPosition):
    def backward(self, grad_output):
        self.db = grad_output.sum(axis=0)[:, ::-1]
        return Conv.backward(self, grad_output)


def test_one_bias_per_output_position():
    assert wrong(PerPosition) == set()
    assert wrong(AtWrongPositions) == {"bias"}
    assert found_out(PerPosition) == ["one bias per output position"]


class TestWhatIsNotClear:
    def test_two_arrays_of_the_weights_shape(self):
        class Two(Conv):
            def keep(self, weight, bias):
                self.first, self.second, self.bias = weight, weight.copy(), bias

            def held(self):
                return self.first, self.bias

        said = messages(Two)
        assert "first, second have its shape" in said
        assert "attributes: {weight: first}" in said
        assert wrong(Two, attributes={"weight": "first"}) == set()
        assert "output" in wrong(Two, attributes={"weight": "second"})

    def test_two_new_arrays_of_the_weights_shape(self):
        class Two(Conv):
            def leave(self, weight, bias):
                self.steps, self.squares, self.grad_bias = weight, weight**2, bias

        assert "attributes: {grad_weight: steps}" in messages(Two)
        assert wrong(Two, attributes={"grad_weight": "steps"}) == set()
        assert wrong(Two, attributes={"grad_weight": "squares"}) == {"weight"}

    def test_no_bias(self):
        class NoBias(Conv):
            def keep(self, weight, bias):
                self.weight = weight

            def held(self):
                return self.weight, np.zeros(len(self.weight))

        assert "say unsupported: [bias]" in messages(NoBias)
        assert wrong(NoBias, unsupported=["bias"]) <= {"bias"}

    def test_no_gradient(self):
        class Forgets(Conv):
            def leave(self, weight, bias):
                self.grad_bias = bias

        assert "attributes: {grad_weight: NAME}" in messages(Forgets)

    @pytest.mark.parametrize("method", ["forward", "backward"])
    def test_no_method(self, method):
        found = type("Lacks", (Conv,), {method: None})
        assert f"attributes: {{{method}: NAME}}" in messages(found)

    def test_a_further_argument(self):
        class Asks(Conv):
            def backward(self, grad_output, momentum):
                assert momentum == 0
                return super().backward(grad_output)

        assert "constants: {momentum: VALUE}" in messages(Asks)
        assert wrong(Asks, constants={"momentum": 0}) == set()

    def test_all_parameters_of_a_constructor_at_once(self):
        class Asks(Conv):
            def __init__(self, in_channels, out_channels, filter_extent, activation, beta):
                super().__init__(in_channels, out_channels, filter_extent)

        with pytest.raises(TargetError, match=r'"activation" and "beta"') as caught:
            verify(LAYER, target={"call": Asks, "keywords": {"kernel": "filter_extent"}})
        assert "constants: {activation: VALUE, beta: VALUE}" in str(caught.value)
        mapping = {"keywords": {"kernel": "filter_extent"}, "constants": {"activation": "relu", "beta": 0}}
        assert wrong(Asks, **mapping) == set()


@pytest.mark.parametrize(
    ("parameters", "meant", "axes"),
    [
        ("inChans, nFilters, kernelSize", "channels filters kernel", {}),
        ("in_depth, depth, f_size, input_shape", "channels filters kernel input", {}),
        ("depth, n_filters, k", "channels filters kernel", {}),
        ("num_filters, FH, FW", "filters kernel kernel", {"FH": -2, "FW": -1}),
        ("c_in, c_out, kernel_d, kernel_h, kernel_w", "channels filters kernel kernel kernel",
            {"kernel_d": -3, "kernel_h": -2, "kernel_w": -1}),
        ("n_in, n_out, k, height, width, batch_size", "channels filters kernel input input batch",
            {"height": -2, "width": -1}),
        ("W, b, stride, pad", "weight bias stride padding", {}),
        ("kernel, bias, stride", "weight bias stride", {}),
        ("filters, kernel, b", "filters kernel bias", {}),
        ("channels, filters, kernel, h, w", "channels filters kernel input input", {"h": -2, "w": -1}),
    ],
)  # fmt: skip
def test_what_a_parameters_name_means(parameters, meant, axes):
    space = {}
    exec(f"def construct({parameters}): pass", space)
    binding = bind("target", space["construct"], (), {})
    assert binding.keywords == dict(zip(parameters.split(", "), meant.split(), strict=True))
    assert binding.axes == axes


@pytest.mark.parametrize(
    ("path", "role", "usual"),
    [
        ("W", "weight", True), ("_w", "weight", True), ("params.W", "weight", True), ("W.val", "weight", True),
        ("_Conv__kernel", "weight", True), ("w1", "weight", True), ("conv.W", "weight", False),
        ("b.data", "bias", True), ("dW", "weight", False),
    ],
)  # fmt: skip
def test_usual_names_of_parameters(path, role, usual):
    assert (rank(path, role) is not None) == usual


@pytest.mark.parametrize(
    ("path", "parameter", "usual"),
    [
        ("dW", "W", True), ("dLdW", "W", True), ("gradient_w", "conv", True), ("_dw", "W", True),
        ("grads.w", "p.w", True), ("W.grad", "W.val", True), ("W.grad.data", "W.data", True),
        ("b.grad", "W.val", False),
        ("conv1.dW", "conv1.W", True), ("dMask", "mask", True), ("grads.0", "params.0", True), ("vW", "W", False),
        ("W", "W", False), ("cache.dW", "W", False),
    ],
)  # fmt: skip
def test_usual_names_of_gradients(path, parameter, usual):
    assert (gradient_rank(path, "weight", parameter) is not None) == usual


def test_arrays_are_found_two_levels_down_and_no_deeper():
    array = np.zeros(2)
    deep = SimpleNamespace(a={"b": [array, {"c": array}]}, own=None, text="W", number=3)
    deep.itself = deep
    assert set(leaves(deep)) == {"a.b.0", "own"}
