"""What a path in a legacy store means: data or not, which version of what, and where its bytes may lie.

Pure. A *rel* is a path relative to the base ``P = [prefix/][namespace/]``, as the legacy index has it.

Invariants:
- Every rel has exactly one classification: a :class:`Kind` (imported) or a :class:`Drop` (reported, not imported).
- Only what the layout names as "not data" is dropped; a path nobody knows is opaque data. Names that are special at the
  base are ordinary below it, except ``.lock``, which is a lock anywhere.
- A folder of the layout itself (``data``, ``outputs``, ...) is never taken for a namespace of that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from swampstore.values.keys import key_problem
from swampstore.values.names import Names

INDEX_NAME = ".datastore-index.json"
INDEX_FOLDER = "_index/"
META_NAME = "_index/_meta.json"
NAMESPACE_MARK = ".namespace.json"
DATASTORE_LOCK = ".datastore.lock"
LOCK_FOLDER = ".locks/"
LAYOUT_FOLDERS = frozenset(
    {
        "data", "outputs", "definitions-evaluated", "workflow-runs", "auto-definitions", "audit", "telemetry", "logs",
        "files", "config",
    }
)  # fmt: skip


class Kind(StrEnum):
    """What an imported path is."""

    RAW = "raw"
    METADATA = "metadata"
    LATEST = "latest"
    OPAQUE = "opaque"


class Drop(StrEnum):
    """Why a path is not imported."""

    BAD_KEY = "bad-key"
    INDEX = "index"
    STATE = "local-state"
    CONTROL = "control"
    LOCK = "lock"
    NAMESPACE_MARK = "namespace-mark"
    CATALOG = "catalog"
    SECRETS = "secrets"
    BUNDLES = "bundles"
    OTHER_NAMESPACE = "other-namespace"
    NESTED_NAMESPACE = "nested-namespace"
    THROUGH_LINK = "through-latest-link"
    INTERNALS = "swampstore-internals"


_AT_BASE = {
    INDEX_NAME: Drop.INDEX,
    ".push-queue.json": Drop.STATE,
    ".datastore-sync-state.json": Drop.STATE,
    DATASTORE_LOCK: Drop.LOCK,
    NAMESPACE_MARK: Drop.NAMESPACE_MARK,
    ".catalog-export.json": Drop.CATALOG,
}
_FOLDERS = {
    "_index": Drop.INDEX,
    "_control": Drop.CONTROL,
    ".locks": Drop.LOCK,
    "secrets": Drop.SECRETS,
    "bundles": Drop.BUNDLES,
}


class Place(msgspec.Struct, frozen=True):
    """Where a legacy datastore lies in its store. ``prefix`` is empty or ends with a slash; ``namespace`` may be empty."""

    prefix: str = ""
    namespace: str = ""

    @property
    def base(self) -> str:
        """``P``: what every rel is relative to. Empty or ends with a slash."""
        return f"{self.prefix}{self.namespace}/" if self.namespace else self.prefix

    @property
    def root(self) -> Place:
        """The place without its namespace."""
        return Place(self.prefix)


class DataName(msgspec.Struct, frozen=True):
    """One named datum of one model."""

    type: str
    model: str
    name: str


class DataPath(msgspec.Struct, frozen=True):
    """A path below ``data/`` that belongs to a datum. ``version`` is ``None`` for ``latest``."""

    of: DataName
    version: int | None
    kind: Kind


class Rules:
    """The classification of one place; ``others`` are the namespaces that lie beside it.

    ``internals`` says that a namespace of this library lies in the place too: its objects are no data.
    """

    def __init__(self, place: Place, others: Iterable[str] = (), *, internals: bool = False) -> None:
        self._internals = Names(place.base.removesuffix("/")) if internals else None
        self._foreign = tuple(f"{name}/" for name in sorted(set(others) - LAYOUT_FOLDERS - {place.namespace}) if name)
        nested = place.namespace and place.namespace not in LAYOUT_FOLDERS
        self._nested = f"{place.namespace}/" if nested else None

    def classify(self, rel: str) -> Kind | Drop:
        """What ``rel`` is, or why it is dropped. Never raises."""
        dropped = self.dropped(rel)
        if dropped:
            return dropped
        found = parse_data(rel) if rel.startswith("data/") else None
        return found.kind if found else Kind.OPAQUE

    def dropped(self, rel: str) -> Drop | None:
        """Why ``rel`` is not data, or ``None`` if it is."""
        if key_problem(rel):
            return Drop.BAD_KEY
        if rel.startswith(self._foreign):
            return Drop.OTHER_NAMESPACE
        if self._nested and rel.startswith(self._nested):
            return Drop.NESTED_NAMESPACE
        if self._internals is not None and self._internals.is_ours(self._internals.prefix + rel):
            return Drop.INTERNALS
        top, slash, rest = rel.partition("/")
        if not slash:
            return _dropped_at_base(rel)
        if rest == ".lock" or rest.endswith("/.lock"):
            return Drop.LOCK
        if top == "data":
            return Drop.THROUGH_LINK if _through_link(rel) else None
        return _FOLDERS.get(top) or (Drop.BUNDLES if top.endswith("-bundles") else None)


def _dropped_at_base(rel: str) -> Drop | None:
    if rel == ".lock":
        return Drop.LOCK
    return _AT_BASE.get(rel) or (Drop.CATALOG if rel.startswith("_catalog.db") else None)


def _through_link(rel: str) -> bool:
    """Whether ``rel`` goes through a ``latest`` that is a link to a version folder: a second name of that version."""
    return rel.endswith(("/latest/raw", "/latest/metadata.yaml")) and rel.count("/") >= 5


def parse_data(rel: str) -> DataPath | None:
    """The datum ``rel`` belongs to, or ``None`` if it is not one of the three paths of a datum.

    ``data/<type>/<model>/<name>/<N>/raw|metadata.yaml`` or ``data/<type>/<model>/<name>/latest``, read from the right,
    because a type may hold slashes and a name may be a number. That a folder is a *version* needs more than this: it
    must hold ``metadata.yaml``, see :func:`versions`.
    """
    parts = rel.split("/")
    if parts[0] != "data" or len(parts) < 5:
        return None
    leaf = parts[-1]
    if leaf == "latest":
        return DataPath(DataName("/".join(parts[1:-3]), parts[-3], parts[-2]), None, Kind.LATEST)
    number = version_number(parts[-2])
    if len(parts) < 6 or number is None or leaf not in ("raw", "metadata.yaml"):
        return None
    kind = Kind.RAW if leaf == "raw" else Kind.METADATA
    return DataPath(DataName("/".join(parts[1:-4]), parts[-4], parts[-3]), number, kind)


def version_number(text: str) -> int | None:
    """The version a folder's name stands for: decimal digits without leading zeros, at most 15 of them."""
    if not (text.isascii() and text.isdigit()) or len(text) > 15 or (text[0] == "0" and text != "0"):
        return None
    return int(text)


