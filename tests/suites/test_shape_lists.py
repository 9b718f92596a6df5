"""Lists of shapes in other projects' formats, on files written by hand with every feature, and every error's place."""

import re

import pytest

from convcheck.errors import ConfigError, UsageError
from convcheck.layer.layer import Layer
from convcheck.suites.config import parse
from convcheck.suites.importing import FORMATS, import_model, recognised
from convcheck.suites.importing.model import config_text

ALL = {"output", "input", "weight", "bias"}


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(text, name="shapes", kind=None, **others):
        for other, content in others.items():
            (tmp_path / other).write_text(content)
        (tmp_path / name).write_text(text)
        return import_model(name, format=kind)

    return read


def spec(layer):
    return {name: value for name, value in layer.spec().items() if name not in ("name", "seed")}


def only(model):
    [found] = model.found
    return found


def problems(read, text, **others):
    """The errors of a file, each as its line, its column and its message."""
    with pytest.raises(ConfigError) as raised:
        read(text, **others)
    places = [re.match(r"([^:]+):(\d+):(\d+): (.*)", message).groups() for message in raised.value.messages]
    return [(name, int(line), int(column), message) for name, line, column, message in places]


class TestBenchdnn:
    def test_what_is_not_given_follows_from_the_rest(self, read):
        found = only(read("mb1_ic3oc64_ih224oh112kh7sh2ph3"))
        # The last window needs two zeros behind the input, not three.
        assert spec(found.layer) == spec(
            Layer(3, 64, 7, 2, [[3, 2], [3, 2]], input=(224, 224), batch=1, dtype="float32")
        )
        assert found.computed == ALL

    @pytest.mark.parametrize(
        ("text", "layer"),
        [
            ("ic3iw5oc4kw3", Layer(3, 4, 3, input=5)),
            ("g4ic16oc20_iw5ow5kw3pw1", Layer(16, 20, 3, padding=1, groups=4, input=5)),
            # Dilation counts the samples between two taps.
            ("ic3ih9oc4kh3dh1", Layer(3, 4, 3, dilation=2, input=(9, 9))),
            ("ic3ih9iw8oc4kh3kw2sw2ph1pw0", Layer(3, 4, (3, 2), (1, 2), [[1, 1], [0, 0]], input=(9, 8))),
            ("mb7ic3id5oc4kd2", Layer(3, 4, 2, input=(5, 5, 5), batch=7)),
            ("ic3id5ih6iw7oc4kd2kh3kw1", Layer(3, 4, (2, 3, 1), input=(5, 6, 7))),
            # Without padding, half of what the output needs is in front; the rest of an odd number is behind.
            ("ic3ih8oh8oc4kh4", Layer(3, 4, 4, padding=[[1, 2], [1, 2]], input=(8, 8))),
            # A remainder that no window reads.
            ("ic17oc17_ih8oh4kh1ph0sh2", Layer(17, 17, 1, 2, input=(8, 8))),
        ],
    )
    def test_axes_groups_dilation_and_padding(self, read, text, layer):
        assert spec(only(read(text)).layer) == {**spec(layer), "dtype": "float32"}

    def test_options_comments_includes_and_names(self, read):
        text = """\
            # ic1oc1iw1kw1
            ./benchdnn --conv --dir=FWD_B,BWD_D --mb=5 -v1 --attr-post-ops=relu
            mb1ic3iw9oc4kw3n"net:one*2"   # ic9iw9oc9kw9
            --mb=0 --batch=other
            """
        model = read(text, other="mb2ic3iw9\\\noc4kw2n'two'\n--reset --dir=BWD_W ic3iw9oc4kw1\n")
        one, two, three = model.found
        assert [found.layer.name for found in model.found] == ["net:one*2", "'two'", "3to4-1-on-9-no-bias"]
        assert (one.layer.batch, one.computed, one.layer.bias) == (5, {"output", "input"}, True)
        assert (two.layer.batch, two.layer.kernel, two.computed) == (2, (2,), {"output", "input"})
        assert (three.computed, three.layer.bias) == ({"weight"}, False)

    def test_equal_ones_are_told_once_with_what_all_of_them_compute(self, read):
        shapes = 'ic3iw9oc4kw3n"one"\nmb2ic3iw9oc4kw3_n"two"\n'
        found = only(read("--dir=FWD_B --batch=same\n--dir=BWD_WB --batch=same", same=shapes))
        assert (found.times, found.names, found.computed) == (2, ("one", "two"), {"output", "weight", "bias"})

    def test_formats_of_numbers(self, read):
        model = read("--dt=f64,bf16:bf16:f32,s8:s8:s32 ic3iw9oc4kw3")
        assert [found.dtypes for found in model.found] == [("float64",), ("bfloat16",)]
        assert model.layers[0].dtype == "float64"
        assert "s8" in model.left_out[0].reason

    def test_what_is_no_convolution_is_left_out(self, read):
        model = read('ic3iw9oc4kw3\n--ip ic3iw9oc4kw3n"dense"\n--conv ic4oc4_ih3oh6kh3sh2ph1n"de"')
        found = [(left.name, "transposed" in left.reason) for left in model.left_out]
        assert found == [("dense", False), ("de", True)]

    @pytest.mark.parametrize(
        ("problem", "padding", "output_padding", "output"),
        [
            ("iw5ow9kw3sw2pw1", (1, 1), 0, 9),
            ("iw5ow10kw3sw2pw1", (1, 0), 0, 10),
            ("iw5ow11kw3sw2pw1", (1, 0), 1, 11),
            ("iw5ow12kw3sw3", (1, 2), 0, 12),
            ("iw5ow16kw3sw3", (0, 0), 1, 16),
            ("iw5kw3sw2dw1", (0, 0), 0, 13),
            ("iw5kw3sw2pw1", (1, 1), 0, 9),
        ],
    )
    def test_transposed_ones_by_their_output(self, read, problem, padding, output_padding, output):
        layer = only(read(f"--deconv --dir=BWD_WB ic4oc6g2{problem}")).layer
        assert (layer.transposed, layer.channels, layer.filters, layer.groups) == (True, 4, 6, 2)
        assert (layer.padding, layer.output_padding) == ((padding,), (output_padding,))
        assert (layer.input, layer.output) == ((5,), (output,))

    def test_all_errors_with_their_places(self, read):
        text = """\
ic3iw9oc4kw3
 --dir=FWD_X --mb=a
ic3oc64_ih9zz7
ic3ih4kh2
--batch=nothere
--batch=shapes
 ic3id4iw4oc2kd1kw1"""
        found = problems(read, text, kind="benchdnn")
        assert [(line, column) for _, line, column, _ in found] == [
            (2, 8), (2, 19), (3, 12), (4, 1), (5, 9), (6, 9), (7, 2),
        ]  # fmt: skip
        for (*_, message), word in zip(
            found, ("FWD_X", '"a"', "zz7", '"oc"', "nothere", "itself", "d and w"), strict=True
        ):
            assert word in message

    def test_a_long_word_is_not_repeated(self, read):
        [(*_, message)] = problems(read, "x" * 10_000, kind="benchdnn")
        assert "xxx..." in message
        assert len(message) < 300

    def test_an_error_in_an_included_file_is_told_of_that_file(self, read):
        [(name, line, column, _)] = problems(read, "--batch=other", other="ic3iw9oc4kw3\n  what\n")
        assert (name, line, column) == ("other", 2, 3)


