"""Layers recorded while a command runs: in its own process and in those that it starts, however they end."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from convcheck.errors import UsageError
from convcheck.layer.layer import Layer
from convcheck.suites.recording import record

CODE = """\
import numpy as np

def conv_forward(x, w, b, conv_param):
    "Is not looked at."
    return x.sum(), None

class Conv:
    def __init__(self, in_channels, filters, kernel_size, stride=1, bias=False):
        self.stride = stride

    def forward(self, x):
        return x
"""


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Record a script beside the code; gives the layers found, what was left out, and the status."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_conv.py").write_text(CODE)

    def ran(script, target=None, words=()):
        (tmp_path / "script.py").write_text(textwrap.dedent(script))
        model, status = record([sys.executable, "script.py", *words], target)
        return {spec(found.layer): found for found in model.found}, model.left_out, status

    return ran


def spec(layer):
    return tuple(str(value) for name, value in layer.spec().items() if name != "name")


CALL = """\
import numpy as np, os, subprocess, sys
from my_conv import Conv, conv_forward

def call(size, **options):
    conv_forward(np.zeros((2, 3, size, 9)), np.zeros((4, 3, 3, 2)), np.zeros(4), {"stride": 2, "pad": 1, **options})
"""

LAYER = {"channels": 3, "filters": 4, "kernel": (3, 2), "stride": 2, "padding": 1}


def test_a_function_with_its_options_in_a_dictionary(ran):
    found, _, status = ran(
        CALL + "for _ in range(5): call(8)\ncall(7, dilation=2)\nsys.exit(3)", "my_conv:conv_forward"
    )
    assert status == 3
    assert found[spec(Layer(**LAYER, input=(8, 9)))].times == 5
    assert found[spec(Layer(**LAYER, input=(7, 9), dilation=2))].times == 1
    assert len(found) == 2


def test_a_class_by_its_file(ran):
    script = CALL + (
        "layer = Conv(3, filters=4, kernel_size=(3, 2), stride=2)\n"
        "layer.forward(np.zeros((2, 3, 8, 9), np.float32))\nlayer.forward(np.zeros((1, 3, 7, 9)))"
    )
    found, _, _ = ran(script, "my_conv.py:Conv")
    one = Layer(3, 4, (3, 2), 2, bias=False, input=(8, 9), dtype="float32")
    assert set(found) == {spec(one), spec(Layer(3, 4, (3, 2), 2, bias=False, input=(7, 9), batch=1))}


def test_processes_that_it_starts_and_how_they_end(ran):
    script = (
        CALL
        + """
if sys.argv[1:]:
    call(int(sys.argv[1]))
    os.kill(os.getpid(), 9)
call(8)
subprocess.run([sys.executable, "script.py", "7"])
if hasattr(os, "fork"):
    child = os.fork()
    if not child:
        call(8)
        call(6)
        os._exit(0)
    os.waitpid(child, 0)
call(8)
"""
    )
    found, _, status = ran(script, "my_conv:conv_forward")
    assert status == 0
    assert {found.layer.input[0]: found.times for found in found.values()} == {8: 3, 7: 1, 6: 1}


def test_a_command_that_is_killed_has_the_status_of_a_shell(ran):
    _, _, status = ran(CALL + "call(8)\nos.kill(os.getpid(), 9)", "my_conv:conv_forward")
    assert status == 137


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("again", "ended"), [(False, True), (True, False)])
def test_a_command_that_is_interrupted_may_put_things_in_order(tmp_path, again, ended):
    (tmp_path / "script.py").write_text(
        "import time\n"
        "try:\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('interrupted', flush=True)\n"
        f"    time.sleep({60 if again else 2})\n    open('ended', 'w')\n"
    )
    command = [sys.executable, "-m", "convcheck", "audit", "--record", "--", sys.executable, "script.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.readline()
        if again:
            # What was not done within the time that Python itself waits is under way now.
            time.sleep(1)
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert (tmp_path / "ended").exists() == ended


def test_the_code_behaves_as_without_recording(ran):
    ran(
        CALL
        + """
import inspect, my_conv
assert conv_forward.__doc__ == "Is not looked at." and conv_forward.__name__ == "conv_forward"
assert list(inspect.signature(conv_forward).parameters) == ["x", "w", "b", "conv_param"]
assert inspect.getsource(my_conv).startswith("import numpy")
assert type(my_conv.__loader__).__module__.startswith("_frozen_importlib")
call(8)
try:
    conv_forward(None)
except TypeError as error:
    assert "missing" in str(error)
else:
    raise AssertionError
