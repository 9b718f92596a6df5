"""The formulations are independent, so where they agree on integers, to the last bit, they are right or wrong together;
PyTorch is the judge of that.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings

from convcheck import Layer
from convcheck.gradients import FORMULATIONS, ORACLE, formulation, unfold
from convcheck.layer.data import integer_operands
from convcheck.layer.fields import COMPLEX
from tests.strategies import layers


def passes(name, layer, at):
    module = formulation(name)
    output = module.forward(layer, at.x, at.weight, at.bias)
    return (output, *module.backward(layer, at.x, at.weight, at.grad_output))


def assert_equal(left, right):
    for a, b in zip(left, right, strict=True):
        if a is None or b is None:
            assert a is b
        else:
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("name", [name for name in FORMULATIONS if name != ORACLE])
@given(layer=layers(dtypes=("float64", "float32", *COMPLEX), family=True))
# A kernel of one tap, whose dilation lets output_padding add outputs that nothing reaches.
@example(layer=Layer(2, 3, 1, dilation=3, input=(5, 4), transposed=True, output_padding=(2, 0)))
@example(layer=Layer(2, 3, 1, dilation=3, stride=2, input=(5,), transposed=True, output_padding=2))
@settings(max_examples=200, deadline=None)
def test_agrees_exactly_with_the_definition(name, layer):
    at = integer_operands(layer)
    assert_equal(passes(name, layer, at), passes(ORACLE, layer, at))


STRIDE_1 = Layer(4, 6, 3, padding=1, dilation=2, groups=2, input=(9, 8), batch=2)


@given(layer=layers(dtypes=("float64", "complex128"), family=True))
@example(layer=STRIDE_1)
@example(layer=replace(STRIDE_1, kernel=(2, 3), padding=[[3, 0], [5, 4]]))
@example(layer=replace(STRIDE_1, padding_mode="reflect"))
# Outputs that no window of the twin reaches.
@example(layer=replace(STRIDE_1, transposed=True, output_padding=1))
# Windows of which the first outputs stand behind all that there are.
@example(
    layer=Layer(
        4, 4, (2, 3), dilation=(3, 1), padding=[[9, 0], [0, 0]], output_padding=(2, 0), input=(7, 6), transposed=True
    )
)
@settings(max_examples=100, deadline=None)
def test_unfolding_by_rows_agrees_exactly_with_the_definition(layer):
    # However small the images are.
    with pytest.MonkeyPatch.context() as changed:
        for limit in ("_ENOUGH_COLUMNS", "_MANY_COLUMNS", "_FEW_TERMS"):
            changed.setattr(unfold, limit, 1)
        at = integer_operands(layer)
        assert_equal(passes("unfold", layer, at), passes(ORACLE, layer, at))


def test_images_that_are_not_small_are_unfolded_by_rows(monkeypatch):
    seen = []
    original = unfold._columns_by_row
    monkeypatch.setattr(unfold, "_columns_by_row", lambda layer, padded: seen.append(layer) or original(layer, padded))
    large = Layer(16, 16, 3, padding=1, input=(24, 24), batch=1)
    for layer in (large, replace(large, stride=2), replace(large, input=(7, 7)), replace(large, kernel=1, padding=0)):
        at = integer_operands(layer)
        assert_equal(passes("unfold", layer, at), passes(ORACLE, layer, at))
    assert seen == [large] * 3


def by_pytorch(layer, at):
    """Output and gradients by PyTorch's own padding, convolution, transposed convolution and autograd."""
    torch = pytest.importorskip("torch")
    functional, rank = torch.nn.functional, len(layer.input)
    x, weight, bias = (None if a is None else torch.tensor(a, requires_grad=True) for a in (at.x, at.weight, at.bias))
    options = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    if layer.transposed:
        convolve = getattr(functional, f"conv_transpose{rank}d")
        output = convolve(x, weight, bias, output_padding=layer.output_padding, **options)
        # Its own padding is the same on both sides: what is removed here, it would not have made.
        for axis, (before, after) in enumerate(layer.padding, 2):
            output = output.narrow(axis, before, output.shape[axis] - before - after)
    else:
        amounts = [amount for pair in reversed(layer.padding) for amount in pair]
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padded = functional.pad(x, amounts, mode)
        output = getattr(functional, f"conv{rank}d")(padded, weight, bias, **options)
    output.backward(torch.tensor(at.grad_output))
    return (output.detach().numpy(), *(None if t is None else t.grad.numpy() for t in (x, weight, bias)))


