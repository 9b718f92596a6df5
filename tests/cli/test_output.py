import ast
import os
import pickle
import stat
import sys
from pathlib import Path

import pytest

import convcheck
from convcheck import Layer, verify
from convcheck.cli.output import message_of, require_writable, write_whole
from convcheck.errors import ConfigError, Parameter, UsageError

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")


def test_a_new_file(tmp_path):
    path = tmp_path / "report.txt"
    write_whole(path, "3×3 → 2×2\n")
    assert path.read_bytes() == "3×3 → 2×2\n".encode()
    assert os.listdir(tmp_path) == ["report.txt"]


def test_an_old_file_is_replaced_and_keeps_its_permissions(tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("old, and longer than the new one")
    path.chmod(0o640)
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@needs_posix
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    write_whole(tmp_path / "ours", "")
    (tmp_path / "theirs").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


@needs_posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"


@needs_posix
def test_a_device_is_written_to_and_not_replaced():
    write_whole(Path(os.devnull), "text")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.parametrize("when", ["writing", "replacing"])
def test_what_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, when):
    path = tmp_path / "report.txt"
    path.write_text("old")

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace" if when == "replacing" else "shutil.copymode", fail)
    with pytest.raises(UsageError, match=r"cannot write .*report.txt: No space left on device"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.txt"]


@pytest.mark.parametrize("function", [require_writable, lambda path: write_whole(path, "")])
def test_a_missing_folder_and_a_folder(tmp_path, function):
    with pytest.raises(UsageError, match=r"the folder .*missing does not exist; create it first"):
        function(tmp_path / "missing" / "report.txt")
    with pytest.raises(UsageError, match="it is a folder; expected the name of a file"):
        function(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="does not exist"):
        require_writable(tmp_path / "file" / "report.txt")


@pytest.mark.parametrize(
    ("refused", "message"),
    [("file", "the file is there and may not be written"), ("", r"the folder .* may not be written")],
)
def test_what_may_not_be_written(tmp_path, monkeypatch, refused, message):
    (tmp_path / "file").write_text("")
    # Permissions themselves would not do: the superuser may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / refused)
    with pytest.raises(UsageError, match=message):
        require_writable(tmp_path / "file")


def test_asking_first_writes_nothing(tmp_path):
    require_writable(tmp_path / "report.txt")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("parts", "in_python", "on_the_command_line"),
    [
        ((Parameter("max_error", -1.0), " is no"), "max_error=-1.0 is no", "--max-error -1.0 is no"),
        ((Parameter("select", "a or"), ": no"), "select='a or': no", '-k "a or": no'),
        ((Parameter("select", '"a"'), ": no"), "select='\"a\"': no", "-k '\"a\"': no"),
        ((Parameter("checks"), " and ", Parameter("target")), "checks and target", "--check and --target"),
        ((Parameter("input_size", (1, 3)), ""), "input_size=(1, 3)", "--input-size 1,3"),
        ((Parameter("baseline", Path("a.json")), ": no"), "baseline=a.json: no", "--baseline a.json: no"),
        ((Parameter("seed", 0),), "seed=0", "--seed 0"),
        (("a.yaml: max_error=1",), "a.yaml: max_error=1", "a.yaml: max_error=1"),
    ],
)
def test_a_parameter_is_an_option_on_the_command_line(parts, in_python, on_the_command_line):
    error = UsageError(*parts)
    assert str(error) == in_python
    assert message_of(error) == on_the_command_line
    assert message_of(pickle.loads(pickle.dumps(error))) == on_the_command_line


def test_errors_with_a_list_of_problems_have_one_face():
    error = ConfigError(["a.yaml:3:5: first", "a.yaml:9:1: second"])
    assert str(error) == message_of(error) == "a.yaml:3:5: first\na.yaml:9:1: second"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_error": -1}, "max_error=-1 is not allowed"),
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"timeout": 0}, "timeout=0 is not allowed"),
        ({"jobs": 0}, "jobs=0 is not allowed"),
        ({"select": "nothing"}, "select='nothing' selects no layer"),
        ({"device": "cuda"}, "device is for a target, not for what is built in; give one with target"),
        ({"formulations": ["unfold"], "target": "m:f"}, "formulations chooses among the built-in formulations"),
    ],
)
def test_the_library_speaks_python(given, message):
    with pytest.raises(UsageError) as caught:
        verify(Layer(channels=1, filters=1, kernel=1), **given)
    assert str(caught.value).startswith(message)


def test_no_error_below_the_command_line_names_an_option():
    package = Path(convcheck.__file__).parent
    # The plugin's command line is that of pytest.
    for path in {*package.rglob("*.py")} - {*(package / "cli").rglob("*.py"), package / "pytest_plugin.py"}:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Error"):
                texts = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant)]
                assert not any(isinstance(text, str) and "--" in text for text in texts), f"{path}:{call.lineno}"
