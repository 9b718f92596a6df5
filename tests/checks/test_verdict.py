"""Every kind of result has the fields that its kind needs, and no others."""

import numpy as np
import pytest

from convcheck.checks.observed import Fault
from convcheck.checks.verdict import compared, faulty, inconclusive, raised, refused, skipped
from convcheck.reports.results import GradientResult, Worst
from tests.parts import ENTRIES, NAMED, observed, said

ARRAYS = pytest.mark.parametrize("gradient", ENTRIES)


@ARRAYS
def test_an_array_that_was_given_has_no_fault(gradient):
    others = {name: Fault("failed", "no") for name in ENTRIES if name != gradient}
    assert faulty(said(), observed(faults=others), gradient, "exact") is None


@ARRAYS
@pytest.mark.parametrize(("status", "share"), [("failed", 1), ("error", 0)])
def test_one_that_was_not_is_wrong_everywhere_or_unknown(gradient, status, share):
    found = faulty(said(), observed(faults={gradient: Fault(status, "the reason", "zero-gradient")}), gradient, "exact")
    assert found == GradientResult(
        NAMED.name, gradient, "exact", status, ENTRIES[gradient], mismatches=share * ENTRIES[gradient],
        message="the reason",
    )  # fmt: skip
    assert found.entries_checked == 0


@ARRAYS
def test_checks_without_an_outcome_have_a_reason_and_no_numbers(gradient):
    entries = ENTRIES[gradient]
    for made, status in (
        (skipped(said(), "mine", gradient, "central", "why"), "skipped"),
        (inconclusive(said(), "mine", gradient, "central", "why"), "inconclusive"),
        (raised(said(), "mine", gradient, "central", "why"), "error"),
    ):
        assert made == GradientResult("mine", gradient, "central", status, entries, message="why")


def test_what_a_target_does_not_give_is_waived_only_where_that_is_said():
    assert skipped(said(), "mine", "bias", "exact", None, waived=True).waived
    assert not skipped(said(), "mine", "bias", "exact", None).waived


def test_a_refused_layer_says_so_of_all_that_was_asked_for():
    made = refused(said(), "mine", ("forward", "exact", "conditions"), "no stride")
    assert [(r.gradient, r.check) for r in made] == [
        ("output", "forward"),
        *((gradient, check) for gradient in ("input", "weight", "bias") for check in ("exact", "conditions")),
    ]
    assert all(r == skipped(said(), "mine", r.gradient, r.check, "no stride") for r in made)
    assert [r.check for r in refused(said(), "mine", ("central",), "no stride")] == ["central"] * 3


class TestCompared:
    RIGHT = np.arange(1.0, 7.0)

    def compare(self, values, allowed=0.0, check="exact", max_error=None, evaluations=5):
        return compared(
            said(max_error=max_error), observed({"bias": values}), "bias", check, self.RIGHT, allowed, evaluations
        )

    def test_equal_arrays_pass(self):
        assert self.compare(self.RIGHT) == GradientResult(
            NAMED.name, "bias", "exact", "passed", 6, 6, evaluations=5, on_integers=True
        )

    def test_one_wrong_entry_fails_with_its_place_and_all_numbers(self):
        wrong = np.add(self.RIGHT, [0, 0, 0, 3, 0, 0])
        found = self.compare(wrong, np.full(6, 0.5), "central")
        assert found == GradientResult(
            NAMED.name, "bias", "central", "failed", 6, 6, evaluations=5, max_abs_error=3.0, max_rel_error=3 / 7,
            allowed_error=0.5, mismatches=1, worst=Worst((3,), 7.0, 4.0), message=found.message,
        )  # fmt: skip
        assert "filter 3" in found.message

    def test_within_what_is_allowed_passes_without_a_place(self):
        found = self.compare(self.RIGHT + 0.25, np.full(6, 0.5))
        assert (found.status, found.message, found.mismatches) == ("passed", None, 0)
        assert (found.max_abs_error, found.allowed_error) == (0.25, 0.5)

    @pytest.mark.parametrize(("allowed", "on_integers"), [(0.0, True), (0.5, False), (np.zeros(6), False)])
    def test_only_where_nothing_is_allowed_were_the_data_integers(self, allowed, on_integers):
        assert self.compare(self.RIGHT, allowed).on_integers is on_integers

    @pytest.mark.parametrize(("check", "passes"), [("exact", True), ("central", True), ("forward", False)])
    def test_a_gate_is_about_gradients_and_not_about_the_forward_pass(self, check, passes):
        found = self.compare(self.RIGHT + 0.125, check=check, max_error=0.1)
        assert found.passed is passes
        assert not self.compare(self.RIGHT + 1, check=check, max_error=0.1).passed
