"""Layers of complex numbers: right code passes whatever its convention, and every slip of a conjugate has its name."""

import json
from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.gradients.passes import backward, forward
from convcheck.layer.data import integer_operands
from convcheck.mistakes.diagnose import diagnose
from convcheck.mistakes.mistake import Scene
from tests.mistaken import VISIBLE
from tests.targets_for_tests import UNFOLD, Right, wrong

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(5, 4), dtype="complex128")
TRANSPOSED = Layer(2, 3, 3, stride=2, padding=1, output_padding=1, input=(4,), transposed=True, dtype="complex64")
CIRCULAR = Layer(2, 3, 3, padding=1, padding_mode="circular", input=(4, 5), bias=False, dtype="complex64")


class Transpose(Right):
    """Gradients in which nothing is conjugated, as jax.vjp has them."""

    def backward(self, grad_output):
        return UNFOLD.backward(self.layer, self.x.conj(), self.weight.conj(), grad_output)


def passing(**operands):
    """A class whose backward pass is right but for operands that go through functions."""

    class Passing(Right):
        def backward(self, grad_output):
            at = {"x": self.x, "weight": self.weight, "grad_output": grad_output}
            at |= {name: spoil(at[name]) for name, spoil in operands.items()}
            return UNFOLD.backward(self.layer, at["x"], at["weight"], at["grad_output"])

    return Passing


def computing(**spoils):
    """A class whose forward pass, or an operand of it, goes through a function."""

    class Computing(Right):
        def forward(self, x, weight, bias, layer):
            at = {"x": x, "weight": weight, "bias": bias}
            at |= {name: spoil(at[name]) for name, spoil in spoils.items() if name in at}
            output = super().forward(at["x"], at["weight"], at["bias"], layer)
            self.x, self.weight = x, weight
            return spoils.get("output", np.asarray)(output)

    return Computing


def real(array):
    return array.real.astype(array.dtype)


def supporting(call):
    """The mapping of code that takes every kind of layer."""
    return {"call": call, "supports": ["transposed", "output-padding", "circular"]}


def told(report):
    return " ".join(str(report).split())


def names(report, gradient):
    return {
        diagnosis.name
        for layer in report.layers
        for result in layer.results
        if result.gradient == gradient
        for diagnosis in result.diagnosis
    }


@pytest.mark.parametrize("layer", [LAYER, TRANSPOSED, CIRCULAR], ids=["plain", "transposed", "circular"])
def test_right_code_passes_every_check_under_every_condition(layer):
    report = verify(layer, target=supporting(Right))
    assert report.passed, str(report)
    for result in report.layers[0].results:
        assert result.passed, result
    assert {result.check for result in report.layers[0].results} == {"forward", "central", "exact", "conditions"}


@pytest.mark.parametrize("check", ["central", "exact", "projected"])
@pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
def test_every_kind_of_check_sees_either_part_of_one_entry(check, gradient):
    for off in (1, 1j):

        def spoil(array, off=off):
            array.flat[-1] += off
            return array

        report = verify(LAYER, target=wrong(gradient, spoil), checks=[check], shrink=False)
        (bad,) = [r for r in report.layers[0].results if r.status == "failed" and r.check == check]
        assert bad.gradient == gradient
        assert bad.max_abs_error == pytest.approx(1) or check == "projected"
        assert verify(LAYER, target=Right, checks=[check]).passed


