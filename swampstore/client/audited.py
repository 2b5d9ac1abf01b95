"""A decorator: every call of a function is an audit record.

Invariants:
- The record is written before the call returns: what the caller acts upon is on record (or in the spool, or the call
  raises: what the topic's policy says when the store cannot be reached holds here too).
- Arguments are recorded only by name, and only those that were asked for: secrets are passed as arguments, too.
- A call whose result cannot be recorded has happened: it is on record without the result, and raises.
- A call that raises is recorded with its error, and raises the same error. If that record cannot be written, the function's
  error is raised with the other as a note: the first failure is the one to see.
- A generator function is refused: its call returns before anything has happened, and the record would be false.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from swampstore.client.audit_aio import AsyncAuditTopic
from swampstore.client.audit_blocking import AuditTopic
from swampstore.env.blocking import SystemClocks
from swampstore.errors import Misuse, SwampError, TooLarge

F = TypeVar("F", bound=Callable[..., Any])
_ERROR_CHARS = 2000
_boot = SystemClocks().boot


def audited(
    topic: AuditTopic | AsyncAuditTopic,
    *,
    call: str = "",
    arguments: Sequence[str] = (),
    result: bool | Callable[[Any], object] = True,
) -> Callable[[F], F]:
    """Record every call of the decorated function in ``topic``.

    A record holds ``call`` (default: module and name of the function), ``seconds``, the ``arguments`` named here, and the
    ``result``, what ``result(value)`` makes of it, or the ``error`` that was raised. A coroutine function needs a topic of
    the asyncio client, any other one of the blocking client.

    Raises ``Misuse`` when decorating (the wrong client, a parameter that is not there, a generator function), and at a call for a result that
    cannot be recorded; otherwise what ``topic.write`` raises.
    """

    def decorate(function: F) -> F:
        recorder = _Recorder(function, call, arguments, result)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise Misuse(
                f"{recorder.call} is a generator function: a call of it has done nothing yet",
                hint="decorate a function that runs it to its end, or write records where it yields",
            )
        if inspect.iscoroutinefunction(function):
            if not isinstance(topic, AsyncAuditTopic):
                raise Misuse(f"{recorder.call} is a coroutine function", hint="take the topic of an open_async() store")
            return cast("F", _awaited(function, topic, recorder))
        if not isinstance(topic, AuditTopic):
            raise Misuse(f"{recorder.call} is no coroutine function", hint="take the topic of an open() store")
        return cast("F", _called(function, topic, recorder))

    return decorate


class _Recorder:
    """Makes the record of a call."""

    def __init__(
        self,
        function: Callable[..., Any],
        call: str,
        arguments: Sequence[str],
        result: bool | Callable[[Any], object],
    ) -> None:
        self.call = call or f"{function.__module__}.{function.__qualname__}"
        self._signature = inspect.signature(function)
        self._arguments = tuple(arguments)
        self._result = result
        unknown = set(self._arguments) - set(self._signature.parameters)
        if unknown or isinstance(arguments, str):
            raise Misuse(
                f"{self.call} has no parameter {', '.join(sorted(unknown)) or repr(arguments)}",
                hint="name parameters of the function, in a list",
            )

    def begun(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The part that is known before the call."""
        record: dict[str, Any] = {"call": self.call}
        if self._arguments:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            record["arguments"] = {name: bound.arguments[name] for name in self._arguments}
        return record

    def ended(self, record: dict[str, Any], seconds: float, value: Any) -> dict[str, Any]:
        record["seconds"] = seconds
        if self._result is not False:
            record = record | {"result": value if self._result is True else self._result(value)}
        return record

    def unfit(self, record: dict[str, Any], seconds: float, error: SwampError) -> dict[str, Any]:
        """What is left to say of a call whose result cannot be recorded; ``error`` learns the way out."""
        error.add_note("result=False leaves the result out, result=function says what of it is recorded")
        return record | {"seconds": seconds, "error": f"the result could not be recorded: {error}"[:_ERROR_CHARS]}

    def failed(self, record: dict[str, Any], seconds: float, error: BaseException) -> dict[str, Any]:
        return record | {"seconds": seconds, "error": f"{type(error).__name__}: {error}"[:_ERROR_CHARS]}


def _called(function: Callable[..., Any], topic: AuditTopic, recorder: _Recorder) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        record = recorder.begun(args, kwargs)
        began = _boot()
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            try:
                topic.write(recorder.failed(record, _boot() - began, error))
            except SwampError as unwritten:
                error.add_note(f"and its audit record could not be written: {unwritten}")
            raise
        seconds = _boot() - began
        try:
            topic.write(recorder.ended(record, seconds, value))
        except (Misuse, TooLarge) as unfit:
            with suppress(Misuse, TooLarge):
                topic.write(recorder.unfit(record, seconds, unfit))
            raise
        return value

    return call


def _awaited(function: Callable[..., Any], topic: AsyncAuditTopic, recorder: _Recorder) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        record = recorder.begun(args, kwargs)
        began = _boot()
        try:
            value = await function(*args, **kwargs)
        except BaseException as error:
            try:
                await topic.write(recorder.failed(record, _boot() - began, error))
            except SwampError as unwritten:
                error.add_note(f"and its audit record could not be written: {unwritten}")
            raise
        seconds = _boot() - began
        try:
            await topic.write(recorder.ended(record, seconds, value))
        except (Misuse, TooLarge) as unfit:
            with suppress(Misuse, TooLarge):
                await topic.write(recorder.unfit(record, seconds, unfit))
            raise
        return value

    return call
