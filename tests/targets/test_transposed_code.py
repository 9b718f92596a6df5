"""Transposed layers and padding modes in code of every form that can be told of them."""

from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.errors import TargetError
from convcheck.layer.data import integer_operands
from convcheck.targets.probing import probed
from convcheck.targets.programs.protocol import Request
from convcheck.targets.spec import TargetSpec
from tests.parts import right_arrays, target
from tests.targets.test_second_derivatives import assert_right
from tests.targets_for_tests import Right

UP = Layer(4, 6, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 2), groups=2, transposed=True, input=(4, 3))
TRANSPOSED = [
    UP,
    replace(UP, padding=((1, 0), (0, 2)), bias=False),
    Layer(2, 3, 3, stride=2, dilation=3, output_padding=2, transposed=True, input=4),
    Layer(2, 1, 2, stride=2, padding=((1, 0), (0, 0), (0, 1)), transposed=True, input=(3, 2, 4)),
]
MODES = [
    Layer(2, 3, 3, stride=2, padding=padding, padding_mode=mode, input=(5, 4))
    for mode in ("circular", "reflect", "replicate")
    for padding in ((1, 2), ((2, 1), (0, 1)))
]


def assert_gives(code, layer):
    assert code.unsupported(layer) is None
    at = integer_operands(layer)
    run, right = code.run(layer, at), right_arrays(at, layer)
    assert np.array_equal(run.output, right["output"])
    for name, found in zip(("input", "weight", "bias"), run.backward(), strict=True):
        assert found is None if right[name] is None else np.array_equal(found, right[name])


def refused(code, layer):
    words = code.unsupported(layer)
    assert words is not None
    return words


@pytest.mark.parametrize("layer", [Layer(2, 3, 3, 2, 1, input=(7, 5), bias=False)])
def test_sizes_that_are_written_into_a_function_of_jax(layer):
    jax = pytest.importorskip("jax")

    def own(x, weight):
        return jax.lax.conv_general_dilated(x, weight, (2, 2), [(1, 1), (1, 1)])

    assert_gives(target(own, style="jax", supports=("stride", "padding")), layer)
    around = target(own, style="jax", supports=("stride",))
    assert around.run(layer, integer_operands(layer)).output.shape != layer.output_shape


class TestPyTorch:
    @pytest.fixture(autouse=True)
    def _torch(self):
        self.torch = pytest.importorskip("torch")

    @pytest.mark.parametrize("layer", TRANSPOSED)
    @pytest.mark.parametrize("name", ["torch.nn:ConvTranspose{}d", "torch.nn.functional:conv_transpose{}d"])
    def test_transposed_ones(self, name, layer):
        code = target(name.format(len(layer.input)))
        assert_gives(code, layer)
        assert_right(code, layer, integer_operands(layer, 1), integer_operands(layer, 2))

    @pytest.mark.parametrize("layer", MODES)
    def test_padding_modes(self, layer):
        code = target("torch.nn:Conv2d")
        assert_gives(code, layer)
        assert_right(code, layer, integer_operands(layer, 1), integer_operands(layer, 2))

    def test_what_code_does_not_take_is_refused(self):
        plain = Layer(2, 3, 3)
        assert "not transposed" in refused(target("torch.nn:ConvTranspose2d"), plain)
        assert "a transposed" in refused(target("torch.nn:Conv2d"), replace(UP, groups=1))
        assert "circular" in refused(target("torch.nn.functional:conv2d"), MODES[0])
        with pytest.raises(TargetError, match="circular"):
            target("torch.nn.functional:conv2d", supports=("circular",))

    def test_a_function_of_ones_own_is_told_by_a_parameter_or_its_mapping(self):
        def up(x, weight, bias, stride, padding, output_padding, groups, dilation):
            return self.torch.nn.functional.conv_transpose2d(
                x, weight, bias, stride, padding, output_padding, groups, dilation
            )

        def without(x, weight, bias, stride):
            return self.torch.nn.functional.conv_transpose2d(x, weight, bias, stride)

        assert_gives(target(up, style="torch"), UP)
        by_mapping = target(without, style="torch", supports=("transposed",), unsupported=("plain",))
        layer = replace(UP, groups=1, output_padding=(0, 0))
        assert_gives(by_mapping, layer)
        assert "output padding" in refused(by_mapping, replace(UP, groups=1))
        assert "not transposed" in refused(by_mapping, Layer(2, 3, 3))
        assert "a transposed" in refused(target(without, style="torch"), layer)

    @pytest.mark.parametrize("layer", [Layer(2, 3, 3, 2, 1, input=(7, 5)), replace(UP, groups=1, bias=False)])
    def test_sizes_that_are_written_into_a_function(self, layer):
        functional = self.torch.nn.functional
        right = functional.conv_transpose2d if layer.transposed else functional.conv2d
        behind = {"output_padding": layer.output_padding} if layer.transposed else {}

        def own(stride=layer.stride, padding=1):
            return lambda x, weight, bias=None: right(x, weight, bias, stride, padding, **behind)

        said = {"style": "torch", "supports": ("stride", "padding", "transposed", "output-padding")}
        assert_gives(target(own(), **said), layer)
        assert verify(layer, target={"call": own(), **said}, checks=["forward", "exact"]).passed
        assert not verify(layer, target={"call": own(padding=0), **said}, checks=["forward"]).passed
        # Of what is not said to pad, the padding is done around it, once more.
        unsaid = target(own(), style="torch", supports=("stride", "transposed", "output-padding"))
        assert unsaid.run(layer, integer_operands(layer)).output.shape != layer.output_shape

    def test_what_it_takes_is_found_by_trying(self):
        _, probe = probed(TargetSpec(call="torch.nn:ConvTranspose2d"), lambda spec: target(spec.call))
        assert (probe.right, probe.base.transposed) == (True, True)
        assert {"transposed", "output-padding", "groups", "dilation"} <= probe.taken
        assert {"plain"} <= probe.refused.keys()
        assert not {"plain", "remainder", "circular"} & probe.taken

    def test_wrong_ones_fail(self):
        def stride_and_dilation_exchanged(x, weight, bias, stride, padding, output_padding, groups, dilation):
            right = self.torch.nn.functional.conv_transpose2d
            output = right(x, weight, bias, stride, padding, output_padding, groups, dilation)

            class Function(self.torch.autograd.Function):
                @staticmethod
                def forward(ctx, x, weight):
                    ctx.save_for_backward(x, weight)
                    return right(x, weight, bias, stride, padding, output_padding, groups, dilation)

                @staticmethod
                def backward(ctx, g):
                    x, weight = ctx.saved_tensors
                    found = self.torch.nn.functional.conv2d(g, weight, None, dilation, padding, stride, groups)
                    size = [slice(n) for n in x.shape[2:]]
                    by_x = self.torch.zeros_like(x)
                    found = found[(slice(None), slice(None), *size)]
                    by_x[tuple(slice(n) for n in found.shape)] = found
                    return by_x, self.torch.zeros_like(weight)

            return Function.apply(x, weight) + 0 * output

        code = {"call": stride_and_dilation_exchanged, "style": "torch"}
        layer = Layer(2, 3, 2, stride=2, transposed=True, input=(4, 3), bias=False)
        report = verify(layer, target=code, checks=["forward", "exact"], in_process=True, shrink=False)
        assert {(r.gradient, r.status) for r in report.layers[0].results} == {
            ("output", "passed"), ("input", "failed"), ("weight", "failed"),
        }  # fmt: skip


