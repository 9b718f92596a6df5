import pytest

from convcheck import Layer, UsageError
from convcheck.checks.memory import estimate, require


def test_the_estimate_grows_with_every_size():
    small = Layer(2, 3, 3, input=(9, 9))
    for other in (Layer(4, 3, 3, input=(9, 9)), Layer(2, 6, 3, input=(9, 9)), Layer(2, 3, 3, input=(9, 18))):
        assert estimate(other) > estimate(small)


def test_what_fits_is_allowed_and_what_does_not_is_named_with_its_estimate(monkeypatch):
    layer = Layer(64, 64, 3, input=(512, 512))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": 2 * estimate(layer)}))
    require([("a.yaml:3: layer big", layer)])
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": 2**20}))
    with pytest.raises(UsageError) as caught:
        require([("a.yaml:3: layer big", layer), ("a.yaml:9: layer tiny", Layer(1, 1, 1))])
    (line,) = str(caught.value).splitlines()
    assert line.startswith("a.yaml:3: layer big would need about ")
    assert line.endswith("expected a smaller input, batch or number of channels")


def test_sizes_beyond_any_float_are_refused_too():
    with pytest.raises(UsageError, match=r"would need about [\d,]+\.\d GiB"):
        require([("layer endless", Layer(1, 1, 3, input=(10**200, 10**200)))])
