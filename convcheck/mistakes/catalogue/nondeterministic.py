"""two equal calls differ"""

from convcheck.mistakes.mistake import Mistake


class Nondeterministic(Mistake):
    code = "CC128"
    name = "nondeterministic"
    explanation = "Two calls with equal arguments return different values."
    why = (
        "Uninitialized memory (np.empty), a random generator, a race between threads, or state kept from an earlier "
        "call."
    )
    fix = "Initialize every array, and let the result depend on the arguments alone."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    behaviour = "forward and backward are called twice with equal arguments, and the results are compared"