@pytest.mark.parametrize("name", FORMULATIONS)
@given(layer=layers(dtypes=("float64", "float32", *COMPLEX), family=True))
@settings(max_examples=100, deadline=None)
def test_agrees_exactly_with_pytorch(name, layer):
    at = integer_operands(layer)
    assert_equal(passes(name, layer, at), by_pytorch(layer, at))


@pytest.mark.parametrize(
    "fields",
    [
        {"transposed": True, "padding": 1, "output_padding": [1, 0], "stride": 2},
        {"transposed": True, "padding": [1, 0], "output_padding": [0, 2], "dilation": 3, "groups": 2},
        {"padding_mode": "circular", "padding": 2, "stride": 2},
        {"padding_mode": "reflect", "padding": [2, 1], "groups": 2},
        {"padding_mode": "replicate", "padding": [3, 1], "dilation": 2, "bias": False},
    ],
)
def test_modules_of_pytorch_mean_the_same_by_these_options(fields):
    torch = pytest.importorskip("torch")
    layer = Layer(channels=4, filters=2, kernel=3, input=(7, 6), **fields)
    at = integer_operands(layer)
    make = torch.nn.ConvTranspose2d if layer.transposed else torch.nn.Conv2d
    own = {name: value for name, value in fields.items() if name != "transposed"}
    module = make(4, 2, 3, **own).to(torch.float64)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(at.weight))
        if layer.bias:
            module.bias.copy_(torch.tensor(at.bias))
    for name in FORMULATIONS:
        output = formulation(name).forward(layer, at.x, at.weight, at.bias)
        np.testing.assert_array_equal(output, module(torch.tensor(at.x)).detach().numpy())


@pytest.mark.parametrize("name", FORMULATIONS)
@given(layer=layers(dtypes=("float64", "float32")))
@settings(max_examples=50, deadline=None)
def test_a_layer_and_its_transposed_twin_are_each_others_backward_pass(name, layer):
    """Exactly: the output of the one is dL/dX of the other, and both have the same dL/dW."""
    module = formulation(name)
    twin = Layer(
        channels=layer.filters, filters=layer.channels, kernel=layer.kernel, stride=layer.stride,
        padding=layer.padding, dilation=layer.dilation, groups=layer.groups, bias=False, input=layer.output,
        batch=layer.batch, dtype=layer.dtype, transposed=True,
        output_padding=[axis.remainder for axis in layer.axes],
    )  # fmt: skip
    assert twin.weight_shape == layer.weight_shape
    assert twin.output == layer.input
    at = integer_operands(layer)
    y = module.forward(replace(layer, bias=False), at.x, at.weight, None)
    given = module.backward(layer, at.x, at.weight, at.grad_output)
    back = module.backward(twin, at.grad_output, at.weight, at.x)
    assert_equal((module.forward(twin, at.grad_output, at.weight, None), back.input), (given.input, y))
    np.testing.assert_array_equal(back.weight, given.weight)


@pytest.mark.parametrize("name", FORMULATIONS)
@given(layer=layers(dtypes=("float64", "float32"), family=True))
@settings(max_examples=50, deadline=None)
def test_what_goes_forward_and_back_meets_the_same(name, layer):
    """<g, conv(x, W)> = <dL/dX, x> = <dL/dW, W> exactly, of every kind: with the transposed twin, or without any."""
    module, at = formulation(name), integer_operands(layer)
    output = module.forward(replace(layer, bias=False), at.x, at.weight, None)
    back = module.backward(layer, at.x, at.weight, at.grad_output)
    pairs = (at.grad_output, output), (back.input, at.x), (back.weight, at.weight)
    # Whole numbers in float64, whose sums are exact in any order.
    products = [float(np.sum(one.astype(np.float64) * other)) for one, other in pairs]
    assert len(set(products)) == 1


