"""What PyTorch may be set to must not change what is checked, nor be changed by it."""

import os

import pytest

from convcheck import Layer, verify

torch = pytest.importorskip("torch")

LAYERS = [Layer(3, 4, (2, 3), padding=1, input=(6, 7), batch=3, dtype=dtype) for dtype in ("float64", "float32")]


@pytest.fixture
def precisions():
    """Set everything back, whichever switches a test has used."""
    before = torch.get_float32_matmul_precision()
    named = hasattr(torch.backends, "fp32_precision")
    kept = torch.backends.fp32_precision if named else None
    yield
    if named:
        torch.backends.fp32_precision = kept
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("target", ["torch.nn:Conv2d", "torch.nn.functional:conv2d"])
@pytest.mark.parametrize("precision", ["high", "highest"])
def test_the_older_switch(precisions, target, precision):
    torch.set_float32_matmul_precision(precision)
    assert verify(LAYERS, target=target).passed
    assert torch.get_float32_matmul_precision() == precision


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="this PyTorch has no such switch")
def test_the_newer_switches(precisions):
    torch.backends.fp32_precision = "tf32"
    report = verify(LAYERS, target="torch.nn:Conv2d")
    assert report.passed, report
    assert torch.backends.fp32_precision == "tf32"


def test_a_lazy_module_learns_its_sizes():
    assert verify(LAYERS, target="torch.nn:LazyConv2d").passed


COUNTS = """
import os, torch

def conv(x, weight, bias, stride, padding, dilation, groups):
    with open(os.environ["COUNTS"], "a") as file:
        print(torch.get_num_threads(), file=file)
    return torch.nn.functional.conv2d(x, weight, bias, stride, padding, dilation, groups)
"""


@pytest.mark.skipif((os.cpu_count() or 1) == 1, reason="one core cannot be shared")
@pytest.mark.parametrize("options", [{"jobs": 2}, {"executor": "loky://2"}])
def test_side_by_side_each_has_its_share_of_the_cores(options, tmp_path, monkeypatch):
    """Its threads are PyTorch's own, of libraries that are loaded with it."""
    if "executor" in options:
        pytest.importorskip("loky")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTS", str(tmp_path / "counts"))
    (tmp_path / "code.py").write_text(COUNTS)
    # So large that its products gain from threads.
    layers = [Layer(16, 32, 3, input=(40, 40), seed=seed) for seed in range(2)]
    assert verify(layers, target="code.py:conv", checks=["forward"], **options).passed
    share = max(1, (os.cpu_count() or 1) // 2)
    assert {*(tmp_path / "counts").read_text().split()} <= {"1", str(share)}
