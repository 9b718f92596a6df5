"""Config files: what is read, and every kind of bad input by the place and the key words of its message."""

import errno
import itertools
import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convcheck.errors import ConfigError, UsageError
from convcheck.layer.fields import DTYPES, FIELDS
from convcheck.layer.layer import Layer
from convcheck.suites import config
from convcheck.suites import shipped as suites

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

FILE_KEYS = ("version", "defaults", "gate", "target", "layers")

# Key words of what is allowed.
A_LIST = ("list", "at least one layer")
A_NUMBER = ("positive number", "1.0e-9", "leave the key out")
A_TARGET = ("module:name", "path/to/file.py:name", "mapping", "leave the key out")


def errors(text):
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f.yaml")
    return list(caught.value.messages)


def assert_said(found, *expected):
    """Compare messages with what each must hold: the place, the way to the value, and key words in any sentence."""
    assert len(found) == len(expected), found
    for message, (place, where, *words) in zip(found, expected, strict=True):
        assert message.startswith(f"f.yaml:{place}: {where}: " if where else f"f.yaml:{place}: "), message
        assert [word for word in words if word not in message] == [], message


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
    text = (
        "defaults: {channels: 1, filters: 2, kernel: 3, stride: 2, input: [9, 9]}\nlayers:\n  - {}\n  - {stride: 1}\n"
    )
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
    text = top("target: {call: 'f.py:conv', style: layer, unsupported: [groups], exact: false, keywords: {bias: ~}}")
    assert config.parse(text, "f.yaml").target == {
        "call": "f.py:conv",
        "style": "layer",
        "unsupported": ["groups"],
        "exact": False,
        "keywords": {"bias": None},
    }


def test_every_mistake_in_the_mapping_of_a_target_is_reported_with_its_place():
    text = top(
        "target:\n  call: f.py:conv\n  lay_out: NHWC\n  unsupported: [group]\n  keywords: {strid: s}\n  exact: no"
    )
    line = text.splitlines().index("target:") + 1
    assert_said(
        errors(text),
        (f"{line + 2}:12", "target.lay_out", "not known", 'did you mean "layout"?', "weight_layout"),
        (f"{line + 3}:17", "target.unsupported[0]", "not known", 'did you mean "groups"?', "dilation"),
        (f"{line + 4}:21", "target.keywords.strid", "not known", 'did you mean "stride"?', "dilation"),
        (f"{line + 5}:10", "target.exact", '"no" (a text)', "true or false"),
    )


def test_a_suite_is_immutable():
    suite = config.parse(one_layer(), "f.yaml")
    with pytest.raises(AttributeError):
        suite.name = "other"


# Text that cannot be read


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: b: c", "1:5", [":", "quotes", "indentation"]),
        ("a: 1\n  b: 2", "2:4", [":", "quotes", "indentation"]),
        ("layers: [", "1:10", ["missing", "bracket"]),
        ("a: }", "1:4", ["missing", "bracket"]),
        ("layers: [1, 2", "1:14", ['"]"', "line 1, column 9", "open"]),
        ("layers: {a: 1]", "1:14", ['"}"', "line 1, column 9", "open"]),
        ('layers: "abc\n', "1:9", ["quote", "never closed"]),
        ("a: 'abc\n---\n'", "1:4", ["quote", "not closed", '"---"']),
        ("layers:\n\t- a: 1", "2:1", ["tab", "spaces"]),
        ("layers: @x", "1:9", ['"@"', "quotes"]),
        ("a: 1\nb\n", "2:1", ['"key: value"', '":"']),
        ("a: - 1", "1:4", ['"- "', "list"]),
        ("a: ? 1", "1:4", ['"?"', "quotes"]),
        ("layers:\n  - a: 1\n c: 2", "3:2", ["line 1, column 1", "indentation"]),
        ("key: 'it's'", "1:10", ["line 1, column 1", "quotes"]),
        ("[1] x", "1:5", ["end", "brackets"]),
        ("a: 1\n---\nb: 2", "2:1", ["second document", '"---"']),
        ("a: *x", "1:4", ['alias "*x"', '"&x"']),
        ("a: &x 1\nb: &x 2", "2:4", ["anchor", "line 1, column 4"]),
        (r'a: "\q"', "1:6", ["escape", "backslash twice"]),
        (r'a: "\x4"', "1:7", ["escape", "2 hexadecimal"]),
        (r'a: "\UFFFFFFFF"', "1:7", ["escape", "out of range"]),
        (r'a: "\U00110000"', "1:7", ["escape", "out of range"]),
        ("%YAML 1." + "1" * 5000 + "\n---\na", "1:9", ["directive", "out of range"]),
        ("a: !x!y z", "1:4", ["'!x!'", "quotes"]),
    ],
)
def test_syntax_error(text, place, words):
    assert_said(errors(text), (place, "syntax error", *words))


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "\ufeff"])
def test_empty_file(text):
    assert_said(errors(text), ("1:1", "", "empty", "layers"))


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("a: 1\nb: \0", "2:4", "0000"),
        ("a\x1b[31m", "1:2", "001B"),
        ("\ud800", "1:1", "D800"),
        ("\r\nab\x7f", "2:3", "007F"),
    ],
)
def test_characters_of_a_binary_file(text, place, code):
    assert_said(errors(text), (place, "", f"U+{code}", "text file"))


