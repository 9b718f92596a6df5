"""How a pass of PyTorch's or JAX's is called: memory, what requires a gradient, modes, threads."""

from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer
from convcheck.layer.data import integer_operands
from convcheck.targets.calling import AROUND, MEMORIES, How
from tests.parts import right_arrays, target

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=(1, 2), groups=2, input=(7, 8), batch=3)
AT = integer_operands(LAYER)
GRADIENTS = ("input", "weight", "bias")
HOWS = [
    *(How(memory, around=around) for memory in MEMORIES if "reversed" not in memory for around in ("", "nan", "zeros")),
    *(How(gradients=(name,)) for name in GRADIENTS),
    How(no_grad="before"),
    How(no_grad="between"),
    How(evaluating=True),
    How(threads="one"),
    How(threads="all"),
    How(at_once=True),
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ["torch.nn:Conv2d", "torch.nn.functional:conv2d"])
def test_right_code_gives_the_same_however_it_is_called(how, name):
    pytest.importorskip("torch")
    run = target(name).run(LAYER, AT, how)
    right = right_arrays(AT, LAYER)
    assert np.array_equal(run.output, right["output"])
    for gradient, found in zip(GRADIENTS, run.backward(), strict=True):
        assert found is None if gradient not in how.gradients else np.array_equal(found, right[gradient])
    assert run.modified() == ()


def test_tensors_lie_as_they_are_told_to_and_what_is_written_around_them_is_named():
    torch = pytest.importorskip("torch")
    seen = {}

    def conv2d(input, weight, bias, stride, padding, groups):  # noqa: A002 - as PyTorch has it
        seen.update(input=input, weight=weight, bias=bias)
        if input.storage_offset():
            with torch.no_grad():
                input.as_strided((1,), (1,), input.storage_offset() + input.numel()).zero_()
        return torch.nn.functional.conv2d(input, weight, bias, stride, padding, 1, groups)

    code = target(conv2d, style="torch")
    strides = {}
    for memory in ("fortran", "channels-last", "rows"):
        code.run(LAYER, AT, How(memory))
        strides[memory] = seen["input"].stride()
    assert strides == {"fortran": (1, 3, 12, 84), "channels-last": (224, 1, 32, 4), "rows": (308, 77, 11, 1)}
    assert code.run(LAYER, AT, How(around="nan")).modified() == (AROUND + "x",)


@pytest.mark.parametrize("name", ["torch.nn:Conv2d", "torch.nn.functional:conv2d"])
def test_the_same_object_takes_other_memory_and_a_module_other_sizes(name):
    pytest.importorskip("torch")
    run = target(name).run(LAYER, AT)
    run.backward()
    second = integer_operands(LAYER, 1)
    again = run.again(second, new_memory=True)
    for found, gradient in zip(again.backward(), GRADIENTS, strict=True):
        assert np.array_equal(found, right_arrays(second, LAYER)[gradient])
    larger = replace(LAYER, batch=5, input=(9, 11))
    at = integer_operands(larger)
    if name.endswith("Conv2d"):
        assert np.array_equal(run.again(at, larger).backward()[0], right_arrays(at, larger)["input"])
    else:
        with pytest.raises(NotImplementedError):
            run.again(at, larger)


def test_the_mode_of_a_module_is_as_asked_for_and_as_it_was_afterwards():
    torch = pytest.importorskip("torch")
    modes = []

    class Watched(torch.nn.Conv2d):
        def forward(self, x):
            modes.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)

    code = target(Watched)
    for how, seen in (
        (How(no_grad="between"), [(True, True), (False, False)]),
        (How(no_grad="before"), [(False, False), (True, True)]),
        (How(evaluating=True), [(False, True)]),
    ):
        modes.clear()
        code.run(LAYER, AT, how)
        assert modes == seen


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_jax_gives_what_is_asked_for_alone(gradient):
    jax = pytest.importorskip("jax")

    def conv(x, weight, bias, stride, padding, groups):
        out = jax.lax.conv_general_dilated(x, weight, stride, padding, feature_group_count=groups)
        return out + bias[None, :, None, None]

    run = target(conv, style="jax", tuples=True).run(LAYER, AT, How(gradients=(gradient,)))
    found = dict(zip(GRADIENTS, run.backward(), strict=True))
    assert {name for name, array in found.items() if array is not None} == {gradient}
    assert np.array_equal(found[gradient], right_arrays(AT, LAYER)[gradient])
