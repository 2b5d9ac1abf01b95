"""Record classes: what becomes of a record once it is folded.

``indexed`` records become entries of the manifest. ``ephemeral`` ones are runtime state: they live in a home of their own
beside the manifest, are overwritten in place, have no versions and always expire. ``audit`` records go into archives
by topic and time (:mod:`swampstore.values.audit`).

A writer names the class of a put, or the namespace's rules do: prefixes of keys, kept in the settings of the root and
applied by everybody who reads the log (readers and folds), so that no writer can put state into the index by not
knowing them.

Invariants:
- A key is classified only as what it is: a key that is not valid (``a/../b``) is under no rule, a prefix covers whole
  parts of a path (``run`` does not cover ``runner``), the longest prefix that covers a key decides.
- Classifying is a function of record and rules, and changes nothing when done twice.
- A rule may make a record ephemeral; it never makes a conflict entry, a sync put's base or an internal record anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from swampstore.errors import BadConfig
from swampstore.limits import CLASS_RULES, EPHEMERAL_TTL_MAX_MS, EPHEMERAL_TTL_MS
from swampstore.values.entry import AUDIT, CONFLICT, EPHEMERAL, OPAQUE, Record, base_of, meta_of, put_record, tombstone
from swampstore.values.keys import check_key, key_problem
from swampstore.values.version import just_above, version_ms

RecordClass: TypeAlias = Literal["indexed", "ephemeral"]
CLASSES: tuple[str, ...] = ("indexed", "ephemeral")
SETTING = "classes"
"""The name in the root's settings: a map from prefix to class."""


def is_ephemeral(record: Record) -> bool:
    """Whether ``record`` belongs into the ephemeral home."""
    return bool(record.flags & EPHEMERAL)


def as_ephemeral(record: Record) -> Record:
    """A put or tombstone as an ephemeral one. A put without a time gets the default one, counted from its version."""
    if record.flags & EPHEMERAL:
        return record
    if record.gone:
        return msgspec.structs.replace(record, flags=record.flags | EPHEMERAL)
    made = version_ms(record.version)
    expires = min(record.expires, made + EPHEMERAL_TTL_MAX_MS) if record.expires else made + EPHEMERAL_TTL_MS
    plain = record
    if base_of(record) is not None:  # overwritten in place: nothing is kept beside it, so nothing to descend from
        plain = put_record(record.key, record.version, msgspec.structs.replace(meta_of(record), base=None))
    return Record(record.key, record.version, EPHEMERAL, expires, plain.value)


def as_indexed(shadow: Record) -> Record:
    """A tombstone of the ephemeral home as one of the manifest: it removes the same, at the same version."""
    return msgspec.structs.replace(shadow, flags=shadow.flags & ~EPHEMERAL)


def expired_as(record: Record) -> Record:
    """What an ephemeral put leaves behind after its time: a tombstone of exactly that version."""
    return as_ephemeral(tombstone(record.key, just_above(record.version), base=record.version))


class ClassRules:
    """The rules of a namespace: which prefixes belong to which class."""

    __slots__ = ("_lengths", "_rules")

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._rules = {prefix.removesuffix("/"): name for prefix, name in rules.items()}
        self._lengths = sorted({len(prefix) for prefix in self._rules}, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def class_of(self, key: str) -> str:
        """The class of ``key``; ``indexed`` for what no rule covers and for what is no valid key."""
        if key_problem(key):
            return "indexed"
        for length in self._lengths:
            if (len(key) == length or key[length : length + 1] == "/") and key[:length] in self._rules:
                return self._rules[key[:length]]
        return "indexed"

    def apply(self, records: Sequence[Record]) -> Sequence[Record]:
        """``records`` with those under a rule of class ``ephemeral`` made so."""
        if not self._rules:
            return records
        return [self._applied(record) for record in records]

    def _applied(self, record: Record) -> Record:
        if record.flags & (OPAQUE | CONFLICT | EPHEMERAL) or self.class_of(record.key) != "ephemeral":
            return record
        return as_ephemeral(record)


NO_RULES = ClassRules({})


def rules_of(settings: Mapping[str, Any]) -> ClassRules:
    """The rules in the settings of a root. What an unknown program wrote there counts for nothing."""
    found = settings.get(SETTING)
    if not isinstance(found, dict) or not found:
        return NO_RULES
    return ClassRules({str(prefix): str(name) for prefix, name in found.items() if name in CLASSES})


def check_rules(rules: Mapping[str, str]) -> dict[str, str]:
    """``rules`` as they go into the settings. Raises ``BadKey`` for a prefix, ``BadConfig`` for a class."""
    if len(rules) > CLASS_RULES:
        raise BadConfig(f"{len(rules)} rules, at most {CLASS_RULES} fit")
    for prefix, name in rules.items():
        check_key(prefix.removesuffix("/") if isinstance(prefix, str) else prefix)
        if name not in CLASSES:
            raise BadConfig(f"{name!r} is no class of records", hint=f"one of: {', '.join(CLASSES)}")
    return {prefix.removesuffix("/"): name for prefix, name in rules.items()}


def split(records: Iterable[Record]) -> tuple[list[Record], list[Record]]:
    """``(indexed, ephemeral)`` of ``records``, each in their order; audit records are neither."""
    indexed: list[Record] = []
    ephemeral: list[Record] = []
    for record in records:
        if not record.flags & AUDIT:
            (ephemeral if record.flags & EPHEMERAL else indexed).append(record)
    return indexed, ephemeral
