"""The JSON Schema of the config file: complete, and of one mind with the loader."""

import dataclasses
import inspect
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck.errors import ConfigError
from convcheck.layer import fields
from convcheck.layer.fields import FIELDS
from convcheck.layer.layer import Layer
from convcheck.suites import config, schema
from convcheck.targets.spec import KEYS, TargetSpec

jsonschema = pytest.importorskip("jsonschema")

VALIDATOR = jsonschema.Draft202012Validator(schema.config_schema())
LAYER = {"channels": 4, "filters": 6, "kernel": 3}


def accepts(data):
    return VALIDATOR.is_valid(data)


def loads(data):
    # JSON is YAML, so what the schema sees is what the loader reads.
    try:
        config.parse(json.dumps(data), "f.yaml")
    except ConfigError:
        return False
    return True


def with_layer(**changes):
    return {"layers": [LAYER | changes]}


def test_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(schema.config_schema())


def test_is_plain_json():
    assert json.loads(json.dumps(schema.config_schema())) == schema.config_schema()


def test_a_caller_may_change_its_copy():
    first = schema.config_schema()
    first["properties"]["layers"]["items"]["properties"]["kernel"]["anyOf"].clear()
    assert schema.config_schema() != first


def test_the_signature_of_a_layer_is_that_of_the_table():
    """The signature is written out for editors; the table is what everything else follows from."""
    assert [item.name for item in dataclasses.fields(Layer)] == list(FIELDS)
    parameters = inspect.signature(Layer).parameters
    assert parameters.keys() == FIELDS.keys()
    assert tuple(name for name, p in parameters.items() if p.default is p.empty) == fields.REQUIRED
    for name, field in FIELDS.items():
        # In Python a layer is called "layer" unless it is given a name; in a file, by its position.
        if name != "name" and not field.required:
            assert parameters[name].default == field.default


def test_every_key_of_a_target_is_a_field_of_its_spec():
    assert {item.name for item in dataclasses.fields(TargetSpec)} == set(KEYS)


@pytest.mark.parametrize("table", [schema.FILE_KEYS, schema.GATE_KEYS, fields.LAYER_KEYS])
def test_every_key_has_a_description(table):
    assert all(field["description"].endswith(".") for field in table.values())


GOOD = [
    with_layer(),
    with_layer(name="conv1", kernel=[3, 5], stride=[2, 1], padding=[[1, 1], [0, 2]], dilation=1, groups=2, bias=True),
    with_layer(input=[9, 11], batch=1, dtype="float32", seed=7),
    with_layer(input=9),
    with_layer(input=9, kernel=[3, 3]),
    with_layer(input=[9, 11, 13], padding=[1, [0, 2], 0]),
    with_layer(padding="same"),
    with_layer(padding="valid"),
    with_layer(padding=[[1, 2]], input=[9]),
    with_layer(seed=fields.LARGEST_INTEGER),
    {"version": 1, "defaults": {}, "gate": {}, "layers": [LAYER]},
    {"gate": {"max_error": 1e-9}, "layers": [LAYER]},
    {"gate": {"max_error": 1}, "layers": [LAYER]},
    {"defaults": {"kernel": 3}, "layers": [{"channels": 1, "filters": 1}]},
    {"defaults": LAYER, "layers": [{}, {}]},
    {"defaults": {"stride": [1, 1]}, "layers": [LAYER | {"stride": [1], "kernel": [3]}]},
    {"target": "a:b", "layers": [LAYER]},
    {"target": {"forward": "a:b", "backward": "a:c"}, "layers": [LAYER]},
    {"target": {"call": "a:b", "style": "layer", "keywords": {"stride": "s", "groups": None}}, "layers": [LAYER]},
    {"target": {"call": "a:b", "layout": "NHWC", "unsupported": ["groups"], "exact": False}, "layers": [LAYER]},
]

