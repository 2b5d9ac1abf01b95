"""Every fault of the gallery is noticed, within a bounded number of worlds; and without a fault nothing is.

Everyday those that need few worlds; the others in the long proofs.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutations.faults import nothing
from tests.mutations.gallery import FAULTS
from tests.mutations.hunt import hunt
from tests.sim.mix import failure, plan_of
from tests.spec.catalogue import MODELS

SLOW = (
    "412 taken as failure",
    "a deleted slot ends a lane",
    "cancelled write re-sent with new content",
    "clock that does not listen",
    "list after root",
    "merge clears level 0",
    "merge takes by key",
    "orphan sweep without the log",
    "pushed out is empty",
    "serving number at capacity 2",
    "side-home burial without look",
    "sweep without pins",
)
"""Those that take more than a few dozen worlds."""
QUICK_WORLDS = 100
SLOW_WORLDS = 2000


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in SLOW])
def test_the_fault_is_noticed(name: str) -> None:
    caught = hunt(FAULTS[name], most=QUICK_WORLDS)
    assert caught.seed is not None, f"{name}: not noticed in {caught.played} worlds"


@pytest.mark.prove
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SLOW)
def test_the_rare_fault_is_noticed(name: str) -> None:
    caught = hunt(FAULTS[name], most=SLOW_WORLDS)
    assert caught.seed is not None, f"{name}: not noticed in {caught.played} worlds"


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_with_its_block(name: str) -> None:
    with FAULTS[name].on():
        pass
    with nothing():
        assert failure(plan_of(0)) is None


def test_the_page_shows_every_fault() -> None:
    page = Path(__file__).parents[2] / "docs" / "explanation" / "testing.md"
    shown = re.findall(
        r"^\| (.+?) \| (.+?) \| simulation(?:, model `(.+?)`)? \| \d+ \|$", page.read_text("utf-8"), re.MULTILINE
    )
    wanted = [(fault.name, fault.breaks, fault.model) for fault in FAULTS.values()]
    assert shown == wanted, "bring the table up to date: python -m tests.mutations --markdown"


def test_faults_name_variants_that_the_models_have() -> None:
    variants = {f"{model} {case.variant}" for model, cases in MODELS.items() for case in cases if not case.right}
    assert {fault.model for fault in FAULTS.values() if fault.model} <= variants
    assert set(SLOW) <= set(FAULTS)
