"""The layer under test: what a config file describes, resolved to per-axis tuples and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

from convcheck.errors import LayerError, Problem
from convcheck.layer.axis import Axis, same_padding

Padding = int | Literal["valid", "same"] | Sequence[int | Sequence[int]]

DTYPES = ("float64", "float32")

#: The fields of a layer, in the order of the config file.
FIELDS = (
    "name", "channels", "filters", "kernel", "stride", "padding", "dilation", "groups", "bias", "input", "batch",
    "dtype", "seed",
)  # fmt: skip

_MAX_AXES = 3


@dataclass(frozen=True, init=False)
class Layer:
    """A convolutional layer, its input size and the data type in which it is checked.

    Parameters
    ----------
    channels : int
        Input channels C.
    filters : int
        Output channels F.
    kernel : int or sequence of int
        Kernel size, one number for all axes or one per axis.
    stride, dilation : int or sequence of int, default 1
    padding : int, per axis, per axis ``[before, after]``, ``"valid"`` or ``"same"``, default 0
        Zero padding. ``"same"`` gives ceil(n / s) outputs as TensorFlow's SAME and ONNX's SAME_UPPER do: of an odd
        total, the extra zero goes behind.
    groups : int, default 1
        Divides both channels and filters; ``groups=channels`` is a depthwise convolution.
    bias : bool, default True
    input : int or sequence of int, optional
        Spatial input size; its length (1, 2 or 3) is the number of axes. By default a small size, different on every
        axis, that gives at least 4 outputs and leaves the largest remainder that the stride and the padding allow.
    batch : int, default 2
    dtype : {"float64", "float32"}, default "float64"
        Also as NumPy's own dtype; kept as text.
    seed : int, default 0
        Seed of the data.
    name : str, default "layer"

    Attributes
    ----------
    kernel, stride, dilation, input : tuple of int
        One number per axis.
    padding : tuple of (int, int)
        (before, after) per axis.

    Raises
    ------
    LayerError
        If a value has a wrong type, or no such layer can exist. All problems are reported at once.
    """

    name: str
    channels: int
    filters: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    bias: bool
    input: tuple[int, ...]
    batch: int
    dtype: str
    seed: int

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: Padding = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        input: int | Sequence[int] | None = None,  # noqa: A002 - the field's name in the config file
        batch: int = 2,
        dtype: str = "float64",
        seed: int = 0,
        name: str = "layer",
    ) -> None:
        given = {
            "name": name, "channels": channels, "filters": filters, "kernel": kernel, "stride": stride,
            "padding": padding, "dilation": dilation, "groups": groups, "bias": bias, "input": input, "batch": batch,
            "dtype": getattr(dtype, "name", getattr(dtype, "__name__", dtype)), "seed": seed,
        }  # fmt: skip
        for field, value in _Resolver({field: _plain(value) for field, value in given.items()}).resolve().items():
            object.__setattr__(self, field, value)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The spatial axes, outermost first."""
        return _axes(self.input, self.kernel, self.stride, self.dilation, self.padding)

    @property
    def output(self) -> tuple[int, ...]:
        """Spatial output size, one number per axis."""
        return tuple(axis.output_size for axis in self.axes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of X and dL/dX: (N, C, *input)."""
        return (self.batch, self.channels, *self.input)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of W and dL/dW: (F, C/groups, *kernel)."""
        return (self.filters, self.channels_per_group, *self.kernel)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of b and dL/db: (F,)."""
        return (self.filters,)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of O and dL/dO: (N, F, *output)."""
        return (self.batch, self.filters, *self.output)

    @property
    def channels_per_group(self) -> int:
        """Input channels that one filter reads: C/groups."""
        return self.channels // self.groups

    @property
    def filters_per_group(self) -> int:
        """Filters that read one input channel: F/groups."""
        return self.filters // self.groups

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one forward pass."""
        return prod(self.output_shape) * self.channels_per_group * prod(self.kernel)

    def spec(self) -> dict[str, Any]:
        """All fields, resolved, as plain data that can be written as JSON or given to ``Layer`` again."""
        plain = {field: getattr(self, field) for field in FIELDS}
        return {
            field: [list(item) if isinstance(item, tuple) else item for item in value]
            if isinstance(value, tuple)
            else value
            for field, value in plain.items()
        }


def _axes(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> tuple[Axis, ...]:
    return tuple(
        Axis(n, k, s, d, before, after)
        for n, k, s, d, (before, after) in zip(size, kernel, stride, dilation, padding, strict=True)
    )


class _Resolver:
    """Turns what was given into a layer's fields, and collects every problem on the way."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.problems: list[Problem] = []

    def resolve(self) -> dict[str, Any]:
        given = self.given
        self._check_name(given["name"])
        for field, least in (("channels", 1), ("filters", 1), ("groups", 1), ("batch", 1), ("seed", 0)):
            self._is_integer((field,), given[field], least)
        if not isinstance(given["bias"], bool):
            self._wrong(("bias",), f"{_show(given['bias'])} is not allowed; expected true or false")
        if given["dtype"] not in DTYPES:
            self._wrong(("dtype",), f"{_show(given['dtype'])} is not allowed; expected {' or '.join(DTYPES)}")
        rank = self._rank()
        per_axis = {field: self._per_axis(field, rank) for field in ("kernel", "stride", "dilation", "input")}
        padding = self._padding(rank)
        self._stop_at_problems()
        resolved = {field: given[field] for field in FIELDS} | per_axis
        resolved["input"], resolved["padding"] = _complete(per_axis, padding)
        self._check_geometry(resolved)
        self._stop_at_problems()
        return resolved

    def _wrong(self, path: tuple[str | int, ...], message: str) -> None:
        self.problems.append(Problem(path, message))

    def _stop_at_problems(self) -> None:
        if self.problems:
            raise LayerError(self.problems)

    def _check_name(self, name: Any) -> None:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            self._wrong(("name",), f"{_show(name)} is not allowed; expected a text of printable characters")

    def _is_integer(self, path: tuple[str | int, ...], value: Any, least: int) -> bool:
        if _is_plain_integer(value) and value >= least:
            return True
        allowed = "a positive integer" if least == 1 else f"an integer of at least {least}"
        self._wrong(path, f"{_show(value)} is not allowed; expected {allowed}")
        return False

    def _rank(self) -> int:
        """Return the number of axes: the length of ``input``, or else of the first field that has one per axis."""
        for field in ("input", "kernel", "stride", "dilation", "padding"):
            value = self.given[field]
            if _is_list(value):
                if 1 <= len(value) <= _MAX_AXES:
                    return len(value)
                self._wrong((field,), f"{_show(value)} has {len(value)} entries; expected one per axis, 1 to 3 axes")
                self._stop_at_problems()
        return 1 if _is_plain_integer(self.given["input"]) else 2

    def _per_axis(self, field: str, rank: int) -> tuple[int, ...] | None:
        value = self.given[field]
        if value is None and field == "input":
            return None
        if not _is_list(value):
            ok = self._is_integer((field,), value, 1)
            return (int(value),) * rank if ok else None
        if len(value) != rank:
            self._wrong((field,), f"{_show(value)} has {len(value)} entries; expected {self._axes_words(rank)}")
            return None
        checked = [self._is_integer((field, axis), entry, 1) for axis, entry in enumerate(value)]
        return tuple(int(entry) for entry in value) if all(checked) else None

    def _axes_words(self, rank: int) -> str:
        source = next((f for f in ("input", "kernel", "stride", "dilation", "padding") if _is_list(self.given[f])), "")
        return f"an integer, or {rank} of them: one per axis, as many as {source or 'input'} has"

    def _padding(self, rank: int) -> tuple[tuple[int, int], ...] | str | None:
        value = self.given["padding"]
        if value == "valid":
            return ((0, 0),) * rank
        if value == "same":
            return "same"
        if _is_list(value):
            if len(value) != rank:
                hint = f"; for one axis write [{list(value)}]" if rank == 1 and len(value) == 2 else ""
                expected = f"expected one entry per axis, {rank} in all: an integer or [before, after]{hint}"
                self._wrong(("padding",), f"{_show(value)} has {len(value)} entries; {expected}")
                return None
            pairs = [self._padding_of_axis(axis, entry) for axis, entry in enumerate(value)]
            return tuple(pair for pair in pairs if pair is not None)
        if _is_plain_integer(value) and value >= 0:
            return ((value, value),) * rank
        expected = 'expected an integer of at least 0, one per axis, [before, after] per axis, "valid" or "same"'
        self._wrong(("padding",), f"{_show(value)} is not allowed; {expected}")
        return None

    def _padding_of_axis(self, axis: int, entry: Any) -> tuple[int, int] | None:
        if not _is_list(entry):
            return (entry, entry) if self._is_integer(("padding", axis), entry, 0) else None
        if len(entry) != 2:
            self._wrong(("padding", axis), f"{_show(entry)} has {len(entry)} entries; expected [before, after]")
            return None
        checked = [self._is_integer(("padding", axis, side), amount, 0) for side, amount in enumerate(entry)]
        return (entry[0], entry[1]) if all(checked) else None

    def _check_geometry(self, resolved: dict[str, Any]) -> None:
        groups = resolved["groups"]
        for field in ("channels", "filters"):
            if resolved[field] % groups:
                allowed = f"expected a number that divides channels and filters; {field} is {resolved[field]}"
                self._wrong(("groups",), f"{groups} is not allowed; {allowed}")
        fields = ("input", "kernel", "stride", "dilation", "padding")
        for index, axis in enumerate(_axes(*(resolved[field] for field in fields))):
            if not axis.fits:
                where = ("kernel", index) if _is_list(self.given["kernel"]) else ("kernel",)
                span = f", which spans {axis.effective_kernel} samples with dilation {axis.dilation},"
                padded = f"{axis.padded_size} (input {axis.size}, padding {axis.before} + {axis.after})"
                self._wrong(
                    where,
                    f"{axis.kernel}{span if axis.dilation > 1 else ''} is larger than the padded input of axis "
                    f"{index}, {padded}, so there is no output; expected a smaller kernel or dilation, "
                    "or a larger input or padding",
                )


def _complete(
    per_axis: dict[str, tuple[int, ...] | None], padding: tuple[tuple[int, int], ...] | str | None
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Fill in the default input size and "same" padding, each of which may depend on the other."""
    kernel, stride, dilation = (per_axis[field] or () for field in ("kernel", "stride", "dilation"))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = per_axis["input"]
    if isinstance(padding, tuple):
        return size or _default_size(spans, stride, [before + after for before, after in padding]), padding
    if size is None:
        # ceil(n / s) is m for n = (m - 1)s + 1.
        size = _default_size([1] * len(spans), stride, [s - 1 for s in stride])
    return size, tuple(same_padding(n, e, s) for n, e, s in zip(size, spans, stride, strict=True))


def _default_size(spans: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> tuple[int, ...]:
    """Small sizes on which few bugs can hide: 4 outputs or more, s - 1 samples left over, no two axes alike."""
    sizes: list[int] = []
    for e, s, padded in zip(spans, stride, padding, strict=True):
        # Where the padding is larger than all that is needed, the input still has some samples of its own.
        size = max(3 * s + e + s - 1 - padded, 3)
        while size in sizes:
            size += s
        sizes.append(size)
    return tuple(sizes)


def _plain(value: Any) -> Any:
    """Return NumPy's integers and arrays of them as Python's own, everything else as it is."""
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _is_plain_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _show(value: Any) -> str:
    """Return a value as the user wrote it, with its kind where that is what is wrong."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, float):
        return f"{value} (a float)"
    if isinstance(value, str):
        return f'"{value}" (a text)'
    text = str(list(value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
