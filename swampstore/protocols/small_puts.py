"""The short way of small plain puts into a lane file: checks, version, record, frame, write, and nothing else.

What is put here is what :mod:`swampstore.protocols.drafting` would have made of it, to the byte; whatever is not a plain
put of a few bytes (labels, an expiry, a class, large contents, a lane that is not open yet) goes the general way.

Invariants: the record of a put is the same on both ways; everything is checked before anything is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from swampstore.env import phases
from swampstore.env.blocking import run
from swampstore.errors import SwampError
from swampstore.limits import BATCH_BYTES, GATHERED_PUTS, INLINE_CONTENT_BYTES, SEGMENT_DELTAS
from swampstore.protocols.gathered import gather
from swampstore.protocols.lane_writer import Batch, LaneWriter
from swampstore.protocols.place import Place
from swampstore.protocols.writer import Ack, Writer, frame_ack
from swampstore.values.keys import check_key, encode_keys, key_problem
from swampstore.values.plain_put import plain_put, plain_puts


class SmallPuts:
    """Small puts of one writer, which appends with ``files``; ``after`` looks after the log when that is due."""

    def __init__(
        self, place: Place, writer: Writer, files: LaneWriter, after: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._place = place
        self._boot = place.env.boot
        self._check_caller = place.env.check_caller
        self._here: Callable[[], object] = getattr(place.env, "here", type(None))
        self._home = self._here()
        self._clock = place.clock
        self._files = files
        self._after = after
        self._group = files.group
        self._queue: deque[object] = getattr(files.group, "queue", deque())  # of threads; tasks never write alone
        self._check_alive = writer.check_alive

    def put_now(self, key: str, data: object) -> Ack | None:
        """Put ``data``, if it is at most ``INLINE_CONTENT_BYTES`` of bytes; ``None``: take the general way.

        Raises as ``Writer.append``, and ``BadKey``.
        """
        files = self._files
        if files.file is None or type(key) is not str or type(data) is not bytes or len(data) > INLINE_CONTENT_BYTES:
            return None
        boot = self._boot
        began = boot()
        if key_problem(key):
            check_key(key)
        now, hlc = self._clock.stamp_at(began)
        version, body = plain_put(key.encode(), data, hlc, files.writer_id, now)
        encoded = boot()
        queue = self._queue
        if queue:
            return self._put_queued(body, version, began, encoded)
        done = None
        try:
            queue.append(body)
            if queue[0] is body:
                done = files.commit_alone(body, encoded)
        except SwampError as error:
            _failed(error, boot() - began)
            raise
        finally:
            queue.remove(body)
            if queue:
                self._group.wake()
        if done is None:
            return self._put_queued(body, version, began, encoded)
        lane, end, ended = done
        spent = {"encode": encoded - began, "log_write": ended - encoded}
        if files.help_due:
            run(self._after())
            spent["help"] = boot() - ended
        if phases.watched:
            phases.told("append", sum(spent.values()), spent, None, 1)
        return Ack(lane, end, (version,), spent, files.durable)

    def _put_queued(self, body: bytes, version: bytes, began: float, encoded: float) -> Ack:
        """The rest of :meth:`put_now` where others write or wait."""
        self._check_alive()
        batch = Batch(body, 1)
        self._group.submit_now(batch)
        return run(self._ack(batch, (version,), began, encoded))

    async def put(self, key: str, data: object) -> Ack | None:
        """The same for tasks: those of one turn of the loop share a batch."""
        files = self._files
        if files.file is None or type(key) is not str or type(data) is not bytes or len(data) > INLINE_CONTENT_BYTES:
            return None
        if self._here() is not self._home:
            self._check_caller()
        began = self._boot()
        if key_problem(key):
            check_key(key)
        batch = files.gathering
        if batch is None or len(batch.keys) >= GATHERED_PUTS:
            batch = gather(self._place, files)
        at = len(batch.keys)
        batch.keys.append(key)
        batch.contents.append(data)
        await batch
        if batch.error is None and not files.help_due and not phases.watched:
            return batch.ack(at, began, self._boot())
        return await self._ack(batch, tuple(batch.versions[at : at + 1]), began, began + batch.encode_s)

    async def put_many(self, items: Mapping[str, object]) -> Ack | None:
        """Put all of ``items`` as one atomic batch; ``None``: take the general way."""
        files = self._files
        if files.file is None or not 0 < len(items) <= SEGMENT_DELTAS:
            return None
        began = self._boot()
        self._check_alive()
        keys = tuple(items)
        contents: list[Any] = list(map(items.__getitem__, keys))
        if set(map(type, contents)) != {bytes} or max(map(len, contents)) > INLINE_CONTENT_BYTES:
            return None
        encoded_keys = encode_keys(keys)
        files.seal()
        now, first = self._clock.stamp_at(began, len(keys))
        versions, body = plain_puts(encoded_keys, contents, first, files.writer_id, now)
        if len(body) > BATCH_BYTES:
            return None
        batch = Batch(body, len(versions))
        encoded = self._boot()
        await self._group.submit(batch)
        return await self._ack(batch, tuple(versions), began, encoded)

    async def _ack(self, batch: Batch, versions: tuple[bytes, ...], began: float, encoded: float) -> Ack:
        ended = self._boot()
        error = batch.error
        if error is not None:
            _failed(error, ended - began)
            raise error
        spent = batch.phases(began, encoded, ended)
        if self._files.help_due:
            await self._after()
            spent["help"] = self._boot() - ended
        if phases.watched:
            phases.told("append", sum(spent.values()), spent, None, len(versions))
        return frame_ack(batch, versions, spent, durable=self._files.durable)


def _failed(error: BaseException, seconds: float) -> None:
    phases.told("append", seconds, {"log_write": seconds}, error, 1)


def small_puts(place: Place, writer: Writer, after: Callable[[], Coroutine[Any, Any, None]]) -> SmallPuts | None:
    """The short way of ``writer``, if it has one: its lane is a file, and nothing suspends on the way there."""
    files = writer.files
    return SmallPuts(place, writer, files, after) if files is not None and files.direct else None
