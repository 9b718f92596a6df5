"""ONNX files made by the onnx package, and those of its own tests that have convolutions."""

import re
from pathlib import Path

import numpy as np
import pytest

import convcheck
from convcheck.errors import UsageError
from convcheck.suites import config
from convcheck.suites.importing import import_model
from convcheck.suites.importing.model import config_text

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT = TensorProto.FLOAT


def weight(name, *shape):
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def conv(x, w, y, *, b=None, name="", **attributes):
    return helper.make_node("Conv", [x, w] + ([b] if b else []), [y], name=name, **attributes)


def saved(path, nodes, weights, size, output="y"):
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", FLOAT, size)],
        [helper.make_tensor_value_info(output, FLOAT, None)], weights,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return str(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def imported(source, input_size=None):
    """The layers as the config that is written has them, which must be those that were found."""
    model = import_model(source, input_size)
    suite = config.parse(config_text(model), "imported.yaml")
    assert suite.layers == model.layers
    return suite.layers


def single(path, size, weight_shape, bias=True, **attributes):
    weights = [weight("w", *weight_shape)] + ([weight("b", weight_shape[0])] if bias else [])
    node = conv("x", "w", "y", b="b" if bias else None, name="conv1", **attributes)
    [layer] = imported(saved(path, [node], weights, size))
    return layer


def test_everything_that_a_convolution_can_have(path):
    layer = single(
        path, [3, 4, 9, 11], (6, 2, 3, 2), bias=False, group=2, strides=[2, 1], dilations=[1, 3], pads=[1, 0, 0, 2]
    )
    assert layer == convcheck.Layer(
        name="conv1", channels=4, filters=6, kernel=(3, 2), groups=2, stride=(2, 1), dilation=(1, 3),
        padding=((1, 0), (0, 2)), bias=False, input=(9, 11), batch=3,
    )  # fmt: skip


@pytest.mark.parametrize(("size", "kernel"), [([2, 3, 9], [4]), ([2, 3, 9, 7], [4, 3]), ([2, 3, 5, 6, 7], [2, 3, 4])])
def test_one_to_three_axes(path, size, kernel):
    layer = single(path, size, (5, 3, *kernel))
    assert (layer.input, layer.kernel, layer.bias) == (tuple(size[2:]), tuple(kernel), True)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation"),
    [([9, 10], [4, 3], [2, 3], [1, 1]), ([7, 8], [2, 5], [1, 4], [3, 1]), ([5, 5], [1, 1], [3, 2], [1, 1])],
)
def test_automatic_padding_gives_the_output_that_onnx_infers(path, auto_pad, size, kernel, stride, dilation):
    attributes = {"auto_pad": auto_pad, "strides": stride, "dilations": dilation}
    layer = single(path, [1, 2, *size], (3, 2, *kernel), **attributes)
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path)).graph.output[0].type.tensor_type.shape.dim
    assert layer.output == tuple(dim.dim_value for dim in inferred[2:])
    for before, after in layer.padding:
        assert (after - before if auto_pad == "SAME_UPPER" else before - after) in (0, 1) or auto_pad in (
            "VALID", "NOTSET",
        )  # fmt: skip


def test_automatic_padding_computes_what_onnx_computes(path):
    """The values, by the package's own reference implementation: which side has the extra zero changes them."""
    from onnx.reference import ReferenceEvaluator

    random = np.random.default_rng(0)
    x, w = random.integers(-4, 5, (1, 2, 8, 9)).astype(np.float32), random.integers(-4, 5, (3, 2, 4, 3))
    for auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        layer = single(path, [1, 2, 8, 9], (3, 2, 4, 3), bias=False, auto_pad=auto_pad, strides=[1, 2])
        model = onnx.load(path)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(w.astype(np.float32), "w"))
        [expected] = ReferenceEvaluator(model).run(None, {"x": x})
        np.testing.assert_array_equal(convcheck.forward(layer, x, w.astype(np.float32), None), expected)


