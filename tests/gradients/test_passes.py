import numpy as np
import pytest

import convcheck
from convcheck import Layer, UsageError

LAYER = Layer(channels=3, filters=8, kernel=3, stride=2, padding=1, input=(9, 11), batch=2)


def operands():
    generator = np.random.default_rng(0)
    shapes = (LAYER.input_shape, LAYER.weight_shape, LAYER.bias_shape, LAYER.output_shape)
    return [generator.standard_normal(shape) for shape in shapes]


def test_shapes_and_dtypes():
    x, weight, bias, grad_output = operands()
    y = convcheck.forward(LAYER, x, weight, bias)
    dx, dw, db = convcheck.backward(LAYER, x, weight, grad_output)
    assert (y.shape, dx.shape, dw.shape, db.shape) == (
        LAYER.output_shape, LAYER.input_shape, LAYER.weight_shape, LAYER.bias_shape,
    )  # fmt: skip
    assert {a.dtype for a in (y, dx, dw, db)} == {np.dtype("float64")}


def test_without_a_bias_its_gradient_is_none():
    layer = Layer(1, 1, 2, bias=False, input=(4, 5))
    x, grad_output = np.ones(layer.input_shape), np.ones(layer.output_shape)
    assert convcheck.forward(layer, x, np.ones(layer.weight_shape)).shape == layer.output_shape
    assert convcheck.backward(layer, x, np.ones(layer.weight_shape), grad_output)[2] is None


def test_the_batch_may_be_another_than_the_layers():
    x, weight, bias, grad_output = operands()
    y = convcheck.forward(LAYER, x[:1], weight, bias)
    np.testing.assert_allclose(y, convcheck.forward(LAYER, x, weight, bias)[:1], rtol=1e-12)
    assert convcheck.backward(LAYER, x[:1], weight, grad_output[:1]).input.shape[0] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": (2, 4, 9, 11)}, ("x ", "(2, 4, 9, 11)", "(N, 3, 9, 11)")),
        ({"weight": (8, 3, 3, 2)}, ("weight", "(8, 3, 3, 2)", "(8, 3, 3, 3)")),
        ({"bias": (8, 1)}, ("bias", "(8, 1)", "(8,)")),
        ({"bias": None}, ("no bias", "bias=True")),
    ],
)
def test_forward_refuses_what_does_not_fit(change, words):
    arrays = dict(zip(("x", "weight", "bias"), operands(), strict=False))
    arrays |= {name: None if shape is None else np.ones(shape) for name, shape in change.items()}
    with pytest.raises(UsageError) as caught:
        convcheck.forward(LAYER, **arrays)
    assert all(word in str(caught.value) for word in words)


def test_backward_refuses_a_gradient_that_does_not_fit():
    x, weight, _, grad_output = operands()
    with pytest.raises(UsageError) as caught:
        convcheck.backward(LAYER, x, weight, grad_output[:, :, :-1])
    assert all(word in str(caught.value) for word in ("grad_output", "(2, 8, 4, 6)", "(2, 8, 5, 6)"))


def test_the_package_offers_its_names_and_no_others():
    assert set(convcheck.__all__) <= set(dir(convcheck))
    for name in convcheck.__all__:
        assert getattr(convcheck, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        convcheck.nonsense  # noqa: B018
