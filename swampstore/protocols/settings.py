"""The settings of a namespace: a small map in its root, changed by compare-and-swap, seen by every later read and fold.

Invariants: a change is derived from the root it follows, and again from the next one when another process was first; a
setting that this program does not know is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from swampstore.errors import AlreadyExists, Misuse, StaleWrite
from swampstore.limits import ROOT_CAS_TRIES, SETTINGS_BYTES
from swampstore.protocols.log import refuse_lost_root
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register

Settings: TypeAlias = dict[str, Any]


async def change_settings(place: Place, register: Register, change: Callable[[Settings], Settings]) -> Settings:
    """Publish ``change`` of the settings; returns them. One read and one CAS, no CAS when nothing changes.

    Raises ``Misuse`` for settings too large for a root, ``StaleWrite`` when other processes were first again and again.
    """
    for last in range(ROOT_CAS_TRIES, 0, -1):
        seen = await register.read()
        old = seen.root
        if old.version == 0:
            await refuse_lost_root(place)
        new = change(dict(old.settings))
        if new == old.settings:
            return new
        size = len(msgspec.msgpack.encode(new))
        if size > SETTINGS_BYTES:
            raise Misuse(f"settings of {size} bytes, limit {SETTINGS_BYTES}", hint="settings are read with every root")
        try:
            return (await register.publish(seen, msgspec.structs.replace(old, settings=new))).root.settings
        except (StaleWrite, AlreadyExists):
            if last == 1:
                raise
    raise AssertionError("unreachable")