def test_sizes_are_inferred_through_other_operators(path):
    nodes = [
        conv("x", "w", "a", name="first", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("p", "w2", "y", name="second"),
    ]
    layers = imported(saved(path, nodes, [weight("w", 8, 3, 3, 3), weight("w2", 4, 8, 1, 1)], [1, 3, 32, 32]))
    assert [(layer.name, layer.input, layer.channels) for layer in layers] == [
        ("first", (32, 32), 3), ("second", (8, 8), 8),
    ]  # fmt: skip


def test_names_are_kept_and_made_unique(path):
    names = ["/layer1/conv", "conv", "conv", "", "1e3", "true", 'a "quoted": one # here', "line\nbreak"]
    nodes = [conv("x", "w", f"y{i}", name=name) for i, name in enumerate(names)]
    layers = imported(saved(path, nodes, [weight("w", 2, 2, 1, 1)], [1, 2, 4, 4], output="y0"))
    assert [layer.name for layer in layers] == [
        "/layer1/conv", "conv", "conv_2", "y3", "1e3", "true", 'a "quoted": one # here', "line_break",
    ]  # fmt: skip


def test_a_weight_that_is_computed(path):
    constant = helper.make_node("Constant", [], ["w"], value=weight("", 2, 2, 3, 3))
    [layer] = imported(saved(path, [constant, conv("x", "w", "y", name="c")], [], [1, 2, 8, 8]))
    assert layer.weight_shape == (2, 2, 3, 3)


def test_convolutions_inside_of_branches(path):
    def branch(name):
        node = conv("x", "w", f"{name}_out", name=name)
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(f"{name}_out", FLOAT, None)])

    flag = numpy_helper.from_array(np.array(True), "flag")
    node = helper.make_node("If", ["flag"], ["y"], then_branch=branch("yes"), else_branch=branch("no"))
    layers = imported(saved(path, [node], [flag, weight("w", 2, 2, 1, 1)], [1, 2, 4, 4]))
    assert {layer.name for layer in layers} == {"yes", "no"}


def test_a_dynamic_batch_becomes_the_default(path):
    source = saved(path, [conv("x", "w", "y")], [weight("w", 2, 2, 3, 3)], ["batch", 2, 8, 8])
    [layer] = imported(source)
    assert layer.batch == 2
    assert "batch:" not in config_text(import_model(source))


def test_what_is_left_out_is_said_with_its_reason(path):
    nodes = [
        conv("x", "w", "a", name="kept"),
        helper.make_node("ConvTranspose", ["unknown", "w"], ["b"], name="up"),
        conv("x", "unknown", "c", name="odd"),
        conv("x", "w", "d", name="negative", pads=[-1, 0, 0, 0]),
    ]
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", FLOAT, [1, 2, 8, 8]),
                         helper.make_tensor_value_info("unknown", FLOAT, None)],
        [helper.make_tensor_value_info("a", FLOAT, None)], [weight("w", 2, 2, 3, 3)],
    )  # fmt: skip
    onnx.save(helper.make_model(graph), path)
    model = import_model(str(path))
    text = config_text(model)
    assert [layer.name for layer in model.layers] == ["kept"]
    assert re.search(r"# - up \(ConvTranspose\): .*shape of its input", text)
    assert re.search(r"# - odd \(Conv\): .*shape of its weight", text)
    assert re.search(r"# - negative \(Conv\): padding\[0\]\[0\]: -1 .*at least 0", text)


def test_dynamic_sizes_need_an_input_size(path):
    source = saved(path, [conv("x", "w", "y", name="c")], [weight("w", 2, 2, 3, 3)], [1, 2, "height", "width"])
    with pytest.raises(UsageError, match=r"left out:\n  c \(Conv\): .*dynamic \(1×2×\?×\?\).*--input-size 1,3,224,224"):
        import_model(source)
    assert imported(source, (1, 2, 8, 9))[0].input == (8, 9)


@pytest.mark.parametrize("size", [(1, 2, 8), (1, 3, 8, 8)])
def test_an_input_size_that_does_not_fit(path, size):
    source = saved(path, [conv("x", "w", "y")], [weight("w", 2, 2, 3, 3)], [1, 2, "height", "width"])
    with pytest.raises(UsageError, match=r'input_size=.* does not fit .*: its input "x" is 1×2×\?×\?'):
        import_model(source, size)


def test_a_model_without_convolutions(path):
    source = saved(path, [helper.make_node("Relu", ["x"], ["y"])], [], [1, 2, 8, 8])
    with pytest.raises(UsageError, match="has no convolution; nothing to import"):
        import_model(source)


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x00" * 100, b"\x08\x07", b"<!DOCTYPE html>"])
def test_what_is_no_model(path, data):
    path.write_bytes(data)
    with pytest.raises(UsageError, match="is not an ONNX model"):
        import_model(str(path))


def test_a_model_that_was_cut_off(path):
    source = saved(path, [conv("x", "w", "y")], [weight("w", 64, 2, 3, 3)], [1, 2, 8, 8])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UsageError, match="is not an ONNX model, or a damaged one"):
        import_model(source)


def test_a_missing_file(path):
    with pytest.raises(UsageError, match=r"model.onnx: cannot be read \(No such file or directory\)"):
        import_model(str(path))


def test_external_data(path):
    saved(path, [conv("x", "w", "y")], [weight("w", 64, 2, 3, 3)], [1, 2, 8, 8])
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert len(imported(str(path))) == 1
    (path.parent / "weights.bin").unlink()
    with pytest.raises(UsageError, match=r"the data of w is missing; expected it in the file .*weights.bin"):
        import_model(str(path))


DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.parent.name)
        for path in sorted(DATA.glob("pytorch-converted/test_Conv[123]d*/model.onnx"))
    ],
)
def test_what_is_imported_from_the_packages_own_models_verifies(path, tmp_path):
    (tmp_path / "model.yaml").write_text(config_text(import_model(str(path))), encoding="utf-8")
    assert convcheck.verify(str(tmp_path / "model.yaml")).passed


