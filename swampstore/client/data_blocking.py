"""The data model of the blocking client. Its names and meaning are those of ``data_aio``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from swampstore.client.core import CoreNamespace
from swampstore.client.data import LATEST, CoreItem, DataAck, DataRemoval, search_data
from swampstore.env.blocking import each, run
from swampstore.protocols.data_search import DataFilter
from swampstore.values.data import Model
from swampstore.values.data_version import DataVersion


class DataItem:
    """One datum of one model: its versions. Made by ``namespace.data(model, name)``."""

    def __init__(self, core: CoreItem) -> None:
        self._core = core

    @property
    def model(self) -> Model:
        return self._core.model

    @property
    def name(self) -> str:
        return self._core.name

    def put(
        self,
        data: object,
        *,
        content_type: str = "",
        tags: dict[str, str] | None = None,
        lifetime: str = "infinite",
        keep: str | int | None = None,
        owner: dict[str, Any] | None = None,
        streaming: bool = False,
        extra: dict[str, Any] | None = None,
        ordinal: bool = False,
    ) -> DataAck:
        """Write a new version (bytes, text or a ``FileSource``): one append, no lock, no read. Its ``id`` is final.

        Its ordinal is fixed by the next fold and never changes; with ``ordinal=True`` this call folds until it is known.
        ``lifetime`` is ``30d``, ``12h``, ``infinite``, ``ephemeral``, ``job`` or ``workflow``; ``keep`` a count of versions
        or an age.

        Raises ``BadConfig``, ``TooLarge``, ``AmbiguousAppend``, ``NotNumbered``.
        """
        return run(
            self._core.put(
                data,
                ordinal=ordinal,
                content_type=content_type,
                tags=tags or {},
                lifetime=lifetime,
                keep=keep,
                owner=owner or {},
                streaming=streaming,
                extra=extra or {},
            )
        )

    def get(
        self, version: int | str = LATEST, *, as_of: int | datetime | None = None, follow: bool = True
    ) -> DataVersion | None:
        """A version by its ordinal or id, the newest, or the newest that was there at ``as_of`` (ms or ``datetime``).

        Renamed data is followed to its new name, unless a version is named or ``follow=False``. Raises ``BelowHorizon``
        when the versions of that time were removed, ``DeadForward`` for renamings that lead nowhere.
        """
        return run(self._core.get(version, as_of=as_of, follow=follow))

    def read(self, version: int | str = LATEST, *, as_of: int | datetime | None = None) -> bytes:
        """The contents of a version, hash checked. Raises ``NotFound`` and what :meth:`get` raises."""
        return run(self._core.read(version, as_of=as_of))

    def read_chunks(self, version: int | str = LATEST, *, as_of: int | datetime | None = None) -> Iterator[bytes]:
        """The contents in pieces of at most 16 MB; the hash is checked before the last piece is given."""
        return each(self._core.stream(version, as_of=as_of))

    def versions(self, limit: int | None = None) -> list[DataVersion]:
        """The versions there are, newest first, at most ``limit``."""
        return run(self._core.versions(limit))

    def delete(self, version: int | str | None = None) -> DataRemoval:
        """Remove one version, or all there are: what is put meanwhile stays. Raises ``NotFound``."""
        return run(self._core.delete(version))

    def rename(self, new_name: str) -> DataAck:
        """Forward to ``new_name``, under which the newest version lies from now on; older ones stay under their numbers.

        A version that is put under the old name meanwhile ends the forwarding. Raises ``NotFound``, ``AlreadyExists``.
        """
        return run(self._core.rename(new_name))


def find_data(core: CoreNamespace, wanted: DataFilter) -> Iterator[DataVersion]:
    """The versions that match."""
    return each(search_data(core, wanted))
