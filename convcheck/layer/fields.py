"""The options of a layer and the dtypes: one table each, and what is known of them follows from it everywhere.

The check of a `Layer`, the schemas, the reader of configs and the documentation are made from the options. Only
the signature of `Layer` repeats them, for editors; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import inf
from typing import Any, Literal

#: Largest integer allowed in a file: NumPy counts an array's entries in 64 bits.
LARGEST_INTEGER = 2**63 - 1

MAX_AXES = 3

#: Characters of a layer's name, which stands in every line about it.
LONGEST_NAME = 1000

#: JSON Schema of something that can be seen, and nothing that breaks a line or that a terminal would act on.
TEXT = {
    "type": "string",
    "pattern": r"\S",
    "not": {"pattern": r"[\u0000-\u001f\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f\u3000\ufeff]"},
}


@dataclass(frozen=True)
class Dtype:
    """What is known of a floating-point format.

    Attributes
    ----------
    precision : int
        Bits of the significand, the hidden one too.
    grid : float
        Real data are multiples of this: x + h and x - h are then exact for h = 1, but products round.
    exact_limit : int
        Integers up to this size, and so all their sums and products up to it, are exactly representable.
    roundoff : float
        Largest relative error of one rounding to nearest, u.
    largest, smallest : float
        Largest finite number, and smallest one above 0, for formats in which that may matter.
    package : str or None
        What NumPy has the format from, where it has not got it itself; the extra of the same purpose is ``half``.
    part : str or None
        Of complex numbers, the format of the real and the imaginary part; all of the above is about one of these.
    """

    precision: int
    grid: float
    largest: float = inf
    smallest: float = 0.0
    package: str | None = None
    part: str | None = None

    @property
    def exact_limit(self) -> int:
        return 1 << self.precision

    @property
    def roundoff(self) -> float:
        return 2.0**-self.precision

    @property
    def half(self) -> bool:
        """Whether it is one of 16 bits, in which results are stored, and sums rarely made."""
        return self.precision < 16


#: The formats in which a layer can be checked, the default first.
DTYPES = {
    "float64": Dtype(precision=53, grid=2.0**-40),
    "float32": Dtype(precision=24, grid=2.0**-16),
    "float16": Dtype(precision=11, grid=2.0**-8, largest=65504.0, smallest=2.0**-24),
    "bfloat16": Dtype(precision=8, grid=2.0**-5, smallest=2.0**-133, package="ml_dtypes"),
    "complex128": Dtype(precision=53, grid=2.0**-40, part="float64"),
    "complex64": Dtype(precision=24, grid=2.0**-16, part="float32"),
}

#: Those of half precision. Code is checked in them where that is asked for: sums kept in them are mostly no use.
HALF = tuple(name for name, dtype in DTYPES.items() if dtype.half)

#: Those of complex numbers. Code is checked in them where that is asked for: most is written for real ones.
COMPLEX = tuple(name for name, dtype in DTYPES.items() if dtype.part)

#: Those in which code is only checked where that is asked for, and those in which any code is tried.
ASKED = HALF + COMPLEX
USUAL = tuple(name for name in DTYPES if name not in ASKED)


def akin(name: str) -> tuple[str, ...]:
    """Return the usual formats of numbers of the same kind, real or complex."""
    return COMPLEX if name in COMPLEX else USUAL


#: In which sums of half precision are made unless a layer says otherwise.
WIDE_SUMS = "float32"


@cache
def known_to_numpy(name: str) -> str | None:
    """Let NumPy know a format by its name; return why it cannot, None if it can."""
    package = DTYPES[name].package
    if package is not None:
        try:
            import_module(package)
        except ImportError as error:
            return f"{name} needs the package {package}, which cannot be imported ({error}); pip install {package}"
    return None


Kind = Literal["text", "integer", "per axis", "padding", "truth", "choice"]


@dataclass(frozen=True)
class Field:
    """One option of a layer.

    Attributes
    ----------
    kind : str
        What it takes: a "text" of printable characters; an "integer"; an integer or one "per axis"; a "padding", which
        is an integer, one per axis, [before, after] per axis or one of the choices; a "truth"; one "choice" of several.
    meaning : str
        In one sentence, as the documentation has it.
    default : optional
        None where there is none.
    required : bool
        Whether a layer must say it.
    least : int
        Of every integer in it.
    names : tuple of str
        What other software calls it, PyTorch's name first; capitals and underscores make no difference.
    of_check : bool
        Whether it says how the layer is checked, so that a convolution is not told it.
    """

    kind: Kind
    meaning: str
    default: Any = None
    required: bool = False
    least: int = 1
    choices: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    of_check: bool = False

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what a config file may give."""
        one: dict[str, Any] = {"type": "integer", "minimum": self.least, "maximum": LARGEST_INTEGER}
        pair = {"anyOf": [one, {"type": "array", "items": one, "minItems": 2, "maxItems": 2}]}
        kinds: dict[Kind, dict[str, Any]] = {
            "text": {**TEXT, "maxLength": LONGEST_NAME},
            "integer": {"anyOf": [one, {"enum": list(self.choices)}]} if self.choices else one,
            "per axis": {"anyOf": [one, _per_axis(one)]},
            "padding": {"anyOf": [one, {"enum": list(self.choices)}, _per_axis(pair)]},
            "truth": {"type": "boolean"},
            "choice": {"enum": list(self.choices)},
        }
        default = {} if self.default is None else {"default": self.default}
        return {"description": self.meaning, **default, **kinds[self.kind]}

    def resolved_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the value as a report gives it: resolved, one number per axis."""
        count: dict[str, Any] = {"type": "integer", "minimum": 0}
        pair = {"type": "array", "items": count, "minItems": 2, "maxItems": 2}
        kinds: dict[Kind, dict[str, Any]] = {
            "text": {"description": "What the report calls the layer.", "type": "string"},
            "integer": count,
            "per axis": {"description": "One number per axis.", **_per_axis(count)},
            "padding": {"description": "[before, after] per axis.", **_per_axis(pair)},
            "truth": {"type": "boolean"},
            "choice": {"type": "string" if self.required or self.default else ["string", "null"]},
        }
        return {"description": self.meaning, **kinds[self.kind]}


def _per_axis(entry: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": entry, "minItems": 1, "maxItems": MAX_AXES}


#: Stands for a seed that is drawn anew.
RANDOM = "random"

#: The padding mode that reads nothing of the input.
ZEROS = "zeros"

#: Every option of a layer, in the order of the config file.
FIELDS: Mapping[str, Field] = {
    "name": Field("text", "What reports call the layer; unique in the file. Left out: layer1, layer2, ... by position.",
        of_check=True),
    "channels": Field("integer", "Input channels C.", required=True,
        names=("in_channels", "in_channel", "channels", "num_channels", "n_channels", "nb_channels", "input_channels",
            "num_input_channels", "in_chans", "in_ch", "c_in", "n_in", "num_in", "in_features", "in_planes", "in_maps",
            "in_depth", "input_depth", "depth", "n_c_prev")),
    "filters": Field("integer", "Filters F, which is the number of output channels.", required=True,
        names=("out_channels", "out_channel", "filters", "num_filters", "n_filters", "nb_filters", "num_filter",
            "nb_filter", "filter_count", "filter_num", "filters_num", "number_of_filters", "num_kernels", "n_kernels",
            "nb_kernels", "output_channels", "num_output_channels", "out_chans", "out_ch", "c_out", "n_out", "num_out",
            "out_features", "out_planes", "out_maps", "out_depth", "output_depth", "depth", "n_c")),
    "kernel": Field("per axis", "Kernel size: an integer, or one per axis.", required=True,
        names=("kernel_size", "kernel", "kernel_shape", "kernel_dim", "kernel_dims", "ksize", "k", "kernels",
            "filter_size", "filter_shape", "filter_dim", "filter_dims", "f_size", "size", "window_size",
            "receptive_field")),
    "stride": Field("per axis", "Step between neighbouring windows: an integer, or one per axis.", default=1,
        names=("stride", "strides", "window_strides", "step", "stride_size", "stride_length", "s")),
    "padding": Field("padding", "Samples added around the input, or of a transposed layer outputs removed at both "
        "ends: an integer, one per axis, [before, after] per axis, valid (none) or same (ceil(input / stride) outputs, "
        "or of a transposed layer input * stride; of an odd total, the extra one is behind).", default=0,
        least=0, choices=("valid", "same"), names=("padding", "pad", "pads", "paddings", "pad_width",
            "pad_size", "padding_size", "zero_padding", "p")),
    "dilation": Field("per axis", "Step between neighbouring taps of one window: an integer, or one per axis.",
        default=1, names=("dilation", "dilations", "rhs_dilation", "dilation_rate", "dilation_factor", "dilate")),
    "groups": Field("integer", "Groups of channels and filters; divides both numbers. As many as channels: depthwise.",
        default=1, names=("groups", "group", "num_groups", "feature_group_count")),
    "bias": Field("truth", "Whether the layer adds a bias.", default=True,
        names=("bias", "use_bias", "with_bias", "has_bias", "add_bias", "biases", "b")),
    "input": Field("per axis", "Spatial size of the input: an integer, or one per axis; its length is the number of "
        "axes, 1, 2 or 3. Left out: a small size, different on every axis.", of_check=True,
        names=("input_size", "input_shape", "input_dim", "input_dims", "in_size", "in_shape", "in_dims", "image_size",
            "image_shape", "img_size", "img_shape", "x_shape", "batch_input_shape")),
    "batch": Field("integer", "Samples in the batch.", default=2, of_check=True,
        names=("batch_size", "n_batch")),
    "dtype": Field("choice", "Data type in which the layer is checked.", default=next(iter(DTYPES)),
        choices=tuple(DTYPES), of_check=True),
    "accumulate": Field("choice", "Format in which sums are promised to be made, for layers of half precision: "
        f"{WIDE_SUMS} unless given. Results are rounded to the dtype once. Others sum in their own dtype.",
        choices=(WIDE_SUMS, *HALF), of_check=True),
    "padding_mode": Field("choice", "What stands in the padding: zeros, the far end (circular), the mirrored input "
        "without its edge (reflect) or the sample at the edge (replicate); as PyTorch has it.", default=ZEROS,
        choices=(ZEROS, "circular", "reflect", "replicate")),
    "transposed": Field("truth", "Whether it is a transposed convolution: weight of shape (channels, filters/groups, "
        "*kernel), and padding removes outputs; as PyTorch's and ONNX's ConvTranspose.", default=False),
    "output_padding": Field("per axis", "Outputs added behind, of a transposed layer: an integer, or one per axis, "
        "smaller than the stride or the dilation.", default=0, least=0),
    "seed": Field("integer", "Seed of the layer's data, or random, which draws one anew each time.", default=0,
        least=0, choices=(RANDOM,), of_check=True),
}  # fmt: skip

#: JSON Schema of each key of a layer in a config file.
LAYER_KEYS: Mapping[str, dict[str, Any]] = {name: field.schema() for name, field in FIELDS.items()}

#: Keys that a layer must have, itself or from the defaults.
REQUIRED = tuple(name for name, field in FIELDS.items() if field.required)

#: What a convolution is told under names of other software's, so that code under test may have a parameter for it.
CONVOLUTION = tuple(name for name, field in FIELDS.items() if field.names and not field.of_check)

#: What tells of the kind of a layer. Code that knows of it has parameters of these very names, which are PyTorch's.
OF_KINDS = ("padding_mode", "transposed", "output_padding")


def written(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's resolved fields as a config would give them: short, and without what is the default.

    But for the batch, of which a file may have a default of its own.

    Parameters
    ----------
    spec : mapping
        As `Layer.spec` gives it.
    """
    result = {}
    for name, value in spec.items():
        field = FIELDS[name]
        if field.kind == "padding" and all(before == after for before, after in value):
            value = [before for before, _ in value]
        # One number stands for all axes; but the length of the input is the number of axes, and a pair stays one.
        if name != "input" and isinstance(value, list) and len(set(map(str, value))) == 1:
            value = value if isinstance(value[0], list) else value[0]
        if value != field.default or name == "batch":
            result[name] = value
    return result
