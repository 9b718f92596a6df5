"""Where code computes: what is told of it, waited for and refused, up to the device itself, which tests have not got.

PyTorch's own functions for a kind of device are replaced; for libraries, NVIDIA's driver is, by one that keeps its
"device" memory in the heap and starts kernels only when it is waited for.
"""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from convcheck import Layer, TargetError, UsageError, verify
from convcheck.targets import device_memory
from convcheck.targets.forms.library import HEADER
from tests.targets.test_half_forms import PROGRAM
from tests.targets_for_tests import Right

LAYER = Layer(3, 4, (2, 3), padding=1, input=(6, 7), dtype="float32")
CHECKS = ["forward", "exact"]


class TestPyTorch:
    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    @pytest.mark.parametrize("waited", [True, False])
    def test_results_are_waited_for(self, torch, monkeypatch, waited):
        """Code whose results come late, as on a stream of its own, is right only where they are waited for."""
        late = []

        class Late(torch.autograd.Function):
            @staticmethod
            def forward(ctx, input, weight, bias, stride, padding, dilation, groups):  # noqa: A002 - PyTorch's name
                ctx.save_for_backward(input, weight)
                ctx.options = stride, padding, dilation, groups
                return self.later(late, torch.nn.functional.conv2d(input, weight, bias, *ctx.options))

            @staticmethod
            def backward(ctx, grad):
                input, weight = ctx.saved_tensors  # noqa: A001
                with torch.enable_grad():
                    leaves = [tensor.detach().requires_grad_() for tensor in (input, weight)]
                    output = torch.nn.functional.conv2d(*leaves, None, *ctx.options)
                found = torch.autograd.grad(output, leaves, grad)
                return *(self.later(late, g) for g in (*found, grad.sum((0, 2, 3)))), None, None, None, None

        def synchronize(device=None):
            while waited and late:
                tensor, values = late.pop()
                tensor.data.copy_(values)

        monkeypatch.setattr(torch.cpu, "synchronize", synchronize)
        report = verify(LAYER, target={"call": Late.apply, "style": "torch"}, checks=CHECKS, in_process=True)
        assert report.passed == waited, str(report)

    @staticmethod
    def later(late, values):
        tensor = values.detach().clone().fill_(-5)
        late.append((tensor, values.detach()))
        return tensor

    def test_a_layer_beyond_the_devices_memory_is_refused_before_it_is_run(self, torch, monkeypatch):
        calls = []

        def conv(input, weight, bias, stride, padding, dilation, groups):  # noqa: A002 - PyTorch's name
            calls.append(input.shape)
            return torch.nn.functional.conv2d(input, weight, bias, stride, padding, dilation, groups)

        free = 4 * 3 * 2 * sum(map(np.prod, (LAYER.input_shape, LAYER.weight_shape, LAYER.output_shape)))
        monkeypatch.setattr(torch.cpu, "mem_get_info", lambda device: (free, 2 * free), raising=False)
        target = {"call": conv, "style": "torch"}
        assert verify(LAYER, target=target, checks=CHECKS).passed
        calls.clear()
        wider = Layer(3, 4, (2, 3), padding=1, input=(6, 8), dtype="float32", name="wider")
        with pytest.raises(UsageError, match=r"wider would need at least .* of the device's memory"):
            verify([LAYER, wider], target=target, checks=CHECKS)
        assert not calls
        monkeypatch.setattr(torch.cpu, "mem_get_info", lambda device: (free * 2 - 1, free * 2), raising=False)
        with pytest.raises(UsageError, match=r"2 layers at once would need at least .* expected fewer jobs"):
            memory_of_two(LAYER, free * 2 - 1)

    def test_the_device_and_what_is_switched_off_are_told(self, torch, monkeypatch):
        target = "torch.nn.functional:conv2d"
        assert not verify(LAYER, target=target, checks=CHECKS).found
        monkeypatch.setattr(torch.cpu, "get_device_name", lambda device: "a name", raising=False)
        assert "it runs on cpu, a name" in verify(LAYER, target=target, checks=CHECKS).found
        if hasattr(torch.backends, "fp32_precision"):
            before = torch.backends.mkldnn.conv.fp32_precision
            torch.backends.mkldnn.conv.fp32_precision = "tf32"
            try:
                (_, said) = verify(LAYER, target=target, checks=CHECKS).found
            finally:
                torch.backends.mkldnn.conv.fp32_precision = before
            assert all(word in said for word in ("float32", "mkldnn.conv in tf32", "switched off"))

    def test_autocast_is_told_and_found(self, torch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            report = verify(LAYER, target="torch.nn.functional:conv2d", checks=CHECKS)
        assert not report.passed
        assert any("autocast is on" in said and "bfloat16" in said for said in report.found)
        assert "autocast is on" in str(report)

    def test_a_device_that_is_not_there(self, torch):
        with pytest.raises(TargetError, match=r"device nowhere cannot be used.*expected cpu or cuda"):
            verify(LAYER, target="torch.nn:Conv2d", device="nowhere")


def memory_of_two(layer, room):
    from convcheck.checks.memory import require_room
    from convcheck.targets import resolve

    target = resolve({"call": Right}, None)
    target.room = room
    require_room([("one", layer, target), ("two", layer, target)], at_once=2)


def test_jax_says_what_it_has(monkeypatch):
    jax = pytest.importorskip("jax")
    from convcheck.targets.forms import jax_code

    def conv(x, weight, bias, stride, padding, dilation, groups):
        out = jax.lax.conv_general_dilated(
            x, weight, stride, padding, rhs_dilation=dilation, feature_group_count=groups
        )
        return out + bias[:, None, None]

    target = {"call": conv, "style": "jax", "tuples": True}
    assert not verify(LAYER, target=target, checks=CHECKS).found
    with jax.default_matmul_precision("bfloat16"):
        (said,) = verify(LAYER, target=target, checks=CHECKS).found
    assert "matmul precision is bfloat16" in said

    class Device:
        def __init__(self, **stats):
            self.stats = stats

        def memory_stats(self):
            return self.stats or None

    assert jax_code._room(Device(bytes_limit=100, bytes_in_use=30)) == 70
    assert jax_code._room(Device()) is None


@pytest.mark.parametrize("device", [None, "cuda:1"])
def test_a_program_is_told(tmp_path, device):
    check = f"import os\nassert os.environ.get('CONVCHECK_DEVICE') == {device!r}\n"
    (tmp_path / "half.py").write_text(check + PROGRAM, encoding="utf-8")
    mapping = {"command": [sys.executable, str(tmp_path / "half.py")], "unsupported": ["stride", "padding", "groups"]}
    layer = Layer(2, 3, 3, input=(5, 6), dtype="float16")
    report = verify(layer, target=mapping, device=device, checks=CHECKS)
    assert report.passed, report
    assert [*report.found] == (
        [f"it is told to compute on {device}, by the environment's CONVCHECK_DEVICE"] * bool(device)
    )


def test_code_that_is_given_numpys_arrays_has_no_device():
    with pytest.raises(TargetError, match="device cuda is for PyTorch, JAX, programs and libraries"):
        verify(LAYER, target=Right, device="cuda")


DRIVER = """
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static char *blocks[1000];
static size_t sizes[1000];
static int count, live, current, devices_of_test = 2;
static void (*kernel)(void *);
static void *of_kernel;

int live_blocks(void) { return live; }
void launch(void (*function)(void *), void *argument) { kernel = function; of_kernel = argument; }
static int inside(const void *address, size_t size) {
    for (int i = 0; i < count; i++)
        if (blocks[i] && (char *)address >= blocks[i] && (char *)address + size <= blocks[i] + sizes[i]) return 1;
    return 0;
}
int on_device(const void *address) { return inside(address, 1) && (uintptr_t)address % 256 == 0; }
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return number < devices_of_test ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "a fake device", length); return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = &live; return 0; }
int cuCtxSetCurrent(void *context) { current = context == &live; return 0; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { *free = 1 << 20; *total = 1 << 21; return current ? 0 : 201; }
int cuMemAlloc_v2(uint64_t *address, size_t size) {
    if (count == 1000 || size > 1 << 20) return 2;
    blocks[count] = malloc(size), sizes[count] = size;
    memset(blocks[count], 0x5a, size);
    *address = (uint64_t)blocks[count++], live++;
    return 0;
}
int cuMemFree_v2(uint64_t address) {
    for (int i = 0; i < count; i++)
        if ((uint64_t)blocks[i] == address) { free(blocks[i]), blocks[i] = blocks[--count], sizes[i] = sizes[count];
            return live--, 0; }
    return 1;
}
int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size) {
    return inside((void *)to, size) ? (memcpy((void *)to, from, size), 0) : 1;
}
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) {
    return inside((void *)from, size) ? (memcpy(to, (void *)from, size), 0) : 1;
}
int cuCtxSynchronize(void) {
    if (kernel) kernel(of_kernel);
    kernel = 0;
    return 0;
}
int cuGetErrorName(int status, const char **name) { *name = "CUDA_ERROR_OF_TEST"; return 0; }
"""

#: One channel, one filter, stride 1 and no padding; the work is started, and done when the device is waited for.
LIBRARY = """
#include "convcheck.h"

int on_device(const void *address);
void launch(void (*function)(void *), void *argument);
static struct { convcheck_layer l; const float *x, *w, *b, *g; float *y, *dx, *dw, *db; } a;

static void forward(void *of) {
    int64_t in = a.l.input[0], out = a.l.output[0];
    for (int64_t i = 0; i < a.l.n * out; i++) {
        a.y[i] = a.b ? a.b[0] : 0;
        for (int k = 0; k < a.l.kernel[0]; k++) a.y[i] += a.w[k] * a.x[i / out * in + i % out + k];
    }
}
static void backward(void *of) {
    int64_t in = a.l.input[0], out = a.l.output[0];
    for (int64_t i = 0; i < a.l.n * in; i++) a.dx[i] = 0;
    for (int k = 0; k < a.l.kernel[0]; k++) a.dw[k] = 0;
    if (a.db) a.db[0] = 0;
    for (int64_t i = 0; i < a.l.n * out; i++) {
        for (int k = 0; k < a.l.kernel[0]; k++) {
            int64_t seen = i / out * in + i % out + k;
            a.dx[seen] += a.w[k] * a.g[i], a.dw[k] += a.x[seen] * a.g[i];
        }
        if (a.db) a.db[0] += a.g[i];
    }
    SPILL
}
int my_conv_forward_float32(const convcheck_layer *l, const float *x, const float *w, const float *b, float *y,
                            char *m) {
    if (!on_device(x) || !on_device(w) || !on_device(y)) return CONVCHECK_ERROR;
    a.l = *l, a.x = x, a.w = w, a.b = b, a.y = y;
    launch(forward, 0);
    return CONVCHECK_OK;
}
int my_conv_backward_float32(const convcheck_layer *l, const float *x, const float *w, const float *b, const float *g,
                             float *dx, float *dw, float *db, char *m) {
    if (!on_device(g) || !on_device(dx) || !on_device(dw) || (db && !on_device(db))) return CONVCHECK_ERROR;
    a.l = *l, a.x = x, a.w = w, a.b = b, a.g = g, a.dx = dx, a.dw = dw, a.db = db;
    launch(backward, 0);
    return CONVCHECK_OK;
}
"""


BUILD = ("cc", "-O1", "-shared", "-fPIC", "-o")


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    # Once: a process loads a library of one name once.
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(DRIVER)
    subprocess.run([*BUILD, "libdriver.so", "driver.c"], cwd=folder, check=True)
    return folder / "libdriver.so"


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
class TestLibrary:
    ONE = Layer(1, 1, 3, input=(9,), batch=1, dtype="float32")

    @pytest.fixture
    def build(self, driver, tmp_path, monkeypatch):
        (tmp_path / "convcheck.h").write_text(HEADER.read_text())
        monkeypatch.setattr(device_memory, "LIBRARY", str(driver))

        def built(spill=""):
            (tmp_path / "mine.c").write_text(LIBRARY.replace("SPILL", spill))
            linked = [str(driver), f"-Wl,-rpath,{driver.parent}"]
            subprocess.run([*BUILD, "libmine.so", "mine.c", *linked], cwd=tmp_path, check=True)
            return {"library": str(tmp_path / "libmine.so"), "unsupported": ["stride", "padding", "dilation", "groups"]}

        return built

    def verify(self, target, layer=ONE, device="cuda:1"):
        return verify(layer, target=target, device=device, checks=[*CHECKS, "conditions"], in_process=True)

    def test_it_is_given_addresses_there_waited_for_and_what_is_allocated_is_given_back(self, build, monkeypatch):
        target = build()
        report = self.verify(target)
        assert report.passed, str(report)
        assert report.found == ("it is given addresses in the memory of cuda:1, a fake device",)
        library = device_memory.ctypes.CDLL(device_memory.LIBRARY)
        assert library.live_blocks() == 0
        # Host memory would not do, and what is not waited for is not there.
        assert not self.verify(target, device=None).passed
        monkeypatch.setattr(device_memory.DeviceMemory, "wait", lambda self: None)
        late = self.verify(target)
        assert not late.passed
        assert "non-finite" in str(late)

    @pytest.mark.parametrize(
        ("spill", "words"), [
            ("a.dw[a.l.kernel[0]] = 1;", "wrote beyond the memory of grad_weight"),
            ("((float *)a.x)[0] = 7;", "inputs-modified"), ("a.dw[1] = -a.dw[1];", "sign-flipped|grad_weight|dL/dW"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_there_is_found(self, build, spill, words):
        report = self.verify(build(spill))
        assert not report.passed
        assert re.search(words, " ".join(str(report).split())), str(report)

    def test_memory_is_respected_and_errors_have_their_name(self, build):
        target = build()
        with pytest.raises(UsageError, match=r"of the device's memory, but 0\.0 GiB are free there"):
            self.verify(target, Layer(1, 1, 3, input=(200_000,), batch=1, dtype="float32"))
        with pytest.raises(TargetError, match=r"cuda:2 cannot be used: cuDeviceGet .* 101 \(CUDA_ERROR_OF_TEST\)"):
            self.verify(target, device="cuda:2")

    @pytest.mark.parametrize("device", ["gpu", "cuda:x"])
    def test_another_device_is_none(self, build, device):
        with pytest.raises(TargetError, match=f"device {device} cannot be used.*expected cuda"):
            self.verify(build(), device=device)

    def test_without_a_driver(self, build, monkeypatch):
        target = build()
        monkeypatch.setattr(device_memory, "LIBRARY", "libnone_of_this_name.so.1")
        with pytest.raises(TargetError, match=r"device cuda cannot be used.*libnone_of_this_name"):
            self.verify(target, device="cuda")
