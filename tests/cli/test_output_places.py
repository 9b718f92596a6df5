"""Output that cannot be written, and input that is none: a message and status 2, nothing half, no traceback."""

import os
import subprocess
import sys

import pytest

from tests.shell import ROOT, convcheck

RUN = ["verify", "textbook", "-k", "T0-stride-2", "--formulation", "unfold"]


def ran(command, folder):
    """A shell's status and standard error."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CONVCHECK": f"{sys.executable} -m convcheck {' '.join(RUN)}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(("command", "status"), [("$CONVCHECK > /dev/full", 2), ("$CONVCHECK 2>&- > /dev/null", 0)])
def test_streams_that_are_full_or_closed(command, status, tmp_path):
    found, said = ran(command, tmp_path)
    assert found == status
    assert status == 0 or "cannot write to standard output" in said


def test_a_folder_that_is_gone(tmp_path):
    status, said = ran('mkdir gone && cd gone && rmdir "$PWD" && $CONVCHECK', tmp_path)
    assert status == 2
    assert "the current folder does not exist any more" in said


def test_a_name_that_is_too_long_and_links_that_lead_to_each_other(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for name in ("x" * 300 + ".json", "one/report.json", "one"):
        status, _, said = convcheck([*RUN, "--output", name], tmp_path)
        assert status == 2, said
        assert "Traceback" not in said


def test_a_named_pipe_is_no_config_and_a_device_no_baseline(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    status, _, said = convcheck(["verify", "pipe.yaml"], tmp_path)
    assert status == 2
    assert "named pipe" in said
    status, _, said = convcheck([*RUN, "--baseline", "/dev/zero"], tmp_path)
    assert status == 2
    assert "no regular file" in said


@pytest.mark.parametrize("words", [["--target", "code.py:Conv"], ["code.yaml"]])
def test_what_a_run_reads_is_not_overwritten(words, tmp_path):
    (tmp_path / "code.py").write_text("kept")
    (tmp_path / "code.yaml").write_text("target: code.py:Conv\nlayers: [{channels: 1, filters: 1, kernel: 1}]\n")
    for name in ("code.py", "code.yaml") if "code.yaml" in words else ("code.py",):
        before = (tmp_path / name).read_text()
        status, _, said = convcheck(["verify", *words, "--output", name, "--output-format", "json"], tmp_path)
        assert status == 2
        assert f"cannot write {name}" in said
        assert (tmp_path / name).read_text() == before


def test_no_message_begins_a_command_of_a_ci_system(tmp_path):
    status, _, said = convcheck(["verify", "textbook", "-k", "x\n::error::forged\x1b[31m"], tmp_path)
    assert status == 2
    assert not any(line.startswith("::") for line in said.splitlines())
    assert "\x1b" not in said
