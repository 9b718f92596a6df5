"""forward or backward writes into its arguments"""

from convcheck.mistakes.mistake import Mistake


class InputsModified(Mistake):
    code = "CC127"
    name = "inputs-modified"
    explanation = "An argument has other values after the call than before."
    why = "In-place operators (x += b, out=x) on an array that belongs to the caller."
    fix = "Copy an argument before changing it, or write the result into a new array."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    behaviour = "the arguments are compared with copies taken before the call"
