"""What a tree has compared of a namespace, as its state keeps it.

Fields are only ever added at the end, with a default: a mark that was kept by an older program is still one.
"""

from __future__ import annotations

import msgspec


class Run(msgspec.Struct, frozen=True, array_like=True):
    """A compared run: its blocks as ``(first, last, fingerprint)``."""

    name: str
    shard: bool
    blocks: tuple[tuple[str, str, bytes], ...]


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Everything in this root, these slots and these runs (within the scope) has been compared.

    ``life`` tells this namespace from one that is made anew under the same name; empty where that is not known.
    """

    root_version: int
    nonce: bytes
    slots: tuple[tuple[str, int], ...]
    runs: tuple[Run, ...]
    life: bytes = b""