class TestConjugates:
    @pytest.mark.parametrize("layer", [LAYER, TRANSPOSED, CIRCULAR], ids=["plain", "transposed", "circular"])
    def test_the_other_convention_is_named_in_both_gradients(self, layer):
        report = verify(layer, target=supporting(Transpose))
        assert not report.passed
        assert names(report, "input") == names(report, "weight") == {"conjugate-convention"}
        assert names(report, "bias") == set()
        assert "conjugate: false in the mapping" in told(report)

    def test_code_that_says_so_has_it(self):
        assert verify(LAYER, target={"call": Transpose, "conjugate": False}).passed
        report = verify(LAYER, target={"call": Right, "conjugate": False})
        assert names(report, "input") == names(report, "weight") == {"conjugate-convention"}

    def test_of_one_of_the_two(self):
        # What would be conjugated is given conjugated, so that it is not.
        report = verify(LAYER, target=passing(weight=np.conj))
        assert (names(report, "input"), names(report, "weight")) == ({"conjugate-convention"}, set())
        report = verify(LAYER, target=passing(x=np.conj))
        assert (names(report, "input"), names(report, "weight")) == (set(), {"conjugate-convention"})

    @pytest.mark.parametrize(
        ("target", "form"),
        [
            (passing(grad_output=np.conj), "(of grad_output)"),
            (passing(grad_output=np.conj, weight=np.conj, x=np.conj), "(of the whole gradient)"),
        ],
    )
    def test_of_what_is_not_to_be_conjugated(self, target, form):
        report = verify(LAYER, target=target)
        for gradient in ("input", "weight"):
            assert names(report, gradient) == {"conjugate-misplaced"}
        assert form in told(report)
        assert names(report, "bias") == {"conjugate-misplaced"}

    @pytest.mark.parametrize(
        ("target", "gradient"),
        [
            (wrong("input", real), "input"),
            (wrong("bias", real), "bias"),
            (passing(weight=real), "input"),
            (passing(x=real), "weight"),
            (passing(grad_output=real), "weight"),
            (passing(grad_output=real, weight=real), "input"),
        ],
    )
    def test_parts_that_are_dropped(self, target, gradient):
        assert names(verify(LAYER, target=target), gradient) == {"imaginary-dropped"}

    @pytest.mark.parametrize(
        ("target", "name", "words"),
        [
            (computing(output=np.conj), "forward-conjugated", "conjugates its output"),
            (computing(weight=np.conj), "forward-conjugated", "conjugates the weight"),
            (computing(x=real), "forward-imaginary-dropped", "imaginary parts of the input"),
            (computing(bias=real), "forward-imaginary-dropped", "imaginary parts of the bias"),
            (computing(output=real), "forward-imaginary-dropped", "imaginary part of its output"),
        ],
    )
    def test_in_the_forward_pass(self, target, name, words):
        report = verify(LAYER, target=target)
        assert names(report, "output") == {name}
        assert words in told(report)

    def test_a_forward_pass_that_is_not_complex_linear_decides_nothing_about_its_gradient(self):
        report = verify(LAYER, target=computing(x=real), checks=["exact"])
        (found,) = [r for r in report.layers[0].results if r.gradient == "input"]
        assert found.status == "inconclusive"
        assert "not linear in the input" in found.message

    def test_real_data_could_not_show_it(self):
        layer = replace(LAYER, dtype="float64")
        assert verify(layer, target=Transpose).passed


class TestNames:
    @pytest.mark.parametrize("layer", [LAYER, TRANSPOSED, CIRCULAR], ids=["plain", "transposed", "circular"])
    def test_what_real_layers_show_is_named_on_complex_ones(self, layer):
        """Every mistake that makes a difference has its name, and no more of them than on the same layer in float64."""

        def found(layer, mistake, gradient, variant):
            def rerun(other, at):
                scene = Scene.of(other, at)
                right_one = scene.answer(gradient)
                made = next((w.array for w in mistake.wrong(scene, gradient) if w.variant == variant), right_one)
                return {gradient: made.conj() if gradient == "output" else made}

            return {diagnosis.name for diagnosis in diagnose(layer, gradient, rerun).diagnoses}

        scene = Scene.of(layer, integer_operands(layer))
        count = 0
        for mistake in VISIBLE:
            for gradient in mistake.gradients:
                for variant in sorted(mistake.visible(scene, gradient))[:1]:
                    same = found(layer, mistake, gradient, variant)
                    assert mistake.name in same or "times" in variant
                    if not mistake.of_complex:
                        assert same == found(replace(layer, dtype="float64"), mistake, gradient, variant)
                    count += 1
        assert count > 30

    @pytest.mark.parametrize(
        ("factor", "text"), [(2 + 1j, "times 2+i"), (-1j, "times -i"), (0.25 - 3j, "times 0.25-3i"), (3, "times 3")]
    )
    def test_any_factor_is_told(self, factor, text):
        report = verify(LAYER, target=wrong("weight", lambda array: factor * array))
        assert names(report, "weight") == {"scaled"}
        assert f"({text})" in told(report)

    def test_what_no_mistake_makes_is_told_by_its_complex_numbers(self):
        report = verify(LAYER, target=wrong("weight", lambda array: array + (2 - 5j)))
        assert names(report, "weight") == {"constant-added"}
        assert "2-5i" in told(report)
        turned = (1j ** np.arange(6)).reshape(6, 1, 1, 1)
        report = verify(LAYER, target=wrong("weight", lambda array: turned * array))
        assert names(report, "weight") == {"factor-per-slice"}
        assert "1, i, -1, -i, 1, i" in told(report)

    def test_weight_decay_is_that_of_the_weight_itself(self):
        class Decay(Right):
            def backward(self, grad_output):
                grads = super().backward(grad_output)
                return grads.input, grads.weight + 0.5 * self.weight, grads.bias

        report = verify(LAYER, target=Decay)
        assert names(report, "weight") == {"operand-added"}
        assert "0.5" in str(report)


