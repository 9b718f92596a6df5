import tracemalloc
from dataclasses import replace

import pytest

from convcheck import Layer, UsageError, verify
from convcheck.checks.memory import estimate, require
from tests.targets_for_tests import Right

CHECKS = ["forward", "projected", "conditions"]


@pytest.mark.parametrize(
    ("target", "layer"),
    [
        (Right, Layer(64, 2, 1, input=(16, 16), batch=4, name="mostly input")),
        (Right, Layer(2, 64, 1, input=(16, 16), batch=4, name="mostly output")),
        (Right, Layer(128, 96, 2, input=(3, 3), batch=1, name="mostly weight")),
        (None, Layer(1, 64, 2, dilation=14, input=(16, 16), batch=4, name="mostly full windows")),
        (None, Layer(2, 40, 1, stride=10, input=(41, 41), batch=2, name="mostly zeros between outputs")),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_estimate_is_no_less_than_it_takes_and_not_much_more(target, layer):
    # What is imported on the way is no memory of the layer's.
    verify(Layer(1, 1, 1), target=target, checks=CHECKS)
    tracemalloc.start()
    try:
        assert verify(layer, target=target, checks=CHECKS).passed
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= estimate(layer) <= 5 * peak


def test_the_estimate_grows_with_every_size():
    small = Layer(2, 3, 3, input=(9, 9))
    for larger in (
        {"channels": 4},
        {"filters": 6},
        {"input": (9, 18)},
        {"batch": 3},
        {"kernel": (3, 5), "padding": ((0, 0), (1, 1))},
        {"padding": 1},
        {"stride": 2, "input": (17, 17)},
        {"dilation": 2, "padding": 1},
    ):
        assert estimate(replace(small, **larger)) > estimate(small)


def test_the_estimate_is_in_proportion_to_the_batch_but_for_the_weight():
    once, twice, thrice = (estimate(Layer(2, 3, 3, input=(9, 9), batch=batch)) for batch in (1, 2, 3))
    assert thrice - twice == twice - once > 0
    assert 0 < 2 * once - twice < once / 4


def test_what_fits_is_allowed_and_what_does_not_is_named_with_its_estimate(monkeypatch):
    layer = Layer(64, 64, 3, input=(512, 512))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": 2 * estimate(layer)}))
    require([("a.yaml:3: layer big", layer)])
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": 2**20}))
    with pytest.raises(UsageError) as caught:
        require([("a.yaml:3: layer big", layer), ("a.yaml:9: layer tiny", Layer(1, 1, 1))])
    assert f"{estimate(layer) / 2**30:.1f} GiB of memory, but 0.0 GiB are free" in str(caught.value)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("a.yaml:3: layer big would need about ")
    assert line.endswith("expected a smaller input, batch or number of channels")


class TestSideBySide:
    LAYERS = tuple(Layer(8, 8, 3, input=(size, 30)) for size in (10, 200, 60, 100))
    LARGEST = tuple(sorted(map(estimate, LAYERS), reverse=True))

    def require(self, free, at_once, monkeypatch):
        monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": free}))
        require([(f"layer {number}", layer) for number, layer in enumerate(self.LAYERS)], at_once)

    @pytest.mark.parametrize("at_once", [1, 2, 3, 4, 9])
    def test_the_largest_must_fit_together(self, at_once, monkeypatch):
        needed = sum(self.LARGEST[:at_once])
        self.require(needed, at_once, monkeypatch)
        with pytest.raises(UsageError) as caught:
            self.require(needed - 1, at_once, monkeypatch)
        if at_once > 1:
            assert str(caught.value).startswith(f"{at_once} layers at once would need ")
            assert str(caught.value).endswith("free; expected fewer jobs")

    def test_unless_it_is_said_they_are_checked_one_after_the_other(self, monkeypatch):
        monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": self.LARGEST[0]}))
        require([("layer", layer) for layer in self.LAYERS])

    def test_one_that_does_not_fit_by_itself_is_all_that_is_said(self, monkeypatch):
        with pytest.raises(UsageError) as caught:
            self.require(self.LARGEST[1], 4, monkeypatch)
        (line,) = str(caught.value).splitlines()
        assert line.startswith("layer 1 would need")

    def test_each_that_does_not_fit_has_its_line(self, monkeypatch):
        with pytest.raises(UsageError) as caught:
            self.require(self.LARGEST[2], 1, monkeypatch)
        assert [line.split(" would")[0] for line in str(caught.value).splitlines()] == ["layer 1", "layer 3"]


def test_gibibytes_are_rounded_to_tenths(monkeypatch):
    layer = Layer(64, 64, 3, input=(512, 512))
    for free, words in ((2**30 + 2**30 // 4, "1.3 GiB"), (5 * 2**30 + 2**29 + 2**20, "5.5 GiB"), (2**26, "0.1 GiB")):
        monkeypatch.setattr("psutil.virtual_memory", lambda free=free: type("M", (), {"available": free}))
        with pytest.raises(UsageError, match=f" but {words} are free"):
            require([("layer big", layer)])


def test_sizes_beyond_any_float_are_refused_too():
    with pytest.raises(UsageError, match=r"would need about [\d,]+\.\d GiB"):
        require([("layer endless", Layer(10**200, 1, 3, input=(9, 9)))])
