"""What a notebook shows, read back by an HTML parser."""

from dataclasses import replace
from html.parser import HTMLParser

from convcheck.reports.report import Report
from tests.reports import CONV, TARGET, failed_report, failing, layer_report, long_report, passed_report, report_of


class Parsed(HTMLParser):
    """The tags, all closed in order, and the cells of the table."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.rows, self.texts = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.open.append(tag)
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def shown(report):
    return Parsed(report._repr_html_())


def test_a_pass_is_a_verdict_and_a_table():
    parsed = shown(passed_report())
    assert "".join(parsed.texts).startswith("PASSED 2 layers of suite.yaml")
    assert parsed.rows[:3] == [
        ["layer", "gradients", "check", "entries", "error", "relative", "allowed", "verdict"],
        ["conv1", "O", "forward", "720", "0", "0", "0", "PASS"],
        ["", "dX dW db", "central", "1,028", "1.2e-15", "3.2e-16", "4.3e-13", "PASS"],
    ]
    assert "pre" not in parsed.tags


def test_a_failure_is_told_in_front_of_the_table():
    text = "".join(shown(failed_report()).texts)
    assert text.startswith("FAILED 1 of 2 layers of suite.yaml\nFAIL  conv1 · input dL/dX · exact")
    assert "kernel-not-flipped: grad_input uses the kernel unrotated." in text


def test_many_layers_are_folded():
    assert "details" in shown(long_report()).tags
    assert "details" not in shown(passed_report()).tags


def test_texts_are_no_markup():
    layer = replace(CONV, name="<script>&amp;")
    report = report_of(layer_report(layer, (failing(layer, "<b>x", "input"),)))
    parsed = shown(report)
    assert {"script", "b"} & set(parsed.tags) == {"b"}
    assert parsed.rows[1][0] == "<script>&amp;"


def test_no_layers():
    assert "no layer was verified" in "".join(shown(Report((), "")).texts)


def test_the_target_is_named():
    assert TARGET in failed_report()._repr_html_()
