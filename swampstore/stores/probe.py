"""The proof that a store enforces both preconditions; everything above is unsafe on one that does not.

Invariants:
- Five requests: create, create again (must be refused), replace, replace with the ETag that is now stale (must be
  refused), delete. Nothing but the scratch object is touched. More only where an answer was not clear.
- A cached proof that cannot be read counts as none; a cache that cannot be written costs the next process five
  requests, nothing else.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from swampstore.env.base import Env
from swampstore.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    PreconditionsIgnored,
    StaleWrite,
    StoreUnavailable,
    Undecided,
)
from swampstore.stores.base import Create, Got, Replace, Store, Stored
from swampstore.stores.retry import Retrying
from swampstore.stores.s3_faults import NO_CONDITIONS_HINT

SCRATCH = ".swamp-probe"
PROOF_VERSION = 1
PROOF_SECONDS = 30.0
CACHED_PROOF_MS = 30 * 24 * 3600 * 1000


class Proof(msgspec.Struct, frozen=True):
    """That a store refused both forbidden writes, at ``time`` (the store's clock, ms), by the test of ``version``."""

    time: int
    version: int = PROOF_VERSION


class _Cached(msgspec.Struct, frozen=True):
    url: str
    proof: Proof
    saved: int


# Made once, here: msgspec learns a type at its first use, and threads that all come first crash the interpreter.
_decode_cached = msgspec.json.Decoder(_Cached).decode


async def prove_preconditions(store: Store, env: Env, *, deadline_s: float = PROOF_SECONDS) -> Proof:
    """Try both forbidden writes on a scratch object of the bare ``store`` (no retry layer).

    Where a request has no clear answer, all is tried again through a retry layer, for at most ``deadline_s``.
    Raises ``PreconditionsIgnored`` if one is not refused, or a permitted one is; ``StoreUnavailable`` decides nothing.
    """
    names = [_scratch(env)]
    try:
        return await _prove(store, env, names)
    except StoreUnavailable:
        names.append(_scratch(env))  # whatever is under way for the first may still arrive there
        try:
            return await _prove(Retrying(store, env, deadline_s=deadline_s), env, names)
        except Undecided as error:
            raise StoreUnavailable(f"whether {store.url} enforces conditional writes is not known: {error}") from error


def _scratch(env: Env) -> str:
    return f"{SCRATCH}/{env.random_bytes(16).hex()}"


async def _prove(store: Store, env: Env, names: list[str]) -> Proof:
    """With the last of ``names``; all of them are deleted in the end."""
    name, token = names[-1], env.random_bytes(16)
    try:
        first = await _permitted(store, name, b"1" + token, Create())
        await _forbidden(store, name, b"2" + token, Create(), AlreadyExists)
        second = await _permitted(store, name, b"3" + token, Replace(first.etag))
        if second.etag == first.etag:
            raise _ignored(store, "gave two contents the same ETag")
        await _forbidden(store, name, b"4" + token, Replace(first.etag), StaleWrite)
    finally:
        await store.delete(names)
    return Proof(second.time)


async def _permitted(store: Store, name: str, body: bytes, when: Create | Replace) -> Stored:
    try:
        return await store.put(name, body, when)
    except (Conflict, NotFound) as error:
        if stored := await _landed(store, name, body):
            return stored
        kind = "a create of a new name" if isinstance(when, Create) else "a replace with the current ETag"
        raise _ignored(store, f"refused {kind}") from error


async def _landed(store: Store, name: str, body: bytes) -> Stored | None:
    """The write of ``body``, if it was refused because it had been delivered before."""
    try:
        found = await store.get(name)
    except NotFound:
        return None
    return Stored(found.etag, found.time) if isinstance(found, Got) and found.body == body else None


async def _forbidden(store: Store, name: str, body: bytes, when: Create | Replace, refusal: type[Conflict]) -> None:
    try:
        await store.put(name, body, when)
    except refusal:
        return
    kind = "a second create of one name" if isinstance(when, Create) else "a replace with a stale ETag"
    raise _ignored(store, f"let {kind} overwrite it")


def _ignored(store: Store, what: str) -> PreconditionsIgnored:
    return PreconditionsIgnored(f"{store.url} does not enforce conditional writes: it {what}", hint=NO_CONDITIONS_HINT)


# --- the cache of this user ------------------------------------------------------------------------------------------


def cached_proof(url: str, env: Env) -> Proof | None:
    """The proof this user's cache holds for the store, if it is at most 30 days old and of the current test."""
    try:
        cached = decode_cached(_cache_file(url).read_bytes())
    except OSError:  # absent or unreadable: the proof is to be made
        cached = None
    if cached is None:
        return None
    young = 0 <= env.wall_ms() - cached.saved <= CACHED_PROOF_MS
    return cached.proof if cached.url == url and cached.proof.version == PROOF_VERSION and young else None


def decode_cached(body: bytes) -> _Cached | None:
    """What a file of the cache holds; ``None`` for what :func:`cache_proof` did not write."""
    try:
        return _decode_cached(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def cache_proof(url: str, proof: Proof, env: Env) -> bool:
    """Keep a proof for later processes of this user; whether that worked. A memory store's is never kept."""
    if url.startswith("memory:"):
        return False
    path = _cache_file(url)
    temp = path.with_name(f"{path.name}.{env.random_bytes(8).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(_Cached(url, proof, env.wall_ms())))
        temp.replace(path)
    except OSError:
        with suppress(OSError):
            temp.unlink()
        return False
    return True


def _cache_file(url: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return folder / "swampstore" / f"proof-{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
