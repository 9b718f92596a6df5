"""Config files: what is read, and every kind of bad input by the text of its message."""

import errno
import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convcheck.errors import ConfigError, UsageError
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

FILE_KEYS = "version, defaults, gate, target, layers"
LAYER_KEYS = "name, channels, filters, kernel, stride, padding, dilation, groups, bias, input, batch, dtype, seed"
NOT_A_NUMBER = (
    "is not allowed; expected a positive number such as 1.0e-9, or leave the key out: "
    "the derived bounds apply without it"
)
NOT_A_TARGET = (
    "is not allowed; expected module:name, path/to/file.py:name or a mapping, or leave the key out to check the "
    "built-in formulations"
)
NOT_A_NAME = "is not allowed; expected a text of printable characters"
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
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f.yaml")
    line = text.splitlines().index("target:") + 1
    assert [message.split(" allowed: ")[0] for message in caught.value.messages] == [
        f'f.yaml:{line + 2}:12: target.lay_out: "lay_out" is not known; did you mean "layout"?',
        f'f.yaml:{line + 3}:17: target.unsupported[0]: "group" is not known; did you mean "groups"?',
        f'f.yaml:{line + 4}:21: target.keywords[strid]: "strid" is not known; did you mean "stride"?',
        f'f.yaml:{line + 5}:10: target.exact: "no" is not allowed; expected true or false',
    ]


def test_a_suite_is_immutable():
    suite = config.parse(one_layer(), "f.yaml")
    with pytest.raises(AttributeError):
        suite.name = "other"


# Text that cannot be read


COLON = 'a ":" is not allowed here; put a text that holds ": " in quotes, or check the indentation'
OPEN = "here, as the bracket on line 1, column 9 is still open"
ESCAPE = r'between double quotes write a backslash twice: "\\"'
OUT_OF_RANGE = "a number in an escape or a directive is out of range; write a plain text"
NO_VALUE = "a value is missing here; give one, or close the bracket or quote before it"
STRAY = "this does not belong to what starts on line 1, column 1; check indentation and quotes"
LITERALLY = "put the text in quotes if it is meant literally"
TRAILING = "nothing may follow the end of the config; check indentation and brackets"


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a: b: c", "1:5", COLON),
        ("a: 1\n  b: 2", "2:4", COLON),
        ("layers: [", "1:10", NO_VALUE),
        ("a: }", "1:4", NO_VALUE),
        ("layers: [1, 2", "1:14", f'expected "," or "]" {OPEN}'),
        ("layers: {a: 1]", "1:14", f'expected "," or "}}" {OPEN}'),
        ('layers: "abc\n', "1:9", "the quote that opens here is never closed; close it"),
        ("a: 'abc\n---\n'", "1:4", 'the quote that opens here is not closed before the line "---"; close it'),
        ("layers:\n\t- a: 1", "2:1", "a tab cannot indent; use spaces"),
        ("layers: @x", "1:9", 'a text cannot start with "@"; put it in quotes'),
        ("a: 1\nb\n", "2:1", 'expected "key: value", but no ":" follows this key; add it'),
        ("a: - 1", "1:4", 'a "- " is not allowed here; start the list on a line of its own'),
        ("a: ? 1", "1:4", 'a "?" is not allowed here; put a text that starts with "? " in quotes'),
        ("layers:\n  - a: 1\n c: 2", "3:2", STRAY),
        ("key: 'it's'", "1:10", STRAY),
        ("[1] x", "1:5", TRAILING),
        ("a: 1\n---\nb: 2", "2:1", 'a second document starts here ("---"); put it into a file of its own'),
        ("a: *x", "1:4", 'alias "*x" stands for nothing; define "&x" before it, or put the text in quotes'),
        ("a: &x 1\nb: &x 2", "2:4", "this anchor is already defined on line 1, column 4; give each its own name"),
        (r'a: "\q"', "1:6", f"no such escape; {ESCAPE}"),
        (r'a: "\x4"', "1:7", f"this escape needs 2 hexadecimal digits; {ESCAPE}"),
        (r'a: "\UFFFFFFFF"', "1:7", OUT_OF_RANGE),
        (r'a: "\U00110000"', "1:7", OUT_OF_RANGE),
        ("%YAML 1." + "1" * 5000 + "\n---\na", "1:9", OUT_OF_RANGE),
        ("a: !x!y z", "1:4", f"found undefined tag handle '!x!'; {LITERALLY}"),
    ],
)
def test_syntax_error(text, position, message):
    assert errors(text) == [f"f.yaml:{position}: syntax error: {message}"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "\ufeff"])
