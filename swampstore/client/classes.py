"""Which prefixes of a namespace belong to which class of records, for the clients."""

from __future__ import annotations

from collections.abc import Mapping

from swampstore.client.core import CoreNamespace
from swampstore.protocols.settings import change_settings
from swampstore.values.classes import SETTING, check_rules


async def set_classes(core: CoreNamespace, rules: Mapping[str, str]) -> dict[str, str]:
    """Replace the rules by which keys belong to a class. Raises ``BadKey``, ``BadConfig``, ``StaleWrite``."""
    core.owner.check()
    checked = check_rules(rules)
    await core.prove()
    await change_settings(core.place, core.register, lambda old: {**old, SETTING: checked})
    return checked