@pytest.mark.parametrize(
    ("text", "place", "where", "tag"),
    [
        ("!!python/object/apply:os.system ['ls']", "1:1", "", "!!python/object/apply:os.system"),
        ("layers: !!python/name:os.system ''", "1:9", "layers", "!!python/name:os.system"),
        (one_layer(kernel="!!python/tuple [3, 3]"), "2:39", "layers[0].kernel", "!!python/tuple"),
        (one_layer(kernel="[3, !!int 3]"), "2:43", "layers[0].kernel[1]", "!!int"),
        (top("target: {a: {b: !mine c}}"), "1:17", "target.a.b", "!mine"),
        (top("target: {!mine a: b}"), "1:10", "target", "!mine"),
        (top("gate: !!map {max_error: 1}"), "1:7", "gate", "!!map"),
        (top("unknown: !!binary aGk="), "1:10", "unknown", "!!binary"),
        (top("? [!mine a]\n: b"), "1:4", "", "!mine"),
    ],
)
def test_tags_are_refused(text, place, where, tag):
    found = [message for message in errors(text) if "tag" in message]
    assert_said(found, (place, where, f"the tag {tag} ", "plain data"))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            "a: &a0 [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"b{i}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(30)),
            "5:5",
            ["too many", "50000"],
        ),
        (
            "layers:\n  - &a0 {channels: 1}\n" + "".join(f"  - &a{i + 1} {{<<: [*a{i}, *a{i}]}}\n" for i in range(60)),
            "16:15",
            ["too many", "50000"],
        ),
        ("layers: [" + "1, " * 51_000 + "]", "1:9", ["too many", "50000"]),
        ("[" * 400_000, "1:33", ["too deep", "32"]),
        ("{a: " * 200_000, "1:126", ["too deep", "32"]),
        ("- " * 400_000, "1:65", ["too deep", "32"]),
        ("? " * 400_000, "1:65", ["too deep", "32"]),
        (
            "a: &a0 [1]\n" + "".join(f"b{i}: &a{i + 1} [*a{i}]\n" for i in range(400)),
            "32:6",
            ["too deep", "aliases", "32"],
        ),
        ("a: &a [*a]", "1:8", ['alias "*a"', "inside"]),
        ("layers: &a\n  - {<<: *a}", "2:10", ['alias "*a"', "inside"]),
        ("#" * 1_000_001, "1:1", ["too long", "1000000 bytes"]),
    ],
    ids=range(11),
)
def test_hostile_documents_are_refused_fast(text, place, words):
    """In a number of calls that is linear in the text's length, which is the same on every machine."""
    calls = itertools.count()
    sys.setprofile(lambda *_: next(calls))
    try:
        found = errors(text)
    finally:
        sys.setprofile(None)
    assert_said(found, (place, "", *words))
    assert next(calls) < 100_000 + 150 * len(text)


# Keys


