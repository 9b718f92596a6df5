"""The convolutions of an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convcheck.errors import Parameter, UsageError
from convcheck.layer.axis import same_padding
from convcheck.suites.importing.model import Findings, Model

#: Shape of a value: None where a size is not a number; the whole is None where not even the number of axes is known.
_Shape = tuple[int | None, ...] | None

_STANDARD = ("", "ai.onnx")

#: What the operator Pad calls the padding modes that repeat samples.
_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}

_SIZE_HINT = "; give the model's input with --input-size, for example --input-size 1,3,224,224"


def load(source: str, input_size: Sequence[int] | None = None) -> Model:
    """Read the convolutions of an ONNX file, with the sizes that shape inference gives them.

    Raises
    ------
    UsageError
        If the file cannot be read, is no ONNX model or lacks its external data, if ``input_size`` does not fit it, or
        if the package onnx is not installed.
    """
    path = Path(source)
    model = _load(path)
    if input_size is not None:
        _set_input_size(model.graph, input_size, path)
    findings = Findings()
    _walk(_inferred(model, path).graph, {}, findings)
    return findings.model(str(path))


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise UsageError(
            f"reading an ONNX file needs the package onnx ({error}); install it with: pip install onnx"
        ) from error
    return onnx


def _load(path: Path) -> Any:
    onnx = _onnx()
    try:
        # Weights are not looked at, only their shapes: those in other files stay there.
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except Exception as error:
        raise UsageError(f"{path}: is not an ONNX model, or a damaged one ({_first_line(error)})") from error
    if not model.ir_version or not model.graph.node:
        raise UsageError(f"{path}: is not an ONNX model, or an empty one")
    _require_external_data(onnx, model, path)
    return model


def _require_external_data(onnx: Any, model: Any, path: Path) -> None:
    for graph in _graphs(model.graph):
        for tensor in graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
                if not (path.parent / location).is_file():
                    raise UsageError(
                        f"{path}: the data of {tensor.name} is missing; expected it in the file "
                        f"{path.parent / location}, which belongs to the model"
                    )


def _inferred(model: Any, path: Path) -> Any:
    onnx = _onnx()
    try:
        if model.functions:
            from onnx.inliner import inline_local_functions

            model = inline_local_functions(model)
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        raise UsageError(f"{path}: its shapes cannot be inferred ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _set_input_size(graph: Any, input_size: Sequence[int], path: Path) -> None:
    """Give the graph's first real input these sizes; in old files, weights are inputs too."""
    weights = {tensor.name for tensor in graph.initializer}
    given = next((value for value in graph.input if value.name not in weights), None)
    if given is None:
        raise UsageError(Parameter("input_size", tuple(input_size)), f": {path} has no input")
    known = _dims(given) or (None,) * len(input_size)
    fits = len(known) == len(input_size) and all(k in (None, n) for k, n in zip(known, input_size, strict=True))
    if not fits:
        shape = "×".join("?" if size is None else str(size) for size in known)
        raise UsageError(
            Parameter("input_size", tuple(input_size)), f' does not fit {path}: its input "{given.name}" is {shape}'
        )
    dims = given.type.tensor_type.shape.dim
    del dims[:]
    for size in input_size:
        dims.add().dim_value = size
    # What was inferred for another size, or for none, would stand in the way.
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for inner in _inner_graphs(node):
            yield from _graphs(inner)


def _inner_graphs(node: Any) -> list[Any]:
    """Return the graphs that a node such as If or Loop runs."""
    return [graph for attribute in node.attribute for graph in (*attribute.graphs, attribute.g) if graph.node]


def _walk(graph: Any, outer: Mapping[str, _Shape], findings: Findings) -> None:
    shapes = {**outer, **_shapes(graph)}
    padded = {node.output[0]: pad for node in graph.node if (pad := _repeating(node, graph)) is not None}
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and node.domain in _STANDARD:
            _convolution(node, shapes, padded, findings)
        elif "conv" in node.op_type.lower():
            reason = "only the operators Conv and ConvTranspose are imported"
            findings.leave_out(_name(node), node.op_type, reason)
        for inner in _inner_graphs(node):
            _walk(inner, shapes, findings)