""",
        "my_conv:conv_forward",
    )


def test_a_sitecustomize_of_its_own_is_run_too(ran, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import builtins\nbuiltins.ran_at_start = 8\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    found, _, _ = ran(CALL + "call(ran_at_start)", "my_conv:conv_forward")
    assert len(found) == 1


def test_what_cannot_be_understood_is_left_out_with_the_reason(ran):
    script = CALL + "call(8)\nconv_forward(np.zeros((2, 9, 9, 3)), np.zeros((4, 3, 3, 2)), None, {})\n"
    script += "conv_forward(np.zeros((2, 9)), np.zeros(3), None, {})"
    found, left_out, _ = ran(script, "my_conv:conv_forward")
    assert len(found) == 1
    assert ["channels in front" in left.reason or "2 axes" in left.reason for left in left_out] == [True, True]


@pytest.mark.parametrize(
    ("command", "target", "words"),
    [
        (["no-such-program"], None, "cannot run no-such-program"),
        ([sys.executable, "-c", "raise SystemExit(4)"], None, "status 4, and called no convolution"),
        ([sys.executable, "-c", "import my_conv"], "my_conv:missing", "has no attribute 'missing'"),
        ([sys.executable, "-c", "import my_conv"], "my_conv:missing", "AttributeError: my_conv has no"),
        ([sys.executable, "-c", "pass"], "my_conv:Conv", r"my_conv:Conv \(recording\): was not called"),
        ([sys.executable, "-c", "pass"], "no place", "cannot be recorded"),
        ([sys.executable, "-c", "raise SystemExit"], "there/is_none.py:Conv", "no file there/is_none.py"),
    ],
)
def test_what_cannot_be_recorded(tmp_path, monkeypatch, command, target, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_conv.py").write_text(CODE)
    with pytest.raises(UsageError, match=words):
        record(command, target)


def test_pytorch(ran):
    pytest.importorskip("torch")
    found, left_out, _ = ran(
        """
        import torch
        from torch.nn.functional import conv1d
        from torch import nn
        layer = nn.Conv2d(3, 4, (3, 2), stride=2, padding=1)
        layer(torch.zeros(2, 3, 8, 9)).sum().backward()
        with torch.no_grad():
            layer(torch.zeros(2, 3, 7, 9))
        conv1d(torch.zeros(4, 9, dtype=torch.float64, requires_grad=True), torch.zeros(4, 1, 3).double(), groups=4,
            padding="same", bias=None)
        nn.Conv3d(2, 3, 2)(torch.zeros(1, 2, 4, 5, 6, requires_grad=True))
        torch.conv_transpose2d(torch.zeros(1, 2, 5, 5), torch.zeros(2, 3, 3, 3), None, 2, 1, 1, 2, 2)
        # What takes functions apart does not see the recording.
        torch.fx.symbolic_trace(nn.Sequential(layer))(torch.zeros(1, 3, 6, 6))
        try:
            nn.functional.conv2d(torch.zeros(1))
        except TypeError:
            pass
        """
    )
    one = {**LAYER, "dtype": "float32"}
    computed = {
        spec(Layer(**one, input=(8, 9))): {"output", "weight", "bias"},
        spec(Layer(**one, input=(7, 9))): {"output"},
        spec(Layer(**one, input=(6, 6), batch=1)): {"output", "weight", "bias"},
        spec(Layer(4, 4, 3, padding=1, groups=4, bias=False, input=9, batch=1)): {"output", "input"},
        spec(Layer(2, 3, 2, input=(4, 5, 6), batch=1, dtype="float32")): {"output", "input", "weight", "bias"},
        spec(Layer(2, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2, bias=False, transposed=True,
            input=(5, 5), batch=1, dtype="float32")): {"output"},
    }  # fmt: skip
    assert {layer: each.computed for layer, each in found.items()} == computed
    assert not any("transpos" in left.reason for left in left_out)


@pytest.mark.long
def test_torchscript_and_compiled_code(ran):
    pytest.importorskip("torch")
    found, _, _ = ran(
        """
        import warnings
        warnings.simplefilter("ignore")
        import torch
        torch.jit.script(torch.nn.Conv2d(3, 4, 3))(torch.zeros(1, 3, 5, 5))
        torch.compile(torch.nn.Conv2d(3, 4, 3), backend="eager", fullgraph=True)(torch.zeros(1, 3, 7, 7))
        torch.conv2d(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 2, 2))
        """
    )
    assert spec(Layer(1, 1, 2, bias=False, input=(3, 3), batch=1, dtype="float32")) in found


def test_jax(ran):
    pytest.importorskip("jax")
    found, left_out, _ = ran(
        """
        import jax
        from jax import lax, numpy as jnp
        x, w = jnp.zeros((2, 9, 8, 3)), jnp.zeros((3, 2, 3, 4))
        f = lambda x, w: lax.conv_general_dilated(
            x, w, (2, 1), "SAME", rhs_dilation=(1, 2), dimension_numbers=("NHWC", "HWIO", "NHWC")).sum()
        f(x, w)
        jax.grad(f)(x, w)
        lax.conv(jnp.zeros((1, 2, 7)), jnp.zeros((3, 2, 3)), (1,), "VALID")
        lax.conv_general_dilated(jnp.zeros((1, 2, 7)), jnp.zeros((3, 2, 3)), (1,), [(1, 0)], lhs_dilation=(2,))
        jax.jit(f)(x[:1], w)
        """
    )
    one = {"channels": 3, "filters": 4, "kernel": (3, 2), "stride": (2, 1), "padding": "same", "dilation": (1, 2)}
    one |= {"bias": False, "input": (9, 8), "dtype": "float32"}
    computed = {
        spec(Layer(**one)): {"output", "input"},
        # Below a jit, nobody knows.
        spec(Layer(**one, batch=1)): {"output", "input", "weight", "bias"},
        spec(Layer(2, 3, 3, bias=False, input=7, batch=1, dtype="float32")): {"output"},
    }
    assert {layer: each.computed for layer, each in found.items()} == computed
    assert any("transposed" in left.reason for left in left_out)