@pytest.mark.parametrize(
    ("text", "place", "where", "words"),
    [
        ("[1]", "1:1", "", ["[1]", "a mapping", *FILE_KEYS]),
        ("word", "1:1", "", ['"word" (a text)', "a mapping", *FILE_KEYS]),
        ("version: 1", "1:1", "", ['missing key "layers"', "list"]),
        ("layer: []", "1:1", "layer", ["unknown", 'did you mean "layers"?', *FILE_KEYS]),
        (top("colour: red"), "1:1", "colour", ["unknown", *FILE_KEYS]),
        (top("? [a]\n: b"), "1:3", "", ["a list", "as a key"]),
        (top("version: 1\nversion: 1"), "2:1", "version", ["duplicate", "line 1"]),
        (top("<<: 3"), "1:5", "<<", ["3", "mapping"]),
        (
            one_layer(strid="2", name="conv1"),
            "2:42",
            'layers[0].strid (layer "conv1")',
            ["unknown", 'did you mean "stride"?', *FIELDS],
        ),
        (one_layer(STRIDE="2"), "2:42", "layers[0].STRIDE", ["unknown", 'did you mean "stride"?', *FIELDS]),
        (one_layer(pad="2"), "2:42", "layers[0].pad", ["unknown", 'did you mean "padding"?', *FIELDS]),
        (
            "layers:\n  - {name: a, in_channels: 3, filters: 8, kernel: 3}\n",
            "2:15",
            'layers[0].in_channels (layer "a")',
            ["unknown", 'did you mean "channels"?', *FIELDS],
        ),
        (
            one_layer(stride="1") + "    # a comment\n  - {channels: 1, filters: 1, kernel: 3, kernel: 3}\n",
            "4:42",
            "layers[1].kernel",
            ["duplicate", "line 4"],
        ),
        (top("defaults: {name: a}"), "1:12", "defaults.name", ["unknown", "allowed: channels", *list(FIELDS)[1:]]),
        (top("gate: {max_eror: 1}"), "1:8", "gate.max_eror", ["unknown", 'did you mean "max_error"?']),
        (top("target: {a: {b: 1, b: 2}}"), "1:20", "target.a.b", ["duplicate", "line 1"]),
        (
            "layers:\n  - {name: c, channels: 3, filters: 8}\n",
            "2:5",
            'layers[0] (layer "c")',
            ['missing key "kernel"', "defaults", FIELDS["kernel"].meaning],
        ),
        ("layers: []", "1:9", "layers", ["[]", *A_LIST]),
        ("layers:", "1:8", "layers", ["nothing (null)", *A_LIST]),
        ("layers: {a: 1}", "1:9", "layers", ["a mapping", *A_LIST]),
        (one_layer() + "  - 3\n", "3:5", "layers[1]", ["3", "a mapping", *FIELDS]),
        (one_layer() + "  - [{channels: 3}]\n", "3:5", "layers[1]", ["a list", "a mapping", *FIELDS]),
    ],
)
def test_wrong_keys(text, place, where, words):
    assert_said(errors(text), (place, where, *words))


# Values


@pytest.mark.parametrize(
    ("line", "place", "where", "given", "allowed"),
    [
        ("version: 2", "1:10", "version", "2", ["expected 1"]),
        ("version: '1'", "1:10", "version", '"1" (a text)', ["expected 1"]),
        ("version: true", "1:10", "version", "true (a boolean)", ["expected 1"]),
        ("gate: 1e-9", "1:7", "gate", "1e-9 (a float)", ["a mapping", "max_error"]),
        ("gate: {max_error: .nan}", "1:19", "gate.max_error", ".nan (a float)", A_NUMBER),
        ("gate: {max_error: -.inf}", "1:19", "gate.max_error", "-.inf (a float)", A_NUMBER),
        ("gate: {max_error: 1e400}", "1:19", "gate.max_error", "1e400 (a float)", A_NUMBER),
        ("gate: {max_error: 0}", "1:19", "gate.max_error", "0", A_NUMBER),
        ("gate: {max_error: 1e-400}", "1:19", "gate.max_error", "1e-400 (a float)", A_NUMBER),
        ("gate: {max_error: -1}", "1:19", "gate.max_error", "-1", A_NUMBER),
        ("gate: {max_error: true}", "1:19", "gate.max_error", "true (a boolean)", A_NUMBER),
        ("gate: {max_error: '1e-9'}", "1:19", "gate.max_error", '"1e-9" (a text)', A_NUMBER),
        ("gate: {max_error: }", "1:18", "gate.max_error", "nothing (null)", A_NUMBER),
        ("gate: {max_error: [1]}", "1:19", "gate.max_error", "[1]", A_NUMBER),
        ("target: 5", "1:9", "target", "5", A_TARGET),
        ("target:", "1:8", "target", "nothing (null)", A_TARGET),
        ("target: ' '", "1:9", "target", '" " (a text)', A_TARGET),
        ("target: [a]", "1:9", "target", "['a']", A_TARGET),
        (r'target: "a\ud800\n"', "1:9", "target", r'"a\ud800\n" (a text)', A_TARGET),
        (
            "target: {a: [" + "9" * 5000 + "]}",
            "1:14",
            "target.a[0]",
            "9" * 77 + "...",
            ["out of range", str(2**63 - 1)],
        ),
        ("defaults: {stride: 0}", "1:20", "defaults.stride", "0", ["positive integer"]),
        ("defaults: 3", "1:11", "defaults", "3", ["a mapping", *list(FIELDS)[1:]]),
    ],
)
def test_wrong_values_outside_the_layers(line, place, where, given, allowed):
    (message,) = errors(top(line))
    assert_said([message], (place, where, *allowed))
    assert message.startswith(f"f.yaml:{place}: {where}: {given} ")