BAD = [
    {},
    [],
    "text",
    None,
    {"layers": []},
    {"layers": None},
    {"layers": {}},
    {"layers": [3]},
    {"layers": [None]},
    {"layers": [{}]},
    {"layers": [LAYER, {"channels": 1, "filters": 1}]},
    {"defaults": {"kernel": 3}, "layers": [{"channels": 1}]},
    {"layers": [LAYER], "extra": 1},
    {"version": 2, "layers": [LAYER]},
    {"version": "1", "layers": [LAYER]},
    {"version": True, "layers": [LAYER]},
    {"version": None, "layers": [LAYER]},
    {"defaults": None, "layers": [LAYER]},
    {"defaults": [], "layers": [LAYER]},
    {"defaults": {"name": "a"}, "layers": [LAYER]},
    {"defaults": {"strid": 1}, "layers": [LAYER]},
    {"defaults": {"stride": 0}, "layers": [LAYER | {"stride": 1}]},
    {"gate": None, "layers": [LAYER]},
    {"gate": 1e-9, "layers": [LAYER]},
    {"gate": {"max_eror": 1}, "layers": [LAYER]},
    *({"gate": {"max_error": value}, "layers": [LAYER]} for value in (0, 0.0, -1, True, "1e-9", None, [])),
    *({"target": value, "layers": [LAYER]} for value in (None, "", " ", "a\nb", 5, True, [])),
    {"target": {}, "layers": [LAYER]},
    {"target": {"forward": "a:b"}, "layers": [LAYER]},
    {"target": {"call": "a:b", "more": 1}, "layers": [LAYER]},
    {"target": {"call": "a:b", "style": "tensorflow"}, "layers": [LAYER]},
    {"target": {"call": "a:b", "unsupported": ["group"]}, "layers": [LAYER]},
    {"target": {"call": "a:b", "keywords": {"step": "s"}}, "layers": [LAYER]},
    {"target": {"call": "a:b", "exact": "no"}, "layers": [LAYER]},
    with_layer(unknown=1),
    *(with_layer(name=value) for value in (None, "", " ", 5, True, "a\tb", "a\n", "\x1b[31m", "\u2028x", "a\xa0b")),
    *(
        with_layer(**{key: value})
        for key in ("channels", "filters", "groups", "batch", "seed")
        for value in (-1, 1.5, True, "1", None, [1], {}, 2**63)
    ),
    *(with_layer(**{key: 0}) for key in ("channels", "filters", "groups", "batch")),
    *(
        with_layer(**{key: value})
        for key in ("kernel", "stride", "dilation", "input")
        for value in (0, -1, 1.5, True, "3", None, [], [1, 1, 1, 1], [0], [[1]], [True], ["3"], [None], {}, 2**63)
    ),
    *(
        with_layer(padding=value)
        for value in (-1, 1.5, True, "full", None, [], [1, 1, 1, 1], [[1]], [[1, 1, 1]], [[1, -1]], [["a", 1]], {})
    ),
    with_layer(input=[9, 11], kernel=[3]),
    with_layer(kernel=[3, 3], padding=[1, 1, 1]),
    with_layer(stride=[1], dilation=[1, 1]),
    *(with_layer(bias=value) for value in (None, 0, 1, "yes", "true", [])),
    *(with_layer(dtype=value) for value in (None, "float8", "", 64, ["float64"])),
]


@pytest.mark.parametrize("data", GOOD, ids=json.dumps)
def test_schema_and_loader_accept(data):
    assert accepts(data)
    assert loads(data)


@pytest.mark.parametrize("data", BAD, ids=json.dumps)
def test_schema_and_loader_refuse(data):
    assert not accepts(data)
    assert not loads(data)


@pytest.mark.parametrize(
    "data",
    [
        with_layer(groups=4),
        with_layer(kernel=20, input=9),
        {"layers": [LAYER | {"name": "a"}, LAYER | {"name": "a"}]},
        with_layer(kernel=3.0),
    ],
    ids=json.dumps,
)
def test_what_only_the_loader_can_see(data):
    assert accepts(data)
    assert not loads(data)


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 5),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["same", "valid", "float32", "", "conv"]),
    st.text(max_size=5),
)
_values = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=6)
_layers = st.builds(
    lambda base, changes: base | changes,
    st.sampled_from([LAYER, {}]),
    st.dictionaries(st.sampled_from([*FIELDS, "strid"]), _values, max_size=3),
)
_files = st.builds(
    lambda layers, rest: {"layers": layers} | rest,
    st.lists(_layers, max_size=2),
    st.fixed_dictionaries({}, optional={"defaults": _layers, "gate": _values, "target": _values, "version": _values}),
)


@settings(deadline=None, max_examples=300)
@given(_files)
def test_schema_accepts_whatever_the_loader_accepts(data):
    assert accepts(data) or not loads(data)
