"""Drawn pictures: their words, nothing on top of anything else, and the bytes of files."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from convcheck import Layer, UsageError, backward, load
from convcheck.explain import figures, pictures
from convcheck.explain.pictures import stories
from convcheck.explain.pictures.drawing import animation, style
from convcheck.explain.pictures.drawing.page import draw
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.stories import stories_of
from tests.explain.kinds import KINDS


def layer_of(suite, name):
    return next(layer for layer in load(suite).layers if layer.name == name)


def texts(picture):
    return [text.get_text() for text in picture.findobj(Text) if text.get_text()]


LAYERS = [
    layer_of("textbook", "T3-stride-2"),
    layer_of("textbook", "T3-crop"),
    layer_of("hostile", "all-different"),
    layer_of("hostile", "all-different-1d"),
    layer_of("hostile", "all-different-3d"),
    layer_of("resnet50", "conv1"),
    *KINDS,
]


def t3():
    layer = LAYERS[0]
    return layer, figures.example_operands(layer)


def test_panels_say_sizes_with_the_layers_numbers():
    layer, at = t3()
    words = texts(figures.input_gradient(layer, at.weight, at.grad_output))
    words = " ".join(words)
    for expected in (
        "3×3 = (2-1)·2+1", "padding 2 = 3-1", "7×7 = 2+3+2", "5×5 = 7-3+1", "The dilated dL/dO", "(stride 2)",
        "The dilated and padded dL/dO", "padded to full size", "The flipped kernel: W as",
        "rotated by 180°: follow the lettered corners",
        "inserted zero: between two windows (stride)", "border zero: padding",
    ):  # fmt: skip
        assert expected in words, expected
    assert sorted(word for word in words.split() if word in "ABCD") == ["A", "A", "B", "B", "C", "C", "D", "D"]


def test_padding_and_remainder_are_in_the_formulas():
    layer = layer_of("textbook", "T3-remainder")
    at = figures.example_operands(layer)
    words = " ".join(texts(figures.input_gradient(layer, at.weight, at.grad_output)))
    assert "rows: padding in front 3 = 4-1, behind 5 = 4-1+2 (remainder 2)" in words
    assert "remainder zero: a window here would not fit" in words
    layer = layer_of("textbook", "T3-crop")
    at = figures.example_operands(layer)
    words = " ".join(texts(figures.input_gradient(layer, at.weight, at.grad_output)))
    assert "padded and cropped to full size" in words


#: Those whose pictures are large are drawn only by long runs.
LARGE = ("all-different", "all-different-3d", "conv1", "transposed", "transposed-3d", "circular", "replicate-3d")
DRAWN = [
    pytest.param(layer, id=layer.name, marks=[pytest.mark.long] * (layer.name in LARGE)) for layer in LAYERS
]  # fmt: skip


@pytest.mark.parametrize("layer", DRAWN)
def test_nothing_overlaps_and_nothing_leaves_the_page(layer):
    for story in stories_of(layer, figures.example_operands(layer), Selection.of(layer)):
        picture = draw(story)
        renderer = FigureCanvasAgg(picture).get_renderer()
        page = picture.bbox
        boxes = []
        for text in picture.axes[0].texts:
            box = Text.get_window_extent(text, renderer)
            assert page.x0 <= box.x0, (story.name, text.get_text())
            assert box.x1 <= page.x1, (story.name, text.get_text())
            assert page.y0 <= box.y0, (story.name, text.get_text())
            assert box.y1 <= page.y1, (story.name, text.get_text())
            boxes.append((box.shrunk(0.96, 0.9), text.get_text()))
        corners = np.array([box.extents for box, _ in boxes])
        for number, (x0, y0, x1, y1) in enumerate(corners):
            hit = (corners[:, 0] < x1) & (corners[:, 2] > x0) & (corners[:, 1] < y1 - 2) & (corners[:, 3] > y0 + 2)
            hit[number] = False
            assert not hit.any(), (story.name, boxes[number][1], [boxes[i][1] for i in np.flatnonzero(hit)])


def test_functions_return_matplotlib_figures_and_leave_pyplot_alone():
    code = (
        "import sys, convcheck\n"
        "from convcheck import figures\n"
        "layer = convcheck.Layer(channels=2, filters=3, kernel=3, stride=2, input=(7, 8), batch=2)\n"
        "at = figures.example_operands(layer)\n"
        "made = [figures.input_gradient(layer, at.weight, at.grad_output, filter=1),\n"
        "        figures.weight_gradient(layer, at.x, at.grad_output, sample=1), figures.channels(layer, at.weight),\n"
        "        figures.overlap(layer), figures.unfold_view(layer, at.x, at.weight, at.grad_output),\n"
        "        figures.errors(layer, 'input', at.x, at.x + 1)]\n"
        "assert all(picture._repr_png_()[:4] == b'\\x89PNG' for picture in made)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert isinstance(figures.overlap(LAYERS[0]), Figure)


def test_svg_is_the_same_to_the_byte_and_speaks():
    layer, at = t3()
    first, second = (figures.encode(figures.input_gradient(layer, at.weight, at.grad_output), "svg") for _ in range(2))
    assert first == second
    root = ElementTree.fromstring(first)
    space = {"s": "http://www.w3.org/2000/svg"}
    assert root.get("role") == "img"
    title, described = root.get("aria-labelledby").split()
    assert {element.get("id") for element in root[:2]} == {title, described}
    assert root.findtext("s:title", namespaces=space).startswith("The input gradient dL/dX")
    described = root.findtext("s:desc", namespaces=space)
    assert "Layer T3-stride-2" in described
    assert "Panel 2: The dilated dL/dO. 1 zero inserted between neighbours (stride 2); 3×3 = (2-1)·2+1." in described
    assert "3×3 = (2-1)·2+1" in [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert not re.search(rb"20\d\d-\d\d", first)


def test_svg_does_not_depend_on_what_was_drawn_before():
    layer, at = t3()
    code = (
        "import sys\nfrom convcheck import figures, load\n"
        "layer = next(layer for layer in load('textbook').layers if layer.name == 'T3-stride-2')\n"
        "at = figures.example_operands(layer)\n"
        "sys.stdout.buffer.write(figures.encode(figures.input_gradient(layer, at.weight, at.grad_output), 'svg'))\n"
    )
    fresh = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    figures.encode(figures.overlap(layer), "svg")
    assert figures.encode(figures.input_gradient(layer, at.weight, at.grad_output), "svg") == fresh


def test_png_prints():
    picture = figures.overlap(LAYERS[0])
    image = Image.open(io.BytesIO(figures.encode(picture, "png")))
    assert round(image.info["dpi"][0]) == 200
    assert image.width == pytest.approx(picture.get_figwidth() * 200, abs=2)
    assert image.info["Title"] == picture.title


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_animation_has_a_frame_per_entry(kind):
    layer, at = t3()
    moving = figures.input_gradient_animation(layer, at.weight, at.grad_output)
    assert len(moving.frames) == 25
    image = Image.open(io.BytesIO(moving.encode(kind)))
    assert image.n_frames == 25
    assert len({frame.tobytes() for frame in moving.frames}) == 25


def step_texts(make, *arrays, **options):
    """What the frames of an animation say, without drawing it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(animation, "_animated", lambda layer, name, title, intro, panels, steps: (panels, steps))
        return make(*arrays, **options)