@pytest.mark.parametrize(
    ("fields", "given", "allowed"),
    [
        ({"stride": "true"}, "true (a boolean)", ["positive integer"]),
        ({"stride": "2.0"}, "2.0 (a float)", ["positive integer"]),
        ({"stride": "'2'"}, '"2" (a text)', ["positive integer"]),
        ({"stride": "010"}, '"010" (a text)', ["positive integer"]),
        ({"stride": "2001-01-01"}, '"2001-01-01" (a text)', ["positive integer"]),
        ({"stride": ""}, "nothing (null)", ["positive integer"]),
        ({"stride": "0"}, "0", ["positive integer"]),
        ({"stride": r'"a\nb"'}, r'"a\nb" (a text)', ["positive integer"]),
        ({"bias": "yes"}, '"yes" (a text)', ["true", "false"]),
        ({"bias": "1"}, "1", ["true", "false"]),
        ({"dtype": "float8"}, '"float8" (a text)', DTYPES),
        ({"input": ""}, "nothing (null)", ["per axis", "leave the key out"]),
        ({"accumulate": ""}, "nothing (null)", ["float32 or float16 or bfloat16", "leave the key out"]),
        ({"batch": str(2**63)}, str(2**63), ["out of range", str(2**63 - 1)]),
        ({"groups": "2"}, "2", ["divides channels and filters", "channels is 3"]),
    ],
)
def test_wrong_values_of_a_layer(fields, given, allowed):
    ((key, value),) = fields.items()
    (message,) = errors(one_layer(**fields))
    # The value's column: an empty one starts right behind its colon.
    place = f"2:{42 + len(key) + (2 if value else 1)}"
    assert_said([message], (place, f"layers[0].{key}", *allowed))
    assert message.startswith(f"f.yaml:{place}: layers[0].{key}: {given} ")


def test_positions_inside_a_value():
    text = one_layer(name="c", input="[9, 11]", stride="[1, 0]", padding="[[0, 1], [0, -2]]")
    value = text.splitlines()[1]
    assert_said(
        errors(text),
        (f"2:{value.index('[1, 0]') + 5}", 'layers[0].stride[1] (layer "c")', "0", "positive"),
        (f"2:{value.index('-2') + 1}", 'layers[0].padding[1][1] (layer "c")', "-2", "at least 0"),
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("123", ["123", 'quotes: "123"']),
        ("1e-9", ["1e-09 (a float)", 'quotes: "1e-9"']),
        ("true", ["true (a boolean)", 'quotes: "true"']),
        ("''", ['"" (a text)']),
        ("[a]", ["['a']"]),
    ],
)
def test_wrong_names(name, words):
    assert_said(errors(one_layer(name=name)), ("2:48", "layers[0].name", *words, "printable"))


def test_duplicate_names():
    text = "layers:\n" + "  - {name: a, channels: 1, filters: 1, kernel: 1}\n" * 3
    words = ('"a"', "layers[0]", "line 2")
    assert_said(errors(text), ("3:12", "layers[1].name", *words), ("4:12", "layers[2].name", *words))


# Several errors