def test_empty_file(text):
    message = "the file is empty; expected a mapping with the key layers, a list with at least one layer"
    assert errors(text) == [f"f.yaml:1:1: {message}"]


@pytest.mark.parametrize(
    ("text", "position", "code"),
    [
        ("a: 1\nb: \0", "2:4", "0000"),
        ("a\x1b[31m", "1:2", "001B"),
        ("\ud800", "1:1", "D800"),
        ("\r\nab\x7f", "2:3", "007F"),
    ],
)
def test_characters_of_a_binary_file(text, position, code):
    message = f"character U+{code} is not allowed; expected a text file, not a binary one"
    assert errors(text) == [f"f.yaml:{position}: {message}"]


@pytest.mark.parametrize(
    ("text", "position", "tag"),
    [
        ("!!python/object/apply:os.system ['ls']", "1:1", "!!python/object/apply:os.system"),
        ("layers: !!python/name:os.system ''", "1:9", "!!python/name:os.system"),
        (one_layer(kernel="!!python/tuple [3, 3]"), "2:39", "!!python/tuple"),
        (one_layer(kernel="[3, !!int 3]"), "2:43", "!!int"),
        (top("target: {a: {b: !mine c}}"), "1:17", "!mine"),
        (top("target: {!mine a: b}"), "1:10", "!mine"),
        (top("gate: !!map {max_error: 1}"), "1:7", "!!map"),
        (top("unknown: !!binary aGk="), "1:10", "!!binary"),
    ],
)
def test_tags_are_refused(text, position, tag):
    expected = f"f.yaml:{position}: the tag {tag} is not allowed: a config is plain data; remove the tag"
    found = errors(text)
    assert expected in found
    assert [message for message in found if "unknown key" not in message] == [expected]


TOO_MANY = "too many values once aliases are written out; expected at most 50000 in a config"
TOO_DEEP = "nested too deeply; expected at most 32 levels"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: &a0 [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"b{i}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(30)),
            f"5:5: {TOO_MANY}",
        ),
        (
            "layers:\n  - &a0 {channels: 1}\n" + "".join(f"  - &a{i + 1} {{<<: [*a{i}, *a{i}]}}\n" for i in range(60)),
            f"16:15: {TOO_MANY}",
        ),
        ("layers: [" + "1, " * 100_000 + "]", f"1:9: {TOO_MANY}"),
        ("[" * 400_000, f"1:33: {TOO_DEEP}"),
        ("{a: " * 200_000, f"1:126: {TOO_DEEP}"),
        ("- " * 400_000, f"1:65: {TOO_DEEP}"),
        ("? " * 400_000, f"1:65: {TOO_DEEP}"),
        (
            "a: &a0 [1]\n" + "".join(f"b{i}: &a{i + 1} [*a{i}]\n" for i in range(400)),
            "32:6: nested too deeply once aliases are written out; expected at most 32 levels",
        ),
        ("a: &a [*a]", '1:8: alias "*a" is inside what it stands for; write it out'),
        ("layers: &a\n  - {<<: *a}", '2:10: alias "*a" is inside what it stands for; write it out'),
        (
            "#" * 1_000_001,
            "1:1: too long for a config; expected at most 1000000 bytes; check that this is the right file",
        ),
    ],
    ids=range(11),
)
def test_hostile_documents_are_refused_fast(text, message):
    # Of this process: a busy machine is no slower reader.
    started = time.process_time()
    assert errors(text) == [f"f.yaml:{message}"]
    assert time.process_time() - started < 10


# Keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", f"1:1: a list is not allowed; expected a mapping with the keys {FILE_KEYS}"),
        ("word", f'1:1: "word" (a text) is not allowed; expected a mapping with the keys {FILE_KEYS}'),
        ("version: 1", '1:1: missing key "layers"; expected a list with at least one layer'),
        ("layer: []", f'1:1: layer: unknown key; did you mean "layers"? allowed: {FILE_KEYS}'),
        (top("colour: red"), f"1:1: colour: unknown key; allowed: {FILE_KEYS}"),
        (top("? [a]\n: b"), "1:3: a list is not allowed as a key; expected a text"),
        (top("version: 1\nversion: 1"), "2:1: version: duplicate key; it is already given on line 1; keep one of them"),
        (top("<<: 3"), "1:5: <<: 3 is not allowed; expected a mapping to merge in, such as *defaults"),
        (
            one_layer(strid="2", name="conv1"),
            f'2:42: layers[0].strid (layer "conv1"): unknown key; did you mean "stride"? allowed: {LAYER_KEYS}',
        ),
        (one_layer(STRIDE="2"), f'2:42: layers[0].STRIDE: unknown key; did you mean "stride"? allowed: {LAYER_KEYS}'),
        (one_layer(pad="2"), f'2:42: layers[0].pad: unknown key; did you mean "padding"? allowed: {LAYER_KEYS}'),
        (
            "layers:\n  - {name: a, in_channels: 3, filters: 8, kernel: 3}\n",
            f'2:15: layers[0].in_channels (layer "a"): unknown key; did you mean "channels"? allowed: {LAYER_KEYS}',
        ),
        (
            one_layer(stride="1") + "    # a comment\n  - {channels: 1, filters: 1, kernel: 3, kernel: 3}\n",
            "4:42: layers[1].kernel: duplicate key; it is already given on line 4; keep one of them",
        ),
        (
            top("defaults: {name: a}"),
            f"1:12: defaults.name: unknown key; allowed: {LAYER_KEYS.removeprefix('name, ')}",
        ),
        (
            top("gate: {max_eror: 1}"),
            '1:8: gate.max_eror: unknown key; did you mean "max_error"? allowed: max_error',
        ),
        (
            top("target: {a: {b: 1, b: 2}}"),
            "1:20: target.a.b: duplicate key; it is already given on line 1; keep one of them",
        ),
        (
            "layers:\n  - {name: c, channels: 3, filters: 8}\n",
            '2:5: layers[0] (layer "c"): missing key "kernel"; add it here or to defaults. '
            "Kernel size: an integer, or one per axis.",
        ),
        ("layers: []", f"1:9: layers: an empty list {NOT_LAYERS}"),
        ("layers:", f"1:8: layers: nothing (null) {NOT_LAYERS}"),
        ("layers: {a: 1}", f"1:9: layers: a mapping {NOT_LAYERS}"),
        (
            one_layer() + "  - 3\n",
            f"3:5: layers[1]: 3 is not allowed; expected a mapping with the keys {LAYER_KEYS}",
        ),
    ],
)
def test_wrong_keys(text, message):
    assert errors(text) == [f"f.yaml:{message}"]


