"""What the tests of the five texts share."""

import numpy as np

from convcheck import load


def layer_of(name):
    """Return a layer of the shipped suite `textbook`."""
    return next(layer for layer in load("textbook").layers if layer.name == name)


def integers(shape, seed=0):
    """Return nonzero integers of both signs."""
    generator = np.random.default_rng(seed)
    return (generator.integers(1, 9, shape) * generator.choice([-1, 1], shape)).astype(float)