def test_all_errors_are_reported_in_order_of_position():
    text = """\
version: 3
defaults: {dtype: float_8, stride: 0}
gate: {max_error: 0}
target: 1
extra: 1
layers:
  - {name: a, channels: 3, filters: 8}
  - {name: a, channels: 3, filters: 8, kernel: [3, 3], groups: 2, seed: -1, input: [1, 9]}
"""
    positions = [":".join(message.split(":")[1:3]) for message in errors(text)]
    assert positions == ["1:10", "2:19", "2:36", "3:19", "4:9", "5:1", "7:5", "8:12", "8:49", "8:64", "8:73"]


def test_geometry_is_checked_although_another_value_is_of_a_wrong_kind():
    found = errors(one_layer(padding="-1", kernel="9", seed="x", groups="2", filters="8.5", input="4"))
    assert [message.split(": ")[1] for message in found] == [
        "layers[0].filters", "layers[0].padding", "layers[0].seed", "layers[0].groups",
    ]  # fmt: skip
    found = errors(one_layer(kernel="9", seed="x", input="4"))
    assert [message.split(": ")[1] for message in found] == ["layers[0].kernel", "layers[0].seed"]


def test_a_wrong_default_is_reported_once_and_at_its_own_place():
    text = "defaults: {stride: 0}\nlayers:\n" + "  - {channels: 1, filters: 1, kernel: 1}\n" * 3
    assert_said(errors(text), ("1:20", "defaults.stride", "0", "positive"))


def test_a_default_that_does_not_suit_a_layer_names_the_layer():
    text = "defaults: {kernel: 3}\nlayers:\n" + "".join(
        f"  - {{{name}channels: 1, filters: 1, input: {size}}}\n"
        for name, size in (("", "[9]"), ("name: a, ", "[2]"), ("name: b, ", "[2]"), ("", "[1]"))
    )
    assert_said(
        errors(text),
        ("1:20", "defaults.kernel (used by layers[3])", "axis 0", "1 (input 1, padding 0 + 0)", "smaller kernel"),
        ("1:20", 'defaults.kernel (used by layer "a")', "axis 0", "2 (input 2, padding 0 + 0)", "smaller kernel"),
    )


def test_what_layers_share_by_an_anchor_is_reported_once():
    text = """\
layers:
  - &a {name: a, channels: 3, filters: 8, kernel: 3, stride: 0, x: 1, x: 2}
  - {<<: *a, name: b}
"""
    assert_said(
        errors(text),
        ("2:62", 'layers[0].stride (layer "a")', "0", "positive"),
        ("2:65", 'layers[0].x (layer "a")', "unknown key"),
        ("2:71", 'layers[0].x (layer "a")', "duplicate key", "line 2"),
    )


def test_what_a_layer_gives_itself_is_where_it_gives_it():
    text = """\
layers:
  - &a {name: a, channels: 3, filters: 8, kernel: [3, 3]}
  - {<<: *a, name: b, kernel: [1, 0]}
"""
    assert_said(errors(text), ("3:35", 'layers[1].kernel[1] (layer "b")', "0", "positive"))


def test_messages_are_one_readable_line_each():
    found = errors(one_layer(name=r'"\e[31m\n"', **{r'"ke\ny\e"': "1", "'" + "x" * 500 + "'": "1"}))
    assert all(message.isprintable() for message in found)
    assert all(len(message) < 400 for message in found)


# Files


def load_error(source):
    """The one message with which a file is refused."""
    with pytest.raises(ConfigError) as caught:
        config.load(source)
    (message,) = caught.value.messages
    return message


def test_load_a_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    for source in (str(path), path):
        suite = config.load(source)
        assert (suite.name, suite.path, len(suite.layers)) == (str(path), path, 2)


def test_a_shipped_suite_by_name():
    suite = config.load(suites.DEFAULT_SUITE)
    assert suite.name == suites.DEFAULT_SUITE
    assert suite.path == suites.find(suites.DEFAULT_SUITE)


def test_a_path_object_is_never_a_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.match(r'textbook: no such file; the suite "textbook" ships', load_error(Path("textbook")))


def test_unknown_suite():
    with pytest.raises(UsageError, match=r'^unknown suite "textbok"; did you mean "textbook"\?'):
        config.load("textbok")


def test_errors_of_a_file_name_the_file_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("layers: []")
    assert load_error("./mine.yaml").startswith("mine.yaml:1:9: layers: ")


def test_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.match("a/b.yaml: no such file.*relative to the current folder", load_error("a/b.yaml"))