# Values


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("version: 2", "1:10: version: 2 is not allowed; expected 1, the version that this convcheck reads"),
        (
            "version: '1'",
            '1:10: version: "1" (a text) is not allowed; expected 1, the version that this convcheck reads',
        ),
        (
            "version: true",
            "1:10: version: true (a boolean) is not allowed; expected 1, the version that this convcheck reads",
        ),
        ("gate: 1e-9", "1:7: gate: 1e-9 (a float) is not allowed; expected a mapping with the keys max_error"),
        ("gate: {max_error: .nan}", f"1:19: gate.max_error: .nan (a float) {NOT_A_NUMBER}"),
        ("gate: {max_error: -.inf}", f"1:19: gate.max_error: -.inf (a float) {NOT_A_NUMBER}"),
        ("gate: {max_error: 1e400}", f"1:19: gate.max_error: 1e400 (a float) {NOT_A_NUMBER}"),
        ("gate: {max_error: 0}", f"1:19: gate.max_error: 0 {NOT_A_NUMBER}"),
        ("gate: {max_error: 1e-400}", f"1:19: gate.max_error: 1e-400 (a float) {NOT_A_NUMBER}"),
        ("gate: {max_error: -1}", f"1:19: gate.max_error: -1 {NOT_A_NUMBER}"),
        ("gate: {max_error: true}", f"1:19: gate.max_error: true (a boolean) {NOT_A_NUMBER}"),
        ("gate: {max_error: '1e-9'}", f'1:19: gate.max_error: "1e-9" (a text) {NOT_A_NUMBER}'),
        ("gate: {max_error: }", f"1:18: gate.max_error: nothing (null) {NOT_A_NUMBER}"),
        ("gate: {max_error: [1]}", f"1:19: gate.max_error: a list {NOT_A_NUMBER}"),
        ("target: 5", f"1:9: target: 5 {NOT_A_TARGET}"),
        ("target:", f"1:8: target: nothing (null) {NOT_A_TARGET}"),
        ("target: ' '", f'1:9: target: " " (a text) {NOT_A_TARGET}'),
        ("target: [a]", f"1:9: target: a list {NOT_A_TARGET}"),
        (r'target: "a\ud800\n"', rf'1:9: target: "a\ud800\n" (a text) {NOT_A_TARGET}'),
        (
            "target: {a: [" + "9" * 5000 + "]}",
            "1:14: target.a[0]: "
            + "9" * 77
            + "... is out of range; expected an integer of at most 9223372036854775807",
        ),
        ("defaults: {stride: 0}", "1:20: defaults.stride: 0 is not allowed; expected a positive integer"),
        ("defaults: 3", f"1:11: defaults: 3 is not allowed; expected a mapping with the keys {LAYER_KEYS[6:]}"),
    ],
)
def test_wrong_values_outside_the_layers(line, message):
    assert errors(top(line)) == [f"f.yaml:{message}"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stride": "true"}, "stride: true (a boolean) is not allowed; expected a positive integer"),
        ({"stride": "2.0"}, "stride: 2.0 (a float) is not allowed; expected a positive integer"),
        ({"stride": "'2'"}, 'stride: "2" (a text) is not allowed; expected a positive integer'),
        ({"stride": "010"}, 'stride: "010" (a text) is not allowed; expected a positive integer'),
        ({"stride": "2001-01-01"}, 'stride: "2001-01-01" (a text) is not allowed; expected a positive integer'),
        ({"stride": ""}, "stride: nothing (null) is not allowed; expected a positive integer"),
        ({"stride": "0"}, "stride: 0 is not allowed; expected a positive integer"),
        ({"stride": r'"a\nb"'}, r'stride: "a\nb" (a text) is not allowed; expected a positive integer'),
        ({"bias": "yes"}, 'bias: "yes" (a text) is not allowed; expected true or false'),
        ({"bias": "1"}, "bias: 1 is not allowed; expected true or false"),
        ({"dtype": "float16"}, 'dtype: "float16" (a text) is not allowed; expected float64 or float32'),
        (
            {"input": ""},
            "input: nothing (null) is not allowed; expected an integer or one per axis, or leave the key out",
        ),
        (
            {"batch": "9223372036854775808"},
            "batch: 9223372036854775808 is out of range; expected an integer of at most 9223372036854775807",
        ),
        (
            {"groups": "2"},
            "groups: 2 is not allowed; expected a number that divides channels and filters; channels is 3",
        ),
    ],
)
def test_wrong_values_of_a_layer(fields, message):
    # The value's column: an empty one starts right behind its colon.
    column = 42 + len(next(iter(fields))) + (1 if next(iter(fields.values())) == "" else 2)
    assert errors(one_layer(**fields)) == [f"f.yaml:2:{column}: layers[0].{message}"]


def test_positions_inside_a_value():
    text = one_layer(name="c", input="[9, 11]", stride="[1, 0]", padding="[[0, 1], [0, -2]]")
    found = errors(text)
    value = text.splitlines()[1]
    assert found == [
        f'f.yaml:2:{value.index("[1, 0]") + 5}: layers[0].stride[1] (layer "c"): 0 is not allowed; '
        "expected a positive integer",
        f'f.yaml:2:{value.index("-2") + 1}: layers[0].padding[1][1] (layer "c"): -2 is not allowed; '
        "expected an integer of at least 0",
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("123", f'123 {NOT_A_NAME}, in quotes: "123"'),
        ("true", f'true (a boolean) {NOT_A_NAME}, in quotes: "true"'),
        ("''", f'"" (a text) {NOT_A_NAME}'),
        ("[a]", f"['a'] {NOT_A_NAME}"),
    ],
)
def test_wrong_names(name, shown):
    assert errors(one_layer(name=name)) == [f"f.yaml:2:48: layers[0].name: {shown}"]


def test_duplicate_names():
    text = "layers:\n" + "  - {name: a, channels: 1, filters: 1, kernel: 1}\n" * 3
    message = '"a" is already the name of layers[0] on line 2; expected a name of its own for each layer'
    assert errors(text) == [f"f.yaml:3:12: layers[1].name: {message}", f"f.yaml:4:12: layers[2].name: {message}"]


