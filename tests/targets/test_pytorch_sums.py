"""What the probe says of PyTorch's own sums in half precision, beside one entry of each kind that is made by hand.

Three terms 2^p, 1 and -2^p are 1 in float32, and 0 where the first two are added in p bits. What PyTorch does depends
on the processor; what is said of it must agree with what it does.
"""

import pytest

from convcheck import Layer, verify
from convcheck.layer.fields import DTYPES, HALF

torch = pytest.importorskip("torch")

#: Layers whose sums are nothing but the entries' below: the tests' terms in all orders.
LAYERS = {
    "output": {"kernel": [1, 3], "input": [1, 7]},
    "input": {"kernel": [1, 3], "input": [1, 7], "padding": [[0, 0], [2, 2]]},
    "weight": {"kernel": 1, "input": [1, 1], "batch": 3},
    "bias": {"kernel": 1, "input": [1, 1], "batch": 3},
    "bias of a dilated layer": {"kernel": [1, 2], "dilation": [1, 2], "input": [1, 3], "batch": 3},
}


def by_hand(name, dtype, terms):
    """Return the entry of an array whose sum has these three terms, by PyTorch alone."""
    layer = Layer(1, 1, **LAYERS[name])
    kind = getattr(torch, dtype)
    x = torch.ones(layer.input_shape, dtype=kind, requires_grad=True)
    weight = torch.ones(layer.weight_shape, dtype=kind)
    bias = torch.zeros(1, dtype=kind, requires_grad=True)
    if name in ("output", "input"):
        weight.copy_(torch.tensor(terms, dtype=kind).reshape(layer.weight_shape))
    weight.requires_grad_()
    padding = [before for before, _ in layer.padding]
    output = torch.nn.functional.conv2d(x, weight, bias, 1, padding, layer.dilation)
    if name == "output":
        return output[0, 0, 0, 0].item()
    grad = torch.ones_like(output)
    if name != "input":
        grad.copy_(torch.tensor(terms, dtype=kind).reshape(grad.shape))
    found = dict(zip(("input", "weight", "bias"), torch.autograd.grad(output, [x, weight, bias], grad), strict=True))
    return found[name.partition(" ")[0]].flatten()[0].item()


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_said_agrees_with_an_entry_by_hand(name, dtype):
    large = float(DTYPES[dtype].exact_limit)
    entries = [by_hand(name, dtype, terms) for terms in ([large, 1, -large], [1, -large, large], [-large, large, 1])]
    assert set(entries) <= {0.0, 1.0}
    report = verify(
        Layer(1, 1, **LAYERS[name], dtype=dtype), target="torch.nn.functional:conv2d", checks=["forward", "exact"],
        shrink=False,
    )  # fmt: skip
    results = {(r.check, r.gradient): r for r in report.layers[0].results}
    array = name.partition(" ")[0]
    assert results["forward" if array == "output" else "exact", array].passed
    said = results["accumulate", array].accumulates
    assert (dtype in said) == (0.0 in entries), (said, entries)
    assert results["accumulate", array].status == ("failed" if 0.0 in entries else "passed")
