"""A claim's table, for documents and for the terminal."""

from chainlift.measure.finding import Finding
from chainlift.report.terminal.claim_table import claim_lines, markdown


def test_the_table_tells_failures_and_mere_measurements() -> None:
    findings = [
        Finding("share", "p .1", (0.1, 0.12), 0.1, 0.01),
        Finding("exponent", "", (1.5,), note="one seed"),
    ]
    text = markdown(findings)
    assert "| share, p .1 | 0.1 | 0.11 [" in text
    assert "| 0.02 | 0.01 | FAILS |" in text
    assert "| exponent, one seed |  | 1.5 |  |  | measured |" in text
    lines = claim_lines(findings)
    assert max(map(len, lines)) <= 80
    assert lines[1:] == [
        "share",
        "  p .1                   0.1  0.11 [-0.01706, 0.2371]    0.02      0.01 FAILS",
        "exponent",
        "                              1.5                                       measured",
        "    one seed",
    ]


def test_the_columns_of_a_mean_do_not_touch() -> None:
    findings = [Finding("share", "p .1", (0.123, 0.145), 0.1, 0.04, check="mean")]
    assert " 0.045 0.04 mean holds" in claim_lines(findings)[-1]