class TestReports:
    REPORT = verify(LAYER, target=Transpose, checks=["forward", "exact"])

    def test_the_smallest_case_is_plain(self):
        smallest = self.REPORT.layers[0].smallest
        assert smallest.layer["kernel"] == [1]
        assert (smallest.analytic, smallest.numeric) in {(1j, -1j), (-1j, 1j)}
        assert smallest.operands["grad_output"] == [[[[1.0, 0.0]]]]
        assert smallest.what.startswith("dL/dX[0,0,0] is i, should be -i: dL/dO[0,0,0] = 1 reaches it")
        assert "conj W is -i" in smallest.what

    def test_numbers_are_pairs_in_json_and_fit_the_schema(self):
        jsonschema = pytest.importorskip("jsonschema")
        from convcheck.reports.results import report_schema

        data = json.loads(json.dumps(self.REPORT.to_dict()))
        jsonschema.validate(data, report_schema())
        worst = next(r["worst"] for r in data["layers"][0]["results"] if r["worst"])
        assert all(len(worst[key]) == 2 for key in ("analytic", "numeric"))

    def test_texts_have_them_as_people_write_them(self):
        text = str(self.REPORT)
        assert "the backward pass gives " in text
        assert "j" not in text.split("the backward pass gives ")[1].split("error")[0].replace("[", "")

    def test_nothing_is_drawn_and_that_is_said(self):
        from convcheck.errors import UsageError
        from convcheck.explain.trial import trial

        with pytest.raises(
            UsageError, match="complex128 are neither drawn nor written out; take the same layer in float64"
        ):
            trial(LAYER, None)
        assert trial(replace(LAYER, dtype="float64"), None).operands is not None
        assert "convcheck explain" not in str(self.REPORT)


def test_second_derivatives_are_left_out_with_a_reason():
    pytest.importorskip("torch")
    report = verify(replace(LAYER, padding=1), target="torch.nn.functional:conv2d")
    assert report.passed
    reasons = {r.message for r in report.layers[0].results if r.check == "double"}
    assert reasons == {"second derivatives of complex layers are not looked at"}


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.functional:conv2d",
        "torch.nn:Conv2d",
    ],
)
def test_pytorch_passes_and_is_wrong_where_it_is_said_to_conjugate_nothing(target):
    pytest.importorskip("torch")
    layer = replace(LAYER, padding=1, dtype="complex64")
    assert verify(layer, target=target).passed
    report = verify(layer, target={"call": target, "conjugate": False})
    assert names(report, "input") == names(report, "weight") == {"conjugate-convention"}


def test_a_function_of_pytorchs_that_gives_marked_conjugates():
    torch = pytest.importorskip("torch")

    class Marked(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, bias):
            ctx.save_for_backward(x, weight)
            return torch.nn.functional.conv2d(x, weight, bias)

        @staticmethod
        def backward(ctx, grad_output):
            x, weight = ctx.saved_tensors
            full = torch.nn.functional.conv_transpose2d(grad_output.conj(), weight).conj()
            grad_weight = torch.nn.functional.conv2d(
                x.conj().transpose(0, 1), grad_output.transpose(0, 1).resolve_conj()
            ).transpose(0, 1)
            return full, grad_weight, grad_output.sum((0, 2, 3))

    layer = Layer(2, 3, (2, 3), input=(4, 5), dtype="complex128")
    assert verify(layer, target=Marked.apply).passed


def test_jax_passes_in_its_own_convention_and_not_in_the_other():
    jax = pytest.importorskip("jax")

    def conv(x, weight, bias):
        output = jax.lax.conv_general_dilated(x, weight, (1,), "VALID", dimension_numbers=("NCH", "OIH", "NCH"))
        return output + bias[None, :, None]

    layer = Layer(2, 3, 2, input=(4,), dtype="complex64")
    checks = ["forward", "central", "exact", "projected"]
    assert verify(layer, target={"call": conv, "style": "jax"}, checks=checks).passed
    report = verify(layer, target={"call": conv, "style": "jax", "conjugate": True}, checks=checks, shrink=False)
    assert names(report, "input") == names(report, "weight") == {"conjugate-convention"}


