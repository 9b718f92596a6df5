from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcheck.wording import at_most, compact, compact_against, counted, duration, exact, visible

finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (2.0, "2"), (999999.0, "999999"), (1e6, "1e+06"), (0.5, "0.5"), (1.234e-15, "1.2e-15")],
)
def test_compact_numbers(value, text):
    assert compact(value) == text


@given(st.lists(finite, min_size=1), finite)
def test_shown_numbers_compare_as_the_real_ones(values, allowed):
    shown, limit = compact_against(values, allowed)
    assert [float(text) <= float(limit) for text in shown] == [value <= allowed for value in values]


def test_a_nan_is_never_within_what_is_allowed():
    assert compact_against([nan, inf], 1.0) == (["nan", "inf"], "1")


@given(finite)
def test_exact_numbers_lose_nothing(value):
    assert float(exact(value)) == value


@given(st.floats(0, 1))
def test_an_upper_bound_is_never_understated(value):
    assert value <= float(at_most(value))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.4, "9.4 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_counts_have_plurals():
    assert (counted(1, "layer"), counted(1234, "layer")) == ("1 layer", "1,234 layers")
    assert counted(2, "entry", "entries") == "2 entries"


def test_visible_text_has_nothing_that_a_terminal_obeys():
    assert visible("a\nb\x1b[31m\ud800é") == "a\nb\\x1b[31m\\ud800é"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("::error::forged", r"\x3a:error::forged"), ("a\n  ::stop-commands::x", "a\n  \\x3a:stop-commands::x"),
        ("far in, ::add-mask::x", r"far in, \x3a:add-mask::x"), ("see ##[error]forged", r"see \x23#[error]forged"),
        ("std::vector, x[::2], W[..., ::-1, ::-1] and # [a]", "std::vector, x[::2], W[..., ::-1, ::-1] and # [a]"),
    ],
)  # fmt: skip
def test_nothing_is_a_command_to_a_ci_system(text, said):
    assert visible(text) == said
    assert visible(said) == said