class TestMiopen:
    def test_a_command_with_letters_words_and_defaults(self, read):
        model = read(
            "# first\n"
            "MIOpen(HIP): Command [Log] ./bin/MIOpenDriver conv -n 2 -c 4 -H 9 -W 8 -k 6 -y 3 -x 2 -p 1 -q 0 -u 2 -v 1 "
            "-l 1 -j 2 -m conv -g 2 -F 3 -t 1 -b 1\n"
            "MIOpenDriver convfp16 --batchsize 1 --in_channels=2 --in_h 5 --in_w 6 --out_channels 3 "
            "--pad_mode valid > log\n"
        )
        first, second = model.found
        assert spec(first.layer) == {
            **spec(Layer(4, 6, (3, 2), (2, 1), [[1, 1], [0, 0]], (1, 2), 2, input=(9, 8))), "dtype": "float32",
        }  # fmt: skip
        assert first.computed == {"output", "input", "bias"}
        assert second.layer.kernel == (3, 3)
        assert second.dtypes == ("float16",)
        assert second.computed == ALL
        assert not second.layer.bias

    def test_three_axes(self, read):
        found = only(read("MIOpenDriver conv -_ 3 -n 1 -! 5 -H 6 -W 7 -@ 2 -y 3 -x 3 -$ 1 -# 2 -^ 1"))
        assert found.layer.input == (5, 6, 7)
        assert found.layer.padding == ((1, 1), (0, 0), (0, 0))
        assert found.layer.stride == (2, 1, 1)

    def test_the_three_keys_of_a_layer_are_one_layer(self, read):
        found = only(
            read(
                "3-9-7-3x2-8-5-6-2-1x0-2x1-1x1-0-NCHW-FP32-F=one,0.1\n"
                "8-5-6-3x2-3-9-7-2-1x0-2x1-1x1-0-NCHW-FP32-B=two\n"
                "8-5-6-3x2-3-9-7-2-1x0-2x1-1x1-0-NHWC-NCHW-NCHW-FP32-W\n"
            )
        )
        expected = Layer(3, 8, (3, 2), (2, 1), [[1, 1], [0, 0]], input=(9, 7), bias=False, dtype="float32")
        assert spec(found.layer) == spec(expected)
        assert (found.times, found.computed) == (1, {"output", "input", "weight"})

    def test_a_key_with_groups_and_three_axes(self, read):
        found = only(read("8-4-5-6-1x2x3-8-4-4-4-3-0x0x0-1x1x1-1x1x1-1-NCDHW-FP32-F_g8="))
        assert (found.layer.groups, found.layer.input, found.layer.bias) == (8, (4, 5, 6), True)

    def test_what_is_left_out_and_why(self, read):
        model = read(
            "MIOpenDriver conv -n 1\nMIOpenDriver pool -n 1\nMIOpenDriver conv -m depthwise\n"
            "MIOpenDriver conv -z same\nMIOpenDriver convint8 -n 1\n"
        )
        assert [re.search("operation|mode is depthwise|pad_mode|int8", left.reason)[0] for left in model.left_out] == [
            "operation", "mode is depthwise", "pad_mode", "int8",
        ]  # fmt: skip

    def test_transposed_ones(self, read):
        layer = only(read("MIOpenDriver conv -n 1 -c 4 -k 6 -g 2 -H 5 -W 4 -u 2 -v 3 -p 1 -X 2 -m trans")).layer
        assert (layer.transposed, layer.channels, layer.filters, layer.groups) == (True, 4, 6, 2)
        assert (layer.padding, layer.output_padding, layer.output) == (((1, 1), (0, 0)), (0, 2), (9, 14))

    def test_all_errors_with_their_places(self, read):
        text = (
            "MIOpenDriver conv -n x -c 3\n  MIOpenDriver conv -n 1 3 -c\nMIOpenDriver conv --in_chanels 3\n"
            "MIOpenDriver conv -n\n"
            "what\n 3-9-7-3x2-8-5-6-2-1x0-2x1-1x1-0-NCHW-FP32\n3-9-7-3x2-8-5-7-2-1x0-2x1-1x1-0-NCHW-FP32-F=\n"
        )
        found = problems(read, text)
        assert [(line, column) for _, line, column, _ in found] == [
            (1, 22), (2, 26), (3, 19), (4, 19), (5, 1), (6, 2), (7, 1),
        ]  # fmt: skip
        words = ('"x"', '"3"', "in_channels", "no value", "neither", "no key", "5×7")
        for (*_, message), word in zip(found, words, strict=True):
            assert word in message

    def test_the_driver_has_two_axes_or_three(self, read):
        [(_, line, column, message)] = problems(read, "MIOpenDriver conv -_ 2\nMIOpenDriver conv --spatial_dim 1\n")
        assert (line, column) == (2, 33)
        assert "expected 2 or 3" in message


