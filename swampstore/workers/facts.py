"""What a version's ``metadata.yaml`` makes of the entry of its ``raw``; used by those who set the fields: sync and import.

Invariants:
- Fields come from the file and the path together or not at all: where they contradict each other, or the contents, the
  files are plain entries and the caller is told why.
- Nothing is lost: what is not a version is still an entry.
"""

from __future__ import annotations

import msgspec

from swampstore.errors import SwampError
from swampstore.limits import DATA_METADATA_BYTES, DATA_ORDINAL, KEY_BYTES
from swampstore.values.data import DataPath, Datum, check_datum, raw_path
from swampstore.values.deltas import check_labels
from swampstore.values.lifetimes import expires_at
from swampstore.values.metadata import datum_of, parse_metadata

_SURELY_SHORT = KEY_BYTES // 8
"""Characters of a path that is short enough whatever they are."""


class NotAVersion(ValueError):
    """A folder that looks like a version's is none, for this reason."""


class Facts(msgspec.Struct, frozen=True):
    """What the entry of ``raw`` says besides its contents. ``expires`` (ms, 0 = never) is that of both entries.

    ``size`` and ``sha256`` are what the file claims of the contents.
    """

    data: Datum
    content_type: str = ""
    tags: dict[str, str] = {}
    lifetime: str = ""
    created: int = 0
    expires: int = 0
    size: int | None = None
    sha256: bytes | None = None

    def check(self, size: int, sha256: bytes | None) -> None:
        """Raise ``NotAVersion`` unless contents of ``size`` (and ``sha256``, where it is known) are those it speaks of."""
        if self.size not in (None, size):
            raise NotAVersion(f"its metadata.yaml says {self.size} bytes, it has {size}")
        if sha256 is not None and self.sha256 not in (None, sha256):
            raise NotAVersion("its contents do not match the checksum in its metadata.yaml")


def plain_facts(path: DataPath) -> Facts:
    """What the path alone says. Raises ``NotAVersion``."""
    ordinal = path.ordinal or 0
    datum = Datum(path.model_type, path.model_id, path.name, ordinal)
    # A path of the layout can only be at fault by its number or its length; an import asks this of every version.
    if not 0 < ordinal <= DATA_ORDINAL or len(path.item) > _SURELY_SHORT:
        _check(datum)
    return Facts(datum)


def facts_of(path: DataPath, body: bytes, *, modified: int) -> Facts:
    """What the path and the ``metadata.yaml`` beside it say; ``modified`` (ms) stands in for a missing ``createdAt``.

    Raises ``NotAVersion``.
    """
    assert path.ordinal is not None
    if len(body) > DATA_METADATA_BYTES:
        raise NotAVersion(f"its metadata.yaml has {len(body)} bytes, more than {DATA_METADATA_BYTES}")
    try:
        found = parse_metadata(body, "its metadata.yaml", version=path.ordinal)
        check_labels(found.content_type, found.tags)
    except SwampError as error:
        raise NotAVersion(str(error)) from error
    if found.name != path.name:
        raise NotAVersion(f"its metadata.yaml is of {found.name[:200]!r}, the folder of {path.name!r}")
    datum = datum_of(found, path)
    _check(datum)
    created = max(found.created_ms if found.created_ms is not None else modified, 1)  # 0 would be: not said
    return Facts(
        datum,
        content_type=found.content_type,
        tags=found.tags,
        lifetime=found.lifetime_text,
        created=created,
        expires=expires_at(found.lifetime_text, created),
        size=found.size,
        sha256=found.sha256,
    )


def _check(datum: Datum) -> None:
    if not datum.ordinal:
        raise NotAVersion("versions begin at 1")
    try:
        check_datum(datum, raw_path(datum.item, datum.ordinal))
    except SwampError as error:
        raise NotAVersion(str(error)) from error
