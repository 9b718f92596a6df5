"""Second derivatives and forward mode of PyTorch's and JAX's code, as autograd and jax give them."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.layer.data import integer_operands
from convcheck.targets.process.limits import Limits
from convcheck.targets.process.place import Place
from convcheck.targets.process.remote import Remote
from convcheck.targets.spec import TargetSpec
from tests.parts import right_arrays, target

LAYER = Layer(2, 3, 3, stride=(2, 1), padding=1, input=(5, 4), batch=2)
AT, ALONG = integer_operands(LAYER), integer_operands(LAYER, 1)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def functions(torch):
    """Functions of autograd's, of which all but the first are wrong, or refuse, when they are differentiated twice."""
    grad, conv2d = torch.nn.grad, torch.nn.functional.conv2d

    class Right(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, bias, stride, padding):
            ctx.save_for_backward(x, weight)
            ctx.save_for_forward(x, weight)
            ctx.options = stride, padding
            return conv2d(x, weight, bias, stride, padding)

        @staticmethod
        def backward(ctx, g, *, x=None, weight=None):
            saved = ctx.saved_tensors
            x, weight = saved[0] if x is None else x, saved[1] if weight is None else weight
            by_x = grad.conv2d_input(x.shape, weight, g, *ctx.options)
            return by_x, grad.conv2d_weight(x, weight.shape, g, *ctx.options), g.sum((0, 2, 3)), None, None

        @staticmethod
        def jvp(ctx, x, weight, bias, *_):
            at = ctx.saved_tensors
            return conv2d(x, at[1], None, *ctx.options) + conv2d(at[0], weight, bias, *ctx.options)

    class DetachedOutput(Right):
        backward = staticmethod(lambda ctx, g: Right.backward(ctx, g.detach()))

    class DetachedInput(Right):
        backward = staticmethod(lambda ctx, g: Right.backward(ctx, g, x=ctx.saved_tensors[0].detach()))

    class DetachedWeight(Right):
        backward = staticmethod(lambda ctx, g: Right.backward(ctx, g, weight=ctx.saved_tensors[1].detach()))

    class Once(Right):
        backward = staticmethod(torch.autograd.function.once_differentiable(Right.backward))

    class ByNumPy(Right):
        @staticmethod
        def backward(ctx, g):
            return Right.backward(ctx, torch.from_numpy(g.numpy()))

    class NoJvp(Right):
        jvp = torch.autograd.Function.jvp

    class WrongJvp(Right):
        @staticmethod
        def jvp(ctx, x, weight, bias, *others):
            return Right.jvp(ctx, x, weight, 0 * bias, *others)

    class Twice(torch.autograd.Function):
        """A backward pass with a backward pass of its own, which forgets to turn the kernel for dL/dX."""

        @staticmethod
        def forward(ctx, x, weight, g, stride, padding):
            ctx.save_for_backward(x, weight, g)
            ctx.options = stride, padding
            return grad.conv2d_input(x.shape, weight, g, stride, padding), grad.conv2d_weight(
                x, weight.shape, g, stride, padding
            )

        @staticmethod
        def backward(ctx, u_x, u_w):
            x, weight, g = ctx.saved_tensors
            by_x = grad.conv2d_input(x.shape, u_w.flip((2, 3)), g, *ctx.options)
            by_weight = grad.conv2d_weight(u_x, weight.shape, g, *ctx.options)
            by_g = conv2d(u_x, weight, None, *ctx.options) + conv2d(x, u_w, None, *ctx.options)
            return by_x, by_weight, by_g, None, None

    class Unflipped(Right):
        @staticmethod
        def backward(ctx, g):
            return *Twice.apply(*ctx.saved_tensors, g, *ctx.options), g.sum((0, 2, 3)), None, None

    return SimpleNamespace(**{name: found for name, found in locals().items() if isinstance(found, type)})


