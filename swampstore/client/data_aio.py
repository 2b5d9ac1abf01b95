"""The data model of the asyncio client. Its names and meaning are those of ``data_blocking``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from swampstore.client.core import CoreNamespace
from swampstore.client.data import LATEST, CoreItem, DataAck, DataRemoval, search_data
from swampstore.protocols.data_search import DataFilter
from swampstore.values.data import Model
from swampstore.values.data_version import DataVersion


class AsyncDataItem:
    """One datum of one model: its versions. Made by ``namespace.data(model, name)``."""

    def __init__(self, core: CoreItem) -> None:
        self._core = core

    @property
    def model(self) -> Model:
        return self._core.model

    @property
    def name(self) -> str:
        return self._core.name

    async def put(
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
        """See :meth:`swampstore.client.data_blocking.DataItem.put`."""
        return await self._core.put(
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

    async def get(
        self, version: int | str = LATEST, *, as_of: int | datetime | None = None, follow: bool = True
    ) -> DataVersion | None:
        """See :meth:`swampstore.client.data_blocking.DataItem.get`."""
        return await self._core.get(version, as_of=as_of, follow=follow)

    async def read(self, version: int | str = LATEST, *, as_of: int | datetime | None = None) -> bytes:
        """See :meth:`swampstore.client.data_blocking.DataItem.read`."""
        return await self._core.read(version, as_of=as_of)

    def read_chunks(self, version: int | str = LATEST, *, as_of: int | datetime | None = None) -> AsyncIterator[bytes]:
        """See :meth:`swampstore.client.data_blocking.DataItem.read_chunks`."""
        return self._core.stream(version, as_of=as_of)

    async def versions(self, limit: int | None = None) -> list[DataVersion]:
        """See :meth:`swampstore.client.data_blocking.DataItem.versions`."""
        return await self._core.versions(limit)

    async def delete(self, version: int | str | None = None) -> DataRemoval:
        """See :meth:`swampstore.client.data_blocking.DataItem.delete`."""
        return await self._core.delete(version)

    async def rename(self, new_name: str) -> DataAck:
        """See :meth:`swampstore.client.data_blocking.DataItem.rename`."""
        return await self._core.rename(new_name)


def find_data(core: CoreNamespace, wanted: DataFilter) -> AsyncIterator[DataVersion]:
    """The versions that match."""
    return search_data(core, wanted)
