"""Why code raises on one layer and runs on another: what the traceback and a run elsewhere give away."""

from __future__ import annotations

import re
from collections.abc import Callable

from convcheck.layer.layer import Layer
from convcheck.layer.similar import as_yaml, changed
from convcheck.mistakes.mistake import OtherName
from convcheck.reports.results import Diagnosis

#: Every known cause, in words.
CRASHES = {
    name: OtherName(code, name, title, fix, told_of="code that raises on a layer, and runs on one without the cause")
    for code, name, title, fix in (
        ("CC921", "crash-empty-slice",
         "{a slice up to minus its start} is empty where the padding is 0; the code runs on {a padded layer}",
         "Slice to where the input ends: a[pad : pad + n]."),
        ("CC922", "crash-axes-differ",
         "the code raises where the axes differ; where they are alike it runs, on {a layer with axes alike}",
         "Look for a size, an index or an option of one axis used for another: rows go with kernel[0], stride[0], "
         "padding[0]; columns with kernel[1], stride[1], padding[1]."),
    )
}  # fmt: skip

#: A slice from something to minus the same: pad:-pad, self.pad[0] : -self.pad[0].
_TO_MINUS_ITSELF = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*(?:\[\d\])*)\s*:\s*-\s*\1(?![\w.\[])")


def crash(layer: Layer, traceback: str, runs: Callable[[Layer], bool]) -> Diagnosis | None:
    """Return why code raises on a layer, None where nothing is known.

    Parameters
    ----------
    traceback : str
        With the lines of the user's code.
    runs : callable
        Whether the code runs on another layer.
    """
    sliced = _TO_MINUS_ITSELF.search(traceback)
    if sliced and any(0 in pair for pair in layer.padding):
        padded = changed(layer, {"padding": 1})
        if padded and runs(padded):
            return CRASHES["crash-empty-slice"].diagnosis(
                {"a slice up to minus its start": f"the slice {sliced.group()}", "a padded layer": as_yaml(padded)}
            )
    if len(set(layer.axes)) > 1:
        options = ("input", "kernel", "stride", "dilation", "padding")
        axes = [{option: getattr(layer, option)[number] for option in options} for number in range(len(layer.axes))]
        alike = [changed(layer, {option: [axis[option]] * len(axes) for option in options}) for axis in axes]
        # Where one of the axes is refused by itself, such as one with a remainder, that they differ is not the reason.
        running = [equal for equal in alike if equal and runs(equal)]
        if len(running) == len(axes):
            return CRASHES["crash-axes-differ"].diagnosis({"a layer with axes alike": as_yaml(running[0])})
    return None
