"""Footprints: what a commit concerns, and whether two of them concern the same.

A footprint is the keys that a commit read or wrote through its snapshot, and its lock name. It travels in the header of the
segment, so that whoever comes later can tell whether it was concerned; hence the bound on its keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from swampstore.errors import TooLarge
from swampstore.limits import COMMIT_KEYS_BYTES
from swampstore.values.segment import Commit

LOCK_MARK = "\0lock\0"
"""Begins the key of a lock's mark; no key of users can begin so."""


def footprint(commit: Commit) -> Iterable[str]:
    """Its keys, and the mark of its lock: whoever writes that concerns the lock as well."""
    return (*commit.footprint, LOCK_MARK + commit.lock) if commit.lock else commit.footprint


def meets(commit: Commit, others: Iterable[Commit]) -> bool:
    """Whether ``commit`` concerns something that one of ``others`` does."""
    return not set(footprint(commit)).isdisjoint(chain.from_iterable(map(footprint, others)))


def check_keys(keys: Iterable[str]) -> int:
    """How many bytes the names of ``keys`` take in the header of a segment. Raises ``TooLarge``."""
    size = sum(len(key.encode()) + 3 for key in keys)
    if size > COMMIT_KEYS_BYTES:
        raise TooLarge(f"keys of {size} bytes in one commit, limit {COMMIT_KEYS_BYTES}", hint="name fewer keys at once")
    return size


def described(commit: Commit) -> str:
    """What it concerns, for a message."""
    return commit.lock or ", ".join(commit.footprint[:3])