class TestAten:
    HEAD = "Operator: aten.convolution.default\n"
    BACK = "Operator: aten.convolution_backward.default\n"

    def test_forward_and_backward_are_one_layer_with_its_mask(self, read):
        found = only(
            read(
                "Operator: aten.add.Tensor\ncnt: 2, ((T([96], f16), 1), {})\n"
                + self.HEAD
                + "cnt: 3, ((T([5, 4, 9, 8], f32, stride=(1, 2, 3, 4)), T([6, 2, 3, 2], f32), T([6], f32), [2, 1], "
                "[0, 1], [1, 1], False, [0, 0], 2), {})\n"
                + self.BACK
                + "cnt: 2, ((T([5, 6, 4, 9], f32), T([5, 4, 9, 8], f32), T([6, 2, 3, 2], f32), [6], [2, 1], [0, 1], "
                "[1], False, [0, 0], 2, [False, True, True]), {})\n"
            )
        )
        expected = Layer(4, 6, (3, 2), (2, 1), [[0, 0], [1, 1]], groups=2, input=(9, 8), batch=5, dtype="float32")
        assert spec(found.layer) == spec(expected)
        assert (found.times, found.computed) == (3, {"output", "weight", "bias"})

    @pytest.mark.parametrize("sizes", ["None", "[0]", "[]"])
    def test_without_a_bias(self, read, sizes):
        call = f"((T([1, 4, 7], f64), T([1, 4, 9], f64), T([4, 4, 3], f64), {sizes}, [1], [0], [1], False, [0], 1, "
        found = only(read(f"{self.BACK}cnt: 1, {call}[True, True, False]), {{}})"))
        assert not found.layer.bias
        assert found.layer.dtype == "float64"

    def test_a_mask_and_an_output_gradient_of_another_size_are_errors(self, read):
        call = "cnt: 1, ((T([1, 4, 7], f64), T([1, 4, 9], f64), T([4, 4, 3], f64), [4], [1], [0], [1], False, [0], 1, "
        good = f"{call}[True, True, True]), {{}})\n"
        found = problems(read, f"{self.BACK}{good}{call}[True]), {{}})\n" + good.replace("7", "8"))
        assert [(line, message) for _, line, _, message in found] == [
            (3, "its output_mask is [True]; expected three truths"),
            (4, "its grad_output is [1, 4, 8]; its other sizes give [1, 4, 7]"),
        ]

    @pytest.mark.parametrize("deep", ["-" * 900 + "1", "x" + ".a" * 900, "-" * 100_000 + "1"])
    def test_what_is_nested_too_deep_is_an_error_too(self, read, deep):
        call = f"cnt: 1, (({deep}, T([4, 4, 3], f16), None, [1], [0], [1], False, [0], 1), {{}})\n"
        [(_, line, column, message)] = problems(read, self.HEAD + call)
        assert (line, column) == (2, 9)
        assert not message.endswith(": ")

    def test_transposed_ones(self, read):
        call = "cnt: 1, ((T([1, 4, 9], f32), T([4, 3, 3], f32), None, [3], [1], [1], True, [2], 2), {})"
        layer = only(read(self.HEAD + call)).layer
        assert (layer.transposed, layer.channels, layer.filters, layer.output_padding) == (True, 4, 6, (2,))
        with pytest.raises(ConfigError, match="4 channels"):
            read(self.HEAD + call.replace("[4, 3, 3]", "[5, 3, 3]"))

    def test_all_errors_with_their_places(self, read):
        good = "cnt: 1, ((T([1, 4, 9], f16), T([4, 4, 3], f16), None, [1], [0], [1], False, [0], 1), {})\n"
        found = problems(
            read,
            self.HEAD
            + good
            + "cnt: 1, ((T([1, 4, 9], f16), T([4, 4, 3], f16)), {})\n"
            + "cnt: 1, ((__import__('os'), T([4, 4, 3], f16), None, [1], [0], [1], False, [0], 1), {})\n"
            + "cnt: 1, ((T([1, 4, 9]\nwhat\n"
            + good.replace("[1, 4, 9]", "[1, 5, 9]")
            + good.replace("[1], [0]", "[1, 2], [0]"),
        )
        assert [line for _, line, _, _ in found] == [3, 4, 5, 6, 7, 8]
        assert [column for *_, column, _ in found][:2] == [10, 11]
        words = ("9 arguments", "__import__", "cannot be read", "neither", "5 channels", "stride")
        for (*_, message), word in zip(found, words, strict=True):
            assert word in message
            assert "<unknown>" not in message


