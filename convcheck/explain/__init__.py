"""A layer made understandable.

pictures   a layer and its arrays as panels, drawn or printed
page       a layer as a page in which every entry can be touched
sums       one entry term by term, or a layer's derivation
judged     what code gave beside what it should be
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

#: Megabytes of data that an interactive page has unless more are asked for, and the most that it may have.
MEGABYTES, MOST_MEGABYTES = 1, 5
