"""Code that crashes, hangs, takes, leaves things behind or reaches for the verdict: no such run passes wrong code,
loses a layer, hangs, or leaves a process."""

import contextlib
import os
import subprocess
import sys
import time
from itertools import product
from textwrap import dedent

import psutil
import pytest

from convcheck import Layer, TargetError, verify
from convcheck.suites.config import Suite
from convcheck.targets.process import keepers
from convcheck.targets.process.host import Worker
from tests.targets.hostile import BEHAVIOURS, MOMENTS, RESULTS, source

LAYERS = (
    Layer(2, 3, 2, stride=2, padding=1, input=5, name="one"),
    Layer(1, 2, (2, 3), input=(4, 5), batch=1, name="two"),
)
SUITE = Suite(name="suite", layers=LAYERS, lines=(None,) * 2)

MEBIBYTE = 2**20

HOW = {"plain": {}, "timeout": {"timeout": 0.7}, "two": {"jobs": 2}}

#: Seconds for each layer where no limit is given.
PATIENCE = 1.5

#: Run by default: at least one of every kind.
REPRESENTATIVE = (
    "segmentation-fault", "exit-of-the-c-library", "endless-loop-that-catches", "memory-without-end",
    "a-child-that-goes-on", "a-daemon", "closes-descriptors", "replaces-comparisons", "exception-without-words",
    "writes-into-every-descriptor",
)  # fmt: skip


def left_behind():
    """Processes of this one's but for those that wait to start others, which have no children."""
    me = psutil.Process()
    waiting = keepers.idle()
    return [child for child in me.children(recursive=True) if child.pid not in waiting and runs(child)]


