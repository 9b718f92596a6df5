"""``convcheck verify``: the smallest case in what is printed and written, and without it where that is asked for."""

import json

import pytest

from tests.cli.test_verify_command import SMALL, WRONG, run

__all__ = ["run"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "suite.yaml").write_text(SMALL)
    (tmp_path / "code.py").write_text(WRONG)
    return tmp_path


@pytest.mark.usefixtures("folder")
class TestSmallest:
    def test_stands_in_the_table_once_per_mistake(self, run):
        status, out, _ = run("verify", "suite.yaml", "--target", "code.py:Wrong")
        assert status == 1
        assert out.count("  smallest ") == 1
        assert "{channels: 1, filters: 1, kernel: 1, input: [1], batch: 1}" in " ".join(out.split())
        assert "dL/dW[0,0,0] is -1, should be 1" in " ".join(out.split())

    def test_stands_in_the_json_of_every_layer_with_that_mistake(self, run):
        _, out, _ = run("verify", "suite.yaml", "--target", "code.py:Wrong", "--output-format", "json")
        one, two = (layer["smallest"] for layer in json.loads(out)["layers"])
        assert one == two
        assert set(one) >= {"layer", "gradient", "index", "analytic", "numeric", "operands", "condition", "runs"}
        assert (one["gradient"], one["index"], one["analytic"], one["numeric"]) == ("weight", [0, 0, 0], -1, 1)
        assert one["operands"]["x"] == one["operands"]["grad_output"] == [[[1]]]

    @pytest.mark.parametrize("format_", ["table", "json", "markdown", "github", "junit"])
    def test_is_left_out_without_shrinking(self, run, format_):
        words = ["verify", "suite.yaml", "--target", "code.py:Wrong", "--output-format", format_]
        assert "smallest" in run(*words)[1]
        assert "smallest" not in run(*words, "--no-shrink")[1]

    def test_is_looked_for_as_long_as_is_said(self, run):
        words = ["verify", "suite.yaml", "--target", "code.py:Wrong", "--shrink-seconds", "1e-9"]
        assert "smallest" not in run(*words)[1]

    def test_becomes_a_file_of_tests(self, run, folder):
        run("verify", "suite.yaml", "--target", "code.py:Wrong", "--output", "test_small.py")
        assert "def test_sign_flipped_weight():" in (folder / "test_small.py").read_text()


def test_no_time_at_all_is_an_error(run):
    status, _, err = run("verify", "textbook", "--shrink-seconds", "0")
    assert status == 2
    assert "--shrink-seconds 0" in err
    assert "such as 5" in err