class TestJax:
    @pytest.fixture(autouse=True)
    def _jax(self):
        self.jax = pytest.importorskip("jax")

    def up(self, x, weight, bias, stride, padding, output_padding, dilation, groups):
        """A transposed convolution as the convolution of the input with zeros between its samples."""
        channels, filters, *kernel = weight.shape
        parts = weight.reshape(groups, channels // groups, filters, *kernel).swapaxes(1, 2)
        turned = self.jax.numpy.flip(parts.reshape(groups * filters, channels // groups, *kernel), range(2, x.ndim))
        spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = [(e - b, e - a + o) for e, (b, a), o in zip(spans, padding, output_padding, strict=True)]
        output = self.jax.lax.conv_general_dilated(
            x, turned, [1] * len(kernel), pads, stride, dilation, feature_group_count=groups
        )
        return output if bias is None else output + bias.reshape(1, -1, *(1 for _ in kernel))

    @pytest.mark.parametrize("layer", TRANSPOSED[:2])
    def test_a_function_of_ones_own(self, layer):
        def up(x, weight, bias, stride, padding, output_padding, dilation, groups):
            return self.up(x, weight, bias, stride, padding, output_padding, dilation, groups)

        code = target(up, style="jax", tuples=True)
        assert_gives(code, layer)
        assert "not transposed" in refused(code, Layer(2, 3, 3))

    def test_the_function_of_jax(self):
        code = target(
            "jax.lax:conv_transpose", layout="NHWC", weight_layout="HWIO", constants={"transpose_kernel": True}
        )
        assert_gives(code, replace(TRANSPOSED[1], groups=1))
        assert "groups" in refused(code, replace(UP, bias=False))


class TestOthers:
    @pytest.mark.parametrize("layer", [*TRANSPOSED, *MODES])
    def test_an_object_is_told_of_everything_where_its_mapping_says_so(self, layer):
        kinds = ("transposed", "circular", "reflect", "replicate")
        assert_gives(target(Right, supports=kinds), layer)
        refused(target(Right), layer)

    @pytest.mark.parametrize(
        ("layer", "words"),
        [
            (UP, " 1 transposed=1 output_padding=1,2\n"),
            (TRANSPOSED[2], " 1 transposed=1 output_padding=2\n"),
            (MODES[0], " 1 padding_mode=circular\n"),
            (Layer(2, 3, 3), " 1\n"),
        ],
    )
    def test_a_program_is_told_in_words_behind_the_others(self, layer, words):
        request = Request("forward", layer, {"x": np.zeros(1)}, {})
        assert request.line.decode().endswith(words)
        assert request.line.count(b"=") == words.count("=")


@pytest.mark.parametrize(
    ("target", "layer"),
    [
        ("torch.nn.functional:conv2d", Layer(2, 3, (3, 2), padding=((1, 0), (0, 2)), batch=1)),
        ("torch.nn.functional:conv_transpose2d", Layer(2, 3, (3, 2), padding=((1, 0), (0, 1)), transposed=True)),
        ("torch.nn:Conv1d", Layer(2, 3, (3,), padding=((1, 2),), padding_mode="circular", input=(5,))),
    ],
)
def test_padding_that_differs_between_the_sides_of_one_sample_at_a_time(target, layer):
    pytest.importorskip("torch")
    report = verify(layer, target={"call": target, "layout": "CHW"}, checks=["forward", "exact"])
    assert report.passed, report


def test_code_of_half_precision_that_raises_is_an_error_of_its_own():
    pytest.importorskip("torch")

    def raises(x, weight, bias, layer):
        raise RuntimeError("not today")

    target = {"call": raises, "style": "torch"}
    report = verify(Layer(2, 3, 3, dtype="float16"), target=target, checks=["forward", "exact"])
    assert not report.passed
    assert any("not today" in (result.message or "") for result in report.layers[0].results)
