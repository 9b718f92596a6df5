"""The catalogue of known mistakes, one file each.

To add one: write its file here, a subclass of `Mistake` with a code of its own, and add it to `MISTAKES`.
"""

from __future__ import annotations

import difflib

from convcheck.errors import UsageError
from convcheck.mistakes.axes_swapped import AxesSwapped
from convcheck.mistakes.batch_averaged import BatchAveraged
from convcheck.mistakes.bias_axes_confused import BiasAxesConfused
from convcheck.mistakes.channel_axes_not_swapped import ChannelAxesNotSwapped
from convcheck.mistakes.clamped_index import ClampedIndex
from convcheck.mistakes.dilation_ignored import DilationIgnored
from convcheck.mistakes.forward_is_convolution import ForwardIsConvolution
from convcheck.mistakes.grad_output_ignored import GradOutputIgnored
from convcheck.mistakes.gradient_not_dilated import GradientNotDilated
from convcheck.mistakes.gradient_repeated import GradientRepeated
from convcheck.mistakes.groups_ignored import GroupsIgnored
from convcheck.mistakes.input_not_padded import InputNotPadded
from convcheck.mistakes.inputs_modified import InputsModified
from convcheck.mistakes.kernel_flipped_one_axis import KernelFlippedOneAxis
from convcheck.mistakes.kernel_not_flipped import KernelNotFlipped
from convcheck.mistakes.last_filter_only import LastFilterOnly
from convcheck.mistakes.last_output_skipped import LastOutputSkipped
from convcheck.mistakes.last_sample_only import LastSampleOnly
from convcheck.mistakes.mistake import Mistake
from convcheck.mistakes.non_finite import NonFinite
from convcheck.mistakes.nondeterministic import Nondeterministic
from convcheck.mistakes.overlap_overwritten import OverlapOverwritten
from convcheck.mistakes.padding_offset import PaddingOffset
from convcheck.mistakes.remainder_dropped import RemainderDropped
from convcheck.mistakes.reshape_instead_of_transpose import ReshapeInsteadOfTranspose
from convcheck.mistakes.scaled import Scaled
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.sign_flipped import SignFlipped
from convcheck.mistakes.spatially_averaged import SpatiallyAveraged
from convcheck.mistakes.stale_accumulation import StaleAccumulation
from convcheck.mistakes.stride_ignored import StrideIgnored
from convcheck.mistakes.weight_axes_swapped import WeightAxesSwapped
from convcheck.mistakes.weight_gradient_flipped import WeightGradientFlipped
from convcheck.mistakes.wrapped_index import WrappedIndex
from convcheck.mistakes.zero_gradient import ZeroGradient

__all__ = ["MISTAKES", "Mistake", "Scene", "mistake"]

#: Every known mistake, in the order of its code.
MISTAKES: tuple[Mistake, ...] = (
    KernelNotFlipped(),
    KernelFlippedOneAxis(),
    ChannelAxesNotSwapped(),
    GradientNotDilated(),
    GradientRepeated(),
    RemainderDropped(),
    PaddingOffset(),
    OverlapOverwritten(),
    ClampedIndex(),
    WrappedIndex(),
    DilationIgnored(),
    StrideIgnored(),
    AxesSwapped(),
    GroupsIgnored(),
    WeightGradientFlipped(),
    InputNotPadded(),
    WeightAxesSwapped(),
    ReshapeInsteadOfTranspose(),
    LastSampleOnly(),
    BatchAveraged(),
    SpatiallyAveraged(),
    SignFlipped(),
    Scaled(),
    ZeroGradient(),
    GradOutputIgnored(),
    StaleAccumulation(),
    InputsModified(),
    Nondeterministic(),
    NonFinite(),
    ForwardIsConvolution(),
    LastFilterOnly(),
    LastOutputSkipped(),
    BiasAxesConfused(),
)


def mistake(name: str) -> Mistake:
    """Return the mistake with a name or code.

    Raises
    ------
    UsageError
        If there is none; the message gives the nearest spelling.
    """
    known = {key: item for item in MISTAKES for key in (item.name, item.code)}
    wanted = name.strip().replace("_", "-")
    found = known.get(wanted.lower()) or known.get(wanted.upper())
    if found is not None:
        return found
    nearest = difflib.get_close_matches(wanted.lower(), [item.name for item in MISTAKES], n=1)
    hint = f' did you mean "{nearest[0]}"?' if nearest else ""
    raise UsageError(f'unknown mistake "{name}";{hint} `convcheck mistakes` lists them all')
