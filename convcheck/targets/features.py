"""What a layer asks of a target, by the names under which a mapping declares it, and in words."""

from __future__ import annotations

import re
from collections.abc import Collection

from convcheck.layer.layer import Layer
from convcheck.targets.spec import FEATURES

ALL = frozenset(FEATURES)


def needed(layer: Layer) -> list[str]:
    """Return the features that a layer needs, without the bias: it can be left out."""
    asked = {
        "stride": max(layer.stride) > 1,
        "padding": any(map(any, layer.padding)),
        "asymmetric-padding": any(before != after for before, after in layer.padding),
        "dilation": max(layer.dilation) > 1,
        "groups": layer.groups > 1,
        "per-axis": any(len(set(values)) > 1 for values in (layer.stride, layer.padding, layer.dilation)),
        "per-axis-kernel": len(set(layer.kernel)) > 1,
        f"{len(layer.kernel)}d": True,
        layer.dtype: True,
    }
    return [feature for feature, needs in asked.items() if needs]


def missing(layer: Layer, takes: Collection[str]) -> str | None:
    """Return why a target that takes these features cannot take a layer; None if it can."""
    lacking = [FEATURES[feature] for feature in needed(layer) if feature not in takes]
    return f"the target does not take {', '.join(lacking)}" if lacking else None


def ranks_in(name: str) -> frozenset[str]:
    """Return the numbers of axes that a name speaks of: of ``Conv2d`` two; all, if it speaks of none."""
    found = {f"{digit}d" for digit in re.findall(r"([123])[dD]", name)}
    return frozenset(found or {"1d", "2d", "3d"})
