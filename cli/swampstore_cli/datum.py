"""A version of a datum as the commands show it: rows of a table for people, one shape of JSON for programs.

The JSON names are those of the command this one replaces; what is new here (``pending``, ``namespace``, ``expiresAt``)
stands beside them. ``version`` is the ordinal, ``null`` while it is pending; ``id`` is the stable id of the version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from swampstore.errors import Misuse
from swampstore.values.lifetimes import format_time
from swampstore.values.metadata import DEFAULT_TYPE
from swampstore_cli import output
from swampstore_cli.moments import now_ms

if TYPE_CHECKING:
    from swampstore.values.data_version import DataVersion

LATEST = "latest"
PENDING = "pending"
UNTYPED = DEFAULT_TYPE
_NAMED = 6
_MEASURED = 200
"""Rows that decide how wide the columns of a table are; later ones that are wider push the rest of their row."""


def wanted(text: str) -> int | str:
    """What ``--version`` names: an ordinal, ``latest``, or a stable id. Raises ``Misuse``."""
    text = text.removeprefix("v")
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    if text == LATEST or (len(text) == 48 and set(text) <= set("0123456789abcdef")):
        return text
    raise Misuse(
        f"--version {text!r} is neither a number, nor latest, nor an id",
        hint="numbers and ids are shown by: swamp data versions MODEL NAME",
    )


def shown_version(version: DataVersion) -> str:
    """``v3``, or ``pending``."""
    return PENDING if version.ordinal is None else f"v{version.ordinal}"


def shown_versions(versions: Sequence[DataVersion]) -> str:
    """``v3, v2, v1`` for a hint: the first few numbers, and that some are pending."""
    numbers = [shown_version(version) for version in versions if version.ordinal is not None]
    if len(numbers) < len(versions):
        numbers.insert(0, "pending ones")
    return ", ".join(numbers[:_NAMED]) + (" ..." if numbers[_NAMED:] else "")


def kind(version: DataVersion) -> str:
    """The tag ``type``: resource, file, report ..."""
    return version.tags.get("type") or UNTYPED


def model_name(version: DataVersion) -> str:
    return version.tags.get("modelName") or version.model.id


def is_forward(version: DataVersion) -> bool:
    """Whether the name leads to another one: only a version that says ``deleted`` does, as when it is read."""
    return version.deleted and bool(version.renamed_to)


def note(version: DataVersion) -> str:
    """What is out of the ordinary with a version, in a word or two."""
    if version.renamed_to:
        return f"renamed to {version.renamed_to}"
    return "deleted" if version.deleted else ""


def age(version: DataVersion) -> str:
    return output.age(max(0, now_ms() - version.created) / 1000) if version.created else ""


def keep(version: DataVersion) -> int | str | None:
    """Retention as the replaced command shows it: a count is a number."""
    text = version.keep
    return int(text) if text and text.isdigit() else text or None


def brief(version: DataVersion) -> dict[str, Any]:
    """The shape of an item in a list."""
    moved = {"renamedTo": version.renamed_to} if version.renamed_to else {}
    return {
        "id": version.id,
        "name": version.name,
        "version": version.ordinal,
        "pending": version.pending,
        "contentType": version.content_type,
        "type": kind(version),
        "streaming": version.streaming,
        "size": version.size,
        "createdAt": when(version.created),
    } | moved


def full(version: DataVersion) -> dict[str, Any]:
    """Everything that is known of a version, without its contents."""
    told = version.describe() | {
        "modelName": model_name(version),
        "garbageCollection": keep(version),
        "ownerDefinition": version.owner,
        "createdAt": when(version.created),
        "expiresAt": when(version.expires),
        "checksum": checksum(version),
    }
    path = told.pop("path", None)
    if told["lifecycle"] == "active":
        del told["lifecycle"]
    return told | ({"contentPath": path} if path else {})


def found(version: DataVersion) -> dict[str, Any]:
    """The shape of a search result."""
    shape = full(version)
    owner = shape.pop("ownerDefinition") or {}
    names = ("workflowName", "workflowRunId", "jobName", "stepName")
    told = {name: owner[name] for name in names if owner.get(name)}
    return shape | {
        "dataType": kind(version),
        "specName": version.tags.get("specName", ""),
        "ownerType": owner.get("ownerType", ""),
        **told,
    }


class Cut:
    """The first ``limit`` of some versions (``None``: all); ``count`` and ``more`` are known behind the last."""

    def __init__(self, versions: Iterable[DataVersion], limit: int | None) -> None:
        self._versions = versions
        self._limit = limit
        self.count = 0
        self.more = False

    def __iter__(self) -> Iterator[DataVersion]:
        for one in self._versions:
            if self.count == self._limit:
                self.more = True
                return
            self.count += 1
            yield one


def when(ms: int) -> str | None:
    return (format_time(ms) or None) if ms else None


def checksum(version: DataVersion) -> str | None:
    """The SHA-256 in hexadecimal, or ``None`` for contents whose hash was never computed."""
    return version.sha256 or None


def print_found(versions: Cut, head: dict[str, Any]) -> None:
    """One JSON document of search results, written as they are found."""
    separator = output.encoded(head)[:-1] + ', "results": ['
    for one in versions:
        output.write(separator + output.encoded(found(one)))
        separator = ",\n"
    if not versions.count:
        output.write(separator)
    output.line(f'], "total": {versions.count}, "limited": {"true" if versions.more else "false"}}}')


def stream_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset(), *, indent: str = ""
) -> int:
    """Aligned columns of rows without end, in bounded memory; how many there were. No header above no rows."""
    some: Iterator[Sequence[str]] = iter(rows)
    first = [tuple(output.cell(text) for text in row) for row in islice(some, _MEASURED)]
    if not first:
        return 0
    widths = [max(len(row[at]) for row in (tuple(header), *first)) for at in range(len(header))]
    for row in (tuple(header), *first):
        _line(row, widths, right, indent)
    count = len(first)
    for later in some:
        _line([output.cell(text) for text in later], widths, right, indent)
        count += 1
    return count


def _line(row: Sequence[str], widths: Sequence[int], right: frozenset[int], indent: str) -> None:
    parts = (
        text.rjust(width) if at in right else text.ljust(width)
        for at, (text, width) in enumerate(zip(row, widths, strict=True))
    )
    output.line((indent + "  ".join(parts)).rstrip())