def _shapes(graph: Any) -> dict[str, _Shape]:
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {value.name: _dims(value) for value in values}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    return shapes | {tensor.values.name: tuple(tensor.dims) for tensor in graph.sparse_initializer}


def _dims(value: Any) -> _Shape:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)


def _name(node: Any) -> str:
    return node.name or next(iter(node.output), "") or node.op_type


def _repeating(node: Any, graph: Any) -> tuple[str, str, list[int]] | None:
    """Return (what is padded, padding mode, pads) of an operator Pad that repeats samples; None for any other."""
    if node.op_type != "Pad" or node.domain not in _STANDARD:
        return None
    attributes = {attribute.name: _plain(attribute) for attribute in node.attribute}
    mode = _MODES.get(attributes.get("mode", "constant"))
    inputs = [name for name in node.input if name]
    if mode is None or len(inputs) > 2:
        # A third input is the axes, or a constant that no such mode has.
        return None
    known = {tensor.name: tensor for tensor in graph.initializer}
    known |= {
        other.output[0]: attribute.t
        for other in graph.node
        if other.op_type == "Constant"
        for attribute in other.attribute
        if attribute.name == "value"
    }
    pads = attributes.get("pads")
    if pads is None and len(inputs) == 2 and inputs[1] in known:
        pads = _onnx().numpy_helper.to_array(known[inputs[1]]).tolist()
    return None if pads is None else (inputs[0], mode, pads)


def _unpadded(
    shapes: Mapping[str, _Shape], pad: tuple[str, str, list[int]] | None, padding: list[list[int]]
) -> dict[str, Any]:
    """Return what a layer has of the operator Pad before it; nothing where the two are no one layer."""
    if pad is None or any(map(any, padding)):
        return {}
    name, mode, pads = pad
    x, rank = shapes.get(name), len(padding)
    if x is None or None in x[2:] or len(x) != rank + 2 or len(pads) != 2 * len(x):
        return {}
    before, after = pads[: len(x)], pads[len(x) :]
    size = [n or 0 for n in x[2:]]
    room = {"reflect": [n - 1 for n in size], "circular": size}.get(mode, [max(before + after)] * rank)
    fits = all(0 <= side <= most for sides in (before[2:], after[2:]) for side, most in zip(sides, room, strict=True))
    if any((*before[:2], *after[:2])) or not fits:
        return {}
    pairs = [list(pair) for pair in zip(before[2:], after[2:], strict=True)]
    return {"input": size, "padding": pairs, "padding_mode": mode}


def _convolution(
    node: Any, shapes: Mapping[str, _Shape], padded: Mapping[str, tuple[str, str, list[int]]], findings: Findings
) -> None:
    inputs = [*node.input, "", "", ""]
    x, weight = shapes.get(inputs[0]), shapes.get(inputs[1])
    reason = _unusable(x, weight)
    if reason or x is None or weight is None:
        findings.leave_out(_name(node), node.op_type, reason)
        return
    attributes = {attribute.name: _plain(attribute) for attribute in node.attribute}
    size, kernel = [n or 0 for n in x[2:]], [n or 0 for n in weight[2:]]
    ones = [1] * len(kernel)
    stride, dilation = attributes.get("strides", ones), attributes.get("dilations", ones)
    groups, transposed = attributes.get("group", 1), node.op_type == "ConvTranspose"
    filters, channels = weight[0] or 0, (weight[1] or 0) * groups
    if transposed:
        # Its weight begins with its channels.
        filters, channels = channels, filters
    problem = _contradiction(x, kernel, channels, attributes)
    if problem:
        findings.leave_out(_name(node), node.op_type, problem)
        return
    behind = attributes.get("output_padding", [0] * len(kernel))
    if transposed:
        padding = _transposed_padding(attributes, size, kernel, stride, dilation, behind)
    else:
        padding = _padding(attributes, size, kernel, stride, dilation)
    if transposed and any(side < 0 for pair in padding for side in pair):
        findings.leave_out(_name(node), node.op_type, f"its output is larger than what its windows reach, by {padding}")
        return
    sizes: dict[str, Any] = {"input": size, "padding": padding}
    if not transposed:
        sizes |= _unpadded(shapes, padded.get(inputs[0]), padding)
    findings.add(
        _name(node), node.op_type, channels=channels, filters=filters, kernel=kernel, stride=stride, dilation=dilation,
        groups=groups, bias=bool(inputs[2]), batch=x[0] or None, transposed=transposed, output_padding=behind, **sizes,
    )  # fmt: skip


