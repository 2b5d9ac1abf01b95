"""Every error this library raises, arranged by what the caller does next.

    SwampError
    ├── TryAgain                    the same call may succeed later; nothing was decided (exit 75)
    │   ├── StoreUnavailable          the store did not answer, or answered 5xx, within the deadline
    │   │   └── Throttled             the store asked for fewer requests
    │   ├── DeadlinePassed            a lock, queue or call deadline the caller set has passed
    │   ├── QueueFull                 a bounded queue has no place left
    │   ├── NotDelivered              audit records that reached neither the store nor, by their policy, the spool
    │   └── SnapshotExpired           what this read needs was swept: open a new snapshot
    ├── Conflict                    somebody else was first: read again, decide again (exit 3)
    │   ├── AlreadyExists             a create-only write met an object that is not ours
    │   ├── StaleWrite                a replace met another version than the one named
    │   ├── VersionConflict           put(if_version=, if_absent=) met another version
    │   ├── FenceConflict             a fenced append met another tail than the one named
    │   │   └── FenceRetriesExhausted   ... again and again
    │   └── FencedError               the lock was passed on meanwhile: its holder may not commit any more
    ├── Undecided                   a write may or may not have happened: settle it before anything else
    │   ├── AmbiguousAppend           ... of a log slot; carries lane, slot and write id
    │   └── NotNumbered               a version is stored, but did not get its ordinal in time; carries its id
    ├── FixTheCall                  the arguments are wrong: the same call will always fail
    │   ├── BadKey, BadName, BadURL, BadConfig
    │   ├── TooLarge                  a stated limit is exceeded
    │   ├── SchemaMismatch            an audit record is not what the topic's schema says
    │   └── Misuse                    closed, forked, nested, or used from the wrong face
    ├── FixTheSetup                 the store or the machine is not fit for use
    │   ├── StoreMissing              the bucket or the directory does not exist
    │   ├── StoreForbidden            the credentials or file permissions do not allow it
    │   ├── StoreFull                 no space left, or quota exceeded
    │   ├── PreconditionsIgnored      the store does not enforce conditional writes
    │   ├── ClockOff                  this machine's clock is more than 5 minutes off
    │   ├── SpoolFull                 no room for audit records on this machine either: they are kept nowhere
    │   ├── SpoolUnusable             the spool is another store's, user's or version's: nothing in it was touched
    │   ├── MissingExtra              an optional dependency is not installed
    │   └── UnsupportedPlatform
    ├── Damaged                     stored bytes are not what was written; the message names the object
    │   ├── CorruptObject             a checksum, length or magic does not match
    │   ├── UnknownFormat             written by a newer version: upgrade; nothing was changed
    │   ├── MissingObject             something referenced is gone
    │   └── Inconsistent              stored bytes contradict each other (or a fault here): nothing was published
    └── NotFound                    no such object, entry, namespace or snapshot
        ├── BelowHorizon              what was there at that time was removed since
        └── DeadForward               renamings that lead in a circle or nowhere

Each class has a stable ``code``, which is part of the interface (match on it or on the class, never on the text), an
``exit_code`` for the command line, and each instance may have a ``hint``: the next step, in one sentence.
"""

from __future__ import annotations

from typing import Any, ClassVar


