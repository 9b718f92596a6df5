"""A layer made understandable.

pictures   a layer and its arrays as panels, drawn or printed
sums       one entry term by term, or a layer's derivation
trial      on which numbers: those of a report, or small ones that are easily read
figures    the functions that users call in a notebook
"""

from __future__ import annotations

#: What can be asked for: the numbers of the checks on integers, those of the checks on real numbers, or small integers
#: that are easily read.
DATA = ("integers", "real", "example")

#: The rule, for the help of the commands.
DATA_HELP = (
    "The numbers: integers and real are those of verify, example are small integers that are easily read. By default "
    "those on which verify checks the target; example where there is none. Or the numbers themselves, such as "
    "'{x: [1, 0], weight: {0: 1}, bias: 0, grad_output: 1}'."
)