def test_a_pair_of_functions(tmp_path):
    (tmp_path / "course.py").write_text(
        "import convcheck\n"
        "from convcheck import Layer\n"
        "def layer_of(x, w, p):\n"
        "    return Layer(x.shape[1], len(w), w.shape[2:], stride=p['stride'], padding=p['pad'], input=x.shape[2:],\n"
        "                 batch=len(x), dtype=x.dtype.name)\n"
        "def forward(x, w, b, conv_param):\n"
        "    return convcheck.forward(layer_of(x, w, conv_param), x, w, b), (x, w, conv_param)\n"
        "def backward(dout, cache):\n"
        "    return convcheck.backward(layer_of(*cache), cache[0], cache[1], dout)\n"
        "def unconjugated(dout, cache):\n"
        "    return convcheck.backward(layer_of(*cache), cache[0].conj(), cache[1].conj(), dout)\n"
    )
    layer = Layer(2, 3, 3, stride=2, padding=1, input=(5, 5), dtype="complex64")
    pair = {"style": "cache", "forward": f"{tmp_path / 'course.py'}:forward"}
    assert verify(layer, target={**pair, "backward": f"{tmp_path / 'course.py'}:backward"}).passed
    report = verify(layer, target={**pair, "backward": f"{tmp_path / 'course.py'}:unconjugated"})
    assert names(report, "input") == names(report, "weight") == {"conjugate-convention"}


PROGRAM = """
import sys
from math import prod
import numpy as np
import convcheck
requests, answers = sys.stdin.buffer, sys.stdout.buffer
while line := requests.readline():
    _, _, direction, dtype, *words = line.decode().split()
    n, c, f, groups, rank, *sizes = map(int, words)
    per = [tuple(sizes[i * rank : (i + 1) * rank]) for i in range(7)]
    layer = convcheck.Layer(c, f, per[1], stride=per[2], dilation=per[3], padding=list(zip(per[4], per[5])),
                            groups=groups, input=per[0], batch=n, bias=bool(sizes[-1]), dtype=dtype)
    def read(shape):
        return np.frombuffer(requests.read(prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape)
    x, weight = read(layer.input_shape), read(layer.weight_shape)
    bias = read(layer.bias_shape) if layer.bias else None
    if direction == "forward":
        found = [convcheck.forward(layer, x, weight, bias)]
    else:
        found = [a for a in convcheck.backward(layer, x, CONJ, read(layer.output_shape)) if a is not None]
    answers.write(f"ok {' '.join(str(a.size) for a in found)}\\n".encode() + b"".join(a.tobytes() for a in found))
    answers.flush()
"""


@pytest.mark.parametrize(("weight", "expected"), [("weight", set()), ("weight.conj()", {"conjugate-convention"})])
def test_a_program_is_sent_both_parts_of_every_number(tmp_path, weight, expected):
    import sys

    (tmp_path / "program.py").write_text(PROGRAM.replace("CONJ", weight))
    layer = Layer(2, 3, (2, 3), padding=1, input=(4, 5), dtype="complex64")
    report = verify(
        layer, target={"command": [sys.executable, str(tmp_path / "program.py")]}, checks=["forward", "exact"],
        shrink=False,
    )  # fmt: skip
    assert report.passed == (not expected)
    assert names(report, "input") == expected
    assert names(report, "weight") == set()


def test_the_plain_functions_take_them():
    at = integer_operands(LAYER)
    output = forward(LAYER, at.x, at.weight, at.bias)
    gradients = backward(LAYER, at.x, at.weight, at.grad_output)
    # The adjoint, for the inner product that conjugates its first argument.
    without = output - at.bias[:, None, None]
    assert np.vdot(without, at.grad_output) == np.vdot(at.x, gradients.input) == np.vdot(at.weight, gradients.weight)


def test_what_sums_are_made_in_is_found_too():
    layer = Layer(3, 4, 3, input=(5, 6), dtype="complex128")

    def narrow(array):
        return array.astype("complex64").astype("complex128")

    for target, fine in ((Right, True), (wrong("weight", narrow), False)):
        report = verify(layer, target=target, checks=["exact", "accumulate"], shrink=False)
        found = {r.gradient: r for r in report.layers[0].results if r.check == "accumulate"}
        assert found["input"].passed
        assert found["input"].accumulates == "float64"
        assert found["weight"].passed == fine
