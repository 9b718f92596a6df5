"""The catalogue of known mistakes, one file each.

To add one: write its file here, a subclass of `Mistake` with a code of its own, and add it to `MISTAKES`.
"""

from __future__ import annotations

from convcheck.errors import UsageError
from convcheck.mistakes.catalogue.axes_swapped import AxesSwapped
from convcheck.mistakes.catalogue.batch_averaged import BatchAveraged
from convcheck.mistakes.catalogue.bias_axes_confused import BiasAxesConfused
from convcheck.mistakes.catalogue.channel_axes_not_swapped import ChannelAxesNotSwapped
from convcheck.mistakes.catalogue.clamped_index import ClampedIndex
from convcheck.mistakes.catalogue.dilation_ignored import DilationIgnored
from convcheck.mistakes.catalogue.forward_is_convolution import ForwardIsConvolution
from convcheck.mistakes.catalogue.grad_output_ignored import GradOutputIgnored
from convcheck.mistakes.catalogue.gradient_not_dilated import GradientNotDilated
from convcheck.mistakes.catalogue.gradient_repeated import GradientRepeated
from convcheck.mistakes.catalogue.groups_ignored import GroupsIgnored
from convcheck.mistakes.catalogue.input_not_padded import InputNotPadded
from convcheck.mistakes.catalogue.inputs_modified import InputsModified
from convcheck.mistakes.catalogue.kernel_flipped_one_axis import KernelFlippedOneAxis
from convcheck.mistakes.catalogue.kernel_not_flipped import KernelNotFlipped
from convcheck.mistakes.catalogue.last_filter_only import LastFilterOnly
from convcheck.mistakes.catalogue.last_output_skipped import LastOutputSkipped
from convcheck.mistakes.catalogue.last_sample_only import LastSampleOnly
from convcheck.mistakes.catalogue.non_finite import NonFinite
from convcheck.mistakes.catalogue.nondeterministic import Nondeterministic
from convcheck.mistakes.catalogue.overlap_overwritten import OverlapOverwritten
from convcheck.mistakes.catalogue.padding_offset import PaddingOffset
from convcheck.mistakes.catalogue.remainder_dropped import RemainderDropped
from convcheck.mistakes.catalogue.reshape_instead_of_transpose import ReshapeInsteadOfTranspose
from convcheck.mistakes.catalogue.scaled import Scaled
from convcheck.mistakes.catalogue.sign_flipped import SignFlipped
from convcheck.mistakes.catalogue.spatially_averaged import SpatiallyAveraged
from convcheck.mistakes.catalogue.stale_accumulation import StaleAccumulation
from convcheck.mistakes.catalogue.stride_ignored import StrideIgnored
from convcheck.mistakes.catalogue.weight_axes_swapped import WeightAxesSwapped
from convcheck.mistakes.catalogue.weight_gradient_flipped import WeightGradientFlipped
from convcheck.mistakes.catalogue.wrapped_index import WrappedIndex
from convcheck.mistakes.catalogue.zero_gradient import ZeroGradient
from convcheck.mistakes.mistake import Mistake
from convcheck.wording import did_you_mean

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
    hint = did_you_mean(wanted, [item.name for item in MISTAKES])
    raise UsageError(f'unknown mistake "{name}";{hint} `convcheck mistakes` lists them all')
