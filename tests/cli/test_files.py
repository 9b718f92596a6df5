import os
import stat
import sys
from pathlib import Path

import pytest

from convcheck.cli.files import require_writable, write_whole
from convcheck.errors import UsageError

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