def runs(process):
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def judged(folder, text, **options):
    """Verify what a file holds; what must hold of every run is looked at."""
    (folder / "code.py").write_text(text)
    given = {"memory": 400 * MEBIBYTE, "in_process": False, "shrink": False} | options
    report, refused = None, ""
    try:
        report = verify(SUITE, target=f"{folder}/code.py:Wrong", **given)
    except TargetError as error:
        refused = str(error)
    if report is None:
        assert "code.py:Wrong" in refused
        assert "/convcheck/targets/" not in refused
    else:
        assert not report.passed
        assert [layer.layer.name for layer in report.layers] == ["one", "two"]
        assert not any(layer.passed for layer in report.layers)
    ends = time.monotonic() + 5
    while left_behind() and time.monotonic() < ends:
        time.sleep(0.05)
    assert not left_behind()
    return report


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Not an hour, where no limit is given."""
    monkeypatch.setattr("convcheck.targets.process.limits.LAYER_SECONDS", PATIENCE)


def some(names, moments):
    """Every behaviour once, at moments and in ways that take turns; `tests.hostile_runs` tries all of them."""
    turns = list(product(moments, HOW))
    return [(name, *turns[number % len(turns)]) for number, name in enumerate(names)]


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_a_few_in_the_backward_pass(name, tmp_path):
    report = judged(tmp_path, source(BEHAVIOURS[name], "backward"))
    assert report is not None


def test_a_hang_at_import_is_told_with_its_place(tmp_path):
    (tmp_path / "code.py").write_text("def wait():\n    while True:\n        pass\nwait()\n")
    with pytest.raises(TargetError) as caught:
        verify(LAYERS[0], target=f"{tmp_path}/code.py:Wrong", in_process=False, timeout=2)
    words = str(caught.value)
    assert "did not return within its timeout of 2 s" in words
    assert "code.py" in words
    assert "in wait" in words
    assert "keeper" not in words


def test_how_it_ended_is_told_with_the_place_and_the_last_words(tmp_path):
    lines = "print('last words \\x1b[31m')\nctypes.string_at(0)"
    report = judged(tmp_path, source(lines, "backward"))
    message = next(r.message for r in report.layers[0].results if r.status == "error" and r.gradient == "input")
    assert "ended by SIGSEGV" in message
    assert "in backward" in message
    assert "ctypes.string_at(0)" in message
    assert "last words \\x1b[31m" in message


def test_memory_of_processes_that_it_starts_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("convcheck.targets.process.limits.LAYER_SECONDS", 20)
    lines = "for n in range(4):\n    if not os.fork():\n        held = b'x' * 2**27\n        time.sleep(1000)\n"
    (tmp_path / "code.py").write_text(source(lines + "time.sleep(1000)", "forward"))
    given = {"memory": 400 * MEBIBYTE, "in_process": False, "shrink": False, "checks": ["exact"]}
    (layer,) = verify(LAYERS[0], target=f"{tmp_path}/code.py:Wrong", **given).layers
    message = next(r.message for r in layer.results if r.status == "error")
    assert "with those that it started" in message
    assert "more than its limit of 400 MiB" in message


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
@pytest.mark.parametrize(
    ("more", "stopped"),
    [
        ("", True),
        # What idle children share with their parent hides nothing of it.
        ("for n in range(10):\n    if not os.fork(): time.sleep(1000)", True),
        ("mapped = mmap.mmap(held, 0); mapped[::4096]", False),
    ],
)
def test_files_that_lie_in_memory_count_once(more, stopped, tmp_path, monkeypatch):
    monkeypatch.setattr("convcheck.targets.process.limits.LAYER_SECONDS", 20)
    size = 500 if stopped else 250
    lines = f"import mmap\nheld = os.memfd_create('held')\nfor n in range({size}): os.write(held, b'x' * 2**20)\n"
    (tmp_path / "code.py").write_text(source(f"{lines}{more}\ntime.sleep({60 if stopped else 1.5})", "import"))
    given = {"memory": 400 * MEBIBYTE, "in_process": False, "shrink": False, "checks": ["forward"]}
    if stopped:
        with pytest.raises(TargetError, match="more than its limit of 400 MiB"):
            verify(LAYERS[0], target=f"{tmp_path}/code.py:Wrong", **given)
    else:
        assert verify(LAYERS[0], target=f"{tmp_path}/code.py:Wrong", **given).passed


@pytest.mark.skipif(not hasattr(os, "fork") or not sys.platform.startswith("linux"), reason="only Linux tells")
def test_memory_that_processes_share_counts_once():
    # A process of its own, in which no other test has started threads, beside which it is no good to fork.
    text = """
        import os, signal, time
        from convcheck.targets.process.keepers import memory_of
        held, child = b"x" * 2**26, os.fork()
        if not child:
            time.sleep(1000)
        both = [os.getpid(), child]
        print(memory_of(both, shared=True), memory_of(both), len(held))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    """
    done = subprocess.run([sys.executable, "-c", dedent(text)], check=True, capture_output=True, text=True)
    shared, both, held = map(int, done.stdout.split())
    assert shared < both - held // 2


def test_what_crashes_on_one_layer_is_checked_on_the_next(tmp_path):
    lines = "if self.kept[0].name == 'one': os.abort()"
    report = judged(tmp_path, source(lines, "backward"))
    assert {r.status for r in report.layers[1].results} <= {"passed", "failed"}
    assert "scaled" in [d.name for r in report.layers[1].results for d in r.diagnosis]


@pytest.mark.parametrize("name", ["a-structured-array", "a-huge-shape", "what-says-that-it-is-equal"])
def test_a_few_results_that_are_none(name, tmp_path):
    judged(tmp_path, source(RESULTS[name], "forward"))


@pytest.mark.parametrize(("slug", "names"), [("sign-flipped", ["sign-flipped"]), ("no-such-mistake", [])])
def test_a_mistake_that_its_process_names_is_told_where_there_is_such_a_one(slug, names, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Worker, "receive", lambda *given, receive=Worker.receive: told_of_a_misfit(receive(*given), slug)
    )
    (tmp_path / "code.py").write_text(source("pass", "import"))
    report = verify(LAYERS[0], target=f"{tmp_path}/code.py:Wrong", in_process=False, shrink=False)
    bias = next(r for r in report.layers[0].results if (r.gradient, r.check) == ("bias", "exact"))
    assert (bias.status, bias.message, [d.name for d in bias.diagnosis]) == ("failed", "odd", names)


def told_of_a_misfit(answer, slug):
    """What is answered, but for a bias gradient that is none."""
    values = answer.get("values", [])
    return {**answer, "values": [*values[:3], {"misfit": "odd", "slug": slug}]} if len(values) == 4 else answer


@pytest.mark.parametrize("name", ["raises", "exception-with-control-characters"])
def test_no_text_of_the_codes_has_control_characters(name, tmp_path):
    report = judged(tmp_path, source(BEHAVIOURS[name], "backward"))
    assert not any(c in r.message for layer in report.layers for r in layer.results if r.message for c in "\x1b\x07\r")


def test_what_it_prints_is_no_command_to_a_ci_system(tmp_path, capfd):
    """In pieces, with a blank before it, and without an end of the line."""
    lines = "for piece in ('a\\n:', ':error::forged\\n', ' ::stop-commands::x\\n##[error]forged\\n', 'the end'):\n"
    judged(tmp_path, source(lines + "    os.write(2, piece.encode()); time.sleep(0.02)", "construct"))
    said = capfd.readouterr().err.splitlines()
    assert {r"\x3a:error::forged", r" \x3a:stop-commands::x", r"\x23#[error]forged"} <= set(said)
    assert any(line.startswith("the end") for line in said)
    assert not any(line.lstrip().startswith("::") for line in said)


@pytest.mark.long
@pytest.mark.parametrize(("name", "moment", "how"), some(BEHAVIOURS, MOMENTS))
def test_every_behaviour_at_some_moment(name, moment, how, tmp_path):
    judged(tmp_path, source(BEHAVIOURS[name], moment), **HOW[how])


@pytest.mark.long
@pytest.mark.parametrize(("name", "moment", "how"), some(RESULTS, ["forward", "backward"]))
def test_every_result_at_some_moment(name, moment, how, tmp_path):
    judged(tmp_path, source(RESULTS[name], moment), **HOW[how])


def test_there_are_enough_of_them():
    assert len(BEHAVIOURS) + len(RESULTS) >= 60
    assert set(REPRESENTATIVE) <= set(BEHAVIOURS)
