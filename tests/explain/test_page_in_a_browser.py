"""The interactive page in a real browser: its equations are explain's, its numbers the report's; keys and clicks."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from convcheck import Layer, backward, forward, load
from convcheck.explain.sums import entry
from convcheck.explain.sums.notation import NOTATIONS, notation
from convcheck.explain.sums.terms import explain
from convcheck.targets.features import KINDS as KINDS_OF_CODE
from convcheck.verification import verify
from tests.browser import page, shown
from tests.explain.kinds import KINDS as OTHER_KINDS
from tests.explain.test_page import CONV1, EXAMPLE, Unflipped
from tests.parts import target
from tests.targets_for_tests import UNFOLD, Right

TEXTBOOK = {layer.name: layer for layer in load("textbook").layers}

#: A layer of every kind.
KINDS = [
    EXAMPLE,
    TEXTBOOK["T2-causal"],
    TEXTBOOK["T3-volume"],
    TEXTBOOK["T1-groups"],
    TEXTBOOK["T4-depthwise"],
    TEXTBOOK["T3-dilation"],
    TEXTBOOK["T0-remainder"],
    TEXTBOOK["T3-crop"],
    Layer(2, 3, 1, stride=2, input=[5, 6], name="downsample"),
    Layer(1, 2, 4, stride=3, padding=[[2, 1]], dilation=2, input=[13], name="line"),
    *OTHER_KINDS,
]

#: What the page says of entries: symbols, LaTeX, terms, what falls away, the sum.
TELL = """([notation, entries]) => entries.map(([map, index]) => {
  const found = window.convcheck.known(map, index, notation);
  return { ...found, terms: found.terms.map((term) => term.factors.map((f) => [f.array, f.index, f.value])) };
})"""

MAPS = {"input": "dX", "weight": "dW", "bias": "db", "output": "O"}


def shape_of(layer, array):
    return getattr(layer, f"{array}_shape")


def entries_of(layer, most=None):
    """Some entries of every array, the corners among them; all of them without a limit."""
    for array in MAPS:
        if array == "bias" and not layer.bias:
            continue
        every = list(np.ndindex(*shape_of(layer, array)))
        if most is not None:
            every = [every[int(place)] for place in np.unique(np.linspace(0, len(every) - 1, most))]
        yield from ((array, index) for index in every)


def compare_equations(visited, one, entries, writing):
    told = visited(TELL, [writing.name, [[MAPS[array], list(index)] for array, index in entries]])
    for (array, index), said in zip(entries, told, strict=True):
        found = explain(one.layer, one.operands, array, index)
        formula = entry.expanded(found, writing)
        assert (said["text"],) == formula.text, (array, index)
        assert tuple(said["latex"]) == formula.latex, (array, index)
        assert said["value"] == found.value == found.reference
        assert [tuple(each.values()) for each in said["excluded"]] == [tuple(each) for each in found.excluded]
        factors = [[[f.array, list(f.index), f.value] for f in term.factors] for term in found.terms]
        assert said["terms"] == factors


@pytest.mark.long
@pytest.mark.parametrize("layer", [*TEXTBOOK.values(), *KINDS], ids=lambda layer: layer.name)
def test_all_equations_are_those_of_explain(visit, layer):
    one = shown(layer)
    visited = visit(page(one))
    for writing in (notation(None), notation("T3")):
        compare_equations(visited, one, list(entries_of(layer)), writing)


SLICES = """() => {
  const { current } = window.convcheck, { model } = current, all = [];
  for (const n of model.range("samples")) for (const f of model.range("filters")) for (const c of model.channelsOf(f)) {
    const slice = { n, c, f };
    all.push([n, c, f, ...["dX", "dW", "O"].map((map) => [...model.values(map, slice)]),
      model.spec.bias ? model.values("db", slice)[f] : null]);
  }
  return all;
}"""


@pytest.mark.parametrize("layer", KINDS, ids=lambda layer: layer.name)
def test_equations_are_those_of_explain_and_maps_the_arrays(visit, layer):
    one = shown(layer, data="integers")
    at, visited = one.operands, visit(page(one))
    for writing in NOTATIONS.values():
        compare_equations(visited, one, list(entries_of(layer, 3)), writing)
    right = backward(layer, at.x, at.weight, at.grad_output)
    output = forward(layer, at.x, at.weight, at.bias)
    seen = 0
    for n, c, f, dx, dw, o, db in visited(SLICES):
        assert dx == right.input[n, c].ravel().tolist()
        assert dw == right.weight[layer.slice_between(c, f)].ravel().tolist()
        assert o == output[n, f].ravel().tolist()
        assert db == (right.bias[f] if layer.bias else None)
        seen += 1
    assert seen == layer.batch * layer.filters * layer.channels_per_group
    # What stands in the cells is the same: the maps that are shown, number by number.
    for map_, array in (("dX", right.input), ("dO", at.grad_output), ("X", at.x)):
        if len(layer.input) < 3:
            cells = visited.page.locator(f'[data-map="{map_}"] .value').all_inner_texts()
            assert [float(text.replace("−", "-")) for text in cells] == array[0, 0].ravel().tolist()


def test_selecting_by_click_key_and_pointer(visit):
    visited = visit(page(shown(EXAMPLE)))
    # The worked entry: its equation, its cells by letter, and why the rest falls away.
    assert "5·5" in visited.text("#equation")
    assert "= 36" in visited.text("#equation")
    assert visited.cell("dX", 12).get_attribute("aria-label") == "dL/dX row 2 column 2, 36, 4 terms"
    assert [visited.cell("dO", i).locator(".letter").inner_text() for i in range(4)] == ["i", "g", "c", "a"]
    assert visited.cell("dO", 0).locator(".part").inner_text() == "5×5"
    falls = visited.page.locator(".excluded li").all_text_contents()
    assert "tap [0,1] column: the window would start at 1, which is no multiple of the stride 2" in falls
    assert visited.page.locator('[data-map="spread"] td.framed').count() == 9
    assert visited.page.locator('[data-map="X"] td.dim').count() == 24
    # A click pins another one, in any map; the pin survives a change of view; Esc lets go.
    visited.cell("dW", 0).click()
    assert "dL/dW[0,0,0,0]" in visited.text("#equation")
    visited.page.locator("#tab-collect").click()
    assert "dL/dW[0,0,0,0]" in visited.text("#equation")
    visited.page.keyboard.press("Escape")
    assert "Point at a cell" in visited.text("#equation")
    # Without a pin, what is pointed at is previewed.
    visited.cell("dX", 0).hover()
    assert "dL/dX[0,0,0,0]" in visited.text("#equation")
    visited.cell("dO", 3).click()
    assert "is handed back to" in visited.text("#equation")
    assert visited.page.locator("#equation .chip").count() == 9
    # By keys alone: Tab into a map, arrows, Enter.
    visited.cell("dX", 0).focus()
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        visited.page.keyboard.press(key)
    assert "dL/dX[0,0,1,1]" in visited.text("#equation")
    # A term and its cell light each other.
    visited.cell("dX", 12).click()
    visited.page.locator("#equation .chip").nth(1).hover()
    assert "lit-up" in visited.cell("dO", 1).get_attribute("class")
    visited.cell("dO", 2).hover()
    assert visited.page.locator("#equation .chip.lit-up .numbers").inner_text().endswith("4·(−1)")
    # What has no part says why.
    visited.cell("spread", 0).hover()
    assert "border zero" in visited.text("#told")
    # The equation is said aloud, and the URL keeps the place.
    assert visited.page.locator("#spoken").inner_text() == "dL/dX[0,0,2,2] = 5·5 + (−1)·1 + 4·(−1) + (−4)·(−4) = 36"
    visited.page.wait_for_url("**view=collect**")
    again = visited.page.evaluate("location.hash")
    visited.page.evaluate("location.hash = '#case=0&view=weights&at=dW[0,0,1,1]&base=1'")
    visited.comes("#equation", "dL/dW[1,1,2,2]")
    visited.page.evaluate("(hash) => { location.hash = hash; }", again)
    visited.comes("#equation", "dL/dX[0,0,2,2]")


def test_views_of_one_entry_and_their_steps(visit):
    visited = visit(page(shown(EXAMPLE)))
    said = {}
    for view in ("handback", "collect", "weights", "matrix", "wires", "errors"):
        visited.page.locator(f"#tab-{view}").click()
        said[view] = visited.text("#equation .terms")
    assert said["handback"] == said["collect"]
    visited.page.locator("#tab-wires").click()
    assert "from left to right through taps 2, 0" in visited.text(".said")
    # Steps: the first window, then on, back, and by the slider to the end.
    visited.page.locator("#tab-handback").click()
    visited.page.locator("#next-step").click()
    assert "step 1 of 4" in visited.text("#time-words")
    assert visited.page.locator('[data-map="dX"] td.blank').count() == 25 - 9
    visited.page.keyboard.press(".")
    assert visited.page.locator('[data-map="dX"] td.blank').count() == 25 - 15
    visited.page.keyboard.press(",")
    assert "step 1 of 4" in visited.text("#time-words")
    visited.page.locator("#time-slider").fill("4")
    assert "all 4 steps" in visited.text("#time-words")
    visited.cell("dX", 2).click()
    visited.page.locator("#tab-collect").click()
    visited.page.locator("#speed").select_option("4")
    visited.page.keyboard.press(" ")
    # It plays, and waits at the pin.
    visited.comes("#time-words", "step 3 of 25")
    visited.comes("#play", "Play")
    assert "dL/dX[0,0,0,2]" in visited.text("#equation")


def test_sliders_edits_and_the_way_back(visit):
    visited = visit(page(shown(EXAMPLE)))
    rows = visited.page.locator("#axes fieldset").first
    before = visited.page.locator('[data-map="spread"] td.inserted').count()
    assert before > 0
    assert "at most 5" in rows.locator("[data-size=kernel]").inner_text()
    for axis in range(2):
        number = visited.page.locator("#axes fieldset").nth(axis).locator("[data-size=stride] input[type=number]")
        number.fill("1")
        number.press("Enter")
    assert visited.page.locator('[data-map="spread"] td.inserted').count() == 0
    assert "Not your layer any more" in visited.text("#banner")
    # An impossible kernel is not taken, with the reason; a remainder is shown.
    kernel = rows.locator("[data-size=kernel] input[type=number]")
    kernel.fill("9")
    kernel.press("Enter")
    assert "kernel 9 is not possible" in visited.text("#told")
    stride = rows.locator("[data-size=stride] input[type=number]")
    rows.locator("[data-size=kernel] input[type=number]").fill("2")
    stride.fill("2")
    stride.press("Enter")
    assert "remainder 1" in rows.inner_text()
    page_sums_hold(visited)
    visited.page.locator("#back").click()
    assert not visited.page.locator("#banner").is_visible()
    assert visited.page.locator('[data-map="spread"] td.inserted').count() == before
    # A number of dL/dO is changed: everything follows, and goes back.
    visited.cell("dO", 0).dblclick()
    visited.page.keyboard.type("7")
    visited.page.keyboard.press("Enter")
    visited.cell("dX", 12).click()
    assert "= 46" in visited.text("#equation")
    assert "1 number changed" in visited.text("#banner")
    visited.page.locator("#reset").click()
    assert "= 36" in visited.text("#equation")


@pytest.mark.parametrize("layer", OTHER_KINDS, ids=lambda layer: layer.name)
def test_every_view_of_other_kinds(visit, layer):
    visited = visit(page(shown(layer)))
    said = {}
    for view in visited.page.locator("[data-view]").evaluate_all("(all) => all.map((each) => each.dataset.view)"):
        visited.page.locator(f"#tab-{view}").click()
        said[view] = visited.text("#about")
        if view == "wires":
            assert visited.page.locator(".wires .wire.lit").count() > 0
            copies = visited.page.locator(".wires .node.copy").count()
            assert copies == (sum(layer.padding[0]) if layer.repeats_samples else 0)
        elif view in ("handback", "collect", "weights"):
            visited.page.locator("#next-step").click()
            visited.page.locator("#time-slider").evaluate(
                "(one) => { one.value = one.max; one.dispatchEvent(new Event('input')); }"
            )
        page_sums_hold(visited)
    assert ("nothing is turned" in said["collect"]) == layer.transposed
    # A transposed layer lays W over dL/dO itself; others turn it.
    visited.page.locator("#tab-collect").click()
    assert visited.page.locator('[data-map="turned"]').count() == (0 if layer.transposed else 1)
    entries = [one for one in entries_of(layer, 4) if one[0] == "input"]
    visited("([map, index]) => window.convcheck.pin({ map, index })", ["dX", list(entries[1][1])])
    lettered = visited.page.locator('[data-map="spread"] td.framed').count()
    copies = (
        prod(len(axis.positions(p)) for axis, p in zip(layer.axes, entries[1][1][2:], strict=True))
        if (layer.repeats_samples)
        else 1
    )
    if len(layer.input) < 3:
        assert 0 < lettered <= copies * prod(layer.kernel)


@pytest.mark.parametrize("layer", [OTHER_KINDS[0], OTHER_KINDS[3]], ids=lambda layer: layer.name)
def test_sliders_of_other_kinds(visit, layer):
    visited = visit(page(shown(layer)))
    rows = visited.page.locator("#axes fieldset").first
    for size in ("input", "kernel", "stride", "dilation", "before", "after"):
        for end in ("min", "max"):
            slider = rows.locator(f"[data-size={size}] input[type=range]")
            if slider.is_disabled():
                continue
            number = rows.locator(f"[data-size={size}] input[type=number]")
            number.fill(slider.get_attribute(end))
            number.press("Enter")
            page_sums_hold(visited)
            assert "not possible" not in visited.text("#told")
            if visited.page.locator("#back").is_visible():
                visited.page.locator("#back").click()
    words = rows.inner_text()
    if layer.transposed:
        assert "of output padding" in words
        assert "needs a stride or a dilation above it" in words
    else:
        assert "reflect padding is at most 3 on 4 samples" in words


@pytest.mark.parametrize("layer", OTHER_KINDS[:1] + OTHER_KINDS[3:4], ids=lambda layer: layer.name)
def test_the_errors_of_other_kinds_are_those_of_the_code(visit, layer):
    one = shown(layer, target(Unflipped, supports=sorted(KINDS_OF_CODE)))
    visited = visit(page(one))
    compared = next(array for array in one.judged.arrays if array.gradient == "input")
    count = int((compared.given != compared.right).sum())
    assert f"{count} of {compared.given.size} entries wrong" in visited.text(".verdict")
    assert "kernel-not-flipped" in visited.text(".verdict")
    n, c = (visited(f"() => window.convcheck.state.slice.{letter}") for letter in "nc")
    here = int((compared.given[n, c] != compared.right[n, c]).sum())
    assert visited.page.locator('[data-map="given"] td.wrong').count() == here > 0


def page_sums_hold(visited):
    """What the page computes of the layer that it has now is what the built-in passes give."""
    told = visited("() => { const m = window.convcheck.current.model; return { spec: m.spec, arrays: "
                   "Object.fromEntries(Object.entries(m.arrays).map(([k, a]) => [k, a && [a.shape, [...a.values]]])), "
                   "dx: [...m.values('dX', {n: 0, c: 0, f: 0})] }; }")  # fmt: skip
    layer = Layer(**told["spec"])
    x, weight, gradient = (np.reshape(*reversed(told["arrays"][name])) for name in ("x", "weight", "grad_output"))
    assert backward(layer, x, weight, gradient).input[0, 0].ravel().tolist() == told["dx"]


def test_the_quiz(visit):
    visited = visit(page(shown(EXAMPLE)))
    visited.page.locator("#quiz").click()
    assert visited.page.locator('[data-map="dX"] td.blank').count() == 25
    quiz = visited("() => window.convcheck.state.quiz")
    good = dict(quiz["pairs"])
    for wrong in set(range(4)) - set(good):
        visited.cell("dO", wrong).click()
        assert "No: " in visited.text("#told")
    for output, tap in good.items():
        visited.cell("dO", output).click()
        assert "Through which tap" in visited.text("#told")
        visited.cell("W", (tap + 1) % 9).click()
        assert "No: " in visited.text("#told")
        visited.cell("W", tap).click()
    assert f"All {len(good)} found" in visited.text("#told")
    visited.page.locator("#quiz").click()
    assert visited.page.locator('[data-map="dX"] td.blank').count() == 0


def test_errors_are_those_of_the_report(visit):
    layer, code = TEXTBOOK["T1-groups"], target(Unflipped)
    report = verify(layer, target=Unflipped, checks=["forward", "exact"])
    (result,) = [one for one in report.layers[0].results if one.gradient == "input"]
    visited = visit(page(shown(layer, code)))
    assert visited("() => window.convcheck.state.view") == "errors"
    head = visited.text(".verdict")
    assert f"{result.mismatches} of {result.entries} entries wrong" in head
    assert "kernel-not-flipped" in head
    assert result.diagnosis[0].fix in head
    assert "convcheck verify s.yaml" in head
    assert "✓ dL/dW is right" in head
    # The worst entry first, in two equations, term by term.
    given, right = (f"{value:g}".replace("-", "−") for value in (result.worst.analytic, result.worst.numeric))
    assert f"should be = {right}" in visited.text("#equation")
    assert f"with kernel-not-flipped, what your code gave = {given}" in visited.text("#equation")
    assert f"[{','.join(map(str, result.worst.index))}]" in visited.text("#equation .left")
    wrong = visited.page.locator("#equation .chip .wrong").all_inner_texts()
    assert sum(eval(text.replace("−", "-").replace("·", "*")) for text in wrong) == result.worst.analytic
    # Every wrong cell is marked by shape, and n, N and w walk over them.
    marked = visited.page.locator('[data-map="given"] td.wrong').count()
    right_ones = visited.page.locator('[data-map="given"] td.right').count()
    assert marked + right_ones == 70
    counts = visited.page.locator(".counts .thumb").all_inner_texts()
    assert sum(int(text.split()[-1]) for text in counts if "✗" in text) == result.mismatches
    visited.page.keyboard.press("n")
    visited.page.keyboard.press("N")
    visited.page.keyboard.press("w")
    assert f"= {given}" in visited.text("#equation")
    # Another layer: nothing of this holds there.
    visited.page.locator("#axes input[type=range]").first.fill("9")
    assert "go back to them" in visited.text("#view-body")


class WrongForward(Right):
    def forward(self, x, weight, bias, layer):
        output = super().forward(x, weight, bias, layer).copy()
        output[..., 0] = 2 * output[..., 0]
        return output


class OneEntry(Right):
    def backward(self, grad_output):
        right = UNFOLD.backward(self.layer, self.x, self.weight, grad_output)
        wrong = right.input.copy()
        wrong[0, 0, 26, 122] += 1
        return wrong, right.weight, right.bias


def test_a_wrong_forward_pass_is_said_first_and_no_mistake_is_made_up(visit):
    visited = visit(page(shown(EXAMPLE, target(WrongForward))))
    head = visited.text(".verdict")
    assert head.index("The forward pass is wrong") < head.index("diagnosis")
    assert "dL/dX fits the definition" in head
    assert visited("() => window.convcheck.state.pin.map") == "O"


def test_a_single_wrong_entry_of_a_large_layer_is_seen(visit):
    layer = Layer(1, 1, 3, input=[110, 124], batch=1, bias=False)
    visited = visit(page(shown(layer, target(OneEntry))))
    assert "1 of 13,640 entries wrong" in visited.text(".verdict")
    assert "only the difference" in visited.text("#view-body") + visited.text("#equation")
    assert visited.page.locator('[data-map="given"] td.wrong').count() == 1
    # Its pixel in the overview is seen, and no other is.
    visited.page.keyboard.press("Escape")
    marked = visited("""() => {
      const canvas = document.querySelector('[data-map="difference"] canvas');
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      let colored = 0;
      for (let i = 0; i < pixels.length; i += 4) colored += Math.abs(pixels[i] - pixels[i + 2]) > 60;
      return colored;
    }""")
    assert 0 < marked <= 16
    visited.page.locator("#go-to").fill("[0,0,100,7]")
    visited.page.keyboard.press("Enter")
    assert "dL/dX[0,0,100,7]" in visited.text("#equation")
    # Two entries a pixel, each four points wide: a click on it goes to the largest, which is the wrong one.
    visited.page.locator('[data-map="difference"] canvas').click(position={"x": 122 / 2 * 4 + 1, "y": 26 / 2 * 4 + 1})
    assert "dL/dX[0,0,26,122]" in visited.text("#equation")
    visited.page.locator("#go-to").fill("[0,0,26,1000]")
    visited.page.keyboard.press("Enter")
    assert "There is no" in visited.text("#told")


@pytest.mark.long
def test_conv1_at_full_size(visit):
    one = shown(CONV1, data="integers")
    visited = visit(page(one))
    entries = [("input", (0, 0, 26, 222)), ("weight", (63, 0, 6, 0))]
    compare_equations(visited, one, entries, notation(None))
    assert "--channel N" in visited.text("#left-out")
    assert visited.page.locator("#equation .fold").count() == 64


def test_every_mistake_adds_up(visit):
    visited = visit(page(shown(TEXTBOOK["T3-stride-1"])))
    wrong = visited("""() => {
      const bad = [];
      const { state, render, pin } = window.convcheck;
      state.view = "errors";
      const count = JSON.parse(document.getElementById("data").textContent).cases[0].mistakes.length;
      for (let number = 0; number < count; number++) {
        state.wrong = number;
        if (!number) render();
        document.querySelector("#worst-wrong").click();
        const parts = [...document.querySelectorAll("#equation .chip .wrong")].map((each) => each.innerText);
        const total = document.querySelector("#equation .total.bad")?.innerText;
        bad.push([number, parts, total, document.querySelector("#equation .hint")?.innerText]);
      }
      return bad;
    }""")
    assert len(wrong) > 30
    told = 0
    for number, parts, total, hint in wrong:
        if total is None or not parts:
            assert hint or total is None, number
            continue
        value = sum(eval(part.replace("−", "-").replace("·", "*")) for part in parts if part != "no term")
        assert value == pytest.approx(float(total.split("=")[-1].replace("−", "-")), rel=1e-5), number
        told += 1
    assert told > 20


def test_a_volume_has_planes(visit):
    visited = visit(page(shown(TEXTBOOK["T3-volume"])))
    assert visited.page.locator(".planes").count() == 7
    words = visited.text('[data-map="dO"] .planes')
    assert "more in" in words
    slider = visited.page.locator('[data-map="X"] .planes input')
    slider.fill("3")
    assert "plane 3 of 4" in visited.text('[data-map="X"] .planes')
    visited.page.locator("#tab-collect").click()
    assert "reversed along all three axes" in visited.text("#about")


LAYOUT = """() => ({ width: document.documentElement.scrollWidth, inner: innerWidth,
  small: [...document.querySelectorAll("button, select, input, td[role=gridcell], summary")].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.width && (box.height < 43.5 || box.width < 43.5) && !each.closest("label.check");
  }).map((each) => each.outerHTML.slice(0, 80)) })"""


VIEWS = ("errors", "handback", "collect", "weights", "bias", "matrix", "channels", "wires")


@pytest.mark.parametrize(
    ("scheme", "views"),
    [
        ("dark", ("errors", "channels")),
        pytest.param("light", VIEWS, marks=pytest.mark.long),
        pytest.param("dark", VIEWS, marks=pytest.mark.long),
    ],
)
def test_phone_width_and_accessibility(visit, scheme, views):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed").Axe()
    layer = Layer(2, 4, 2, stride=[2, 1], groups=2, input=[5, 4])
    visited = visit(page(shown(layer, target(Unflipped))), viewport={"width": 390, "height": 844}, color_scheme=scheme,
                    has_touch=True)  # fmt: skip
    for view in views:
        visited.page.locator(f"#tab-{view}").click()
        found = visited(LAYOUT)
        assert found["width"] <= found["inner"], view
        assert found["small"] == [], view
        wrong = axe.run(visited.page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in wrong] == [], view


def test_without_javascript_and_with_little_motion(visit):
    html = page(shown(EXAMPLE))
    visited = visit(html, java_script_enabled=False)
    assert visited.page.locator("#still svg").is_visible()
    assert "= 36" in visited.text("#still pre")
    assert not visited.page.locator("#app").is_visible()
    calm = visit(html, reduced_motion="reduce")
    assert not calm.page.locator("#play").is_visible()
    calm.page.locator("#next-step").click()
    assert "step 1 of 4" in calm.text("#time-words")


def test_copies_and_the_keys(visit):
    visited = visit(page(shown(EXAMPLE)), permissions=["clipboard-read", "clipboard-write"], accept_downloads=True)
    assert visited("() => window.convcheck.command()") == (
        "convcheck explain s.yaml --layer it --entry 'input[0,0,2,2]'"
    )
    visited.page.locator("#copy-latex").click()
    copied = visited.page.locator("#told textarea")
    if copied.count():
        assert r"\frac{\partial L}{\partial X_{0,0,2,2}}" in copied.input_value()
    with visited.page.expect_download() as saved:
        visited.page.locator("#save-svg").click()
    drawing = saved.value.path().read_text(encoding="utf-8")
    assert drawing.startswith("<svg")
    assert ">36<" in drawing
    visited.page.locator("#help-button").click()
    assert visited.page.locator("#help").is_visible()
    visited.page.keyboard.press("Escape")
    visited.page.locator("#base").check()
    assert "dL/dX[1,1,3,3]" in visited.text("#equation")
