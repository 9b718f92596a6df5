"""How PyTorch's samples become layers, on a few calls such as its lists have; the lists themselves take longer."""

import pytest

from tests.torch_samples import Call, checked, layer_of

torch = pytest.importorskip("torch")

CALLS = [
    Call("conv1d", (2, 2, 4), (2, 1, 4), True, {"stride": (1,), "padding": "same", "groups": 2, "dilation": (2,)}),
    Call("conv2d", (4, 5, 5), (1, 4, 2, 3), True, {"stride": 2, "padding": 1, "groups": 1, "dilation": (2, 3)}),
    Call("conv3d", (1, 1, 1, 1, 10), (1, 1, 1, 1, 4), False, {"padding": "valid"}),
    Call(
        "conv_transpose1d", (2, 4), (2, 2, 4), True,
        {"stride": (3,), "padding": (1,), "output_padding": (2,), "groups": 2, "dilation": (4,)},
    ),
    Call("conv_transpose2d", (1, 1, 4, 3), (1, 2, 3, 4), False, {"stride": 2, "padding": 1, "output_padding": 1}),
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.words)
def test_the_layer_of_a_call(call):
    output = getattr(torch.nn.functional, call.function)(
        torch.zeros(call.input), torch.zeros(call.weight), **call.options
    )
    layer = layer_of(call, "float32")
    assert tuple(output.shape) == (layer.output_shape if call.batched else layer.output_shape[1:])
    assert layer.weight_shape == call.weight


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.words)
def test_the_very_call_passes(call):
    report = checked(call, "float64")
    assert report.passed, report
    assert {result.check for result in report.layers[0].results if result.passed} == {"forward", "central", "exact"}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.words)
def test_a_wrong_gradient_of_the_same_call_is_caught(call):
    right = getattr(torch.nn.functional, call.function)

    def wrong(x, weight, bias, **options):
        # The value is right, and the gradient of the weight is lost.
        output = right(x, weight.detach(), bias, **options)
        return output + 0 * weight.sum()

    report = checked(call, "float64", wrong)
    assert {result.gradient for result in report.layers[0].results if result.status == "failed"} == {"weight"}
