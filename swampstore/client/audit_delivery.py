"""Delivery of audit records: to the store while it answers, else to the spool of this machine, by the topic's policy.

    spool    (default) wait for the store for ``reach`` seconds (2), then keep the records on this machine's disk
    fail     wait as long, then raise ``NotDelivered``
    block    wait like every other write, as long as a request to the store may take

Once the store did not answer, later writes go to the spool at once, and a beat in the background looks every second
whether it is back; then it delivers what waits. So does any later process of this user that opens the store.

A store is away when it does not answer. One that this machine has proved before, or for which records wait, is away as well
when its directory or bucket is gone, when it is full, and when it was mounted read-only: these pass, and nobody has said
no. A store that was never proved, most often a slip in a name, and every other refusal (credentials that have expired are
one) is an error at once: only a person can mend it, and a spool would hide it.

Invariants:
- An acknowledgement says which it is: in the store, or ``spooled``. There is no third ending without an exception.
- A write that was given up may still land beside its copy in the spool: both have one key, and are one record. When that
  is noticed in time the copy is removed.
- What hangs is left behind: after a failure writes take a lane of their own.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import msgspec

from swampstore.env import phases
from swampstore.env.base import Background
from swampstore.errors import (
    Misuse,
    NotDelivered,
    SpoolUnusable,
    StoreFull,
    StoreMissing,
    StoreUnavailable,
    SwampError,
    Undecided,
)
from swampstore.limits import AUDIT_PROBE_S, AUDIT_REACH_S
from swampstore.protocols.audit import WRITE_AGAIN
from swampstore.protocols.writer import Ack, Writer
from swampstore.stores.probe import cached_proof
from swampstore.values.entry import Record
from swampstore.workers.audit_drain import DrainReport, drain
from swampstore.workers.audit_spool import AuditSpool, SpoolStatus
from swampstore.workers.spool_place import spooled_namespaces

if TYPE_CHECKING:
    from swampstore.client.core import CoreNamespace, CoreStore

WhenDown: TypeAlias = Literal["spool", "fail", "block"]
POLICIES: tuple[str, ...] = get_args(WhenDown)
CLOSE_DRAIN_S = 2.0
"""How long the close of a store may go on delivering what waits."""
_log = logging.getLogger("swampstore")


class Rule(msgspec.Struct, frozen=True):
    """What a topic does when the store cannot be reached within ``reach_s`` seconds."""

    when_down: str = "spool"
    reach_s: float = AUDIT_REACH_S

    @classmethod
    def checked(cls, when_down: object, reach_s: object) -> Rule:
        """Raises ``Misuse``."""
        if when_down not in POLICIES:
            raise Misuse(f"when_down={when_down!r}", hint=f"one of {', '.join(POLICIES)}")
        if isinstance(reach_s, bool) or not isinstance(reach_s, int | float) or not 0 < reach_s < 1e6:
            raise Misuse(f"reach={reach_s!r}", hint="seconds to wait for the store, above 0")
        return cls(str(when_down), float(reach_s))


class _Late:
    """One write that may be given up: it is told where its copy lies, and removes it when it lands after all."""

    def __init__(self, spool: AuditSpool | None) -> None:
        self._spool = spool
        self._mutex = threading.Lock()
        self._copy = ""
        self._landed = False

    def landed(self) -> None:
        with self._mutex:
            self._landed = True
            copy = self._copy
        if copy and self._spool is not None:
            self._spool.remove([copy])

    def copied(self, name: str) -> None:
        with self._mutex:
            self._copy = name
            landed = self._landed
        if landed and self._spool is not None:
            self._spool.remove([name])


class Spools:
    """The spools of an open store, and whether the store can be reached."""

    def __init__(self, owner: CoreStore) -> None:
        self._owner = owner
        self._env = owner.env
        self._spools: dict[str, AuditSpool] = {}
        self._mutex = threading.Lock()
        self._beat: Background | None = None
        self._closed = False
        self.base = owner.spool
        self.down = False
        self._told = False
        self.deliveries: list[Delivery] = []

    def of(self, namespace: str) -> AuditSpool | None:
        """The spool of a namespace; ``None`` where the store was opened without."""
        if self.base is None:
            return None
        with self._mutex:
            held = self._spools.get(namespace)
            if held is None:
                held = self._spools[namespace] = AuditSpool(self.base, self._owner.url, namespace, self._env)
            return held

    def waiting(self) -> list[str]:
        """The namespaces for which something waits; one look into a folder that most often is not there."""
        return spooled_namespaces(self.base, self._owner.url) if self.base is not None else []

    def away(self, error: Exception, *, proved: bool = False) -> bool:
        """Whether ``error`` says that the store is away; see the module. ``proved``: this process has proved it, which may
        be known from others of this user on this machine, too."""
        if isinstance(error, TimeoutError | StoreUnavailable | Undecided):
            return True
        read_only = getattr(error.__cause__, "errno", None) == errno.EROFS
        if not (read_only or isinstance(error, StoreFull | StoreMissing)):
            return False
        return proved or bool(self.waiting()) or cached_proof(self._owner.url, self._env) is not None

    # --- in the background ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Deliver in the background what an earlier process left, if there is anything."""
        if self.waiting():
            self._start()

    def failed(self, why: object) -> None:
        """Take note that the store cannot be reached: from now on it is probed in the background."""
        _log.debug("%s cannot be reached: %s", self._owner.url, why)
        self.down = True
        if self.base is not None:
            self._start()

    def kept(self, why: object) -> None:
        """Say, once in an outage and only when it is so, that records wait on this machine."""
        if not self._told:
            self._told = True
            _log.warning("%s cannot be reached (%s): audit records wait on this machine", self._owner.url, why)

    def _start(self) -> None:
        with self._mutex:
            if self._beat is None and not self._closed:
                self._beat = self._env.every(AUDIT_PROBE_S, self._look)

    async def _look(self) -> None:
        """One beat: is there anything to deliver, is the store back?"""
        waiting = self.waiting()
        self._tell(waiting)
        if (not waiting and not self.down) or not await self.probe(AUDIT_REACH_S):
            return
        self.down = False
        await self._deliver(waiting, None)
        waiting = self.waiting()
        self._told = bool(waiting)  # one that answers and takes nothing, as it is full, is the same outage
        self._tell(waiting)

    def _tell(self, waiting: Sequence[str]) -> None:
        """Let whoever watches this process know how much waits."""
        if phases.observer is not None:
            spools = [spool for name in waiting if (spool := self.of(name)) is not None]
            found = [spool.status() for spool in spools]
            oldest = max((one.oldest_s for one in found), default=0.0)
            phases.observer.spool(sum(one.records for one in found), oldest)

    async def probe(self, seconds: float) -> bool:
        """Whether the store answers: one small request, without any retry."""
        try:
            time = await self._env.within(seconds, self._owner.bare.now())
        except (SwampError, TimeoutError, OSError) as error:
            _log.debug("%s: still no answer: %s", self._owner.url, error)
            return False
        self._owner.clock.calibrate(time)
        return True

    async def _deliver(self, namespaces: Sequence[str], seconds: float | None) -> None:
        """Deliver all that waits; what cannot be is logged, and stands in the spool's status."""
        for name in namespaces:
            spool = self.of(name)
            assert spool is not None
            try:
                await self._owner.namespace(name).delivery.drain(seconds=seconds)
            except (SwampError, OSError) as error:
                if str(error) != spool.problem:
                    _log.warning("audit records of namespace %s wait still: %s", name, error)
                spool.problem = str(error)
                self.down |= isinstance(error, StoreUnavailable | Undecided)
            else:
                spool.problem = ""

    async def close(self) -> None:
        """Stop; deliver first what waits, for a moment, if the store answers."""
        with self._mutex:
            self._closed, beat = True, self._beat
        if beat is not None:
            try:
                await self._env.within(CLOSE_DRAIN_S, beat.stop())
            except TimeoutError:
                return  # it is in the middle of a delivery that the store does not answer: what it holds stays
        waiting = [] if self.down else self.waiting()
        if waiting and await self.probe(CLOSE_DRAIN_S / 2):
            await self._deliver(waiting, CLOSE_DRAIN_S)
        for delivery in self.deliveries:
            await delivery.leave()


