"""Contents that lie in the repo's folder already are read there instead of from the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swampstore_cli.session import Session

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace

_CHUNK_BYTES = 1 << 20
_STATE = ".swampstore"


def chunks_of(session: Session, namespace: Namespace, key: str) -> Iterator[bytes]:
    """The contents of ``key``, as it is in the namespace now: only where they are read from differs."""
    if not (session.settings.tree / _STATE).is_dir():
        return namespace.read_chunks(key)
    entry = namespace.get(key)
    if entry is None:
        return namespace.read_chunks(key)  # which says that it is not there
    near = local_chunks(session, namespace, key, entry.meta.sha256)
    if near is not None:
        return near
    from swampstore.env.blocking import each
    from swampstore.protocols.contents import stream_content

    return each(stream_content(namespace._core.place, entry))


def local_chunks(session: Session, namespace: Namespace, key: str, sha256: bytes | None) -> Iterator[bytes] | None:
    """The contents of this hash from the file at ``key`` of the synced folder; ``None`` if they are not there."""
    tree = session.settings.tree
    if sha256 is None or not (tree / _STATE).is_dir():
        return None
    from swampstore.env.blocking import BlockingEnv
    from swampstore.workers.sync.hydrate import local_copy

    core = namespace._core
    file = local_copy(tree, core.owner.url, core.name, BlockingEnv(), key, sha256)
    if file is None:
        return None

    def chunks() -> Iterator[bytes]:
        with file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    return chunks()
