"""The layer under test: what a config file describes, resolved to per-axis tuples and checked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, Literal

from convcheck.errors import LayerError, Problem
from convcheck.layer.axis import Axis, same_padding, transposed_same_padding
from convcheck.layer.fields import (
    DTYPES,
    FIELDS,
    LONGEST_NAME,
    MAX_AXES,
    RANDOM,
    WIDE_SUMS,
    ZEROS,
    Field,
    known_to_numpy,
)
from convcheck.wording import shown

Padding = int | Literal["valid", "same"] | Sequence[int | Sequence[int]]


def drawn_seed() -> int:
    """Return a seed that nobody knows before."""
    return secrets.randbelow(2**31 - 1) + 1


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
        Samples added around the input; of a transposed layer, outputs removed at both ends. ``"same"`` gives
        ceil(n / s) outputs, or of a transposed layer n * s, as TensorFlow's SAME and ONNX's SAME_UPPER do: of an odd
        total, the extra sample is behind.
    groups : int, default 1
        Divides both channels and filters; ``groups=channels`` is a depthwise convolution.
    bias : bool, default True
    input : int or sequence of int, optional
        Spatial input size; its length (1, 2 or 3) is the number of axes. By default a small size, different on every
        axis, that gives at least 4 outputs and leaves the largest remainder that the stride and the padding allow.
    batch : int, default 2
    dtype : {"float64", "float32", "float16", "bfloat16", "complex128", "complex64"}, default "float64"
        Also as NumPy's own dtype; kept as text.
    accumulate : {"float32", "float16", "bfloat16"}, optional
        In which format sums are promised to be made where the dtype is of half precision; by default float32.
    padding_mode : {"zeros", "circular", "reflect", "replicate"}, default "zeros"
        What the added samples are, as PyTorch has it.
    transposed : bool, default False
        Whether it is a transposed convolution: the backward pass, with respect to the input, of a convolution of the
        same kernel, stride, padding and dilation from F to C channels.
    output_padding : int or sequence of int, default 0
        Outputs added behind, of a transposed layer.
    seed : int or "random", default 0
        Seed of the data; "random" draws one.
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
    accumulate: str | None
    padding_mode: str
    transposed: bool
    output_padding: tuple[int, ...]
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
        accumulate: str | None = None,
        padding_mode: str = ZEROS,
        transposed: bool = False,
        output_padding: int | Sequence[int] = 0,
        seed: int | Literal["random"] = 0,
        name: str = "layer",
    ) -> None:
        given = {name: _plain(value) for name, value in locals().items() if name in FIELDS}
        if given["seed"] == RANDOM:
            given["seed"] = drawn_seed()
        given["dtype"] = getattr(dtype, "name", getattr(dtype, "__name__", dtype))
        for name, value in _Resolver(given).resolve().items():
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        # Not what has been computed from them, such as tables as long as an axis.
        return {name: vars(self)[name] for name in FIELDS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In another process, NumPy has to learn the dtype first.
        vars(self).update(state)
        known_to_numpy(self.dtype)

    def forget(self) -> None:
        """Give back what has been computed from the fields; it is computed again where it is asked for.

        Tables of an axis are as long as it is, and layers like this one, which others may keep, share its axes.
        """
        for axis in vars(self).get("axes", ()):
            axis.forget()
        for name in vars(self).keys() - FIELDS.keys():
            vars(self).pop(name, None)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The spatial axes, outermost first."""
        return _axes(vars(self))

    @cached_property
    def output(self) -> tuple[int, ...]:
        """Spatial output size, one number per axis."""
        return tuple(axis.output_size for axis in self.axes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of X and dL/dX: (N, C, *input)."""
        return (self.batch, self.channels, *self.input)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of W and dL/dW: (F, C/groups, *kernel), or of a transposed layer (C, F/groups, *kernel)."""
        if self.transposed:
            return (self.channels, self.filters_per_group, *self.kernel)
        return (self.filters, self.channels_per_group, *self.kernel)

    def slice_between(self, channel: int, filter: int) -> tuple[int, int]:  # noqa: A002
        """The first two indices of W's slice between a channel and a filter of one group."""
        if self.transposed:
            return channel, filter % self.filters_per_group
        return filter, channel % self.channels_per_group

    def ends_of_slice(self, first: int, second: int) -> tuple[int, int]:
        """The channel and the filter between which a slice of W stands, by its first two indices."""
        if self.transposed:
            return first, first // self.channels_per_group * self.filters_per_group + second
        return first // self.filters_per_group * self.channels_per_group + second, first

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
    def repeats_samples(self) -> bool:
        """Whether its padding repeats samples of the input."""
        return self.padding_mode != ZEROS and any(map(any, self.padding))

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds of one forward pass."""
        windows = prod(axis.windows for axis in self.axes)
        return self.batch * self.filters * self.channels_per_group * prod(self.kernel) * windows

    @cached_property
    def output_terms(self) -> int:
        """Products in the longest sum of an output, or a bound of them; the bias is one term more."""
        return self.channels_per_group * prod(axis.taps_per_output for axis in self.axes)

    @cached_property
    def input_terms(self) -> int:
        """Products in the longest sum of an entry of dL/dX, or a bound of them."""
        return self.filters_per_group * prod(axis.taps_per_sample for axis in self.axes)

    @cached_property
    def weight_terms(self) -> int:
        """Products in the sum of an entry of dL/dW, or a bound of them: one a sample and window."""
        return self.batch * prod(axis.windows for axis in self.axes)

    @cached_property
    def twin(self) -> Layer:
        """The plain layer of which a transposed one is the backward pass: with its weight, input and output exchanged.

        Its forward pass takes this layer's dL/dO to dL/dX, and its dL/dX for a given dL/dO is this layer's output for
        a given input.
        """
        twin = replace(
            self, channels=self.filters, filters=self.channels, input=self.output, bias=False, transposed=False,
            output_padding=(0,) * len(self.input),
        )  # fmt: skip
        # Where output_padding holds whole strides, more windows would fit than there are.
        vars(twin)["axes"] = tuple(axis.twin for axis in self.axes)
        return twin

    @property
    def sums(self) -> str:
        """The format in which sums are promised to be made."""
        return (self.accumulate or WIDE_SUMS) if DTYPES[self.dtype].half else self.dtype

    @property
    def is_complex(self) -> bool:
        """Whether its numbers are complex."""
        return DTYPES[self.dtype].part is not None

    @property
    def exact_limit(self) -> int:
        """Integers up to this size are exact wherever the layer computes: in its sums, and in what it stores.

        Of complex numbers it is the size of a product of parts, of which four are added up.
        """
        limit = min(DTYPES[self.dtype].exact_limit, DTYPES[self.sums].exact_limit)
        # Of complex numbers, the parts: what makes a product of three real ones has (a + b)(c + d) among its terms.
        return limit // 4 if self.is_complex else limit

    def alike(self, **changes: Any) -> Layer:
        """Return a layer that only differs where nothing needs to be checked anew, so that this takes no time.

        Parameters
        ----------
        **changes
            The name, the batch, the bias, the dtype or the seed; channels, filters and groups, all times the same
            number; or filters alone, times a number.
        """
        other = object.__new__(Layer)
        # Of what was found out before, only what follows from the axes alone.
        # In one go: another thread may forget it meanwhile.
        known = dict(vars(self))
        known = {name: known[name] for name in (*FIELDS, "axes", "output") if name in known}
        vars(other).update(known | changes)
        return other

    def spec(self) -> dict[str, Any]:
        """All fields, resolved, as plain data that can be written as JSON or given to ``Layer`` again."""
        return {name: _as_list(getattr(self, name)) for name in FIELDS}


def _axes(fields: Mapping[str, Any]) -> tuple[Axis, ...]:
    per_axis = (fields[name] for name in ("input", "kernel", "stride", "dilation", "padding", "output_padding"))
    mode, transposed = fields["padding_mode"], fields["transposed"]
    return tuple(
        Axis(n, k, s, d, before, after, mode, transposed, behind)
        for n, k, s, d, (before, after), behind in zip(*per_axis, strict=True)
    )


#: What may have one entry per axis, in the order in which it is asked for the number of axes.
_COUNTED = (
    "input",
    *(name for name, field in FIELDS.items() if field.kind == "per axis" and name != "input"),
    *(name for name, field in FIELDS.items() if field.kind == "padding"),
)


class _Resolver:
    """Turns what was given into a layer's fields, and collects every problem on the way."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.problems: list[Problem] = []
        #: The field by whose length the number of axes is known, if one has a length.
        self.counted = next((name for name in _COUNTED if _is_list(given[name])), None)
        self.rank = 1 if _is_integer(given["input"]) else 2

    def resolve(self) -> dict[str, Any]:
        if self.counted:
            axes = self.given[self.counted]
            self.rank = len(axes)
            if not 1 <= self.rank <= MAX_AXES:
                count = f"{shown(axes)} has {self.rank} entries; expected one per axis, 1 to {MAX_AXES} axes"
                self._wrong((self.counted,), count)
        # Without a number of axes, what has one entry per axis cannot be looked at.
        fields = FIELDS.items() if not self.problems else [(n, f) for n, f in FIELDS.items() if n not in _COUNTED]
        resolved = {name: self._resolved(name, field) for name, field in fields}
        self._stop_at_problems()
        resolved["input"], resolved["padding"] = _complete(resolved)
        self._check_geometry(resolved)
        self._stop_at_problems()
        return resolved

    def _wrong(self, path: tuple[str | int, ...], message: str) -> None:
        self.problems.append(Problem(path, message))

    def _not_allowed(self, path: tuple[str | int, ...], value: Any, expected: str) -> None:
        self._wrong(path, f"{shown(value)} is not allowed; expected {expected}")

    def _stop_at_problems(self) -> None:
        if self.problems:
            raise LayerError(self.problems)

    def _resolved(self, name: str, field: Field) -> Any:
        """Return a field's value with one entry per axis; where it is wrong, note it and return anything."""
        value = self.given[name]
        match field.kind:
            case "text":
                if not isinstance(value, str) or not value.strip() or not value.isprintable():
                    self._not_allowed((name,), value, "a text of printable characters")
                elif len(value) > LONGEST_NAME:
                    self._wrong(
                        (name,), f"{shown(value)} has {len(value):,} characters; expected at most {LONGEST_NAME:,}"
                    )
            case "truth":
                if not isinstance(value, bool):
                    self._not_allowed((name,), value, "true or false")
            case "choice":
                unknown = value not in field.choices and (value is not None or bool(field.default))
                lacking = None if unknown or name != "dtype" else known_to_numpy(value)
                if unknown:
                    self._not_allowed((name,), value, " or ".join(field.choices))
                elif lacking:
                    self._wrong((name,), lacking)
            case "integer":
                self._check_integer((name,), field, value)
            case "per axis" if value is not None or field.required or field.default is not None:
                return self._per_axis(name, field, value)
            case "padding":
                return self._padding(name, field, value)
        return value

    def _check_integer(self, path: tuple[str | int, ...], field: Field, value: Any) -> None:
        if not _is_integer(value) or value < field.least:
            kind = "a positive integer" if field.least == 1 else f"an integer of at least {field.least}"
            self._not_allowed(path, value, kind)

    def _per_axis(self, name: str, field: Field, value: Any) -> tuple[Any, ...]:
        if not _is_list(value):
            self._check_integer((name,), field, value)
            return (value,) * self.rank
        if len(value) != self.rank:
            expected = f"an integer, or {self.rank} of them: one per axis, as many as {self.counted} has"
            self._wrong((name,), f"{shown(value)} has {len(value)} entries; expected {expected}")
            return ()
        for axis, entry in enumerate(value):
            self._check_integer((name, axis), field, entry)
        return tuple(value)

    def _padding(self, name: str, field: Field, value: Any) -> tuple[Any, ...] | str:
        if value == "valid":
            return ((0, 0),) * self.rank
        if isinstance(value, str) and value in field.choices:
            return value
        if not _is_list(value):
            if not _is_integer(value) or value < field.least:
                choices = " or ".join(f'"{choice}"' for choice in field.choices)
                per_axis = "one per axis, [before, after] per axis"
                self._not_allowed((name,), value, f"an integer of at least {field.least}, {per_axis}, {choices}")
            return ((value, value),) * self.rank
        if len(value) != self.rank:
            hint = f"; for one axis write [{value}]" if self.rank == 1 and len(value) == 2 else ""
            expected = f"expected one entry per axis, {self.rank} in all: an integer or [before, after]{hint}"
            self._wrong((name,), f"{shown(value)} has {len(value)} entries; {expected}")
            return ()
        for axis, entry in enumerate(value):
            if not _is_list(entry):
                self._check_integer((name, axis), field, entry)
            elif len(entry) != 2:
                self._wrong((name, axis), f"{shown(entry)} has {len(entry)} entries; expected [before, after]")
            else:
                for side, amount in enumerate(entry):
                    self._check_integer((name, axis, side), field, amount)
        return tuple(tuple(entry) if _is_list(entry) else (entry, entry) for entry in value)

    def _check_geometry(self, resolved: dict[str, Any]) -> None:
        groups = resolved["groups"]
        for field in ("channels", "filters"):
            if resolved[field] % groups:
                allowed = f"expected a number that divides channels and filters; {field} is {resolved[field]}"
                self._wrong(("groups",), f"{groups} is not allowed; {allowed}")
        if resolved["transposed"] and resolved["padding_mode"] != ZEROS:
            mode = shown(resolved["padding_mode"])
            self._wrong(("padding_mode",), f"{mode} is not allowed in a transposed layer; expected {ZEROS}")
        for index, axis in enumerate(_axes(resolved)):
            if axis.transposed:
                self._check_transposed(index, axis)
            else:
                self._check_window(index, axis)

    def _at(self, name: str, index: int) -> tuple[str | int, ...]:
        """The path to what was given for an axis."""
        return (name, index) if _is_list(self.given[name]) else (name,)

    def _check_window(self, index: int, axis: Axis) -> None:
        if axis.output_padding:
            self._wrong(
                self._at("output_padding", index),
                f"{axis.output_padding} is not allowed in a layer that is not transposed; expected 0, or transposed: "
                "true",
            )
        most = {"reflect": axis.size - 1, "circular": axis.size}.get(axis.mode)
        if most is not None and max(axis.before, axis.after) > most:
            self._wrong(
                self._at("padding", index),
                f"{max(axis.before, axis.after)} is not allowed with padding_mode {axis.mode} on the input of axis "
                f"{index}, {axis.size}; expected at most {most}, or a larger input",
            )
        if not axis.fits:
            span = f", which spans {axis.effective_kernel} samples with dilation {axis.dilation},"
            padded = f"{axis.padded_size} (input {axis.size}, padding {axis.before} + {axis.after})"
            self._wrong(
                self._at("kernel", index),
                f"{axis.kernel}{span if axis.dilation > 1 else ''} is larger than the padded input of axis "
                f"{index}, {padded}, so there is no output; expected a smaller kernel or dilation, "
                "or a larger input or padding",
            )

    def _check_transposed(self, index: int, axis: Axis) -> None:
        most = max(axis.stride, axis.dilation) - 1
        if axis.output_padding > most:
            self._wrong(
                self._at("output_padding", index),
                f"{axis.output_padding} is not allowed with stride {axis.stride} and dilation {axis.dilation}; "
                f"expected less than the larger of the two: at most {most}",
            )
        elif axis.before < 0:
            missing = axis.stride - axis.effective_kernel - axis.output_padding
            self._wrong(
                ("padding",),
                f'"same" gives input * stride outputs, but axis {index} has {missing} less, as its kernel spans '
                f"{axis.effective_kernel} at stride {axis.stride}; expected {missing} more of output_padding, or valid",
            )
        elif not axis.fits:
            self._wrong(
                self._at("padding", index),
                f"{axis.before} + {axis.after} removes all {axis.padded_size} outputs of axis {index}; expected less "
                "padding, or a larger input or kernel",
            )


def _complete(resolved: dict[str, Any]) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Fill in the default input size and "same" padding, each of which may depend on the other."""
    kernel, stride, dilation = resolved["kernel"], resolved["stride"], resolved["dilation"]
    size, padding = resolved["input"], resolved["padding"]
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if resolved["transposed"]:
        if padding == "same":
            behind = resolved["output_padding"]
            padding = tuple(transposed_same_padding(*numbers) for numbers in zip(spans, stride, behind, strict=True))
        return size or _default_windows(spans, stride, [before + after for before, after in padding]), padding
    if padding != "same":
        least = [max(pair) + 1 if resolved["padding_mode"] != ZEROS else 3 for pair in padding]
        return size or _default_size(spans, stride, [before + after for before, after in padding], least), padding
    if size is None:
        # ceil(n / s) is m for n = (m - 1)s + 1.
        least = spans if resolved["padding_mode"] != ZEROS else [3] * len(spans)
        size = _default_size([1] * len(spans), stride, [s - 1 for s in stride], least)
    return size, tuple(same_padding(n, e, s) for n, e, s in zip(size, spans, stride, strict=True))


def _default_size(
    spans: Sequence[int], stride: Sequence[int], padding: Sequence[int], least: Sequence[int]
) -> tuple[int, ...]:
    """Small sizes on which few bugs can hide: 4 outputs or more, s - 1 samples left over, no two axes alike."""
    sizes: list[int] = []
    for e, s, padded, fewest in zip(spans, stride, padding, least, strict=True):
        # Where the padding is larger than all that is needed, the input still has some samples of its own.
        size = max(3 * s + e + s - 1 - padded, 3, fewest)
        while size in sizes:
            size += s
        sizes.append(size)
    return tuple(sizes)


def _default_windows(spans: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> tuple[int, ...]:
    """Small inputs of a transposed layer: 4 samples and 4 outputs or more, no two axes alike."""
    sizes: list[int] = []
    for e, s, removed in zip(spans, stride, padding, strict=True):
        size = max(4, 1 - (e - removed - 4) // s)
        while size in sizes:
            size += 1
        sizes.append(size)
    return tuple(sizes)


def _plain(value: Any) -> Any:
    """Return NumPy's integers and arrays of them as Python's own, everything else as it is."""
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") and not isinstance(value, type) else value


def _as_list(value: Any) -> Any:
    return [_as_list(entry) for entry in value] if isinstance(value, tuple) else value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
