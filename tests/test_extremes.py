"""Configs of extreme sizes: each is refused at once, with what, where and the limit, or done in a moment."""

import pytest

from convcheck import ConfigError, Layer, UsageError, audit, verify
from convcheck.checks.memory import LARGEST, excess, require
from convcheck.layer.data import integer_operands
from convcheck.layer.similar import neighbours, triable
from convcheck.suites.config import parse, parse_layer
from tests.extremes import COMMANDS, FILES, LAYERS, SECONDS, layers, ran, words_of, wrong_with
from tests.shell import convcheck
from tests.targets_for_tests import Right

#: Refused by their sizes alone, whatever memory there is.
REFUSED = {
    "kernel": "1,000,000 taps",
    "kernel-of-a-plane": "2,250,000 taps",
    "padding": "6,000,010 samples",
    "padding-without-end": "2,000,000,000,010 samples",
    "input": "5,000,000 samples",
    "stride": "1,000,000,000 samples",
    "transposed-stride": "10,000,000,000 samples",
}

#: Those of the files that are short to read.
QUICK = ("aliases", "merges", "deep-nesting", "deep-blocks", "brackets", "zeros", "quote", "long-target")


@pytest.mark.parametrize("name", REFUSED)
def test_a_layer_too_large_is_refused_with_its_size_and_the_limit(name):
    layer = parse_layer(LAYERS[name], "--layer")
    with pytest.raises(UsageError) as caught:
        require([("layer big", layer)])
    message = str(caught.value)
    assert message.startswith("layer big has ")
    assert REFUSED[name] in message
    assert "can be checked; expected a smaller " in message


@pytest.mark.parametrize("done", LARGEST)
def test_the_limits_are_met_exactly(done):
    largest = LARGEST[done]
    at = Layer(1, 1, 1, input=largest.axis, batch=1), Layer(1, 1, largest.taps, input=largest.taps, batch=1)
    assert [excess(layer, done) for layer in at] == [None, None]
    beyond = Layer(1, 1, 1, input=largest.axis + 1), Layer(1, 1, largest.taps + 1, input=largest.taps + 1)
    assert all(f"can be {done}" in excess(layer, done) for layer in beyond)


@pytest.mark.parametrize(("field", "words"), [("channels", "channels"), ("filters", "filters"), ("batch", "samples")])
def test_what_is_drawn_has_fewer_of_everything(field, words):
    layer = Layer(**{"channels": 1, "filters": 1, "kernel": 1, "input": 3, field: 10**6})
    assert excess(layer) is None
    assert f"has 1,000,000 {words}; at most 65,536 can be drawn" in excess(layer, "drawn and explained")


@pytest.mark.parametrize("command", [
    "verify", "verify-target", "visualize", "visualize-page", "visualize-terminal", "explain", "explain-entry", "hunt",
    "bench",
])  # fmt: skip
def test_every_command_refuses_such_a_layer(command, tmp_path):
    (tmp_path / "extreme.yaml").write_text(layers(LAYERS["padding"]))
    status, out, err = convcheck(words_of(COMMANDS[command], "extreme.yaml"), tmp_path)
    assert (status, out) == (2, "")
    assert "6,000,010 samples" in err
    assert [file.name for file in tmp_path.iterdir()] == ["extreme.yaml"]


@pytest.mark.parametrize("name", ["kernel", "input", "padding", "stride", "dilation", "transposed-stride", "groups"])
def test_an_audit_tells_what_it_can_tell(name):
    layer = parse_layer(LAYERS[name], "--layer")
    found = audit(layer)
    told = " ".join(found.left_out)
    assert (found.mistakes_shown > 0) != ("so large" in told)


def test_no_layer_without_end_is_proposed_beside_one():
    """An axis of a million samples made square would have as many rows as columns."""
    layer = parse_layer(LAYERS["dilation-of-two-axes"], "--layer")
    assert all(triable(other) for _, other in neighbours(layer))
    assert "a square input" in dict(neighbours(Layer(1, 1, (2, 2), input=(5, 3))))


def test_a_long_kernel_and_a_long_input_pass():
    for layer in (Layer(1, 1, 2000, input=2002, batch=1), Layer(1, 1, 3, input=100_000, batch=1)):
        assert verify(layer, target=Right, checks=["forward", "exact"]).passed


def test_what_is_sent_of_a_long_layer_is_short():
    import pickle

    layer = Layer(1, 1, 3, input=100_000)
    assert integer_operands(layer) is not None
    assert layer.axes[0].colors.size == 100_000
    sent = pickle.dumps(layer)
    assert len(sent) < 1000
    assert pickle.loads(sent) == layer


@pytest.mark.parametrize("name", QUICK)
def test_a_file_without_end_is_refused_in_few_words(name):
    with pytest.raises(ConfigError) as caught:
        parse(FILES[name](), "extreme.yaml")
    assert all(message.startswith("extreme.yaml:") for message in caught.value.messages)
    assert len(str(caught.value)) < 100_000


def test_of_many_errors_the_first_hundred_are_shown_and_the_others_counted():
    keys = ", ".join(f"key{number}: 1" for number in range(1200))
    with pytest.raises(ConfigError) as caught:
        parse(layers(f"{{channels: 1, filters: 1, kernel: 2, {keys}}}"), "extreme.yaml")
    assert len(caught.value.messages) == 1200
    assert str(caught.value).splitlines()[100:] == ["and 1,100 errors more"]
    assert all("key" in message for message in caught.value.messages[:100])


def test_a_file_has_so_many_layers_at_most():
    text = "defaults: {{channels: 1, filters: 1, kernel: 1, input: 1}}\nlayers: [{}]"
    assert len(parse(text.format("{}," * 2000), "extreme.yaml").layers) == 2000
    with pytest.raises(
        ConfigError, match=r"extreme.yaml:2:9: layers: 2,001 layers are too many; expected at most 2,000"
    ):
        parse(text.format("{}," * 2001), "extreme.yaml")


def test_a_long_name_is_refused():
    assert parse_layer(f"{{name: {'n' * 1000}, channels: 1, filters: 1, kernel: 1}}", "--layer").name == "n" * 1000
    with pytest.raises(ConfigError, match=r"has 1,001 characters; expected at most 1,000"):
        parse_layer(f"{{name: {'n' * 1001}, channels: 1, filters: 1, kernel: 1}}", "--layer")


def test_of_many_layers_a_choice_is_shown(tmp_path):
    many = (f"{{name: n{number}, channels: 1, filters: 1, kernel: 1, input: 1}}" for number in range(300))
    (tmp_path / "extreme.yaml").write_text(layers(*many))
    status, out, err = convcheck(["visualize", "extreme.yaml"], tmp_path)
    assert (status, out) == (2, "")
    assert "300 layers, of which at most 256 are shown at once; choose with --layer: n0, n1, " in err
    assert "288 more" in err


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", [*LAYERS, *FILES])
def test_every_command_on_every_config(command, name, tmp_path):
    text = layers(LAYERS[name]) if name in LAYERS else FILES[name]()
    (tmp_path / "extreme.yaml").write_text(text)
    assert not wrong_with(*ran(words_of(COMMANDS[command], "extreme.yaml"), tmp_path, SECONDS))
