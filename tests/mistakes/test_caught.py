"""Every known mistake is caught and named, whatever the formulation, wherever it makes a difference."""

import random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from convcheck import Layer, load, verify
from convcheck.errors import LayerError
from convcheck.gradients import FASTEST, FORMULATIONS
from convcheck.layer.similar import as_yaml, shrunk
from convcheck.mistakes.diagnose import diagnose
from convcheck.mistakes.mistake import Scene
from convcheck.suites.config import Suite
from tests.mistaken import VISIBLE, forms_visible_on, mistaken, scene_of
from tests.strategies import layers

HOSTILE = load("hostile").layers

#: Form -> the layers of `hostile` on which it makes a difference.
SEEN: dict = {}
for _layer in HOSTILE:
    for _form in forms_visible_on(_layer):
        SEEN.setdefault(_form, []).append(_layer)


def name_of(form):
    mistake, gradient, variant = form
    return f"{mistake.name}-{gradient}-{variant}".rstrip("-").replace(" ", "_")


def assert_caught(report, mistake, gradient):
    for layer in report.layers:
        wrong = [result for result in layer.results if result.gradient == gradient and result.status == "failed"]
        assert wrong, layer.layer.name
        for result in wrong:
            assert [diagnosis.name for diagnosis in result.diagnosis] == [mistake.name]
            assert result.diagnosis[0].code == mistake.code
            assert result.diagnosis[0].fix == mistake.diagnosis("", layer.layer).fix
        # With a wrong output, gradients of the definition are not those of the forward pass.
        others = [result for result in layer.results if result.gradient != gradient and gradient != "output"]
        assert all(result.acceptable for result in others)


@pytest.mark.long
@pytest.mark.parametrize("form", SEEN, ids=name_of)
def test_on_every_layer_of_hostile_on_which_it_shows(form):
    mistake, gradient, _ = form
    suite = Suite("seen", tuple(SEEN[form]), (None,) * len(SEEN[form]))
    report = verify(suite, target=mistaken(*form), checks=["forward", "exact"], shrink=False)
    assert not report.passed
    assert_caught(report, mistake, gradient)


@pytest.mark.parametrize("mistake", VISIBLE, ids=lambda mistake: mistake.name)
@pytest.mark.parametrize(
    "formulation", [name if name == FASTEST else pytest.param(name, marks=pytest.mark.long) for name in FORMULATIONS]
)
@pytest.mark.parametrize("size", ["smallest", pytest.param("first", marks=pytest.mark.long)])
def test_in_every_formulation(mistake, formulation, size):
    for form, seen in SEEN.items():
        if form[0] is mistake:
            layer = seen[0] if size == "first" else min(seen, key=lambda layer: layer.multiply_adds)
            assert_caught(verify(layer, target=mistaken(*form, formulation), shrink=False), mistake, form[1])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layers(dtypes=("float64", "float32")), st.randoms(use_true_random=False))
def test_on_random_layers_wherever_it_says_that_it_shows(layer, random):
    forms = forms_visible_on(layer)
    assume(forms)
    mistake, gradient, variant = random.choice(forms)
    report = verify(layer, target=mistaken(mistake, gradient, variant))
    assert not report.passed
    wrong = [r for r in report.layers[0].results if r.gradient == gradient and r.status == "failed"]
    assert wrong
    assert all(mistake.name in {diagnosis.name for diagnosis in result.diagnosis} for result in wrong)


def odd_layer(generator):
    """Draw a layer on which much looks the same: one tap, windows far apart, one sample, more padding than kernel."""
    while True:
        axes, oddity = generator.choice((1, 1, 2, 2, 3)), generator.randrange(5)

        def per_axis(low, high, axes=axes):
            return [generator.randint(low, high) for _ in range(axes)]

        groups, widest = generator.choice((1, 1, 2, 3)), 9 if oddity == 3 else 3
        try:
            layer = Layer(
                channels=groups * generator.randint(1, 3),
                filters=groups * generator.randint(1, 3),
                kernel=per_axis(1, 1) if oddity == 0 else per_axis(1, 4 if axes < 3 else 3),
                stride=per_axis(3, 6) if oddity == 1 else per_axis(1, 4),
                padding=[(generator.randint(0, widest), generator.randint(0, widest)) for _ in range(axes)],
                dilation=per_axis(1, 3),
                groups=groups,
                bias=generator.random() < 0.7,
                input=per_axis(1, 1) if oddity == 2 else per_axis(1, 8 if axes < 3 else 4),
                batch=generator.randint(1, 3),
                dtype=generator.choice(("float64", "float64", "float32")),
                seed=generator.randrange(2**16),
            )
        except LayerError:
            continue
        if layer.multiply_adds <= 20_000:
            return layer


def assert_named(layer, mistake, gradient, variant):
    """Code that makes a form of a mistake is told so: by this form alone, or in a tie that names it."""

    def rerun(other, operands):
        scene = Scene(other, operands)
        forms = {wrong.variant: wrong.array for wrong in mistake.wrong(scene, gradient)}
        return {gradient: forms.get(variant, scene.answer(gradient)).astype(other.dtype)}

    finding = diagnose(layer, gradient, rerun)
    where = f"{mistake.name} ({variant}) in {gradient} of {as_yaml(layer)}, seed {layer.seed}: {finding}"
    assert mistake.diagnosis(variant, layer) in finding.diagnoses, where
    if len(finding.diagnoses) > 1:
        assert "tied" in finding.note, where
        assert (f"{mistake.name} ({variant})" if variant else mistake.name) in finding.note, where


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.long)])
def test_every_form_is_named_on_odd_layers(count):
    generator = random.Random(count)
    while count > 0:
        layer = odd_layer(generator)
        forms = forms_visible_on(layer)
        for form in generator.sample(forms, min(len(forms), 12)):
            assert_named(layer, *form)
            count -= 1


def test_code_is_right_where_its_mistake_cannot_be_made():
    """There another suspect of which nothing is seen either must not be confirmed."""
    layer = Layer(2, 3, [1], stride=2, padding=[[0, 1]], input=[1])
    forms = [form for form in forms_visible_on(layer) if form[0].name == "remainder-dropped"]
    assert len(forms) == 3
    for form in forms:
        assert_named(layer, *form)


def test_a_mistake_that_shrinking_hides_is_found_on_the_layer_itself():
    layer = Layer(11, 11, [3], stride=4, padding=[[7, 7]], input=[661], batch=5)
    (form,) = [
        form for form in forms_visible_on(layer) if form[2] == "grad_input too small" and "dilated" in form[0].name
    ]
    assert form[2] not in form[0].visible(scene_of(shrunk(layer)), "input")
    assert_named(layer, *form)
