"""The decision table, whole."""

from __future__ import annotations

import itertools

import pytest

from swampstore.workers.sync.decide import NEEDS_BOTH, NEEDS_PULL, NEEDS_PUSH, Action, Local, Remote, decide

NEVER_SYNCED = [(a, b) for a in (Local.ABSENT, Local.NEW) for b in (Remote.ABSENT, Remote.NEW)]
SYNCED = [
    (a, b) for a in (Local.SAME, Local.CHANGED, Local.MISSING) for b in (Remote.SAME, Remote.CHANGED, Remote.GONE)
]

EXPECTED = {
    ("absent", "absent"): "nothing",
    ("absent", "new"): "pull",
    ("new", "absent"): "push",
    ("new", "new"): "local-wins",
    ("same", "same"): "nothing",
    ("same", "changed"): "pull",
    ("same", "gone"): "delete-local",
    ("changed", "same"): "push",
    ("changed", "changed"): "local-wins",
    ("changed", "gone"): "push-revived",
    ("missing", "same"): "delete-remote",
    ("missing", "changed"): "pull-revived",
    ("missing", "gone"): "forget",
}


@pytest.mark.parametrize(("local", "remote"), NEVER_SYNCED + SYNCED)
def test_every_pair(local: Local, remote: Remote) -> None:
    assert decide(local, remote, equal=False, local_newer=True).value == EXPECTED[local.value, remote.value]


@pytest.mark.parametrize(
    ("local", "remote"), [(Local.NEW, Remote.NEW), (Local.CHANGED, Remote.CHANGED), (Local.SAME, Remote.CHANGED)]
)
def test_equal_contents_are_only_written_down(local: Local, remote: Remote) -> None:
    assert decide(local, remote, equal=True) is Action.RECORD


@pytest.mark.parametrize(("local", "remote"), [(Local.NEW, Remote.NEW), (Local.CHANGED, Remote.CHANGED)])
def test_both_changed(local: Local, remote: Remote) -> None:
    assert decide(local, remote, equal=False, local_newer=False) is Action.REMOTE_WINS
    assert decide(local, remote, equal=None) is Action.COMPARE


def test_pairs_that_cannot_be() -> None:
    possible = set(NEVER_SYNCED + SYNCED)
    for pair in itertools.product(Local, Remote):
        if pair not in possible:
            with pytest.raises(KeyError):
                decide(*pair, equal=False)


def test_every_action_has_its_direction() -> None:
    free = {Action.NOTHING, Action.RECORD, Action.FORGET, Action.COMPARE}
    assert NEEDS_PUSH | NEEDS_PULL | NEEDS_BOTH | free == set(Action)
    assert not NEEDS_PUSH & NEEDS_PULL


@pytest.mark.parametrize("local", [Local.NEW, Local.CHANGED])
@pytest.mark.parametrize("remote", list(Remote))
def test_a_changed_file_is_never_removed_or_simply_replaced(local: Local, remote: Remote) -> None:
    if (local, remote) in {*NEVER_SYNCED, *SYNCED}:
        assert decide(local, remote, equal=False) not in (Action.DELETE_LOCAL, Action.PULL, Action.PULL_REVIVED)