def versions(rels: Iterable[str]) -> dict[DataName, list[int]]:
    """The versions of every datum among ``rels``, rising: the numeric folders that hold ``metadata.yaml``."""
    found: dict[DataName, list[int]] = {}
    for rel in rels:
        path = parse_data(rel) if rel.endswith("/metadata.yaml") else None
        if path and path.version is not None:
            found.setdefault(path.of, []).append(path.version)
    return {name: sorted(set(numbers)) for name, numbers in found.items()}


def latest_version(said: str | None, known: Iterable[int]) -> int | None:
    """The version ``latest`` stands for: what it says (``N`` or ``N/``) if that exists, else the highest known one."""
    held = set(known)
    number = version_number(said.strip().removesuffix("/")) if said else None
    if number in held:
        return number
    return max(held, default=None)


def locations(place: Place, rel: str, *, root_lists: bool) -> tuple[str, ...]:
    """The names under which the bytes of ``rel`` may lie, the better one first.

    Older clients wrote objects of a namespace at the prefix itself; such an object counts only if an index at the root
    lists it (``root_lists``), else it is somebody else's.
    """
    own = place.base + rel
    return (own, place.prefix + rel) if place.namespace and root_lists else (own,)


def lock_names(place: Place) -> tuple[str, ...]:
    """The names of the locks with a fixed place that guard ``place``; more may lie at ``P/data/**/.lock``."""
    names = [place.base + DATASTORE_LOCK]
    if place.namespace:
        names += [f"{place.prefix}{LOCK_FOLDER}{place.namespace}.lock", place.prefix + DATASTORE_LOCK]
    return tuple(names)