class TestDeepbench:
    def test_tables_comments_and_counts(self, read):
        model = read(
            "// std::make_tuple(1, 1)\nstd::vector<T> training_set = {\n"
            "  std::make_tuple(70, 16, 1, 4, 32, 20, 5, 0, 1, 3, 2), /* make_tuple(2) */\n"
            "  make_tuple(70,16,1,4,32,20,5,0,1,3,2)};\n"
            "std::vector<T> inference_device_set = { std::make_tuple(7, 6, 2, 1, 3, 1, 2, 0, 0, 1, 1) };\n"
        )
        first, second = model.found
        expected = Layer(1, 32, (5, 20), (2, 3), [[1, 1], [0, 0]], bias=False, input=(16, 70), batch=4)
        assert spec(first.layer) == spec(expected)
        assert (first.times, first.computed) == (2, ALL)
        assert second.computed == {"output"}

    def test_all_errors_with_their_places(self, read):
        found = problems(read, "x = {\n  std::make_tuple(1, 2),\n make_tuple(7, 6, 2, 1, 3, 1, 2, 0, 0, 1, -1)};")
        assert [(line, column) for _, line, column, _ in found] == [(2, 8), (3, 2)]
        assert all("filter_w" in message for *_, message in found)

    @pytest.mark.parametrize("tail", ["make_tuple(7, 6, 2,", "make_tuple(7, (6), 2, 1, 3, 1, 2, 0, 0, 1, 1)};"])
    def test_a_tuple_that_has_no_plain_end_is_an_error(self, read, tail):
        [(_, line, column, _)] = problems(read, f"x = {{make_tuple(7, 6, 2, 1, 3, 1, 2, 0, 0, 1, 1),\n{tail}")
        assert (line, column) == (2, 1)