def test_animation_says_the_terms_and_the_sum_over_filters():
    layer, at = t3()
    _, steps = step_texts(figures.input_gradient_animation, layer, at.weight, at.grad_output)
    texts = {step.entry: step.text for step in steps}
    assert texts[2, 2] == "dL/dX[2,2] = 5·5 + (−1)·1 + 4·(−1) + (−4)·(−4) = 36"
    layer = layer_of("textbook", "T1-channels-equal-filters")
    at = figures.example_operands(layer)
    right = backward(layer, at.x, at.weight, at.grad_output)
    wrong = right.input.copy()
    wrong[0, 0, 2, 0] += 1
    _, steps = step_texts(figures.input_gradient_animation, layer, at.weight, at.grad_output, ("MyConv", wrong))
    values = {step.entry: step.value for step in steps}
    assert values == {place: right.input[(0, 0, *place)] for place in np.ndindex(*layer.input)}
    assert [step.entry for step in steps if not step.right] == [(2, 0)]
    (told,) = [step.text for step in steps if step.entry == (2, 0)]
    value = int(right.input[0, 0, 2, 0])
    assert f"= {value}. MyConv gives {value + 1}".replace("-", "−") in told
    assert "filter 0's part of dL/dX[2,0]" in told


@pytest.mark.parametrize("name", ["T3-stride-2", "T2-causal", "T1-groups"])
def test_the_other_animation_walks_tap_by_tap(name):
    layer = layer_of("textbook", name)
    at = figures.example_operands(layer)
    right = backward(layer, at.x, at.weight, at.grad_output)
    _, steps = step_texts(figures.weight_gradient_animation, layer, at.x, at.grad_output, ("MyConv", right.weight))
    assert {step.entry: step.value for step in steps} == dict(np.ndenumerate(right.weight[0, 0]))
    assert all(step.text.endswith("MyConv gives the same") for step in steps)


