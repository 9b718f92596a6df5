"""Which slice of the arrays is shown, and which entry is worked out: the same one in every picture of a layer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from math import prod

from convcheck.errors import Parameter, UsageError
from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index
from convcheck.layer.fields import DTYPES, ZEROS
from convcheck.layer.layer import Layer
from convcheck.layer.products import read

#: What can be explained. "output" is an entry of O, the others are entries of dL/dX, dL/dW and dL/db.
ARRAYS = ("input", "weight", "bias", "output")

_ENTRY = re.compile(r"\s*(\w+)\s*\[([^\[\]]*)\]\s*")


def parse_entry(text: str, layer: Layer) -> tuple[str, Index]:
    """Read ``input[0,1,2,2]``.

    Raises
    ------
    UsageError
        If it cannot be read, or the layer has no such entry; says what is in range.
    """
    given = Parameter("entry", text)
    match = _ENTRY.fullmatch(text)
    if not match or match[1] not in ARRAYS:
        raise UsageError(
            given, f" is not allowed; expected one of {', '.join(ARRAYS)} with an index, such as input[0,1,2,2]"
        )
    array = match[1]
    if array == "bias" and not layer.bias:
        raise UsageError(given, f": layer {layer.name} has no bias")
    shape = getattr(layer, f"{array}_shape")
    try:
        index = tuple(int(part) for part in match[2].split(","))
    except ValueError:
        first = f"{array}{sizes.at([0] * len(shape))}"
        raise UsageError(given, f": expected integers separated by commas, such as {first}") from None
    allowed = f"{array}[{', '.join(f'0..{size - 1}' for size in shape)}]"
    if len(index) != len(shape):
        raise UsageError(given, f" has {len(index)} indices; expected {len(shape)}: {allowed}")
    if not all(0 <= i < size for i, size in zip(index, shape, strict=True)):
        raise UsageError(given, f" is out of range; expected {allowed}")
    return array, index


@dataclass(frozen=True)
class Selection:
    """Which sample of the batch, input channel and filter are shown, and the entry that is worked out.

    Attributes
    ----------
    sample, channel, filter : int
        The filter counts from 0 over all groups. By default the first one that reads the channel.
    place, tap, output : tuple of int
        An input entry, and the tap through which an output reads it, each as one index per axis: what pictures of
        dL/dX, dL/dW and O work out. Where one of them is chosen of which that cannot be said, the others are apart.
    """

    sample: int
    channel: int
    filter: int
    place: Index
    tap: Index
    output: Index

    @property
    def of_twin(self) -> Selection:
        """The same, as the twin of a transposed layer has it."""
        return Selection(self.sample, self.filter, self.channel, self.output, self.tap, self.place)

    @classmethod
    def of(
        cls,
        layer: Layer,
        sample: int | None = None,
        channel: int | None = None,
        filter: int | None = None,  # noqa: A002
        entry: str | None = None,
    ) -> Selection:
        """Check what was chosen, and fill in what was not.

        Parameters
        ----------
        entry : str, optional
            Such as ``input[0,1,2,2]``; also of ``weight``, ``bias`` and ``output``.

        Raises
        ------
        UsageError
            If a number is out of range, the filter does not read the channel, or the entry is in another slice.
        """
        require_real(layer)
        array, index = parse_entry(entry, layer) if entry is not None else ("", ())
        slices = {"input": ("sample", "channel"), "weight": ("filter",), "bias": ("filter",)}
        said = dict(zip(slices.get(array, ("sample", "filter")), index, strict=False))
        if array == "weight":
            said["channel"], said["filter"] = layer.ends_of_slice(*index[:2])
        chosen = {"sample": sample, "channel": channel, "filter": filter}
        for name, value in chosen.items():
            count = getattr(layer, "batch" if name == "sample" else f"{name}s")
            if value is not None and not 0 <= value < count:
                raise UsageError(
                    Parameter(name, value), f" is out of range; layer {layer.name} has {name}s 0..{count - 1}"
                )
            if value is not None and said.get(name, value) != value:
                raise UsageError(
                    Parameter(name, value), f" is another {name} than that of ", Parameter("entry", entry),
                    f", which is {said[name]}; leave it out",
                )  # fmt: skip
        chosen |= said
        channel, filter = _connected(layer, chosen["channel"], chosen["filter"])  # noqa: A001
        return cls(chosen["sample"] or 0, channel, filter, *_worked(layer, array, index[2:]))


def _connected(layer: Layer, channel: int | None, filter: int | None) -> tuple[int, int]:  # noqa: A002
    """Fill in the first channel and filter that belong together."""
    if channel is None:
        group = 0 if filter is None else filter // layer.filters_per_group
        channel = group * layer.channels_per_group
    group = channel // layer.channels_per_group
    first = group * layer.filters_per_group
    if filter is None:
        filter = first  # noqa: A001 - the option's name
    if not first <= filter < first + layer.filters_per_group:
        raise UsageError(
            Parameter("filter", filter),
            f" does not read channel {channel}, which is in group {group}; "
            f"expected a filter of {first}..{first + layer.filters_per_group - 1}",
        )
    return channel, filter


def _worked(layer: Layer, array: str, index: Index) -> tuple[Index, Index, Index]:
    """Return the input entry, tap and output that are worked out: where it can be, the output reads it through it."""
    if layer.transposed:
        output, tap, place = _worked(layer.twin, {"input": "output", "output": "input"}.get(array, array), index)
        return place, tap, output
    if array not in ("weight", "output"):
        place = index if array == "input" else most_read(layer)
        # Of those that read it, through the tap that meets the most samples; of several, the last, whose tap is first.
        pairs = readers(layer, place)
        output, tap = max(reversed(pairs), key=lambda pair: met(layer, pair[1]), default=((0,) * len(place),) * 2)
        return place, tap, output
    given = tuple(index)
    if array == "weight":
        outputs = (range(size) for size in layer.output)
        found = ((output, given) for output in product(*outputs) if read(layer, output, given) is not None)
    else:
        found = ((given, tap) for tap in product(*map(range, layer.kernel)) if read(layer, given, tap) is not None)
    output, tap = next(found, (given, (0,) * len(given)) if array == "output" else ((0,) * len(given), given))
    place_read = read(layer, output, tap)
    return most_read(layer) if place_read is None else place_read, tap, output


def met(layer: Layer, tap: Index) -> int:
    """Count the input samples that a tap meets, over all windows."""
    return prod(int((axis.source[:, a] >= 0).sum()) for axis, a in zip(layer.axes, tap, strict=True))


def readers(layer: Layer, place: Index) -> list[tuple[Index, Index]]:
    """Pairs (output, tap) that read an input entry, both as one index per axis; as often as they read it."""
    per_axis = (axis.pairs(p) for axis, p in zip(layer.axes, place, strict=True))
    return [(tuple(i for i, _ in pairs), tuple(a for _, a in pairs)) for pairs in product(*per_axis)]


#: Samples per axis, and steps behind its padding, among which the entry to be worked out is looked for by itself.
_NEAR = 5


def most_read(layer: Layer) -> Index:
    """Return the input entry near the origin with the most terms; of several, with the most copies, in the middle."""
    best: list[int] = []
    for axis in layer.axes:
        near = range(min(axis.size, max(_NEAR, axis.effective_kernel - axis.before + axis.stride)))
        middle = (near.start + near.stop - 1) / 2
        copied = axis.mode != ZEROS
        best.append(
            min(near, key=lambda p: (-len(axis.pairs(p)), -len(axis.positions(p)) if copied else 0, abs(p - middle), p))
        )
    return tuple(best)


def require_real(layer: Layer) -> None:
    """Raise a UsageError where numbers are complex, which no picture and no formula shows."""
    if layer.is_complex:
        raise UsageError(
            f"layer {layer.name}: numbers of {layer.dtype} are neither drawn nor written out; take the same layer in "
            f"{DTYPES[layer.dtype].part}, which has the same indices and sums"
        )
