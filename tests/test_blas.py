import sys

import pytest

from convcheck.blas import choose_kernels

ZEN_5 = "vendor_id\t: AuthenticAMD\ncpu family\t: 26\nflags\t\t: fpu avx2 avx512f avx512vl\n\nvendor_id\t: Other\n"


@pytest.fixture
def before_numpy(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.delitem(sys.modules, "numpy", raising=False)

    def chosen(text):
        import os

        (tmp_path / "cpuinfo").write_text(text)
        choose_kernels(tmp_path / "cpuinfo")
        return os.environ.get("OPENBLAS_CORETYPE")

    yield chosen
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)


def test_a_processor_that_openblas_does_not_know_gets_the_kernels_it_can_run(before_numpy):
    assert before_numpy(ZEN_5) == "SKYLAKEX"


@pytest.mark.parametrize(
    "text",
    [
        ZEN_5.replace("26", "25"),
        ZEN_5.replace("AuthenticAMD", "GenuineIntel"),
        ZEN_5.replace(" avx512vl", ""),
        "nonsense",
        "",
    ],
)
def test_others_keep_what_openblas_chooses(before_numpy, text):
    assert before_numpy(text) is None


def test_a_users_own_choice_stands(before_numpy, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "ZEN")
    assert before_numpy(ZEN_5) == "ZEN"


def test_nothing_happens_once_numpy_is_there_or_where_there_is_no_such_file(monkeypatch, tmp_path):
    import os

    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setitem(sys.modules, "numpy", sys)
    choose_kernels(tmp_path / "missing")
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    choose_kernels(tmp_path / "missing")
    assert "OPENBLAS_CORETYPE" not in os.environ