@pytest.mark.parametrize("layer", KINDS, ids=lambda layer: layer.name)
def test_animations_of_other_kinds_fill_what_the_layer_gives(layer):
    at = figures.example_operands(layer)
    right = backward(layer, at.x, at.weight, at.grad_output)
    panels, steps = step_texts(
        figures.input_gradient_animation, layer, at.weight, at.grad_output, ("MyConv", right.input)
    )
    assert {step.entry: step.value for step in steps} == dict(np.ndenumerate(right.input[0, 0]))
    assert all(step.text.endswith("MyConv gives the same") for step in steps)
    # What lies on the cells adds up to the entry, of a layer with one filter that reads it.
    for step in steps if layer.filters_per_group == 1 else ():
        first = panels[0]
        laid = [(first.values[cell], factors.split("×")[1:]) for cell, factors in step.cells.items()]
        assert step.value == sum(value * int(factor.replace("−", "-")) for value, all_ in laid for factor in all_)
    wrong = right.weight.copy()
    wrong[(0, 0, *(0,) * len(layer.kernel))] += 1
    _, steps = step_texts(figures.weight_gradient_animation, layer, at.x, at.grad_output, ("MyConv", wrong))
    assert {step.entry: step.value for step in steps} == dict(np.ndenumerate(right.weight[0, 0]))
    assert [step.entry for step in steps if not step.right] == [(0,) * len(layer.kernel)]


def test_animation_of_one_axis_goes_to_the_end():
    layer = Layer(1, 2, [3], 2, input=[26], batch=1)
    at = figures.example_operands(layer)
    _, steps = step_texts(figures.input_gradient_animation, layer, at.weight, at.grad_output)
    assert [step.entry for step in steps] == [(p,) for p in range(26)]


def test_two_pictures_fit_on_one_page():
    layer, at = t3()
    made = [figures.overlap(layer), figures.input_gradient(layer, at.weight, at.grad_output)]
    written = [figures.encode(picture, "svg").decode() for picture in made]
    first, second = (set(re.findall(r'\bid="([^"]+)"', text)) for text in written)
    assert first
    assert not first & second
    for text, ids in zip(written, (first, second), strict=True):
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)) <= {(i, "") for i in ids} | {
            ("", i) for i in ids
        }


def test_outlines_have_contrast_on_every_colour():
    def luminance(color):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    axes = Figure().add_axes((0, 0, 1, 1))
    style.outline(axes, 0, 0, 1, 1)
    drawn = [patch.get_edgecolor()[:3] for patch in axes.patches]
    assert len(drawn) == 2
    for value in np.linspace(-5, 5, 101):
        background = luminance(style.cell_color(value, 5))
        pairs = [sorted((background, luminance(line))) for line in drawn]
        assert max((high + 0.05) / (low + 0.05) for low, high in pairs) >= 3


def test_wrong_cells_differ_by_shape():
    axes = Figure().add_axes((0, 0, 1, 1))
    style.verdict(axes, 0, 0, 0.4, (1.0, 1.0, 1.0), right=True)
    assert (len(axes.lines), len(axes.patches)) == (1, 0)
    style.verdict(axes, 0, 0, 0.4, (1.0, 1.0, 1.0), right=False)
    assert (len(axes.lines), len(axes.patches)) == (3, 1)


def test_formats_that_cannot_be_written(monkeypatch):
    with pytest.raises(UsageError, match='format "bmp" is not one of png, svg'):
        figures.encode(figures.overlap(LAYERS[0]), "bmp")
    with pytest.raises(UsageError, match='format "mp4" is not one of gif, webp, apng'):
        animation.require("mp4")
    monkeypatch.setattr(animation.features, "check", lambda name: False)
    with pytest.raises(
        UsageError, match="format webp cannot be written: this Pillow was built without libwebp; use gif"
    ):
        animation.require("webp")


def test_ink_has_the_higher_contrast():
    assert style.contrast((1.0, 1.0, 1.0)) == "black"
    assert style.contrast((0.0, 0.1, 0.4)) == "white"
    assert style.contrast(style.cell_color(5, 5)) == "white"
    assert style.contrast(style.cell_color(-1, 5)) == "black"


def test_colours_are_centred_on_zero():
    red, blue, white = (style.cell_color(value, 3) for value in (-3, 3, 0))
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert min(white) > 0.95
    assert style.cell_color(float("nan"), 3) == (0.75, 0.75, 0.75)


def test_a_new_picture_is_one_new_file(tmp_path, monkeypatch):
    assert {"errors", "overlap"} < stories.tellers().keys() <= vars(figures).keys()
    (tmp_path / "trial_picture.py").write_text(
        "from convcheck.explain.pictures.panel import Panel, Story\n"
        "def story(layer, x):\n"
        "    return Story('trial', 'X', (), (Panel.of('1', 'X', [], x[0, 0]),))\n"
    )
    monkeypatch.setattr(pictures, "__path__", [*pictures.__path__, str(tmp_path)])
    stories.tellers.cache_clear()
    try:
        layer, at = t3()
        assert stories_of(layer, at, Selection.of(layer))[-1].name == "trial"
    finally:
        sys.modules.pop("convcheck.explain.pictures.trial_picture")
        stories.tellers.cache_clear()
