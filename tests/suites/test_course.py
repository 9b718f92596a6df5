"""The suite ``course``: right course code passes it, wrong code fails it by name, nothing within its limits hides."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer, load, verify
from convcheck.errors import LayerError
from convcheck.mistakes.blind_spots import shown_by
from tests.mistaken import VISIBLE, forms_visible_on, mistaken

SUITE = load("course")

#: Form -> the layers on which it makes a difference.
SEEN: dict = {}
for _layer in SUITE.layers:
    for _form in forms_visible_on(_layer):
        SEEN.setdefault(_form, []).append(_layer)

LOOPS = f"{Path(__file__).parents[1] / 'examples' / 'course_loops.py'}"


def loops(backward):
    return {"forward": f"{LOOPS}:conv_forward_naive", "backward": f"{LOOPS}:{backward}"}


def within_limits(layer):
    return (
        len(layer.input) == 2
        and len(set(layer.stride)) == 1
        and len({side for sides in layer.padding for side in sides}) == 1
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.bias
        and layer.dtype == "float64"
    )


@st.composite
def course_layers(draw):
    """Random layers within the limits."""
    size = st.integers(1, 4)
    fields = {
        "channels": draw(size),
        "filters": draw(size),
        "kernel": draw(st.tuples(size, size)),
        "stride": draw(size),
        "padding": draw(st.integers(0, 3)),
        "input": draw(st.tuples(*[st.integers(1, 8)] * 2)),
        "batch": draw(size),
    }
    try:
        return Layer(**fields)
    except LayerError:
        return Layer(**{**fields, "input": (9, 8)})


def test_every_layer_is_within_the_limits():
    assert all(map(within_limits, SUITE.layers))
    assert not all(map(within_limits, load("hostile").layers))


@pytest.mark.parametrize(
    "wanted",
    [
        lambda x: len(set(x.input)) == 1,
        lambda x: len(set(x.input)) == 2,
        lambda x: x.kernel[0] > x.kernel[1],
        lambda x: x.kernel[0] < x.kernel[1],
        lambda x: any(axis.remainder for axis in x.axes),
        lambda x: x.stride[0] > 1 and not any(axis.remainder for axis in x.axes),
        lambda x: x.channels == x.filters > 1,
        lambda x: x.channels != x.filters,
        lambda x: x.channels == x.filters == 1,
        lambda x: x.batch == 1,
        lambda x: x.batch > 2,
        lambda x: x.kernel == (1, 1),
        lambda x: x.stride[0] > max(x.kernel),
        *(lambda x, amount=amount: x.padding[0] == (amount, amount) for amount in range(3)),
    ],
)
def test_what_courses_use_is_there(wanted):
    assert any(map(wanted, SUITE.layers))


@settings(max_examples=100, deadline=None)
@given(course_layers())
def test_shows_all_that_any_layer_within_the_limits_shows(layer):
    assert shown_by(layer) <= {(mistake.name, gradient, variant) for mistake, gradient, variant in SEEN}


def test_only_what_lies_beyond_the_limits_never_shows():
    unseen = {mistake.name for mistake in VISIBLE} - {mistake.name for mistake, _, _ in SEEN}
    of_other_kinds = {mistake.name for mistake in VISIBLE if not mistake.plain or mistake.of_complex}
    assert unseen == {"dilation-ignored", "groups-ignored"} | of_other_kinds


@pytest.mark.parametrize("layer", SUITE.layers, ids=lambda layer: layer.name)
def test_a_layer_shows_what_its_comment_says(layer):
    text = (Path(__file__).parents[2] / "configs" / "course.yaml").read_text(encoding="utf-8")
    comment = text.partition(f"  - {{name: {layer.name},")[0].rpartition("\n\n")[2]
    named = {mistake.name for mistake in VISIBLE if mistake.name in comment.replace("\n  # ", " ")}
    assert comment.strip().startswith("#")
    assert named <= {name for name, _, _ in shown_by(layer)}


def test_right_code_passes():
    report = verify("course", target=loops("conv_backward_naive"))
    assert report.passed, report


@pytest.mark.parametrize(
    ("backward", "gradient", "name"),
    [
        ("backward_overwrites", "input", "overlap-overwritten"),
        ("backward_flips", "input", "kernel-not-flipped"),
        ("backward_of_last_sample", "weight", "last-sample-only"),
    ],
)
def test_wrong_code_fails_by_name(backward, gradient, name):
    report = verify("course", target=loops(backward), checks=["exact"])
    failed = [r for layer in report.layers for r in layer.results if r.status == "failed"]
    assert not report.passed
    assert {result.gradient for result in failed} == {gradient}
    assert name in {diagnosis.name for result in failed for diagnosis in result.diagnosis}


@pytest.mark.parametrize("form", SEEN, ids=lambda form: f"{form[0].name}-{form[1]}-{form[2]}".replace(" ", "_"))
def test_every_form_of_every_mistake_within_the_limits_is_named(form):
    mistake, gradient, _ = form
    layer = min(SEEN[form], key=lambda layer: layer.multiply_adds)
    [found] = verify(layer, target=mistaken(*form), checks=["forward", "exact"]).layers
    wrong = [result for result in found.results if result.gradient == gradient and result.status == "failed"]
    assert wrong
    assert all(mistake.name in {diagnosis.name for diagnosis in result.diagnosis} for result in wrong)
