"""Code given with --target alone: what it takes is found out, right code passes strictly, wrong code is named."""

import importlib.util
import json

import pytest

from tests.examples.test_real_code import run


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


#: Right code, wrong code, the name of the mistake, and what is found out by trying.
PAIRS = {
    "same-by-itself": ("objects/unlike.py:SameByItself", "objects/unlike.py:LearnsBeforeItHandsOn",
        "updated-before-input", ["padding same by itself", "NHWC", "W_opt takes steps"]),
    "side-of-the-image": ("objects/unlike.py:SideOfTheImage", "objects/unlike.py:ForgetsTheBatch", "last-sample-only",
        ["inputDim as one number"]),
    "three-by-three": ("objects/unlike.py:ThreeByThree", "objects/unlike.py:WithTheWrongSign", "sign-flipped",
        ["layout HWC, weight_layout OHWI", "in the update of the weight"]),
    "operation": ("objects/unlike.py:Operation", "objects/unlike.py:OperationWithoutACrop", None, []),
    "padding-in-words": ("same_functions.py:conv2d",
        "{forward: same_functions.py:conv2d, backward: same_functions.py:conv2d_backward_averaged}", "batch-averaged",
        ["layout NHWC, weight_layout HWIO"]),
}  # fmt: skip


#: One sample after the other takes long.
SLOW = ("three-by-three",)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.long) if n in SLOW else n for n in PAIRS])
def test_right_code_passes_strictly_and_wrong_code_is_named(name):
    right, wrong, mistake, found = PAIRS[name]
    done = run("--target", right, "--strict", "--output-format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["fitted"]
    for words in found:
        assert any(words in text for text in report["found"]), report["found"]
    done = run("--target", wrong, "--output-format", "json")
    assert done.returncode == 1
    results = [result for layer in json.loads(done.stdout)["layers"] for result in layer["results"]]
    names = {diagnosis["name"] for result in results for diagnosis in result["diagnosis"]}
    assert mistake is None or mistake in names, names


@pytest.mark.parametrize(
    "target",
    [
        "plain_functions.py:conv_forward",
        *(
            pytest.param(target, marks=pytest.mark.long)
            for target in (
                "course_loops.py:conv_forward_naive",
                "im2col_layer.py:Conv2d",
                "channels_last_functions.py:conv_forward",
            )
        ),
        pytest.param("torch.nn.functional:conv2d", marks=needs("torch")),
        pytest.param("torch.nn:Conv1d", marks=needs("torch")),
        pytest.param("jax_conv.py:simple", marks=[needs("jax"), pytest.mark.long]),
        pytest.param("jax_conv.py:conv", marks=[needs("jax"), pytest.mark.long]),
        *(
            pytest.param(f"torch.nn{target}", marks=[needs("torch"), pytest.mark.long])
            for target in (":Conv2d", ":Conv3d", ".functional:conv1d", ".functional:conv3d", ":LazyConv2d")
        ),
    ],
)
def test_no_right_code_is_accused_on_the_suite_that_fits_it(target):
    done = run("--target", target, "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
