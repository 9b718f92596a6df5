"""Where reports go, by the options of ``convcheck verify``."""

import json

import pytest

from convcheck import verification
from tests.cli.test_verify_command import returning, run
from tests.reports import failed_report, passed_report

__all__ = ["run"]


@pytest.fixture(autouse=True)
def failed(monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    returning(monkeypatch, failed_report())


def test_several_at_once(run, tmp_path):
    status, out, err = run("verify", "--output-format", "table", "--output", "junit.xml", "--output", "report.json")
    assert status == 1
    assert "FAILED  1 of 2 layers of suite.yaml" in out
    assert err == "FAILED; the report is in junit.xml, report.json\n"
    assert (tmp_path / "junit.xml").read_text().startswith("<?xml")
    assert json.loads((tmp_path / "report.json").read_text())["schema_version"] == 1


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.xml", "<?xml"), ("a.XML", "<?xml"), ("a.json", "{"), ("a.md", "## "), ("a.txt", "Errors are")],
)
def test_the_ending_decides(run, tmp_path, name, start):
    assert run("verify", "--output", name)[1] == ""
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


def test_another_ending_takes_the_format_given(run, tmp_path):
    _, out, _ = run("verify", "--output-format", "github", "--output", "annotations")
    assert out == ""
    assert (tmp_path / "annotations").read_text(encoding="utf-8").startswith("::error ")


@pytest.mark.parametrize("name", ["report", "report.pdf", ".json"])
def test_an_unknown_ending_names_the_known_ones(run, tmp_path, name, monkeypatch):
    monkeypatch.setattr(verification, "verify", None)
    status, out, err = run("verify", "--output", name)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: --output {name}: the ending does not say in which format; expected one of .")
    assert err.endswith(", or --output-format\n")
    for known in (".xml (junit)", ".json (json)", ".md (markdown)", ".txt (table)"):
        assert known in err
    assert not list(tmp_path.iterdir())


def test_one_unwritable_file_and_none_is_written(run, tmp_path):
    assert run("verify", "--output", "a.json", "--output", "missing/b.xml")[0] == 2
    assert not list(tmp_path.iterdir())


def test_a_file_twice(run):
    status, _, err = run("verify", "--output", "a.json", "--output", "./a.json")
    assert status == 2
    assert "--output a.json is given twice" in err


def test_the_summary_of_a_github_job_is_appended_to(run, tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    _, out, _ = run("verify", "--output-format", "github")
    assert out.startswith("::error file=suite.yaml,line=6,")
    assert summary.read_text(encoding="utf-8").startswith("# Before\n## ❌ convcheck FAILED")


def test_the_summary_is_left_alone_by_other_formats(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    run("verify")
    assert not (tmp_path / "summary.md").exists()


@pytest.mark.parametrize(("report", "status"), [(passed_report(), 0), (failed_report(), 1)])
def test_a_summary_that_cannot_be_written_does_not_hide_the_verdict(run, monkeypatch, tmp_path, report, status):
    returning(monkeypatch, report)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "missing" / "summary.md"))
    code, _, err = run("verify", "--output-format", "github")
    assert code == status
    assert "warning: cannot append to $GITHUB_STEP_SUMMARY" in err


def test_both_schemas_are_printed(run):
    assert json.loads(run("schema")[1])["title"] == "convcheck config"
    assert json.loads(run("schema", "report")[1])["title"] == "convcheck report"
    status, out, err = run("schema", "table")
    assert (status, out) == (2, "")
    assert "config" in err