@pytest.mark.parametrize("name", FORMULATIONS)
@given(layer=layers(family=True))
@settings(max_examples=50, deadline=None)
def test_padding_that_repeats_samples_is_the_layer_on_the_padded_input(name, layer):
    """Forward on what NumPy pads; and back, what stands at a sample's copies adds up."""
    if layer.transposed:
        return
    module, at = formulation(name), integer_operands(layer)
    mode = {"circular": "wrap", "reflect": "reflect", "replicate": "edge", "zeros": "constant"}[layer.padding_mode]
    plain = replace(
        layer, padding=((0, 0),) * len(layer.axes), padding_mode="zeros",
        input=tuple(axis.padded_size for axis in layer.axes),
    )  # fmt: skip
    x = np.pad(at.x, [(0, 0), (0, 0), *layer.padding], mode)
    output = module.forward(layer, at.x, at.weight, at.bias)
    np.testing.assert_array_equal(output, module.forward(plain, x, at.weight, at.bias))
    # Where each padded position comes from; 0 is what zeros come from.
    origin = np.pad(np.arange(1, 1 + np.prod(layer.input)).reshape(layer.input), layer.padding, mode)
    whole = module.backward(plain, x, at.weight, at.grad_output)
    folded = np.zeros((layer.batch, layer.channels, 1 + int(np.prod(layer.input))))
    np.add.at(folded, (..., origin.ravel()), whole.input.reshape(layer.batch, layer.channels, -1))
    found = module.backward(layer, at.x, at.weight, at.grad_output)
    np.testing.assert_array_equal(found.input, folded[..., 1:].reshape(layer.input_shape))
    np.testing.assert_array_equal(found.weight, whole.weight)


@pytest.mark.parametrize("name", FORMULATIONS)
def test_the_comparison_would_notice_one_wrong_entry(name):
    layer = Layer(2, 4, (2, 3), stride=2, padding=1, groups=2, input=(5, 6))
    at = integer_operands(layer)
    right = passes(name, layer, at)
    for index in range(len(right)):
        wrong = [array.copy() for array in right]
        wrong[index].flat[-1] += 1
        with pytest.raises(AssertionError):
            assert_equal(wrong, right)


@pytest.mark.parametrize("name", FORMULATIONS)
@given(layer=layers(max_axes=2))
@settings(max_examples=40, deadline=None)
def test_leaves_its_arguments_alone(name, layer):
    at, before = integer_operands(layer), integer_operands(layer)
    passes(name, layer, at)
    for field in ("x", "weight", "bias", "grad_output"):
        if getattr(before, field) is not None:
            np.testing.assert_array_equal(getattr(at, field), getattr(before, field))


@pytest.mark.parametrize("name", FORMULATIONS)
@given(layer=layers())
@settings(max_examples=60, deadline=None)
def test_backward_is_the_adjoint_of_forward(name, layer):
    """<grad_output, f(x) - b> = <grad_input, x> = <grad_weight, w>: linear in each operand."""
    at = integer_operands(layer)
    module = formulation(name)
    output = module.forward(layer, at.x, at.weight, None)
    gradients = module.backward(layer, at.x, at.weight, at.grad_output)
    total = np.vdot(output, at.grad_output)
    assert np.vdot(gradients.input, at.x) == total
    assert np.vdot(gradients.weight, at.weight) == total


def test_formulations_do_not_import_each_other():
    import ast
    from importlib import import_module
    from pathlib import Path

    for name in FORMULATIONS:
        source = Path(import_module(f"convcheck.gradients.{name}").__file__).read_text(encoding="utf-8")
        imported = {
            node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module
        }
        assert not any(module.startswith("convcheck.gradients") for module in imported)
        assert name != ORACLE or "convcheck.layer.axis" not in imported


def test_an_unknown_formulation_is_named_with_the_known_ones():
    from convcheck.errors import UsageError

    with pytest.raises(UsageError) as caught:
        formulation("winograd")
    assert all(word in str(caught.value) for word in ('"winograd"', *FORMULATIONS))
