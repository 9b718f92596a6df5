"""Code that computes in less than its data type says is told how that is declared, and wrong code is not."""

import numpy as np
import pytest

from convcheck import Layer, verify
from tests.targets.test_inexact import Fourier
from tests.targets_for_tests import UNFOLD, Right, Unflipped

LAYER = Layer(2, 3, (3, 2), padding=1, input=(6, 5))

SINGLE = "--dtype float32, or defaults: {dtype: float32}"


class InSingle:
    """Computes in float32, whatever comes in, and gives back what came in."""

    base = Right
    forwards = backwards = "float32"

    def forward(self, x, weight, bias, layer):
        self.dtype, self.right = x.dtype, self.base()
        as_given = (array.astype(self.forwards) for array in (x, weight, bias))
        output = self.right.forward(*as_given, layer)
        self.right.x, self.right.weight = x.astype(self.backwards), weight.astype(self.backwards)
        return self.out(output)

    def backward(self, grad_output):
        return tuple(map(self.out, self.right.backward(grad_output.astype(self.backwards))))

    def out(self, array):
        return array.astype(self.dtype)


class GivesSingle(InSingle):
    def out(self, array):
        return array


class OnlyBackward(InSingle):
    forwards = "float64"


class InHalf(InSingle):
    """Its operands are rounded to 11 bits."""

    forwards = "float64"

    def backward(self, grad_output):
        self.right.x, self.right.weight = (
            array.astype("float16").astype(self.dtype) for array in (self.right.x, self.right.weight)
        )
        gradients = self.right.backward(grad_output.astype("float16").astype(self.dtype))
        return tuple(map(self.out, gradients))


def failures(target, layer=LAYER, **options):
    report = verify(layer, target=target, **options)
    assert not report.passed
    failed = (r for r in report.layers[0].results if r.status == "failed" and r.condition in (None, "real"))
    return {(r.gradient, r.check): r.message for r in failed}


def test_a_result_in_single_precision_is_said_to_be_checked_in_that():
    found = failures(GivesSingle)
    assert "output has dtype float32; expected float64" in found["output", "forward"]
    assert SINGLE in found["output", "forward"]
    assert verify(LAYER, target=GivesSingle, dtype="float32").passed


def test_a_result_in_a_type_that_no_layer_has_is_told_to_be_given_back_as_it_came():
    class GivesIntegers(Right):
        def forward(self, x, weight, bias, layer):
            return super().forward(x, weight, bias, layer).astype("int32")

    found = failures(GivesIntegers)
    assert all(word in found["output", "forward"] for word in ("dtype int32", "expected float64", ".astype(x.dtype)"))


@pytest.mark.parametrize(("target", "gradient", "check"), [
    (InSingle, "output", "forward"), (InSingle, "weight", "central"), (OnlyBackward, "input", "central"),
])  # fmt: skip
def test_single_precision_inside_is_seen_by_the_values(target, gradient, check):
    found = failures(target)
    assert "as near as float32 allows" in found[gradient, check]
    assert SINGLE in found[gradient, check]
    assert verify(LAYER, target=target, dtype="float32").passed


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("filters", [3, 16])
def test_half_precision_inside_is_told_from_a_mistake(dtype, filters):
    """Where sums are long, rounding may be as large as the gradient in float32; short sums then tell them apart."""
    found = failures(InHalf, Layer(filters, filters, (3, 2), padding=1, input=(6, 5), dtype=dtype))
    assert {gradient for gradient, _ in found} == {"input", "weight", "bias"}
    assert {check for _, check in found} <= {"central", "conditions"}
    assert all("exact on small integers" in message and "TF32" in message for message in found.values())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_algorithm_by_transforms_is_told_how_it_is_declared(dtype):
    layer = Layer(2, 3, (3, 2), input=(6, 9), dtype=dtype)
    found = failures(Fourier, layer)
    assert "exact: false" in found["output", "forward"]
    assert verify(layer, target={"call": Fourier, "exact": False}).passed


def test_rounding_in_some_places_is_not_taken_for_a_part_that_is_wrong():
    """Transforms in a wider format than the layer's round little, so that some columns are right by chance."""

    class InPart(Right):
        wrong = 0.0

        def forward(self, x, weight, bias, layer):
            output = super().forward(x, weight, bias, layer)
            output[..., [1, 2]] += 2.0**-46 + self.wrong
            return output

    layer = Layer(2, 3, (3, 2), input=(6, 9))
    result = verify(layer, target=InPart).layers[0].results[0]
    assert (result.check, result.status, result.diagnosis) == ("forward", "failed", ())
    assert "exact: false" in result.message
    InPart.wrong = 2.0**-8
    result = verify(layer, target=InPart).layers[0].results[0]
    assert [diagnosis.name for diagnosis in result.diagnosis] == ["partly-right"]
    assert "exact: false" not in result.message


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_mistake_gets_no_such_word(dtype):
    class NearlyRight(Right):
        def forward(self, x, weight, bias, layer):
            self.saved = layer, x, weight
            return UNFOLD.forward(layer, x, weight, bias) + np.asarray(0.25, x.dtype)

    layer = Layer(2, 3, (3, 2), padding=1, input=(6, 5), dtype=dtype)
    for target in (Unflipped, NearlyRight):
        assert not any(
            "--dtype" in message or "exact: false" in message for message in failures(target, layer).values()
        )
