"""What the histories of real processes have found, as small as it could be made."""

from __future__ import annotations

import pytest

from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.errors import FenceConflict
from swampstore.protocols.stream import EMPTY
from swampstore.stores.memory import MemoryStore
from tests.model.test_model import ModelEnv


def two_processes() -> tuple[Namespace, Namespace]:
    env = ModelEnv()
    store = MemoryStore(env)
    one, two = (Datastore(CoreStore(store, env)).namespace("ops") for _ in range(2))
    one._core._proved = two._core._proved = True  # the probe is tested elsewhere
    return one, two


def test_a_fence_is_weighed_against_a_look_no_older_than_the_tail_it_names() -> None:
    """The look that a conflict was told from knows nothing of what the caller has read since."""
    one, two = two_processes()
    one.stream("s").append([b"1"])
    with pytest.raises(FenceConflict):
        two.stream("s").append([b"x"], expected_tail=EMPTY)
    one.stream("s").append([b"2"])
    two.stream("s").append([b"3"], expected_tail=two.stream("s").tail())
    assert [record.data for record in one.stream("s").read()] == [b"1", b"2", b"3"]


def test_a_decision_about_a_stream_comes_through_after_a_conflict() -> None:
    one, two = two_processes()
    one.stream("s").append([b"1"])
    with pytest.raises(FenceConflict):
        two.stream("s").append([b"x"], expected_tail=EMPTY)
    for turn in range(3):
        one.stream("s").append([b"%d" % turn])
        assert two.stream("s").update(lambda view: [b"decided"], retries=0) is not None