PROBLEM = """\
import torch
import torch.nn as nn

raise SystemExit("nothing of this file is run")

class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, bias: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=(1, 0), bias=bias)

    def forward(self, x):
        return self.conv(x)

channels = 4
out_channels = 2 * channels + 1
height, width = 9, 8
size = 8

def get_inputs():
    x = torch.rand(3, channels, 9, size)
    return [x]

def get_init_inputs():
    return [channels, out_channels, (3, 2)]
"""


class TestKernelbench:
    def test_is_read_without_being_run(self, read):
        found = only(read(PROBLEM, "62_conv.py"))
        expected = Layer(4, 9, (3, 2), 1, [[1, 1], [0, 0]], bias=False, input=(9, 8), batch=3, dtype="float32")
        assert spec(found.layer) == spec(expected)
        assert (found.layer.name, found.computed) == ("62_conv", {"output"})

    @pytest.mark.parametrize(
        ("old", "new", "line", "word"),
        [
            ("out_channels = 2 * channels + 1", "out_channels = 9**9**9**9", 24, "out_channels"),
            ("out_channels = 2 * channels + 1", "out_channels = open('x')", 24, "out_channels"),
            ("return self.conv(x)", "return self.conv(x + 1)", 11, "forward"),
            ("return self.conv(x)", "x = x.relu(); return self.conv(x)", 11, "forward"),
            ("super().__init__()", "self.other = nn.Conv2d(1, 1, 1)", 11, "self.other"),
            ("return self.conv(x)", "return self.conv(self.conv(x))", 11, "forward"),
            ("return self.conv(x)", "for _ in x: x = self.conv(x)", 11, "forward"),
            ("nn.Conv2d(", "nn.Linear(", 6, "no convolution"),
            ("rand(3, channels,", "rand(3, 5,", 19, "5 channels"),
            ("def get_inputs", "def make", 1, "get_inputs"),
            ("torch.rand(3, channels, 9, size)", "load('x')", 20, "load"),
            ("torch.rand(3, channels, 9, size)", "torch.rand(3, channels, 9)", 19, "3 axes"),
            ("size = 8", "size = 8\nsize += 1", 21, "size"),
            ("size = 8", "size = 8\nif True:\n    size = 9", 22, "size"),
            ("super().__init__()", "stride += 1", 9, "stride"),
            ("import torch\n", "import\n", 1, "Python"),
            ("import torch\n", f"import torch; N = {'1+' * 2000}1\n", 1, "nested"),
        ],
    )
    def test_what_is_not_plain_is_an_error_with_its_place(self, read, old, new, line, word):
        assert old in PROBLEM
        [(_, at, _, message)] = problems(read, PROBLEM.replace(old, new, 1), name="p.py", kind="kernelbench")
        assert (at, word in message) == (line, True), message
        assert word == "Python" or "convcheck import p.py:Model" in message

    def test_transposed_ones_and_padding_modes(self, read):
        text = PROBLEM.replace(", padding=(1, 0), bias=bias", ", padding=(1, 0), bias=bias, padding_mode='reflect'")
        assert only(read(text, "mode.py")).layer.padding_mode == "reflect"
        text = PROBLEM.replace("stride=stride, padding=(1, 0), bias=bias", "stride, 1, 0, 1, bias, 2")
        found = only(read(text.replace("Conv2d", "ConvTranspose2d"), "up.py")).layer
        assert (found.transposed, found.padding, found.dilation) == (True, ((1, 1), (1, 1)), (2, 2))
        assert (found.channels, found.filters, found.groups, found.bias) == (4, 9, 1, False)

    CHAIN = PROBLEM.replace("bias=bias)\n", "bias=bias)\n        self.up = nn.ConvTranspose2d(9, 2, 3, stride=2)\n", 1)

    @pytest.mark.parametrize(
        "forward",
        [
            "return self.up(self.conv(x))",
            "y = self.conv(x); y = self.up(y); return y.relu()",
            "x = self.conv(x); return torch.relu(self.up(x))",
        ],
    )
    def test_one_may_be_called_on_the_output_of_another(self, read, forward):
        first, second = read(self.CHAIN.replace("return self.conv(x)", forward), "chain.py").found
        assert (first.layer.name, first.layer.output) == ("chain.conv", (9, 7))
        expected = Layer(9, 2, 3, 2, input=(9, 7), transposed=True, batch=3, dtype="float32")
        assert (second.layer.name, spec(second.layer)) == ("chain.up", spec(expected))

    @pytest.mark.parametrize(
        "forward",
        [
            "return self.up(torch.relu(self.conv(x)))",
            "x = self.conv(x); x = x[1:]; return self.up(x)",
            "x = self.conv(x); x += 1; return self.up(x)",
            "return self.up(x, self.conv(x))",
        ],
    )
    def test_but_not_on_what_cannot_be_read(self, read, forward):
        [(_, line, _, message)] = problems(read, self.CHAIN.replace("return self.conv(x)", forward), name="chain.py")
        assert (line, "self.up" in message) == (12, True)

    def test_what_follows_one_that_cannot_exist_is_left_out_too(self, read):
        text = self.CHAIN.replace("return self.conv(x)", "return self.up(self.conv(x))")
        with pytest.raises(UsageError, match=r"(?s)chain\.conv.*kernel.*chain\.up.*what conv gives"):
            read(text.replace("(3, 2)]", "(30, 2)]"), "chain.py")

    def test_can_be_run_instead(self, read):
        pytest.importorskip("torch")
        text = PROBLEM.replace('raise SystemExit("nothing of this file is run")', "").replace(
            "return self.conv(x)", "return self.conv(nn.functional.pad(x, (1, 1)))"
        )
        with pytest.raises(ConfigError):
            read(text.replace("rand(3,", "rand(30_000_000,"), "run_it.py")
        # On arrays without memory, so that no size is too large.
        found = only(import_model("run_it.py:Model"))
        assert (found.layer.input, found.layer.batch) == ((9, 10), 30_000_000)


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("benchdnn", "# shapes\nmb1_ic3oc64_ih224oh112kh7sh2ph3\n"),
            ("miopen", "MIOpenDriver conv -n 1"),
            ("miopen", "3-9-7-3x2-8-5-6-2-1x0-2x1-1x1-0-NCHW-FP32-F="),
            ("aten", "Operator: aten.add.Tensor\n"),
            ("deepbench", "make_tuple(1)"),
            ("kernelbench", PROBLEM),
            (None, "# nothing\n"),
            (None, "version: 1\nlayers:\n  - {channels: 1, filters: 1, kernel: 1}\n"),
            (None, "\x00\xff"),
        ],
    )
    def test_are_found_by_what_is_in_the_file(self, tmp_path, name, text):
        (tmp_path / "file").write_text(text)
        assert recognised(str(tmp_path / "file")) == name

    def test_a_mark_of_the_byte_order_is_passed_over(self, tmp_path):
        (tmp_path / "file").write_text("ic3iw9oc4kw3", encoding="utf-8-sig")
        assert [layer.input for layer in import_model(str(tmp_path / "file")).layers] == [(9,)]

    def test_one_can_be_asked_for(self, read):
        with pytest.raises(ConfigError, match="shapes:1:1"):
            read("MIOpenDriver conv -n 1", kind="aten")
        with pytest.raises(UsageError, match="mnist"):
            read("MIOpenDriver conv -n 1", kind="mnist")

    def test_a_list_of_shapes_takes_no_input_size(self, read):
        read("ic3iw9oc4kw3")
        with pytest.raises(UsageError, match="input_size"):
            import_model("shapes", (1, 3, 9))

    def test_what_cannot_be_read_as_text(self, tmp_path):
        (tmp_path / "f").write_bytes(b"ic3iw9oc4kw3\n\xff")
        with pytest.raises(ConfigError, match="f:2:1: byte 0xff"):
            import_model(str(tmp_path / "f"))

    def test_layers_that_cannot_exist_are_left_out_with_the_reason(self, read):
        model = read('ic3iw9oc4kw3\nic3iw2oc4kw3n"small"\ng2ic3iw9oc4kw3n"odd"')
        assert [(left.name, left.reason.split(":")[0]) for left in model.left_out] == [
            ("small", "kernel[0]"),
            ("odd", "groups"),
        ]

    def test_numbers_that_no_config_can_hold_are_left_out_with_the_reason(self, read):
        model = read(f'ic3iw9oc4kw3\nic{10**20}iw9oc4kw3n"huge"\nic3iw9oc4kw3pw{2**63}n"wide"')
        assert [left.name for left in model.left_out] == ["huge", "wide"]
        assert all("out of range" in left.reason for left in model.left_out)
        assert len(model.layers) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "ic{}iw9oc4kw3",
            "--mb={}\nic3iw9oc4kw3",
            "MIOpenDriver conv -n {}",
            "3-9-7-3x2-{}-5-6-2-1x0-2x1-1x1-0-NCHW-FP32-F",
            "make_tuple({}, 6, 2, 1, 3, 1, 2, 0, 0, 1, 1)",
        ],
    )
    def test_so_are_numbers_too_long_for_python_to_read(self, read, text):
        read(text.format(7))
        with pytest.raises(UsageError, match="out of range"):
            read(text.format("9" * 5_000))

    @pytest.mark.parametrize("count", [4_000, 9_000])
    def test_more_layers_than_a_config_can_hold_are_an_error_that_says_so(self, read, count):
        model = read("\n".join(f"ic3iw{9 + number}oc4kw3pw1sw2" for number in range(count)))
        with pytest.raises(UsageError, match=rf"shapes: {count:,} different layers do not fit .*cover"):
            config_text(model)

    def test_the_config_has_what_it_has_no_key_for_as_remarks(self, read):
        model = read('--dir=FWD_B\nic3iw9oc4kw3n"a"\nic3iw9oc4kw3n"b:#"\nic3iw9oc4kw3n"a"\n--dt=bf16 ic3iw9oc4kw2')
        text = config_text(model)
        assert "# 3 times; also b:#; grad_input and grad_weight and grad_bias not computed\n" in text.replace('"', "")
        assert [layer.kernel for layer in parse(text, "x.yaml").layers] == [(3,), (2,)]

    def test_every_format_says_what_it_reads(self):
        assert len(set(FORMATS)) == len(FORMATS) == 7
