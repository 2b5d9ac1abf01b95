"""The mark of an export: whose it is, and whether it is complete. It makes an export resumable and keeps others out.

Invariants:
- The mark is written before the first file, and says "complete" only behind the index.
- A target without a mark is taken only when it is empty; one that is marked, only for the same namespace of the same
  store, the same part of it, and while its index is the one that the export wrote.
- A target that was not empty is never a store or a namespace of one, not by force either.
- A target that was taken by force holds files of others: the mark remembers it, and nothing left over is removed there.
"""

from __future__ import annotations

import hashlib
import json

import msgspec

from swampstore.errors import Conflict
from swampstore.workers.legacy.export_index import iso
from swampstore.workers.legacy.export_report import ExportOptions
from swampstore.workers.legacy.export_sink import Sink, There
from swampstore.workers.legacy.export_target import refuse_store
from swampstore.workers.legacy.rules import INDEX_FOLDER, INDEX_NAME, META_NAME, NAMESPACE_MARK

MARK = ".swamp-export.json"
_FORMAT = 1


class Mark(msgspec.Struct, frozen=True, rename="camel"):
    """``index_sha256`` is that of the index object (version 2: of the meta object) once the export is complete.

    ``mixed``: files that no export of this wrote may lie there too.
    """

    format: int
    state: str
    store: str
    namespace: str
    prefix: str
    index: str
    index_sha256: str = ""
    index_size: int = 0
    mixed: bool = False

    @property
    def complete(self) -> bool:
        return self.state == "complete"


_decode_mark = msgspec.json.Decoder(Mark).decode


def is_own(rel: str) -> bool:
    """Whether ``rel`` is a file of the layout that an export writes beside the data."""
    return rel in (MARK, INDEX_NAME, NAMESPACE_MARK) or rel.startswith(INDEX_FOLDER)


def new_mark(store: str, namespace: str, options: ExportOptions) -> Mark:
    """The mark of an export that begins."""
    return Mark(_FORMAT, "unfinished", store, namespace, options.prefix, options.index)


def encode_mark(mark: Mark) -> bytes:
    return msgspec.json.format(msgspec.json.encode(mark)) + b"\n"


async def check_target(sink: Sink, mine: Mark, *, force: bool, delete: bool) -> tuple[Mark | None, bool]:
    """The mark of an earlier export to go on with (``None`` for a target that is empty, or is to be taken by force), and
    whether files of others may lie there too.

    Raises ``Conflict`` for a target that is neither, for a store also with ``force``, and where ``delete`` would remove files of others.
    """
    held, mixed = await _earlier(sink, mine, force=force)
    if mixed:
        await refuse_store(sink)
    if mixed and delete:
        raise Conflict(
            f"the target {sink.url} may hold files that no export of this wrote, and delete would remove them too",
            hint="run it without --delete, and remove what is left over yourself; or export to an empty place",
        )
    return held, mixed


async def _earlier(sink: Sink, mine: Mark, *, force: bool) -> tuple[Mark | None, bool]:
    found = await sink.read(MARK)
    if found is None:
        something = await _holds_something(sink)
        if something and not force:
            await refuse_store(sink)
            raise Conflict(
                f"the target {sink.url} is not empty",
                hint="name an empty or new place, or write over what is there with --force",
            )
        return None, something
    held = _decode(found)
    problem = _problem(held, mine) or await _changed(sink, held)
    if problem and not force:
        raise Conflict(f"the target {sink.url} {problem}", hint="name another place, or write over it with --force")
    if held is None or problem:
        return None, True
    return held, held.mixed


def _decode(body: bytes) -> Mark | None:
    try:
        return _decode_mark(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _problem(held: Mark | None, mine: Mark) -> str:
    if held is None or held.format != _FORMAT:
        return f"has a {MARK} that cannot be read"
    if (held.store, held.namespace) != (mine.store, mine.namespace):
        return f"is an export of namespace {held.namespace!r} of {held.store}"
    if held.prefix != mine.prefix:
        return f"is an export of {held.prefix or 'everything'!r}"
    return ""


async def _changed(sink: Sink, held: Mark | None) -> str:
    """Whether others wrote the index since the export was complete."""
    if held is None or not held.complete:
        return ""
    (digest,) = await sink.digest([There(META_NAME if held.index == "v2" else INDEX_NAME, held.index_size)])
    if digest is None or digest.hex() != held.index_sha256:
        return "was changed by others since it was exported"
    return ""


async def _holds_something(sink: Sink) -> bool:
    async for group in sink.listing():
        if group:
            return True
    return False


def namespace_mark(store: str, namespace: str, now_ms: int) -> bytes:
    """The ``.namespace.json`` of a namespace that had none."""
    digits = hashlib.sha256(f"{store}\0{namespace}".encode()).hexdigest()
    repo = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
    return json.dumps({"namespace": namespace, "repoId": repo, "registeredAt": iso(now_ms)}).encode()