def rows(code, layer=LAYER, checks=("double",)):
    report = verify(layer, target=code, checks=checks, in_process=True, shrink=False)
    return {r.gradient: r for r in report.layers[0].results if r.check == "double"}


def assert_right(code, layer, at=AT, along=ALONG):
    by_output, by_input, by_weight = code.second(layer, at, along)
    first, second = replace(at, x=along.x, bias=None), replace(at, weight=along.weight)
    forward = right_arrays(first, layer)["output"] + right_arrays(replace(second, bias=along.bias), layer)["output"]
    assert np.array_equal(by_output, forward)
    assert np.array_equal(by_input, right_arrays(second, layer)["input"])
    assert np.array_equal(by_weight, right_arrays(first, layer)["weight"])
    assert np.array_equal(code.tangent(layer, at, along), forward)


TORCH = ["torch.nn:Conv2d", "torch.nn.functional:conv2d", "torch.nn:LazyConv2d"]


class TestPyTorch:
    @pytest.mark.parametrize("name", TORCH)
    def test_modules_and_functions_give_what_the_formulas_say(self, torch, name):
        assert_right(target(name), LAYER)
        plain = replace(LAYER, bias=False, padding=((1, 0), (0, 2)))
        assert_right(target(name), plain, integer_operands(plain), integer_operands(plain, 1))

    def test_a_module_of_ones_own_gives_them_with_its_parameters_wherever_they_are(self, torch):
        class Inside(torch.nn.Module):
            def __init__(self, in_channels, out_channels, kernel_size, stride, padding):
                super().__init__()
                self.inner = torch.nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding).to(
                    memory_format=torch.channels_last
                )

            def forward(self, x):
                return self.inner(x)

        assert_right(target(Inside, attributes={"weight": "inner.weight", "bias": "inner.bias"}), LAYER)

    def test_a_function_with_both_passes_of_its_own_is_right_in_every_row(self, functions):
        found = rows(functions.Right)
        assert {r.status for r in found.values()} == {"passed"}
        assert found["output"].message == "forward mode is right"

    @pytest.mark.parametrize(
        ("name", "gradient"), [("DetachedOutput", "output"), ("DetachedInput", "input"), ("DetachedWeight", "weight")]
    )
    def test_what_is_detached_is_told(self, functions, name, gradient):
        found = rows(getattr(functions, name))
        assert {g for g, r in found.items() if r.status == "failed"} == {gradient}
        assert [d.name for d in found[gradient].diagnosis] == ["graph-broken"]
        told = rows(getattr(functions, name), checks=None)
        assert {g: r.status for g, r in told.items()} == {
            g: "skipped" if g == gradient else "passed" for g in ("output", "input", "weight")
        }

    @pytest.mark.parametrize("checks", [None, ["double"]])
    def test_what_is_differentiable_once_by_its_own_word_is_skipped_in_its_words(self, functions, checks):
        found = rows(functions.Once, checks=checks)
        assert {r.status for r in found.values()} == {"skipped"}
        assert all("once_differentiable" in r.message for r in found.values())

    def test_what_raises_is_a_failure_only_where_it_was_demanded(self, functions):
        assert {r.status for r in rows(functions.ByNumPy, checks=None).values()} == {"skipped"}
        found = rows(functions.ByNumPy)
        assert {r.status for r in found.values()} == {"error"}
        assert "numpy" in found["input"].message

    def test_a_wrong_second_derivative_is_diagnosed(self, functions):
        found = rows(functions.Unflipped)
        assert {g: r.status for g, r in found.items()} == {"output": "passed", "input": "failed", "weight": "passed"}
        assert [d.name for d in found["input"].diagnosis] == ["kernel-not-flipped"]

    def test_a_wrong_forward_mode_fails_and_a_missing_one_is_noted(self, functions):
        wrong, missing = rows(functions.WrongJvp)["output"], rows(functions.NoJvp)["output"]
        assert wrong.status == "failed"
        assert "0 times that of grad_bias" in wrong.message
        assert missing.passed
        assert "jvp" in missing.message

    def test_gradgradcheck_agrees(self, functions, torch):
        generator = torch.Generator().manual_seed(0)
        shapes = (LAYER.input_shape, LAYER.weight_shape, LAYER.bias_shape)
        tensors = [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
        verdicts = {
            name: torch.autograd.gradgradcheck(
                lambda *at, code=code: code.apply(*at, LAYER.stride, (1, 1)), tensors, raise_exception=False
            )
            for name in ("Right", "DetachedInput", "DetachedWeight", "Unflipped")
            for code in [getattr(functions, name)]
        }
        ours = {name: all(r.passed for r in rows(getattr(functions, name)).values()) for name in verdicts}
        assert ours == verdicts == dict.fromkeys(verdicts, False) | {"Right": True}

    def test_it_is_a_blind_spot_unless_the_mapping_says_that_nobody_will_ask(self, functions):
        code = {"call": functions.Once, "style": "torch"}
        spots = {spot.name for spot in verify(LAYER, target=code, strict=True, shrink=False).blind_spots}
        assert "graph-broken" in spots
        quiet = verify(LAYER, target={**code, "unsupported": ["double"]}, strict=True, shrink=False)
        assert "graph-broken" not in {spot.name for spot in quiet.blind_spots}
        assert "double" not in {r.check for r in quiet.layers[0].results}

    def test_a_mean_over_the_batch_is_not_differentiated_again(self, torch):
        assert not target("torch.nn:Conv2d", mean_over_batch=("weight",)).differentiable
        assert target("torch.nn:Conv2d").differentiable


class TestJax:
    def functions(self):
        jax = pytest.importorskip("jax")

        def right(x, weight, bias, stride, padding):
            numbers = ("NCHW", "OIHW", "NCHW")
            found = jax.lax.conv_general_dilated(x, weight, stride, padding, dimension_numbers=numbers)
            return found + bias.reshape(1, -1, 1, 1)

        def stopped(stops):
            """With a backward pass that stops the gradient of its saved arguments, or refuses forward mode only."""

            def function(x, weight, bias, stride, padding):
                @jax.custom_vjp
                def of(x, weight, bias):
                    return right(x, weight, bias, stride, padding)

                def backward(saved, g):
                    saved = jax.lax.stop_gradient(saved) if stops else saved
                    return jax.vjp(lambda *at: right(*at, stride, padding), *saved)[1](g)

                of.defvjp(lambda *at: (of(*at), at), backward)
                return of(x, weight, bias)

            return function

        return right, stopped

    def test_functions_give_what_the_formulas_say(self):
        right, _ = self.functions()
        assert_right(target(right, style="jax"), LAYER)

    def test_a_rule_of_ones_own_is_right_without_forward_mode_and_told_where_it_stops(self):
        _, stopped = self.functions()
        found = rows({"call": stopped(stops=False), "style": "jax"})
        assert {r.status for r in found.values()} == {"passed"}
        assert "custom_vjp" in found["output"].message
        broken = rows({"call": stopped(stops=True), "style": "jax"})
        assert {g: r.status for g, r in broken.items()} == {"output": "passed", "input": "failed", "weight": "failed"}
        assert {d.name for g in ("input", "weight") for d in broken[g].diagnosis} == {"graph-broken"}


def test_a_worker_gives_the_same(torch):
    place = Place(Path.cwd(), Limits(in_process=False))
    try:
        code = Remote(place, TargetSpec(call="torch.nn.functional:conv2d"))
        assert code.differentiable
        assert_right(code, LAYER)
        plain = replace(LAYER, bias=False)
        assert_right(code, plain, integer_operands(plain), integer_operands(plain, 1))
    finally:
        place.close()


def test_other_forms_say_that_they_give_none():
    code = target(sys.modules["tests.targets_for_tests"].Right)
    assert not code.differentiable
    for ask in (code.second, code.tangent):
        with pytest.raises(NotImplementedError):
            ask(LAYER, AT, ALONG)
