"""PyTorch modules, by a factory in a file."""

import re
import sys

import pytest

import convcheck
from convcheck.errors import Parameter, TargetError, UsageError
from convcheck.suites import config
from convcheck.suites.importing import import_model
from convcheck.suites.importing.model import config_text, understood
from convcheck.targets.process.limits import IN_PROCESS, Limits

torch = pytest.importorskip("torch")

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Import the module that ``Net`` in the given source makes."""
    monkeypatch.chdir(tmp_path)

    def imported(source, input_size=(2, 3, 9, 11)):
        (tmp_path / "net.py").write_text(HEAD + source)
        return import_model("net.py:Net", input_size, limits=IN_PROCESS)

    return imported


def sequential(*parts):
    return f"def Net():\n    return nn.Sequential({', '.join(parts)})\n"


def layers_of(model):
    suite = config.parse(config_text(model), "imported.yaml")
    assert suite.layers == model.layers
    return suite.layers


def test_everything_that_a_convolution_can_have(imported):
    part = "nn.Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 3), groups=3, bias=False)"
    [layer] = layers_of(imported(sequential(part)))
    assert layer == convcheck.Layer(
        name="0", channels=3, filters=6, kernel=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 3), groups=3,
        bias=False, input=(9, 11), batch=2,
    )  # fmt: skip


def test_a_network(imported):
    model = imported(sequential("nn.Conv2d(3, 8, 3)", "nn.ReLU()", "nn.MaxPool2d(2)", "nn.Conv2d(8, 4, (1, 2))"))
    assert [(layer.name, layer.input) for layer in layers_of(model)] == [("0", (9, 11)), ("3", (3, 4))]


@pytest.mark.parametrize(
    ("part", "size"), [("nn.Conv1d(3, 4, 3)", (2, 3, 9)), ("nn.Conv3d(3, 4, (1, 2, 3))", (2, 3, 4, 5, 6))]
)
def test_one_and_three_axes(imported, part, size):
    [layer] = layers_of(imported(sequential(part), size))
    assert layer.input == size[2:]


@pytest.mark.parametrize("padding", ["'same'", "'valid'", "(2, 1)"])
def test_the_output_is_that_of_the_module(imported, padding):
    part = f"nn.Conv2d(3, 4, (4, 3), dilation=(1, 2), padding={padding})"
    [layer] = layers_of(imported(sequential(part)))
    module = eval(part, {"nn": torch.nn})
    x = torch.randint(-4, 5, (2, 3, 9, 11)).double()
    module.double().requires_grad_(False)
    expected = module(x).numpy()
    found = convcheck.forward(layer, x.numpy(), module.weight.numpy(), module.bias.numpy())
    assert found.shape == expected.shape
    assert abs(found - expected).max() < 1e-12


def test_an_input_without_a_batch(imported):
    [layer] = layers_of(imported(sequential("nn.Conv2d(3, 4, 3)"), (3, 9, 11)))
    assert (layer.batch, layer.input) == (1, (9, 11))


def test_a_lazy_module(imported):
    [layer] = layers_of(imported(sequential("nn.LazyConv2d(4, 3)")))
    assert layer.channels == 3


def test_a_shared_module_is_imported_once_per_size(imported):
    source = (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.conv = nn.Conv2d(3, 3, 3, padding=1)\n"
        "    def forward(self, x):\n        x = self.conv(self.conv(x))\n        return self.conv(x[..., ::2])\n"
    )
    assert [(layer.name, layer.input) for layer in layers_of(imported(source))] == [
        ("conv", (9, 11)), ("conv_2", (9, 6)),
    ]  # fmt: skip


def test_what_is_left_out_is_said_with_its_reason(imported):
    source = (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.kept = nn.Conv2d(3, 3, 3)\n        self.unused = nn.Conv2d(3, 3, 3)\n"
        "    def forward(self, x):\n"
        "        up = F.conv_transpose2d(self.kept(x), torch.zeros(3, 3, 1, 1))\n"
        "        return F.conv2d(up, torch.zeros(3, 3, 1, 1))\n"
    )
    model = imported(source)
    text = config_text(model)
    assert [layer.name for layer in model.layers] == ["kept"]
    assert re.search(r"# - unused \(Conv2d\): .*not call", text)
    assert re.search(r"# - 2 more \(torch.nn.functional\): .*function", text)


def test_the_module_itself_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_module_of_its_own.py").write_text(HEAD + "Net = nn.Sequential(nn.Conv2d(3, 4, 3))\n")
    import_model("a_module_of_its_own.py:Net", (2, 3, 9, 11), limits=IN_PROCESS)
    net = sys.modules["a_module_of_its_own"].Net
    assert not net[0]._forward_pre_hooks
    assert net.training


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def Net():\n    return 3\n", "net.py:Net: gives a int; expected a torch.nn.Module"),
        ("Net = 3\n", "net.py:Net: is a int; expected a class or function without arguments"),
        ("def Net(width):\n    pass\n", "net.py:Net: cannot be called without arguments"),
        (sequential("nn.Conv2d(5, 4, 3)"), "does not run on an input of 2×3×9×11 zeros; check input_size:"),
        (sequential("nn.ReLU()"), "net.py:Net: has no convolution; nothing to import"),
    ],
)
def test_what_cannot_be_imported(imported, source, message):
    with pytest.raises(UsageError) as caught:
        imported(source)
    assert message in str(caught.value)


def test_the_input_size_is_needed(imported):
    with pytest.raises(UsageError, match=r"a PyTorch module needs input_size, for example .*\(1, 3, 224, 224\)"):
        imported(sequential("nn.Conv2d(3, 4, 3)"), None)


def test_a_factory_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match=r"target .net\.py:Net.: there is no file"):
        import_model("net.py:Net", (1, 3, 8, 8))


def test_an_unknown_format():
    with pytest.raises(UsageError, match=r"model.h5: unknown format; expected a file that ends in .onnx, or a PyTorch"):
        import_model("model.h5")


class TestInAProcessOfItsOwn:
    """What the module does there is told; it ends with nothing of this process."""

    @pytest.fixture
    def elsewhere(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        def elsewhere(source, input_size=(2, 3, 9, 11), timeout=None):
            (tmp_path / "net.py").write_text("import os, sys\n" + source)
            return import_model("net.py:Net", input_size, limits=Limits(timeout, in_process=False))

        return elsewhere

    def test_gives_the_same(self, elsewhere, imported):
        source = sequential("nn.Conv2d(3, 6, (3, 2), groups=3, bias=False)", "nn.ConvTranspose2d(6, 3, 2)")
        assert elsewhere(HEAD + source) == imported(source)
        with pytest.raises(UsageError, match="does not run on an input of 3×3 zeros"):
            elsewhere(HEAD + source, (3, 3))

    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            ("os.abort()", ["ended by SIGABRT", "line 2"]),
            ("os._exit(0)", ["has ended itself with exit status 0"]),
            ("while True: pass", ["timeout of 2 s", "line 2"]),
            ("raise KeyboardInterrupt", ["cannot be run", "KeyboardInterrupt"]),
        ],
    )
    def test_an_end_or_a_loop_is_an_error_message(self, elsewhere, lines, words):
        with pytest.raises(UsageError) as caught:
            elsewhere(lines, timeout=2 if "while" in lines else None)
        assert all(word in str(caught.value) for word in ["net.py:Net", *words])

    def test_a_message_names_the_parameter(self, elsewhere):
        with pytest.raises(UsageError) as caught:
            elsewhere("class Net: pass", None)
        assert caught.value.args[1:4:2] == (Parameter("input_size"), Parameter("input_size", (1, 3, 224, 224)))

    def test_what_cannot_be_imported_is_an_error_of_the_code(self, elsewhere):
        with pytest.raises(TargetError, match="not today"):
            elsewhere("raise ValueError('not today')")


LAYER = convcheck.Layer(2, 3, 2, input=5, name="one").spec()


def test_what_is_told_is_understood():
    model = understood("m", {"layers": [LAYER, {**LAYER, "name": "two"}], "left_out": [["a", "b", "c"]]})
    assert [layer.name for layer in model.layers] == ["one", "two"]
    assert str(model.left_out[0]) == "a (b): c"
    assert understood("m", model.told()) == model


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"layers": {}, "left_out": []},
        {"layers": [], "left_out": "abc"},
        {"layers": [1], "left_out": []},
        {"layers": [{"channels": 1}], "left_out": []},
        {"layers": [{**LAYER, "times": 10**9}], "left_out": []},
        {"layers": [{**LAYER, "name": ["one"]}], "left_out": []},
        {"layers": [{**LAYER, "dtype": 64}], "left_out": []},
        {"layers": [], "left_out": [["a", "b"]]},
        {"layers": [], "left_out": [["a", "b", 1]]},
    ],
)
def test_what_is_told_otherwise_is_refused(told):
    with pytest.raises(UsageError, match="m: what its process has told of it is no list of layers"):
        understood("m", told)


@pytest.mark.parametrize("change", [{"channels": -1}, {"kernel": {"a": 1}}, {"input": [2**70] * 9}, {"seed": "x"}])
def test_a_layer_that_cannot_be_is_left_out(change):
    model = understood("m", {"layers": [{**LAYER, **change}], "left_out": []})
    assert model.layers == ()
    assert model.left_out[0].name == "one"


def test_transposed_ones_and_padding_modes(imported):
    source = (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.mirror = nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode='reflect')\n"
        "        self.round = nn.Conv2d(4, 4, 2, padding='same', padding_mode='circular')\n"
        "        self.up = nn.ConvTranspose2d(4, 6, (3, 2), stride=2, padding=1, output_padding=(1, 0), groups=2)\n"
        "        self.sized = nn.ConvTranspose2d(6, 2, 3, stride=3, bias=False)\n"
        "    def forward(self, x):\n"
        "        up = self.up(self.round(self.mirror(x)))\n"
        "        return self.sized(up, [3 * n + 1 for n in up.shape[2:]])\n"
    )
    mirror, around, up, sized = (found.layer for found in imported(source).found)
    assert (mirror.padding_mode, mirror.padding) == ("reflect", ((1, 1), (2, 2)))
    assert (around.padding_mode, around.padding) == ("circular", ((0, 1), (0, 1)))
    assert (up.transposed, up.output_padding, up.groups, up.filters) == (True, (1, 0), 2, 6)
    assert (sized.transposed, sized.output_padding, sized.bias) == (True, (1, 1), False)
    assert sized.output == tuple(3 * n + 1 for n in up.output)