def test_the_packages_resnet_is_the_suite_that_ships():
    layers = imported(str(DATA / "light" / "light_resnet50.onnx"))
    shipped = config.load("resnet50").layers

    def geometry(layer):
        return layer.weight_shape, layer.input, layer.output

    # The order within a block differs, and so does where a down-sampling block strides; the first layer is the same.
    assert len(layers) == len(shipped) == 53
    assert geometry(layers[0]) == geometry(shipped[0])
    assert sorted(layer.weight_shape for layer in layers) == sorted(layer.weight_shape for layer in shipped)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 3], "pads": [1, 0, 0, 2], "output_padding": [1, 2]},
        {"dilations": [2, 1], "strides": [1, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "VALID", "strides": [2, 1]},
    ],
)
def test_a_transposed_one_is_what_the_operator_computes(path, attributes):
    from onnx.reference import ReferenceEvaluator

    shapes = ((2, 4, 4, 5), (4, 6, 3, 2), (6,))
    generator = np.random.default_rng(0)
    x, kernel, bias = (generator.integers(-3, 4, shape).astype(np.float32) for shape in shapes)
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], name="up", **attributes)
    weights = [numpy_helper.from_array(kernel, "w"), numpy_helper.from_array(bias, "b")]
    source = saved(path, [node], weights, [2, 4, 4, 5])
    [layer] = imported(source)
    assert (layer.transposed, layer.channels, layer.filters, layer.bias) == (True, 4, 6, True)
    [computed] = ReferenceEvaluator(source).run(None, {"x": x})
    assert np.array_equal(convcheck.forward(layer, x, kernel, bias), computed)


@pytest.mark.parametrize(("auto_pad", "padding"), [("NOTSET", ((1, 0), (1, 1))), ("SAME_UPPER", ((0, 1), (1, 1)))])
def test_a_transposed_one_of_a_given_output_and_groups(path, auto_pad, padding):
    # Of an odd total, the larger part is in front unless it is SAME_UPPER, as the operator's definition has it.
    node = helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], output_shape=[8, 8], strides=[2, 2], auto_pad=auto_pad, group=2
    )
    [layer] = imported(saved(path, [node], [weight("w", 4, 3, 3, 2)], [2, 4, 4, 5]))
    assert (layer.output, layer.padding, layer.groups, layer.filters) == ((8, 8), padding, 2, 6)


def padded(path, mode, around, **attributes):
    """A Pad and a convolution of what it gives."""
    nodes = [helper.make_node("Pad", ["x", "pads"], ["wide"], mode=mode), conv("wide", "w", "y", b="b", **attributes)]
    weights = [weight("w", 3, 2, 3, 2), weight("b", 3), numpy_helper.from_array(np.array(around), "pads")]
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", FLOAT, [2, 2, 6, 5])],
        [helper.make_tensor_value_info("y", FLOAT, None)], weights,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)]), path)
    [layer] = imported(str(path))
    return layer


@pytest.mark.parametrize(("mode", "known"), [("reflect", "reflect"), ("edge", "replicate"), ("wrap", "circular")])
def test_a_pad_that_repeats_samples_is_the_layers(path, mode, known):
    layer = padded(path, mode, [0, 0, 1, 0, 0, 0, 2, 3])
    assert (layer.padding_mode, layer.padding, layer.input) == (known, ((1, 2), (0, 3)), (6, 5))
    # And it is what the operators compute.
    at = np.arange(120.0).reshape(2, 2, 6, 5)
    model, rng = onnx.load(path), np.random.default_rng(0)
    kernel = rng.integers(-3, 4, (3, 2, 3, 2)).astype(np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel, "w"))
    from onnx.reference import ReferenceEvaluator

    (output,) = ReferenceEvaluator(model).run(None, {"x": at.astype(np.float32)})
    np.testing.assert_array_equal(output, convcheck.forward(layer, at, kernel.astype(float), np.zeros(3)))


@pytest.mark.parametrize(
    ("mode", "pads", "attributes"),
    [
        ("constant", [0, 0, 1, 0, 0, 0, 2, 3], {}),
        ("reflect", [1, 0, 1, 0, 0, 0, 2, 3], {}),
        ("reflect", [0, 0, 1, 0, 0, 0, 2, 3], {"pads": [1, 0, 0, 0]}),
        ("reflect", [0, 0, -1, 0, 0, 0, 2, 3], {}),
    ],
)
def test_a_pad_that_is_not_the_layers_stays_before_it(path, mode, pads, attributes):
    layer = padded(path, mode, pads, **attributes)
    assert layer.padding_mode == "zeros"
    assert layer.batch == 2 + pads[0]
    assert layer.input == (6 + pads[2] + pads[6], 5 + pads[3] + pads[7])
