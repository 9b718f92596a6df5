"""What the parameters and results of functions are taken for, by the names that people give them."""

import pytest

from convcheck import TargetError
from convcheck.targets.roles import bind_function, gradient_named, option_named, result_named
from convcheck.targets.spec import TargetSpec


def bound(phase, signature, **mapping):
    """Return what every parameter takes, in order."""
    scope = {}
    exec(f"def function({signature}): pass", scope)
    binding = bind_function("f.py:function", phase, scope["function"], TargetSpec(**mapping))
    return [*binding.positional, *binding.keywords.values(), *(f"={name}" for name in binding.constants)]


@pytest.mark.parametrize(
    ("signature", "roles"),
    [
        ("x, w, b, conv_param", "x weight bias conv_param"),
        ("A_prev, W, b, hparameters", "x weight bias conv_param"),
        ("inputs, kernels, biases, stride, padding", "x weight bias stride padding"),
        ("w, x, b, s=1, p=0", "weight x bias stride padding"),
        ("X, filters, bias=None, strides=1, pad=0, rate=1", "x weight bias stride padding"),
        ("image, filt, out=None, cache=None", "x weight"),
        ("one, other, third", "x weight conv_param"),
        ("x, w, layer", "x weight layer"),
        ("x, w, *, dilation, groups", "x weight dilation groups"),
        ("x, w, b, **options", "x weight bias stride padding dilation groups"),
        ("x, w, b, stride, **options", "x weight bias stride padding dilation groups"),
    ],
)
def test_what_forward_takes(signature, roles):
    assert bound("forward", signature) == roles.split()


@pytest.mark.parametrize(
    ("signature", "roles"),
    [
        ("dout, cache", "grad_output cache"),
        ("first, second", "grad_output cache"),
        ("dZ, A_prev, W", "grad_output x weight"),
        ("dY, x, w, b, stride=1, pad=0", "grad_output x weight bias stride padding"),
        ("cache, grad_out", "cache grad_output"),
        ("dL_dout, inputs, weights", "grad_output x weight"),
        ("dz, y", "grad_output output"),
        ("upstream_grad, saved", "grad_output cache"),
        ("delta, X, W, hparams", "grad_output x weight conv_param"),
        ("grad_output, x, w, bias, *args, **kwargs", "grad_output x weight bias"),
    ],
)
def test_what_backward_takes(signature, roles):
    assert bound("backward", signature) == roles.split()


def test_what_a_mapping_says_goes_first():
    assert bound("backward", "d, lr", constants={"lr": 0.5}) == ["grad_output", "=lr"]
    assert bound("backward", "a, b, c", arguments={"backward": ["cache", "grad_output", "x"]}) == [
        "cache",
        "grad_output",
        "x",
    ]
    assert bound("backward", "dout, cols", results={"forward": ["output", "cols"]}) == ["grad_output", "cols"]
    assert bound("forward", "x, w, jump", keywords={"stride": "jump"}) == ["x", "weight", "stride"]
    assert bound("forward", "x, w, s", keywords={"stride": None}) == ["x", "weight", "conv_param"]


@pytest.mark.parametrize(
    ("phase", "signature", "words"),
    [
        ("backward", "dout, cache, lr", ['"lr" of backward', "constants: {lr: VALUE}", "forward: [output, lr]"]),
        ("backward", "dout, cache, x_stride", ['"x_stride" of backward', "keywords: {stride: x_stride}"]),
        ("forward", "x, w, b, pad, optimizer", ['"optimizer" of forward', "constants: {optimizer: VALUE}"]),
        ("forward", "x", ["takes the weight", "arguments: {forward: [x]}"]),
        ("backward", "x, w", ["takes the grad_output", "arguments: {backward: [x, weight]}"]),
    ],
)
def test_what_is_not_understood_is_named_with_a_line_for_it(phase, signature, words):
    with pytest.raises(TargetError) as caught:
        bound(phase, signature)
    assert all(word in str(caught.value) for word in words), caught.value


def test_the_names_of_results_and_of_options():
    for gradient, names in {
        "grad_input": "dx dX dA_prev grad_input dL_dx x_grad dinputs",
        "grad_weight": "dw dW grad_w dLdW weight_grad dweights gradient_w dfilters",
        "grad_bias": "db grad_b dLdb bias_grad dbias",
    }.items():
        assert {gradient_named(name) for name in names.split()} == {gradient}
    assert [result_named(name) for name in ("out", "Z", "cache", "columns")] == ["output", "output", "cache", "columns"]
    assert [option_named(name) for name in ("stride", "padding", "pad", "S", "x", "colour")] == [
        "stride", "padding", "padding", "stride", None, None,
    ]  # fmt: skip