class SwampError(Exception):
    """Base of every error of this library.

    ``str(error)`` says what happened; ``error.hint`` says what to do about it (may be empty). ``error.records`` are the
    audit records that a write could not say of where they are: written again as they are, each stays one record.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    records: tuple[Any, ...] = ()

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def describe(self) -> dict[str, Any]:
        """The machine-readable form: ``{error, code, hint}``; with ``records`` also their ``ids`` and ``times`` (ms)."""
        shown: dict[str, Any] = {"error": str(self), "code": self.code, "hint": self.hint}
        if self.records:
            shown |= {"ids": [one.id for one in self.records], "times": [one.ts for one in self.records]}
        return shown


class TryAgain(SwampError):
    code = "try-again"
    exit_code = 75


class StoreUnavailable(TryAgain):
    code = "store-unavailable"


class Throttled(StoreUnavailable):
    code = "throttled"


class DeadlinePassed(TryAgain):
    code = "deadline-passed"


class QueueFull(TryAgain):
    code = "queue-full"


class NotDelivered(TryAgain):
    """``records`` are those that reached nobody, as far as is known; ``ids`` and ``times`` (ms) name them."""

    code = "not-delivered"

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(one.id for one in self.records)

    @property
    def times(self) -> tuple[int, ...]:
        return tuple(one.ts for one in self.records)


class SnapshotExpired(TryAgain):
    code = "snapshot-expired"


class Conflict(SwampError):
    code = "conflict"
    exit_code = 3


class AlreadyExists(Conflict):
    """A create-only write met an object. ``found`` holds its bytes and ETag when they were read back."""

    code = "already-exists"

    def __init__(self, message: str, *, found: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.found = found


class StaleWrite(Conflict):
    """A replace met another version. ``found`` is the current object when it was read back, else ``None``."""

    code = "stale-write"

    def __init__(self, message: str, *, found: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.found = found


class VersionConflict(Conflict):
    """``expected`` and ``current`` are versions in hexadecimal, ``None`` for absence."""

    code = "version-conflict"

    def __init__(self, message: str, *, expected: str | None, current: str | None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.expected = expected
        self.current = current

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"expected": self.expected, "current": self.current}


class FenceConflict(Conflict):
    """``expected`` and ``current`` are tails; ``missed`` the records after ``expected`` when they fit, else ``None``."""

    code = "fence-conflict"

    def __init__(self, message: str, *, expected: str, current: str, missed: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.expected = expected
        self.current = current
        self.missed = missed

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"expected": self.expected, "current": self.current}


class FenceRetriesExhausted(FenceConflict):
    code = "fence-retries-exhausted"


class FencedError(Conflict):
    code = "fenced"


class Undecided(SwampError):
    """A conditional write whose outcome is unknown when the deadline ended. ``name`` is the object."""

    code = "undecided"

    def __init__(self, message: str, *, name: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.name = name


class AmbiguousAppend(Undecided):
    """An append whose outcome is unknown; the writer that made it is finished.

    ``lane`` (str), ``slot`` (int) and ``write_id`` (bytes) identify the attempt for a later look-up.
    """

    code = "ambiguous-append"

    def __init__(self, message: str, *, lane: str, slot: int, write_id: bytes, hint: str = "") -> None:
        super().__init__(message, name=f"{lane}/{slot}", hint=hint)
        self.lane = lane
        self.slot = slot
        self.write_id = write_id


class NotNumbered(Undecided):
    """``id`` is the stable id of the version: ask for it instead of putting it again."""

    code = "not-numbered"

    def __init__(self, message: str, *, id: str, hint: str = "") -> None:  # noqa: A002
        super().__init__(message, name=id, hint=hint)
        self.id = id


class FixTheCall(SwampError):
    code = "bad-call"
    exit_code = 2


class BadKey(FixTheCall):
    code = "bad-key"


class BadName(FixTheCall):
    code = "bad-name"


class BadURL(FixTheCall):
    code = "bad-url"


class BadConfig(FixTheCall):
    code = "bad-config"


class TooLarge(FixTheCall):
    code = "too-large"


class SchemaMismatch(FixTheCall):
    code = "schema-mismatch"


class Misuse(FixTheCall):
    code = "misuse"


class FixTheSetup(SwampError):
    code = "bad-setup"


class StoreMissing(FixTheSetup):
    code = "store-missing"


class StoreForbidden(FixTheSetup):
    code = "store-forbidden"


class StoreFull(FixTheSetup):
    code = "store-full"


class PreconditionsIgnored(FixTheSetup):
    code = "preconditions-ignored"


class ClockOff(FixTheSetup):
    code = "clock-off"


class SpoolFull(FixTheSetup):
    code = "spool-full"


class SpoolUnusable(FixTheSetup):
    code = "spool-unusable"


class MissingExtra(FixTheSetup):
    code = "missing-extra"


class UnsupportedPlatform(FixTheSetup):
    code = "unsupported-platform"


class Damaged(SwampError):
    """Stored bytes are not what was written. ``name`` is the object's full name in the store."""

    code = "damaged"

    def __init__(self, message: str, *, name: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.name = name


class CorruptObject(Damaged):
    code = "corrupt-object"


class UnknownFormat(Damaged):
    code = "unknown-format"


class MissingObject(Damaged):
    code = "missing-object"


class Inconsistent(Damaged, AssertionError):
    """A predicate that must hold before anything is published does not: the inputs, or this program, are at fault."""

    code = "inconsistent"

    def __init__(self, message: str, *, name: str = "", hint: str = "") -> None:
        super().__init__(message, name=name, hint=hint or "nothing was changed; run: swamp datastore doctor --deep")


class NotFound(SwampError):
    """``time`` is the store's time (ms) when it looked, 0 where its answer did not say."""

    code = "not-found"

    def __init__(self, message: str, *, hint: str = "", time: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.time = time


class BelowHorizon(NotFound):
    code = "below-horizon"


class DeadForward(NotFound):
    code = "dead-forward"
