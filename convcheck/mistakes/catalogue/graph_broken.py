"""the backward pass takes for a constant what it depends on"""

from convcheck.mistakes.mistake import Mistake


class GraphBroken(Mistake):
    code = "CC141"
    name = "graph-broken"
    explanation = "The gradients are right, and differentiated once more they count as constants, in whole or in part."
    why = (
        "The backward pass computes with detached tensors, NumPy arrays, a kernel of its own, or an intermediate "
        "result that the forward pass kept. Whoever differentiates it again, as for a gradient penalty, gets zeros for "
        "what is missing, and no error."
    )
    fix = (
        "Compute the gradients with differentiable operations from the saved arguments, or mark the backward pass with "
        "once_differentiable, so that differentiating it again raises."
    )
    shows_on = "all layers"
    gradients = ("output", "input", "weight")
    behaviour = "the backward pass is differentiated by each of its operands, and compared with the formula"
