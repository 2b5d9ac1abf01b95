"""A lock name makes updates serial whatever their keys, also where nobody queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.coordination.support import Stage


@pytest.mark.parametrize("lock", ["deploy", None])
def test_of_updates_under_one_name_one_is_derived_again(lock: str | None) -> None:
    """Two processes have read the same and commit at once; without a name in common they are neighbours."""
    for seed in range(5):
        stage, derived = Stage(seed), list[str]()
        players = {key: stage.player(key) for key in ("a", "b")}

        def decide(held: Mapping[str, Any], derived: list[str] = derived) -> dict[str, bytes]:
            (key,) = held
            derived.append(key)
            return {key: b"1"}

        actors = [player.does(player.ns.update([key], decide, lock=lock)) for key, player in players.items()]
        for actor in actors:
            stage.ends(actor)
        assert sorted(derived) in ([["a", "a", "b"], ["a", "b", "b"]] if lock else [["a", "b"]]), seed
