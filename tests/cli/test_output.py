"""How things are shown to people."""

from __future__ import annotations

import pytest

from swampstore_cli import output


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5e9, "5.0 GB"), (7.1e12, "7.1 TB")],
)
def test_sizes(count: float, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (300, "5 min"), (7200, "2 h"), (1e6, "12 d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert output.age(seconds) == text


def test_moments() -> None:
    assert output.moment(1_700_000_000_123) == "2023-11-14 22:13:20Z"
    assert output.moment(0) == ""


@pytest.mark.parametrize(("number", "text"), [(0, "0 entries"), (1, "1 entry"), (262_000, "262,000 entries")])
def test_counts(number: int, text: str) -> None:
    assert output.count(number, "entry", "entries") == text


def test_what_would_move_the_cursor_is_escaped() -> None:
    assert output.printable("a\x1b[2Jb\nc\u202e") == "a\\x1b[2Jb\\nc\\u202e"
    assert output.printable("grün/日本") == "grün/日本"


def test_tables_align(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("NAME", "N"), [("a", "1"), ("long\tname", "1,000")], frozenset({1}))
    assert capsys.readouterr().out == "NAME            N\na               1\nlong\\tname  1,000\n"
