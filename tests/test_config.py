"""Config files: what is read, and every kind of bad input by the text of its message."""

import errno
import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convcheck import config, suites
from convcheck.errors import ConfigError, UsageError
from convcheck.layer import Layer

GOOD = """\
version: 1
defaults: {batch: 3, dtype: float32}
gate: {max_error: 1.0e-9}
target: my_layers.py:MyConv
layers:
  - name: conv1
    channels: 3
    filters: 8
    kernel: [3, 5]
    stride: [2, 1]
    padding: [[1, 1], [0, 2]]
    dilation: 1
    groups: 1
    bias: true
    input: [9, 11]
    batch: 2
    dtype: float64
    seed: 0

  - {channels: 4, filters: 4, kernel: 3, groups: 4, padding: same, bias: false}
"""

FILE_KEYS = "version, defaults, gate, target, layers"
LAYER_KEYS = (
    "name, channels, filters, kernel, stride, padding, dilation, groups, bias, input, batch, dtype, seed"  # one text
)
NOT_A_NUMBER = (
    "is not allowed; expected a positive number such as 1.0e-9, or leave the key out: the derived bounds apply without it"
)
NOT_A_TARGET = (
    "is not allowed; expected module:name, path/to/file.py:name or a mapping, or leave the key out to check the "
    "built-in formulations"
)
NOT_LAYERS = "is not allowed; expected a list with at least one layer, each starting with -"


def errors(text):
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f.yaml")
    return list(caught.value.messages)


def one_layer(**fields):
    """A file with one layer, its fields written as YAML."""
    fields = {"channels": "3", "filters": "8", "kernel": "3"} | fields
    return "layers:\n  - {" + ", ".join(f"{key}: {value}" for key, value in fields.items()) + "}\n"


def top(line):
    """A file whose first line is the given one and whose layers are sound."""
    return line + "\n" + one_layer()


# What is read


def test_the_example_of_the_design():
    suite = config.parse(GOOD, "f.yaml")
    assert suite.name == "f.yaml"
    assert suite.path is None
    assert suite.max_error == 1e-9
    assert suite.target == "my_layers.py:MyConv"
    assert suite.lines == (6, 20)
    first = Layer(
        name="conv1", channels=3, filters=8, kernel=[3, 5], stride=[2, 1], padding=[[1, 1], [0, 2]], input=[9, 11]
    )
    second = Layer(
        name="layer2", channels=4, filters=4, kernel=3, groups=4, padding="same", bias=False, batch=3, dtype="float32"
    )
    assert suite.layers == (first, second)


def test_required_keys_are_enough():
    suite = config.parse(one_layer(), "f.yaml")
    assert suite.layers == (Layer(channels=3, filters=8, kernel=3, name="layer1"),)
    assert (suite.lines, suite.max_error, suite.target) == ((2,), None, None)


def test_json_is_yaml():
    data = {"gate": {"max_error": 1e-9}, "layers": [{"channels": 3, "filters": 8, "kernel": [3, 5]}]}
    suite = config.parse(json.dumps(data), "f.json")
    assert suite.max_error == 1e-9
    assert suite.layers[0].kernel == (3, 5)


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-9", 1e-9), ("1.0e-9", 1e-9), ("1E-9", 1e-9), (".5", 0.5), ("+1", 1.0), ("2.", 2.0), ("3", 3.0)],
)
def test_ways_to_write_the_gate(written, value):
    max_error = config.parse(top(f"gate: {{max_error: {written}}}"), "f.yaml").max_error
    assert max_error == value
    assert type(max_error) is float


@pytest.mark.parametrize("name", ["on", "yes", "no", "2001-01-01", "1:30", "010", "1_000", "0x10", "=", "'5'", '"<<"'])
def test_texts_that_yaml_1_1_takes_for_something_else(name):
    layer = config.parse(one_layer(name=name), "f.yaml").layers[0]
    assert layer.name == name.strip("'\"")


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_line_breaks_and_byte_order_mark(line_break):
    suite = config.parse("\ufeff" + GOOD.replace("\n", line_break), "f.yaml")
    assert suite.lines == (6, 20)


def test_names_are_made_up_and_kept_unique():
    text = "layers:\n" + "".join(
        f"  - {{{name}channels: 1, filters: 1, kernel: 1}}\n" for name in ("", "name: layer3, ", "", "", "name: a, ")
    )
    names = [layer.name for layer in config.parse(text, "f.yaml").layers]
    assert names == ["layer1", "layer3", "layer4", "layer5", "a"]


def test_a_layer_overrides_the_defaults():
    text = "defaults: {channels: 1, filters: 2, kernel: 3, stride: 2, input: [9, 9]}\nlayers:\n  - {}\n  - {stride: 1}\n"
    first, second = config.parse(text, "f.yaml").layers
    assert (first.stride, second.stride) == ((2, 2), (1, 1))


def test_anchors_and_merge_keys():
    text = """\
layers:
  - &a {name: a, channels: 3, filters: 8, kernel: &k [3, 5]}
  - &b {<<: *a, name: b, filters: 9, stride: *k}
  - {name: c, <<: [*b, *a]}
"""
    _, b, c = config.parse(text, "f.yaml").layers
    assert (b.name, b.channels, b.filters, b.kernel, b.stride) == ("b", 3, 9, (3, 5), (3, 5))
    assert (c.name, c.filters, c.stride) == ("c", 9, (3, 5))


def test_a_target_may_be_a_mapping_of_plain_data():
    text = top("target: {forward: 'f.py:conv', style: cache, n: [1, 2.5, true, ~], on: {x: .inf}}")
    assert config.parse(text, "f.yaml").target == {
        "forward": "f.py:conv",
        "style": "cache",
        "n": [1, 2.5, True, None],
        "on": {"x": float("inf")},
    }


def test_a_suite_is_immutable():
    suite = config.parse(one_layer(), "f.yaml")
    with pytest.raises(AttributeError):
        suite.name = "other"


# Text that cannot be read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", '1:5: syntax error: a ":" is not allowed here; put a text that holds ": " in quotes, or check the '
         "indentation"),
        ("- - a\n b", '2:3: SYNTAX'),
    ][:1],
)  # fmt: skip
def test_syntax_error(text, message):
    assert errors(text) == [f"f.yaml:{message}"]
