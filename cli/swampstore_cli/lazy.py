"""A group of commands whose modules are imported only when a command of theirs is called.

Start-up is what people wait for most often: ``swamp --help`` imports no command, a command imports its own module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Lazy(NamedTuple):
    """A command that lives in ``module`` (which has a Typer called ``app``), or with ``below`` a group of commands.

    ``words`` stand below the commands of a group: what one must know to use them.
    """

    help: str
    module: str = ""
    below: Mapping[str, Lazy] | None = None
    words: str = ""


class LazyGroup(TyperGroup):
    """A command group over a table of :class:`Lazy`; subclasses or callers set ``table``."""

    table: Mapping[str, Lazy] = {}

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is typer's
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        entry = self.table.get(cmd_name)
        if entry is not None and cmd_name not in self.commands:
            self.commands[cmd_name] = _load(cmd_name, entry)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # What is near a mistyped name is looked for in ``commands``: name them all before the error is made.
        if args and args[0] not in self.table:
            for name in self.table:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)


def _load(name: str, entry: Lazy) -> Any:
    if entry.below is not None:
        words = f"\b\n{entry.words}" if entry.words else None
        group = LazyGroup(name=name, help=entry.help, epilog=words, rich_markup_mode=None)
        group.table = entry.below
        return plain(group)
    command = typer.main.get_command(import_module(entry.module).app)
    command.name = name
    return plain(command)


def plain(command: Any) -> Any:
    """``command`` itself, its flags, texts and numbers spared typer's general converters.

    Their import (pydantic) takes as long as everything else a short command does. The empty text is refused for options: in
    a script it is a variable that was not set, and to go on as if ``--if-version`` or ``--prefix`` had not been given
    would overwrite, delete or show what the caller meant to spare.
    """
    for param in command.get_params(typer.Context(command)):  # with a context the option --help is among them
        descriptor = getattr(param, "type_descriptor", None)
        if descriptor is None or descriptor.is_choice or descriptor.is_ranged or descriptor.is_path:
            continue
        for kind in (str, int, float, bool):
            if descriptor.annotation in (kind, list[kind]):  # type: ignore[valid-type]
                param._runtime_param = _Plain(kind, descriptor.annotation is not kind)
    return command


MAY_BE_EMPTY = ("text",)
"""Options whose empty value says something: a record may be the empty text."""


class _Plain(NamedTuple):
    """Conversion of a parameter's text by a function, with the interface of typer's own converters."""

    convert: Callable[[str], Any]
    many: bool

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None:
            return () if self.many else None
        if self.convert is str and "" in (value if self.many else (value,)) and _said(param, ctx):
            raise typer.BadParameter("it is empty; leave the option out if none is meant", ctx=ctx, param=param)
        try:
            return [self.convert(item) for item in value] if self.many else self.convert(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a number", ctx=ctx, param=param) from None


def _said(option: Any, ctx: Any) -> bool:
    """Whether the caller gave the option; many have the empty text as their default."""
    if option.param_type_name != "option" or option.name in MAY_BE_EMPTY:
        return False
    return bool(ctx.get_parameter_source(option.name).name == "COMMANDLINE")