def test_folder(tmp_path):
    assert load_error(str(tmp_path)).startswith(f"{tmp_path}: is a folder")


def test_file_in_a_file(tmp_path):
    (tmp_path / "a").write_text("")
    path = tmp_path / "a" / "b.yaml"
    assert load_error(path).startswith(f"{path}: cannot be read (Not a directory)")


def test_path_that_no_file_can_have():
    assert load_error("a\0b.yaml").startswith(r"a\x00b.yaml: cannot be read (embedded null byte)")


def test_unreadable_file(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert re.match("a.yaml: cannot be read.*permissions", load_error("a.yaml"))


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (b"\x89PNG\r\n\x1a\n", "1:1", ["0x89", "UTF-8"]),
        ("layers: é\n".encode("latin-1"), "1:9", ["0xe9", "UTF-8"]),
        (b"\xef\xbb\xbf# \xc3\xa9\n \xc3\xa9\xff", "2:3", ["0xff", "UTF-8"]),
        (GOOD.encode("utf-16"), "1:1", ["0xff", "UTF-8"]),
        (b"\x7fELF\0\0", "1:1", ["U+007F", "text file"]),
        ("é".encode() * 600_000, "1:1", ["too long", "1000000 bytes"]),
    ],
    ids=range(6),
)
def test_files_that_are_no_text(tmp_path, data, place, words):
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    message = load_error(path)
    assert message.startswith(f"{path}:{place}: ")
    assert all(word in message for word in words)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert config.load(path).lines == (6, 20)


# Whatever the file holds: a suite or a ConfigError


def messages_of(read, *args):
    """Return the messages of a refusal, or None for a suite that is sound."""
    try:
        suite = read(*args)
    except ConfigError as error:
        return error.messages
    assert suite.layers
    assert len({layer.name for layer in suite.layers}) == len(suite.layers) == len(suite.lines)
    return None


def reads_or_refuses(text):
    messages = messages_of(config.parse, text, "f.yaml")
    assert messages is None or len(messages) > 0
    assert all(message.startswith("f.yaml:") and message.isprintable() for message in messages or ())


_tokens = st.lists(
    st.sampled_from(
        [
            *"[]{},:-?&*!|>'\"%@`#\n \t~=<",
            "- ",
            ": ",
            "\n  ",
            "\n- ",
            "&a ",
            "*a",
            "<<: ",
            "!!",
            "---\n",
            "...\n",
            "layers:",
            *(
                "kernel: ",
                "channels",
                "defaults: ",
                "gate",
                "1",
                "-3",
                "1e9",
                ".nan",
                "true",
                "\\u",
                "\0",
                "\ud800",
                "é",
            ),
        ]
    ),
    max_size=40,
).map("".join)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(max_size=200), _tokens))
@example("\x85")
@example("<<: {layers: [{name: !t a}, !t b]}\nlayers: 3")
@example("%TAG ! tag:x\n---\n!y z")
@example("? |\n a\n: >-\n b")
def test_any_text(text):
    reads_or_refuses(text)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_mutated_configs(data):
    text = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + data.draw(st.one_of(_tokens, st.text(max_size=5))) + text[end:]
    reads_or_refuses(text)


_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-1, 4), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
_layer = st.builds(
    lambda base, changes: base | changes,
    st.sampled_from([{"channels": 4, "filters": 6, "kernel": 3}, {}]),
    st.dictionaries(st.sampled_from([*FIELDS, "strid"]), _values, max_size=4),
)
_file = st.fixed_dictionaries(
    {"layers": st.one_of(_values, st.lists(_layer, max_size=3))},
    optional={
        "defaults": st.one_of(_layer, _values),
        "gate": _values,
        "target": _values,
        "version": _values,
        "x": _values,
    },
)


@settings(deadline=None, max_examples=300)
@given(_file, st.booleans())
def test_any_data(data, flow):
    reads_or_refuses(yaml.dump(data, default_flow_style=flow, allow_unicode=True))


@settings(deadline=None, max_examples=100)
@given(st.one_of(st.binary(max_size=100), st.binary(max_size=5).map(lambda junk: junk + GOOD.encode() + junk)))
def test_any_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "f.yaml"
    path.write_bytes(data)
    assert all(message.isprintable() for message in messages_of(config.load, path) or ())