# Several errors


def test_all_errors_are_reported_in_order_of_position():
    text = """\
version: 3
defaults: {dtype: float16, stride: 0}
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
    assert errors(text) == ["f.yaml:1:20: defaults.stride: 0 is not allowed; expected a positive integer"]


def test_a_default_that_does_not_suit_a_layer_names_the_layer():
    text = "defaults: {kernel: 3}\nlayers:\n" + "".join(
        f"  - {{{name}channels: 1, filters: 1, input: {size}}}\n"
        for name, size in (("", "[9]"), ("name: a, ", "[2]"), ("name: b, ", "[2]"), ("", "[1]"))
    )
    hint = "so there is no output; expected a smaller kernel or dilation, or a larger input or padding"
    sizes = "3 is larger than the padded input of axis 0, {0} (input {0}, padding 0 + 0), "
    assert errors(text) == [
        f"f.yaml:1:20: defaults.kernel (used by layers[3]): {sizes.format(1)}{hint}",
        f'f.yaml:1:20: defaults.kernel (used by layer "a"): {sizes.format(2)}{hint}',
    ]


def test_what_layers_share_by_an_anchor_is_reported_once():
    text = """\
layers:
  - &a {name: a, channels: 3, filters: 8, kernel: 3, stride: 0, x: 1, x: 2}
  - {<<: *a, name: b}
"""
    assert errors(text) == [
        'f.yaml:2:62: layers[0].stride (layer "a"): 0 is not allowed; expected a positive integer',
        f'f.yaml:2:65: layers[0].x (layer "a"): unknown key; allowed: {LAYER_KEYS}',
        'f.yaml:2:71: layers[0].x (layer "a"): duplicate key; it is already given on line 2; keep one of them',
    ]


def test_messages_are_one_readable_line_each():
    found = errors(one_layer(name=r'"\e[31m\n"', **{r'"ke\ny\e"': "1", "'" + "x" * 500 + "'": "1"}))
    assert all(message.isprintable() for message in found)
    assert all(len(message) < 400 for message in found)


# Files


def load_errors(source):
    with pytest.raises(ConfigError) as caught:
        config.load(source)
    return list(caught.value.messages)


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
    assert load_errors(Path("textbook")) == [
        'textbook: no such file; the suite "textbook" ships with convcheck: give its name'
    ]


def test_unknown_suite():
    with pytest.raises(UsageError, match=r'^unknown suite "textbok"; did you mean "textbook"\?'):
        config.load("textbok")


def test_errors_of_a_file_name_the_file_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("layers: []")
    assert load_errors("./mine.yaml") == [f"mine.yaml:1:9: layers: an empty list {NOT_LAYERS}"]


def test_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_errors("a/b.yaml") == [
        "a/b.yaml: no such file; check the path, which is relative to the current folder"
    ]


def test_folder(tmp_path):
    assert load_errors(str(tmp_path)) == [f"{tmp_path}: is a folder; give the path of a config file in it"]


def test_file_in_a_file(tmp_path):
    (tmp_path / "a").write_text("")
    path = tmp_path / "a" / "b.yaml"
    assert load_errors(path) == [f"{path}: cannot be read (Not a directory); check the path"]


def test_path_that_no_file_can_have():
    assert load_errors("a\0b.yaml") == [r"a\x00b.yaml: cannot be read (embedded null byte); check the path"]


def test_unreadable_file(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert load_errors("a.yaml") == ["a.yaml: cannot be read; check the permissions of the file"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n", "1:1: byte 0x89 is not UTF-8; save the file as UTF-8"),
        ("layers: é\n".encode("latin-1"), "1:9: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbf# \xc3\xa9\n \xc3\xa9\xff", "2:3: byte 0xff is not UTF-8; save the file as UTF-8"),
        (GOOD.encode("utf-16"), "1:1: byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"\x7fELF\0\0", "1:1: character U+007F is not allowed; expected a text file, not a binary one"),
        (
            "é".encode() * 600_000,
            "1:1: too long for a config; expected at most 1000000 bytes; check that this is the right file",
        ),
    ],
    ids=range(6),
)
def test_files_that_are_no_text(tmp_path, data, message):
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    assert load_errors(path) == [f"{path}:{message}"]


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
    st.dictionaries(st.sampled_from([*LAYER_KEYS.split(", "), "strid"]), _values, max_size=4),
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
