"""A temporary file between two stores: contents too large for memory are collected in it and read from the start again.

Invariant: a full disk is ``StoreFull``, an error of the setup, and never a short file.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from swampstore.errors import StoreFull
from swampstore.limits import MIB

_FULL = {errno.ENOSPC, errno.EDQUOT}

Extent = tuple[int, int]
"""``(offset, length)``."""


class Spool:
    """A nameless temporary file; a source of contents (see :class:`swampstore.stores.base.Source`)."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by the context manager
        self._held = bytearray()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Append ``data``. Raises ``StoreFull``."""
        self._held += data
        self.size += len(data)
        if len(self._held) >= MIB:
            self._flush()

    def _flush(self) -> None:
        left = memoryview(bytes(self._held))
        self._held.clear()
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise StoreFull(
                "no space left for temporary files",
                hint="free some space, or set TMPDIR to a larger disk; run it again",
            ) from error

    def read(self, extent: Extent) -> bytes:
        """The bytes of ``extent``."""
        self._flush()
        return os.pread(self._file.fileno(), extent[1], extent[0])

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """The whole contents, in pieces."""
        yield from Parts(self, [(0, self.size)]).chunks(chunk_bytes)


class Parts:
    """Some extents of a spool, with bytes before, between and behind them, as a source of contents."""

    def __init__(
        self, spool: Spool, extents: Sequence[Extent], *, head: bytes = b"", between: bytes = b"", tail: bytes = b""
    ) -> None:
        self._spool = spool
        self._extents = extents
        self._head, self._between, self._tail = head, between, tail
        joints = len(between) * max(len(extents) - 1, 0)
        self.size = len(head) + len(tail) + joints + sum(length for _, length in extents)

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """See :class:`swampstore.stores.base.Source`."""
        held = bytearray(self._head)
        for number, (offset, length) in enumerate(self._extents):
            if number:
                held += self._between
            at = 0
            while at < length:
                piece = min(length - at, chunk_bytes)
                held += self._spool.read((offset + at, piece))
                at += piece
                while len(held) >= chunk_bytes:
                    yield bytes(held[:chunk_bytes])
                    del held[:chunk_bytes]
        held += self._tail
        while held:
            yield bytes(held[:chunk_bytes])
            del held[:chunk_bytes]
