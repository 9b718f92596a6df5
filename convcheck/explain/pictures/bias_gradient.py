"""dL/db: every output of a filter, added up."""

from __future__ import annotations

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Panel, Story, near
from convcheck.explain.pictures.selection import Selection
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer

#: Samples and filters that are shown.
_SAMPLES, _FILTERS = 8, 16


def story(layer: Layer, grad_output: Array, chosen: Selection) -> Story:
    """Tell how dL/db comes about: dL/dO, its sums per sample, and their sum.

    Parameters
    ----------
    grad_output : array, shape (N, F, *output)
    """
    n, f = chosen.sample, chosen.filter
    parts = grad_output.reshape(layer.batch, layer.filters, -1).sum(axis=2)
    values = grad_output[n, f]
    around = near(parts.shape, (n, f), (_SAMPLES, _FILTERS))
    labels = tuple(f"sample {i}" for i in around[0]), tuple(f"f{i}" for i in around[1])
    line = f"{sizes.times(parts.shape)}: samples × filters"
    by_sample = Panel.of("2", "dL/dO added up over its places", [line], parts, around, outlined=[(n, f)])
    total = Panel.of(
        "3", "dL/db" + (f": sum over the {layer.batch} samples" if layer.batch > 1 else ""),
        [f"{layer.filters}: one per filter"], parts.sum(axis=0)[np.newaxis], (range(1), around[1]), outlined=[(0, f)],
    )  # fmt: skip
    found = values.ravel().tolist()
    example = [f"Outlined: sample {n}, filter {f}: {sizes.parts_text(found)}: all of 1, added up."]
    if layer.batch > 1:
        summed = sizes.parts_text([float(part) for part in parts[:, f]])
        example.append(f"Added up over the {layer.batch} samples: dL/db[{f}] = {summed}.")
    return Story(
        name="bias-gradient",
        title="The bias gradient dL/db: dL/dO added up",
        intro=("The bias of a filter is added to each of its outputs once, so its gradient is the sum over them.",),
        panels=(
            Panel.of(
                "1", "dL/dO: what the next layer hands back", [f"{sizes.times(layer.output)}, sample {n}, filter {f}"],
                values, near(values.shape, chosen.output),
            ),
            by_sample.labelled(labels, ("samples", "filters")), total.labelled((("",), labels[1]), ("", "filters")),
        ),
        example=tuple(example),
        trivial=not layer.bias,
    )  # fmt: skip
