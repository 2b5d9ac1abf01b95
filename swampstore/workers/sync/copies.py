"""Names of conflict copies: beside the path, and the same on every machine for the same contents.

Invariant: the name depends on the path and the kept contents only, so machines that settle the same conflict at the
same time, or one that settles it twice after a crash, make one copy and not several.
"""

from __future__ import annotations

from swampstore.limits import KEY_BYTES

_NAME_BYTES = 255
_MARK = ".conflict-"
_HASH_DIGITS = 10


def copy_name(key: str, sha256: bytes, number: int = 1) -> str:
    """``<key>.conflict-<hash>``; ``number`` above 1 is for a name that is taken by other contents."""
    tail = f"{_MARK}{sha256.hex()[:_HASH_DIGITS]}" + (f"-{number}" if number > 1 else "")
    folder, slash, name = key.rpartition("/")
    room = min(_NAME_BYTES, KEY_BYTES - len((folder + slash).encode())) - len(tail)
    short = name.encode()[: max(room, 1)].decode(errors="ignore") or "_"
    return folder + slash + short + tail