def _unusable(x: _Shape, weight: _Shape) -> str:
    """Return why a convolution cannot be imported, by the shapes of its operands."""
    if weight is None or None in weight:
        return "the shape of its weight is not known"
    if x is None:
        return f"the shape of its input is not known{_SIZE_HINT}"
    if len(x) != len(weight):
        return f"its input has {len(x)} axes and its weight {len(weight)}"
    if None in x[2:]:
        shape = "×".join("?" if size is None else str(size) for size in x)
        return f"the size of its input is dynamic ({shape}){_SIZE_HINT}"
    return ""


def _contradiction(x: tuple[int | None, ...], kernel: list[int], channels: int, attributes: Mapping[str, Any]) -> str:
    if x[1] not in (None, channels):
        return f"its input has {x[1]} channels and its weight is for {channels}"
    if list(attributes.get("kernel_shape", kernel)) != kernel:
        return f"its kernel_shape is {attributes['kernel_shape']} and its weight is for {kernel}"
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        return f"its auto_pad is {attributes['auto_pad']}, which ONNX does not have"
    rank = len(kernel)
    counts = {"strides": rank, "dilations": rank, "pads": 2 * rank, "output_padding": rank, "output_shape": rank}
    for name, count in counts.items():
        if len(attributes.get(name, [0] * count)) != count:
            return f"its {name} are {attributes[name]}, for a kernel of {rank} axes"
    return ""


def _padding(
    attributes: Mapping[str, Any], size: list[int], kernel: list[int], stride: list[int], dilation: list[int]
) -> list[list[int]]:
    """Return [before, after] per axis, as the operator's definition has it."""
    auto = attributes.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return [[0, 0] for _ in kernel]
    if auto == "NOTSET":
        pads = attributes.get("pads", [0] * 2 * len(kernel))
        return [[before, after] for before, after in zip(pads[: len(kernel)], pads[len(kernel) :], strict=True)]
    pairs = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        before, after = same_padding(n, d * (k - 1) + 1, s)
        # Of an odd total, SAME_LOWER puts the extra zero in front.
        pairs.append([after, before] if auto == "SAME_LOWER" else [before, after])
    return pairs


def _transposed_padding(
    attributes: Mapping[str, Any], size: list[int], kernel: list[int], stride: list[int], dilation: list[int],
    behind: list[int],
) -> list[list[int]]:  # fmt: skip
    """Return [before, after] per axis of a transposed convolution, as the operator's definition has it."""
    auto = attributes.get("auto_pad", "NOTSET")
    wanted = attributes.get("output_shape")
    if wanted is None and auto.startswith("SAME"):
        wanted = [n * s for n, s in zip(size, stride, strict=True)]
    if wanted is None:
        return _padding(attributes, size, kernel, stride, dilation)
    pairs = []
    for n, k, s, d, more, m in zip(size, kernel, stride, dilation, behind, wanted, strict=True):
        total = (n - 1) * s + d * (k - 1) + 1 + more - m
        # Of an odd total, SAME_UPPER removes one more behind, anything else one more in front.
        before = total // 2 if auto == "SAME_UPPER" else total - total // 2
        pairs.append([before, total - before])
    return pairs


def _plain(attribute: Any) -> Any:
    value = _onnx().helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return list(value) if not isinstance(value, (int, float)) and hasattr(value, "__iter__") else value
