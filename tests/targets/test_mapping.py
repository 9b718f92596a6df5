"""A target described by a mapping: what is refused, and in which words."""

import re
from functools import partial

import numpy as np
import pytest

from convcheck import Layer, TargetError, UsageError, verify
from convcheck.targets import spec_of
from convcheck.targets.features import ranks_in
from tests.targets_for_tests import Right

LAYER = Layer(2, 3, (3, 2))


def pair(x, w, b, conv_param):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"call": Right, "lay_out": "NHWC"},
            'target.lay_out: "lay_out" is not known; did you mean "layout"? allowed: ',
        ),
        (
            {"call": Right, "style": "object", "backward": pair},
            "target.backward: not allowed beside call; give either ",
        ),
        ({"forward": pair}, "target.forward: missing backward; expected module:name or path/to/file.py:name"),
        ({"call": Right, "style": "cache"}, 'target.style: "cache" needs forward and backward, a pair of functions'),
        ({"forward": pair, "backward": pair, "style": "jax"}, 'target.style: "jax" needs call, a class or function'),
        (
            {"call": Right, "unsupported": "groups"},
            'target.unsupported: "groups" (a text) is not allowed; ',
        ),
        ({"call": Right, "keywords": {"stride": 3}}, "target.keywords.stride: 3 is not allowed; expected the name "),
        ({"call": Right, "keywords": {"kernel": []}}, "target.keywords.kernel: [] is not allowed; expected a list of "),
        ({"call": 5}, "target.call: 5 is not allowed; expected module:name or path/to/file.py:name"),
        ({"call": Right, "device": "cuda"}, "target tests.targets_for_tests:Right: device cuda is for PyTorch, JAX"),
        ({"call": pair}, "target test_mapping:pair is a function, and it is not clear of what kind; expected "),
        ("{call: [}", "target {call: [}: not a mapping in YAML's flow style: "),
        ("{}", "target.call: missing call, forward and backward, command or library; expected module:name or"),
    ],
)
def test_what_is_wrong_is_said(mapping, message):
    with pytest.raises(TargetError) as caught:
        verify(LAYER, target=mapping)
    assert re.sub(r"tests\.targets\.", "", str(caught.value)).startswith(message)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_limit_is_positive(seconds):
    with pytest.raises(UsageError, match=f"timeout={seconds} is not allowed; expected a positive number of seconds"):
        verify(LAYER, target=Right, timeout=seconds)


def test_a_layer_that_is_not_taken_is_skipped_and_has_not_passed():
    strided = Layer(2, 3, (3, 2), stride=2)
    report = verify(strided, target={"call": Right, "unsupported": ["stride", "per-axis-kernel"]})
    assert not report.passed
    for result in report.layers[0].results:
        assert result.status == "skipped"
        assert "a kernel that is not square, a stride" in result.message


def test_without_a_bias_the_rest_is_checked():
    report = verify(LAYER, target={"call": Right, "unsupported": ["bias"]})
    assert report.passed
    *rest, bias = report.layers[0].results
    assert all(r.passed for r in rest)
    assert (bias.gradient, bias.status) == ("bias", "skipped")
    assert "takes no bias" in bias.message


class Called:
    def __call__(self, mode, x, weight, stride, padding):
        raise NotImplementedError


def conv3d(x, weight, stride, padding):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (Called, f"{__name__}:Called"),
        (Called(), f"{__name__}:Called"),
        (partial(partial(Called(), "plain"), stride=1), f"{__name__}:Called"),
        (partial(conv3d, stride=1), f"{__name__}:conv3d"),
        (np.convolve, "numpy:convolve"),
        ("a/path/conv.py:Conv2d", "a/path/conv.py:Conv2d"),
    ],
)
def test_the_name_of_code_holds_no_address(code, name):
    assert spec_of(code).named == name


@pytest.mark.parametrize(
    ("name", "ranks"),
    [
        ("torch.nn.functional:conv2d", {"2d"}),
        ("layers.py:Conv3DTranspose", {"3d"}),
        ("conv1d.py:forward", {"1d"}),
        ("layers.py:conv_1d_and_2d", {"1d", "2d"}),
        ("layers.py:Conv2d1x1", {"2d"}),
        ("conv1d2d.py:Conv", {"1d", "2d"}),
        ("layers.py:Conv", {"1d", "2d", "3d"}),
        # Folders and addresses are drawn by chance.
        ("/tmp/tmp3d1x/conv.py:Conv", {"1d", "2d", "3d"}),
        (r"C:\Temp\a3d\conv.py:Conv", {"1d", "2d", "3d"}),
        ("code_73d2.py:Conv", {"1d", "2d", "3d"}),
    ],
)
def test_the_number_of_axes_is_told_by_the_name_of_code_and_of_no_folder(name, ranks):
    assert ranks_in(name) == ranks
