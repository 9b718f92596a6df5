import json

import pytest

from convcheck import Layer
from convcheck.bench.report import BenchReport, CheckBench, LayerBench
from convcheck.bench.timing import Timing
from convcheck.render.bench_table import render

LAYER = Layer(4, 4, 1, input=(5, 5), batch=1, name="[conv]")  # 400 multiply-adds


def timing(*seconds):
    return Timing(seconds)


REPORT = BenchReport(
    config="mine.yaml",
    contenders=("unfold", "torch"),
    matrix_rates={"float64": 1e6},
    layers=(
        LayerBench(LAYER, 2, {"unfold": timing(0.002, 0.004, 0.003), "torch": timing(0.006)}),
        LayerBench(Layer(1, 1, 1, name="b"), 1, {"unfold": timing(0.008), "torch": timing(0.001)}),
    ),
    checks=(CheckBench(LAYER, timing(0.5), timing(20.0)),),
    reference="torch",
    convcheck_version="1",
)


def test_ratios_are_to_the_reference_and_their_mean_is_geometric():
    assert REPORT.ratios("unfold") == [pytest.approx(0.5), pytest.approx(8.0)]
    assert REPORT.geometric_mean("unfold") == pytest.approx(2.0)
    assert REPORT.geometric_mean("torch") == pytest.approx(1.0)
    assert REPORT.layers[0].ratio("unfold", "index_sum") is None


def test_the_share_counts_three_passes():
    assert REPORT.share(REPORT.layers[0], "unfold") == pytest.approx(3 * 400 / 0.003 / 1e6)


def test_as_json():
    data = json.loads(json.dumps(REPORT.to_dict(), allow_nan=False))
    assert data["geometric_mean_ratios"]["unfold"] == pytest.approx(2.0)
    assert data["layers"][0]["contenders"]["unfold"]["seconds"] == [0.002, 0.004, 0.003]
    assert data["checks"][0]["ratio"] == 40.0


def test_as_tables():
    text = render(REPORT, width=80)
    assert "[conv] · 4 → 4 · kernel 1×1 · stride 1×1 · 5×5 · float64 · 2 layers alike" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["unfold", "3", "2–4", "0.50", "40%"] in rows
    assert ["unfold", "2.00", "8.00", "0.50", "40%"] in rows
    assert ["[conv]", "500", "20,000", "40.0"] in rows
