"""What code under test cannot find out: what lies in the memory of the processes above its own, and the seed."""

import json
import sys

import pytest

from convcheck import Layer, verify
from tests.shell import shell
from tests.targets_for_tests import Right

#: Reads, by every way that Linux has, what belongs to another process; gives those that worked.
SPY = """
import ctypes, json, os, subprocess
from pathlib import Path
from tests.targets_for_tests import Right

C = ctypes.CDLL(None)

def read(pid):
    found = []
    for way, of in (("memory", f"/proc/{pid}/mem"), ("files", f"/proc/{pid}/fd/0")):
        try:
            os.close(os.open(of, os.O_RDONLY))
            found.append(way)
        except OSError:
            pass
    # Debugging, without stopping it: PTRACE_SEIZE.
    if C.ptrace(0x4206, pid, 0, 0) == 0:
        found.append("debugging")
    # pidfd_getfd(2).
    if C.syscall(438, os.pidfd_open(pid), 0, 0) >= 0:
        found.append("descriptors")
    return found

def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

class Spy(Right):
    def forward(self, x, weight, bias, layer):
        child = subprocess.Popen(["sleep", "100"], stdin=subprocess.DEVNULL)
        above = [os.getppid(), parent_of(os.getppid())]
        names = [Path(f"/proc/{pid}/cmdline").read_bytes().decode().split(chr(0))[-2:-1] for pid in above]
        found = {"child": read(child.pid), "keeper": read(above[0]), "judge": read(above[1])}
        Path("found.json").write_text(json.dumps({"found": found, "dumpable": C.prctl(3, 0, 0, 0, 0)}))
        child.kill()
        return super().forward(x, weight, bias, layer)
"""

CONFIG = "version: 1\ntarget: spy.py:Spy\nlayers: [{channels: 1, filters: 1, kernel: 2, input: 4}]\n"


def spied(folder, *options):
    (folder / "spy.py").write_text(SPY)
    (folder / "convcheck.yaml").write_text(CONFIG)
    command = " ".join(["convcheck verify --check exact", *options])
    status, out, err = shell(command, folder, folder / "bin")
    assert status == 0, out + err
    return json.loads((folder / "found.json").read_text())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has these ways")
class TestMemory:
    def test_that_of_the_processes_above_cannot_be_read(self, tmp_path):
        said = spied(tmp_path)
        assert said["found"]["keeper"] == said["found"]["judge"] == []
        # The ways are ways; and debuggers may look at the code itself.
        assert {"memory", "files"} <= set(said["found"]["child"])
        assert said["dumpable"] == 1

    def test_a_debugger_may_read_the_code_and_convcheck_in_one_process(self, tmp_path):
        assert spied(tmp_path, "--in-process")["dumpable"] == 1


class KnowsTheDirections(Right):
    """Its weight gradient is wrong, by what no direction shows that is drawn from the layer's seed."""

    def backward(self, grad_output):
        grad_input, grad_weight, grad_bias = super().backward(grad_output)
        return grad_input, grad_weight + unseen(self.layer, grad_weight.shape), grad_bias


def unseen(layer, shape):
    """An array that is orthogonal to the directions in which the weight gradient of a layer is looked at."""
    import numpy as np

    from convcheck.gradients.numeric.projection import draw_size

    size, count = draw_size(layer)
    generator = np.random.default_rng([layer.seed, 2])
    # The first entries of the directions: one more than there are directions, so that some array is orthogonal to all.
    rows = [
        generator.integers(-size, size, shape, endpoint=True).reshape(-1)[: count + 1].tolist() for _ in range(count)
    ]
    found = np.zeros(shape)
    for i in range(count + 1):
        minor = [[row[j] for j in range(count + 1) if j != i] for row in rows]
        found.flat[i] = (-1) ** i * _determinant(minor)
    return found


def _determinant(rows):
    if not rows:
        return 1
    first, *rest = rows
    minors = ([row[:i] + row[i + 1 :] for row in rest] for i in range(len(first)))
    return sum(
        (-1) ** i * entry * _determinant(minor) for i, (entry, minor) in enumerate(zip(first, minors, strict=True))
    )


class TestSeed:
    LAYER = Layer(2, 3, (2, 3), input=(5, 6), seed=123456789)

    def found(self, **options):
        name = "tests.targets.test_secrets:KnowsTheDirections"
        return verify(self.LAYER, target=name, checks=["projected"], shrink=False, **options)

    def test_code_that_knew_it_would_know_the_directions(self):
        assert self.found(in_process=True).passed

    def test_code_in_a_process_of_its_own_does_not_get_it(self):
        report = self.found(in_process=False)
        (wrong,) = (r for r in report.layers[0].results if r.status != "passed")
        assert (wrong.gradient, wrong.check, wrong.status) == ("weight", "projected", "failed")
        # In the report it stands all the same, or nothing could be run again.
        assert report.layers[0].layer.seed == self.LAYER.seed