class Delivery:
    """How one namespace sends audit records."""

    def __init__(self, core: CoreNamespace, spools: Spools) -> None:
        self._core = core
        self._spools = spools
        self._writer = core.writer
        spools.deliveries.append(self)

    @property
    def spool(self) -> AuditSpool | None:
        return self._spools.of(self._core.name)

    def status(self) -> SpoolStatus | None:
        """What waits on this machine; ``None`` where there is no spool."""
        spool = self.spool
        return spool.status() if spool is not None else None

    async def send(self, records: Sequence[Record], rule: Rule) -> Ack:
        """Deliver ``records`` by ``rule``. Raises ``NotDelivered``, ``SpoolFull``, ``SpoolUnusable``, ``AmbiguousAppend``
        (policy ``block``), or what the store refuses with."""
        if rule.when_down == "block":
            ack = await self._append(self._core.writer, records, None)
            await self._core.appended()
            return ack
        spool = self.spool
        if self._spools.down and rule.when_down == "spool" and spool is not None:
            return self._keep(spool, records, None, "it did not answer before")
        late = _Late(spool)
        writer = self._writer
        try:
            ack = await self._core.place.env.within(rule.reach_s, self._append(writer, records, late))
        except (TimeoutError, SwampError) as error:
            if not self._away(error):
                raise
            if self._writer is writer:
                self._writer = Writer(self._core.place)
            self._spools.failed(error)
            if rule.when_down == "fail" or spool is None:
                raise NotDelivered(f"{self._core.owner.url} cannot be reached: {error}", hint=WRITE_AGAIN) from error
            return self._keep(spool, records, late, error)
        await self._core.appended(most_s=rule.reach_s)  # the store may go away while this process helps to fold
        return ack

    def _away(self, error: Exception) -> bool:
        return self._spools.away(error, proved=self._core.register.proof is not None)

    async def _append(self, writer: Writer, records: Sequence[Record], late: _Late | None) -> Ack:
        core = self._core
        await core.prove()
        ack = await writer.append(records, closing=core.owner.one_shot)
        if late is not None:
            late.landed()
        return ack

    def _keep(self, spool: AuditSpool, records: Sequence[Record], late: _Late | None, why: object) -> Ack:
        name, synced = spool.put(records)
        self._spools.kept(why)
        phases.count("spooled_records", len(records))
        if late is not None:
            late.copied(name)
        return Ack("", 0, tuple(record.version for record in records), durable=synced, spooled=True)

    async def leave(self) -> None:
        """Before the process closes the store: end the lane of its own."""
        if self._writer is not self._core.writer:
            self._writer.close()
            await self._writer.finish()

    async def drain(self, *, seconds: float | None = None, report: DrainReport | None = None) -> DrainReport:
        """Deliver what waits in the spool, and note it in ``report`` on the way. Raises what the store raises,
        ``SpoolUnusable``."""
        core, spool = self._core, self.spool
        if spool is None:
            raise SpoolUnusable(f"{core.owner.url} has no spool", hint="a store in memory ends with its process")
        if not core.place.clock.calibrated:
            core.place.clock.calibrate(await core.place.store.now())
        await core.prove()
        writer = Writer(core.place)
        try:
            report = await drain(spool, core.place, writer.append, writer.new_version, seconds=seconds, report=report)
        finally:
            writer.close()
            await writer.finish()
        if report.records:
            phases.count("delivered_records", report.records)
            _log.info("%d audit records of namespace %s were delivered", report.records, core.name)
        return report
