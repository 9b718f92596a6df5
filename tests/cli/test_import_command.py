"""``convcheck import``, from a model to a verdict."""

import builtins

import pytest

from tests.cli.test_verify_command import run

__all__ = ["run"]

NET = """\
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, stride=2)
        self.up = nn.ConvTranspose2d(4, 3, 2)
        self.spare = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.up(self.down(x))
"""


@pytest.fixture
def net(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "net.py").write_text(NET)


def test_round_trip(run, net):
    status, out, err = run("import", "net.py:Net", "--input-size", "2,3,9,11", "--output", "net.yaml")
    assert (status, out) == (0, "")
    assert err == (
        "left out: spare (Conv2d): the forward pass does not call it\n"
        "imported 2 layers to net.yaml; check it with: convcheck verify net.yaml\n"
    )
    status, out, _ = run("verify", "net.yaml")
    assert status == 0
    assert "PASSED  2 layers of net.yaml" in out


def test_to_standard_output(run, net):
    status, out, err = run("import", "net.py:Net", "--input-size", "2x3x9x11", "--in-process")
    assert status == 0
    assert out.endswith(
        "version: 1\nlayers:\n  - name: down\n    channels: 3\n    filters: 4\n    kernel: 3\n    stride: 2\n"
        "    input: [9, 11]\n    batch: 2\n  - name: up\n    channels: 4\n    filters: 3\n    kernel: 2\n"
        "    input: [4, 5]\n    batch: 2\n    transposed: true\n"
    )
    assert err.endswith("imported 2 layers\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.h5"], "model.h5: unknown format"),
        (["missing.onnx"], "missing.onnx: cannot be read"),
        (["bad.onnx"], "bad.onnx: is not an ONNX model"),
        (["bad.onnx", "--input-size", "1,3,a"], "--input-size 1,3,a is not allowed; expected positive integers"),
        (["bad.onnx", "--input-size", "1,0"], "--input-size 1,0 is not allowed"),
        (["bad.onnx", "--input-size", f"1,{'9' * 5000}"], "is not allowed; expected positive integers"),
        (["missing.py:Net", "--input-size", "1,3,8,8"], 'target "missing.py:Net": there is no file'),
    ],
)
def test_nothing_is_written_where_something_is_wrong(run, tmp_path, words, message):
    pytest.importorskip("onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    status, out, err = run("import", *words, "--output", "out.yaml")
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.onnx"]


@pytest.mark.parametrize(
    ("package", "words"), [("onnx", ["m.onnx"]), ("torch", ["m.py:Net", "--input-size", "1,3,8,8", "--in-process"])]
)
def test_a_missing_package_is_named_with_how_to_install_it(run, monkeypatch, tmp_path, package, words):
    (tmp_path / "m.py").write_text("def Net(): pass\n")
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == package and (not args or args[0].get("__name__", "").startswith("convcheck")):
            raise ImportError(f"No module named '{name}'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    status, _, err = run("import", *words)
    assert status == 2
    assert f"needs the package {package}" in err
    assert f"pip install {package}\n" in err


@pytest.mark.parametrize("what", ["print('noise')", "raise SystemExit(0)"])
def test_what_a_module_prints_or_ends_spoils_no_config(run, tmp_path, what):
    pytest.importorskip("torch")
    (tmp_path / "odd.py").write_text(f"{NET}def odd():\n    {what}\n    return Net()\n")
    status, out, err = run("import", "odd.py:odd", "--input-size", "2,3,9,11")
    if "print" in what:
        assert status == 0
        assert out.lstrip().startswith(("#", "version"))
        assert "noise" not in out
        assert "noise" in err
    else:
        assert (status, out) == (2, "")
        assert "SystemExit: 0" in err


def test_the_model_is_not_overwritten(run, net, tmp_path):
    assert run("import", "net.py:Net", "--input-size", "2,3,9,11", "--output", "net.py")[0] == 2
    assert (tmp_path / "net.py").read_text() == NET


class TestSeveral:
    """Several lists at once; equal layers of two of them are told once."""

    PROBLEM = (
        "class Model(nn.Module):\n    def __init__(self):\n        self.c = nn.Conv2d(8, {filters}, (3, 5))\n"
        "    def forward(self, x):\n        return self.c(x)\n\n"
        "def get_inputs():\n    return [torch.rand(64, 8, 256, 512)]\n\ndef get_init_inputs():\n    return []\n"
    )

    @pytest.fixture
    def files(self, tmp_path):
        (tmp_path / "one.txt").write_text('ic3iw9oc4kw3n"first"\nic3iw9oc4kw2')
        (tmp_path / "two.txt").write_text('ic3iw9oc4kw3n"second"\nic5iw9oc4kw2n"first"')
        (tmp_path / "conv.py").write_text(self.PROBLEM.format(filters=16))
        (tmp_path / "relu.py").write_text(self.PROBLEM.replace("nn.Conv2d(8, {filters}, (3, 5))", "nn.ReLU()"))

    def test_are_put_together(self, run, files):
        status, out, err = run("import", "one.txt", "two.txt", "conv.py", "relu.py")
        assert (status, err) == (0, "left out: relu (Model): it has no convolution\nimported 4 layers\n")
        assert "# The convolutions of one.txt, two.txt, conv.py, relu.py, imported" in out
        assert "  # 2 times; also second\n  - name: first\n" in out
        assert "  - name: first_2\n    channels: 5\n" in out
        assert "  - name: conv\n" in out

    def test_all_errors_of_all_of_them_are_told(self, run, files, tmp_path):
        (tmp_path / "bad.txt").write_text("ic3iw9oc4kw3\nic3iw9oc4kw3zz1")
        (tmp_path / "worse.py").write_text(self.PROBLEM.replace("{filters}", "filters"))
        status, out, err = run("import", "bad.txt", "one.txt", "worse.py")
        assert (status, out) == (2, "")
        assert "bad.txt:2:" in err
        assert "worse.py:3:" in err

    def test_what_none_has_is_an_error(self, run, files):
        status, out, err = run("import", "relu.py", "relu.py")
        assert (status, out) == (2, "")
        assert "relu (Model): it has no convolution" in err
        assert run("audit", "relu.py")[0] == 2
        assert "no convolution" in run("audit", "relu.py")[2]

    def test_the_size_of_an_input_is_that_of_one(self, run, files):
        status, _, err = run("import", "one.txt", "two.txt", "--input-size", "1,3,9,9")
        assert (status, "--input-size is the size of one model" in err) == (2, True)

    def test_none_is_written_over(self, run, files):
        status, _, err = run("import", "one.txt", "two.txt", "--output", "two.txt")
        assert (status, "cannot write two.txt" in err) == (2, True)

    def test_small_ones_can_be_checked_at_once(self, run, files):
        status, out, _ = run("import", "conv.py", "--small", "--cover")
        assert status == 0
        assert "; there 256×512, batch 64" in out
        assert "256, 512]" not in out
