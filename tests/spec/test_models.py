"""Every rule of the design holds in its model, and every deliberate fault is found.

The everyday scope of a right variant is exhausted. The deeper scopes are long proofs: together they may take
``SWAMPSTORE_PROVE_SECONDS``, and one that is not exhausted in its share has at least found nothing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.spec.__main__ import main, markdown, table
from tests.spec.catalogue import MODELS
from tests.spec.checker import Case, Verdict, check, describe

EVERYDAY_STATES = 150_000
DEEP_STATES = 3_000_000

ALL = [(model, case) for model, cases in MODELS.items() for case in cases]
DEEP = [(model, case) for model, case in ALL if case.deep is not None]
WRONG = [(model, case) for model, case in ALL if not case.right]
RIGHT = [(model, case) for model, case in ALL if case.right]


def named(value: object) -> str:
    return value.variant if isinstance(value, Case) else str(value)


@pytest.mark.parametrize(("model", "case"), RIGHT, ids=named)
def test_the_rule_holds(model: str, case: Case) -> None:
    result = check(case.model, most_states=EVERYDAY_STATES)
    assert result.verdict is Verdict.OK, describe(result)
    assert result.states > 20, "too small a scope says nothing"


@pytest.mark.parametrize(("model", "case"), WRONG, ids=named)
def test_the_fault_is_found(model: str, case: Case) -> None:
    result = check(case.model, most_states=EVERYDAY_STATES)
    assert result.verdict is Verdict.WRONG, describe(result)
    assert case.finds in result.problem, describe(result)
    assert case.finds
    assert result.trace


@pytest.mark.prove
@pytest.mark.parametrize(("model", "case"), DEEP, ids=named)
def test_the_rule_holds_in_a_deeper_scope(model: str, case: Case) -> None:
    assert case.deep is not None
    share = float(os.environ.get("SWAMPSTORE_PROVE_SECONDS", "600")) / len(DEEP)
    result = check(case.deep, most_states=DEEP_STATES, seconds=share)
    print(f"{model}, {case.variant}: {describe(result)}")
    assert result.verdict is not Verdict.WRONG, describe(result)


def test_every_model_has_a_rule_and_a_fault() -> None:
    for model, cases in MODELS.items():
        assert {case.right for case in cases} == {True, False}, model
        variants = [case.variant for case in cases]
        assert len(set(variants)) == len(variants), model


def test_the_command_prints_a_counterexample(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "delete", "before", "publish"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("log, delete before publish: wrong")
    assert "   1. " in out
    assert "=> slot (0, 1) was acknowledged and is nowhere" in out


def test_the_command_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "nonsense"]) == 2
    assert "log delete before publish" in capsys.readouterr().err


def test_the_page_shows_every_variant_with_its_verdict() -> None:
    page = Path(__file__).parents[2] / "docs" / "explanation" / "specification.md"
    text = page.read_text("utf-8")
    shown = set()
    model = ""
    for row in re.findall(r"^\| (`\w+`)? ?\| (.+?) \| (ok|wrong|limit) \|", text, re.MULTILINE):
        model = row[0].strip("`") or model
        shown.add((model, row[1], row[2]))
    wanted = {(model, case.variant, "ok" if case.right else "wrong") for model, case in ALL}
    assert shown == wanted, "bring the table up to date: python -m tests.spec --markdown"
    assert all(f"| `{model}` | " in text for model in MODELS)


def test_the_markdown_table() -> None:
    rows = [("log", "a", "ok", "3", "", ""), ("log", "b", "wrong", "4", "2", "lost")]
    lines = markdown(rows).splitlines()
    assert lines[2:] == ["| `log` | a | ok | 3 |  |  |", "|  | b | wrong | 4 | 2 | lost |"]
    assert table(rows).splitlines()[2].split() == ["log", "b", "wrong", "4", "2", "lost"]
