"""What the records of an audit topic must look like: a type of the caller's, checked before anything is sent.

The type is a msgspec Struct, a dataclass, a TypedDict or anything else msgspec can decode; with ``forbid_unknown_fields``
a Struct refuses fields it does not know. It lives with those who write, not in the store, so a program may move on to
another one; records that were written before stay as they are.

Invariants: a record is checked in the form in which it is stored, so what passes is what a reader can decode as the type.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from swampstore.errors import Misuse, SchemaMismatch
from swampstore.values.audit import AuditValue
from swampstore.values.frame import UNREADABLE

_making = threading.Lock()


class Schema:
    """``kind`` is the type. Raises ``Misuse`` for one that records cannot be checked against."""

    def __init__(self, kind: Any) -> None:
        self._name = getattr(kind, "__name__", str(kind))
        self._bytes = kind in (bytes, bytearray, memoryview)
        try:
            with _making:  # threads that all meet a type for the first time have crashed the interpreter
                self._decoder = msgspec.msgpack.Decoder(kind)
        except (TypeError, NotImplementedError) as error:
            raise Misuse(
                f"{kind!r} is no schema: {error}", hint="give a msgspec Struct, a dataclass or a TypedDict"
            ) from error

    def check(self, value: AuditValue, topic: str) -> None:
        """Raise ``SchemaMismatch`` unless ``value`` is what the type says."""
        if self._bytes or value.kind == "b":
            if self._bytes and value.kind == "b":
                return
            raise self._mismatch(topic, "it is bytes" if value.kind == "b" else "it is not bytes")
        try:
            self._decoder.decode(value.data)
        except UNREADABLE as error:
            raise self._mismatch(topic, str(error)) from error

    def _mismatch(self, topic: str, why: str) -> SchemaMismatch:
        return SchemaMismatch(
            f"a record of topic {topic!r} is no {self._name}: {why}",
            hint="nothing was written; mend the record or the schema",
        )
