"""Every known mistake is caught and named, whatever the formulation, wherever it makes a difference."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from convcheck import load, verify
from convcheck.gradients import FORMULATIONS
from convcheck.suites.config import Suite
from tests.mistaken import VISIBLE, forms_visible_on, mistaken
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
            assert result.diagnosis[0].fix == mistake.fix
        # With a wrong output, gradients of the definition are not those of the forward pass.
        others = [result for result in layer.results if result.gradient != gradient and gradient != "output"]
        assert all(result.acceptable for result in others)


@pytest.mark.parametrize("form", SEEN, ids=name_of)
def test_on_every_layer_of_hostile_on_which_it_shows(form):
    mistake, gradient, _ = form
    suite = Suite("seen", tuple(SEEN[form]), (None,) * len(SEEN[form]))
    report = verify(suite, target=mistaken(*form), checks=["forward", "exact"])
    assert not report.passed
    assert_caught(report, mistake, gradient)


@pytest.mark.parametrize("mistake", VISIBLE, ids=lambda mistake: mistake.name)
@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("size", ["smallest", pytest.param("first", marks=pytest.mark.long)])
def test_in_every_formulation(mistake, formulation, size):
    for form, seen in SEEN.items():
        if form[0] is mistake:
            layer = seen[0] if size == "first" else min(seen, key=lambda layer: layer.multiply_adds)
            assert_caught(verify(layer, target=mistaken(*form, formulation)), mistake, form[1])


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
