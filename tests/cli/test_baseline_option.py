"""``convcheck verify --baseline`` end to end."""

import pytest

from convcheck import verification
from tests.cli.test_verify_command import SMALL, WRONG, returning, run
from tests.reports import failed_report

__all__ = ["run"]


@pytest.fixture
def project(tmp_path, run):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "mine.py").write_text(WRONG)
    return tmp_path


def verify(run, *words):
    return run("verify", "small.yaml", "--target", "mine.py:Wrong", *words)


def test_known_failures_pass_until_something_gets_worse(run, project):
    assert verify(run, "--output", "baseline.json")[0] == 1
    status, out, err = verify(run, "--baseline", "baseline.json")
    assert status == 0
    assert "FAILED" in out
    assert "known   one, weight, exact, mine.py:Wrong: failed as before" in err
    assert err.endswith("passed against the baseline baseline.json: 0 worse, 0 better, 4 as before\n")

    (project / "mine.py").write_text(WRONG.replace("return grad_input, ", "return -grad_input, "))
    status, _, err = verify(run, "--baseline", "baseline.json")
    assert status == 1
    assert "worse   two, input, exact, mine.py:Wrong: passed before, failed now" in err

    (project / "mine.py").write_text(WRONG.replace("-grad_weight", "grad_weight"))
    status, _, err = verify(run, "--baseline", "baseline.json")
    assert status == 0
    assert "better  one, weight, exact, mine.py:Wrong: failed before, passed now" in err


def test_a_baseline_of_another_version_is_refused_before_the_work(run, tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "verify", None)
    (tmp_path / "old.json").write_text('{"schema_version": 0, "convcheck_version": "0.0.1"}')
    status, out, err = run("verify", "--baseline", "old.json", "--output", "new.json")
    assert (status, out) == (2, "")
    assert err == (
        "error: --baseline old.json: has schema_version 0, written by convcheck 0.0.1; this convcheck reads 1; make "
        "the baseline again with it\n"
    )
    assert not (tmp_path / "new.json").exists()


def test_the_baseline_may_be_replaced_by_the_new_report(run, tmp_path, monkeypatch):
    returning(monkeypatch, failed_report())
    run("verify", "--output", "baseline.json")
    assert run("verify", "--baseline", "baseline.json", "--output", "baseline.json")[0] == 0
