"""``--metrics`` of the compactor: the file says what it did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swampstore.telemetry import metrics
from tests.cli.conftest import Swamp


@pytest.fixture(autouse=True)
def unwatched() -> Iterator[None]:
    yield
    metrics.stop()


def test_a_compaction_counts_what_it_folds(store: Path, swamp: Swamp, user: Path) -> None:
    assert swamp("object", "put", "a", "/dev/null").code == 0
    assert swamp("datastore", "compact", "--metrics", user / "swamp.prom").code == 0
    metrics.stop()  # as the end of the process does
    text = (user / "swamp.prom").read_text()
    assert "swampstore_folded_records_total 1.0" in text
    assert 'swampstore_operations_total{op="merge",outcome="ok"} 1.0' in text


def test_a_target_that_cannot_be_is_an_error_before_anything_is_done(store: Path, swamp: Swamp) -> None:
    done = swamp("datastore", "compact", "--metrics", "0.0.0.0:9464", "--json")
    assert (done.code, done.error["code"]) == (2, "bad-config")
