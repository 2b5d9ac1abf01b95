"""Which model a command means: ``type:id`` as it stands, or a name or id that is looked up.

A name or id is looked up first in the definitions of the repo (``models/<type>/<file>.yaml`` and the automatic ones in
``.swamp/auto-definitions``), then among the data of the namespace (by id, and by the tag ``modelName``).

Invariants: a model is never guessed. None is ``NotFound``, more than one ``Misuse`` that names them all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swampstore.errors import Misuse, NotFound
from swampstore.values.data import Model, parse_model

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore_cli.config import Settings

HELP = "TYPE:ID, such as aws/ec2:7c1e..., or a name or id that is known."
_DEFINITION_BYTES = 64 * 1024
_FIELD = re.compile(r"^(id|name):[ \t]*(?:\"([^\"\n]*)\"|'([^'\n]*)'|([^\s#][^\n#]*?))[ \t]*(?:#.*)?$", re.MULTILINE)
_SHOWN = 5


@dataclass(frozen=True)
class Found:
    """A model and what people call it (its id where it has no name)."""

    model: Model
    name: str

    def __str__(self) -> str:
        return str(self.model) if self.name == self.model.id else f"{self.name} ({self.model})"


@dataclass(frozen=True)
class Definition:
    """A model's definition in the repo."""

    model: Model
    name: str


def find_model(settings: Settings, namespace: Namespace, text: str) -> Found:
    """The one model that ``text`` means. Raises ``NotFound``, ``Misuse``, ``BadName`` for a ``type:id`` that is none."""
    if ":" in text:
        model = parse_model(text)
        there = definitions(settings, model.type)
        return Found(model, next((one.name for one in there if one.model == model), model.id))
    found = {one.model: one.name for one in definitions(settings) if text in (one.model.id, one.name)}
    if not found:
        found = _among_data(namespace, text)
    if not found:
        raise NotFound(
            f"no model {text!r} among the definitions of {settings.repo} or the data of namespace {namespace.name!r}",
            hint="see: swamp data list; or name it as TYPE:ID, such as aws/ec2:7c1e...",
        )
    if len(found) > 1:
        several = sorted(str(model) for model in found)
        more = f" and {len(several) - _SHOWN} more" if len(several) > _SHOWN else ""
        raise Misuse(
            f"{text!r} is the name of {len(found)} models: {', '.join(several[:_SHOWN])}{more}",
            hint="name one of them as TYPE:ID",
        )
    ((model, name),) = found.items()
    return Found(model, name)


def _among_data(namespace: Namespace, text: str) -> dict[Model, str]:
    """Models with data whose id or name is ``text``. Reads the index of all data: a TYPE:ID costs nothing."""
    found: dict[Model, str] = {}
    for version in namespace.search_data():
        name = version.tags.get("modelName", "")
        if text in (version.model.id, name):
            found[version.model] = name or found.get(version.model, version.model.id)
    return found


def definitions(settings: Settings, type_: str = "") -> Iterator[Definition]:
    """The definitions of the repo (of one type) that say an id; their type is the folder they lie in."""
    for root in (settings.repo / "models", settings.tree / "auto-definitions"):
        for folder, _, files in os.walk(root / type_):
            kind = Path(folder).relative_to(root).as_posix()
            for file in files:
                if file.endswith((".yaml", ".yml")) and kind != ".":
                    yield from _read(Path(folder, file), kind)


def _read(file: Path, kind: str) -> Iterator[Definition]:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            head = opened.read(_DEFINITION_BYTES)
    except OSError:
        return  # one that cannot be read defines nothing; what is looked for is then not found, and said to be
    said = {match[1]: match[2] or match[3] or match[4] or "" for match in _FIELD.finditer(head)}
    if said.get("id"):
        yield Definition(Model(kind, said["id"]), said.get("name") or said["id"])
