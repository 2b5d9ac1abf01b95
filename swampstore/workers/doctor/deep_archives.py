"""Audit archives that only the catalog names: each is there and is what the catalog says."""

from __future__ import annotations

from swampstore.errors import FixTheSetup, NotFound, SwampError, TryAgain, UnknownFormat
from swampstore.protocols.place import Place
from swampstore.stores.base import Got
from swampstore.values.audit import AuditFile, catalog_parts, file_of
from swampstore.values.root import Root
from swampstore.workers.archive_catalog import Catalog
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import read_root
from swampstore.workers.salvage import read_run
from swampstore.workers.target import Progress

_HINT = "restore it from a backup of the store; until then queries of its topic and day fail"


async def check_archives(place: Place, root: Root, progress: Progress) -> list[Finding]:
    """Read every sorted archive. Raises what the store raises, ``Damaged`` for a catalog that cannot be read."""
    found: list[Finding] = []
    catalog = await Catalog.open(place, root.audit.catalog)
    for number, (key, record) in enumerate(sorted(catalog.records.items())):
        file = file_of(record)
        problem, missing = await _problem(place, file)
        if missing and (await read_root(place))[0].root.audit.catalog != root.audit.catalog:
            return found  # sorted anew meanwhile
        if problem:
            part, topic = catalog_parts(key)
            text = f"the archive of topic {topic!r}, {part}, with {file.count:,} records: {problem}"
            found.append(
                Finding(
                    "archive-missing" if missing else "archive-damaged", "error", place.full(file.name), text, _HINT
                )
            )
        progress("audit archives", number + 1, len(catalog.records))
    return found


async def _problem(place: Place, file: AuditFile) -> tuple[str, bool]:
    """What is wrong with an archive, and whether it is not there at all."""
    name = place.full(file.name)
    try:
        got = await place.store.get(name)
        assert isinstance(got, Got)
        ref = read_run(file.name, got.body, name).ref
    except NotFound:
        return "it is missing", True
    except (TryAgain, FixTheSetup, UnknownFormat):
        raise
    except SwampError as error:
        return str(error), False
    same = (ref.size, ref.count, ref.digest, ref.sum) == (file.size, file.count, file.digest, file.sum)
    return ("" if same else "it is not what the catalog says"), False
