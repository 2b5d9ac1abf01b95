"""The proof of preconditions: exact cost, refusal of careless stores, the cache of the user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import PreconditionsIgnored, StoreForbidden, StoreUnavailable
from swampstore.stores.base import Body, Create, Overwrite, Put, Replace, Store, Stored, When, outcome
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.stores.open import open_store
from swampstore.stores.probe import CACHED_PROOF_MS, Proof, cache_proof, cached_proof, prove_preconditions
from swampstore.testing.env import FakeEnv
from swampstore.testing.wrappers import (
    Before,
    CountingStore,
    Fault,
    FaultyStore,
    Wrapper,
    busy,
    in_order,
    lost_answer,
    lost_request,
    slow_down,
)
from tests.conftest import Bucket
from tests.stores.stub_s3 import Asked, CarelessS3, Reply, refusal, stub_server

URL = "s3://bucket/team"


def test_exactly_five_requests_that_leave_nothing() -> None:
    env = FakeEnv()
    store = CountingStore(MemoryStore(env))
    proof = run(prove_preconditions(store, env))
    assert store.requests == {"create": 2, "replace": 2, "delete": 1}
    assert len({name for _, name in store.names}) == 1
    assert store.names[0][1].startswith(".swamp-probe/")
    assert proof == Proof(time=env.wall_ms())
    assert run(store.list("")).items == ()


def test_a_directory_and_a_bucket_prove_themselves(tmp_path: Path, moto_bucket: Bucket) -> None:
    for store in (LocalStore(tmp_path), open_store(moto_bucket.url("p"), env=BlockingEnv())):
        assert run(prove_preconditions(store, BlockingEnv())).time > 0
        assert run(store.list("")).items == ()
        run(store.close())


@pytest.mark.server
def test_a_strict_emulator_proves_itself(emulator_bucket: Bucket) -> None:
    store = open_store(emulator_bucket.url(), env=BlockingEnv())
    assert run(prove_preconditions(store, BlockingEnv())).time > 0
    run(store.close())


@pytest.mark.parametrize(
    ("creates", "replaces", "words"),
    [(False, False, "second create"), (False, True, "second create"), (True, False, "stale ETag")],
)
def test_a_careless_server_is_refused(creates: bool, replaces: bool, words: str) -> None:
    server = CarelessS3(creates=creates, replaces=replaces)
    with stub_server(server) as stub:
        store = open_store(f"s3://bucket/p?endpoint={stub.endpoint}", env=BlockingEnv())
        with pytest.raises(PreconditionsIgnored, match=words) as caught:
            run(prove_preconditions(store, BlockingEnv()))
        assert "If-None-Match" in caught.value.hint
        assert server.objects == {}
        run(store.close())


def test_a_careful_stub_is_accepted() -> None:
    with stub_server(CarelessS3(creates=True, replaces=True)) as stub:
        store = open_store(f"s3://bucket/p?endpoint={stub.endpoint}", env=BlockingEnv())
        assert run(prove_preconditions(store, BlockingEnv())).time > 0
        run(store.close())


def test_a_server_without_conditional_writes_is_refused() -> None:
    def answer(asked: Asked) -> Reply:
        if "if-none-match" in asked.headers:
            return refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        return Reply(200, b"<DeleteResult/>", {"Content-Type": "application/xml"})

    with stub_server(answer) as stub:
        store = open_store(f"s3://bucket?endpoint={stub.endpoint}", env=BlockingEnv())
        with pytest.raises(PreconditionsIgnored, match="does not implement"):
            run(prove_preconditions(store, BlockingEnv()))
        run(store.close())


class Twisted(Wrapper):
    """Treats one kind of write as another."""

    def __init__(self, inner: Store, kind: type[When], other: When) -> None:
        super().__init__(inner)
        self._kind = kind
        self._other = other

    async def put(self, name: str, body: Body, when: When) -> Stored:
        return await self.inner.put(name, body, self._other if isinstance(when, self._kind) else when)


@pytest.mark.parametrize(
    ("kind", "other", "words"),
    [
        (Create, Overwrite(), "second create"),
        (Create, Replace("no"), "new name"),
        (Replace, Overwrite(), "stale ETag"),
        (Replace, Replace("no"), "current ETag"),
        (Replace, Create(), "current ETag"),
    ],
)
def test_a_store_that_takes_one_write_for_another_is_refused(kind: type[When], other: When, words: str) -> None:
    inner = MemoryStore()
    with pytest.raises(PreconditionsIgnored, match=words):
        run(prove_preconditions(Twisted(inner, kind, other), BlockingEnv()))
    assert run(inner.list("")).items == ()


@pytest.mark.parametrize("position", range(4))
def test_a_store_that_refuses_to_answer_has_proved_nothing(position: int) -> None:
    store = FaultyStore(MemoryStore(), in_order([None] * position + [Before(StoreForbidden("403"))]))
    with pytest.raises(StoreForbidden):
        run(prove_preconditions(store, FakeEnv()))


@pytest.mark.parametrize("fault", [lost_request(), lost_answer(), busy(), slow_down()])
@pytest.mark.parametrize("position", range(5))
def test_a_fault_of_the_moment_decides_nothing(fault: Fault, position: int) -> None:
    """Whatever meets one of the five requests, the proof is made, and nothing stays."""
    inner = MemoryStore()
    store = FaultyStore(inner, in_order([None] * position + [fault]))
    assert run(prove_preconditions(store, FakeEnv())).time > 0
    assert run(inner.list("")).items == ()


class Twice(Wrapper):
    """Delivers every write twice; the second answer comes back."""

    async def put(self, name: str, body: Body, when: When) -> Stored:
        await outcome(self.inner, Put(name, body, when))
        return await self.inner.put(name, body, when)


def test_a_write_that_was_delivered_twice_decides_nothing() -> None:
    inner = MemoryStore()
    assert run(prove_preconditions(Twice(inner), FakeEnv())).time > 0
    assert run(inner.list("")).items == ()


def test_a_careless_store_is_found_out_under_faults() -> None:
    for position in range(5):
        careless = Twisted(MemoryStore(), Create, Overwrite())
        store = FaultyStore(careless, in_order([None] * position + [lost_answer()]))
        with pytest.raises(PreconditionsIgnored):
            run(prove_preconditions(store, FakeEnv()))


def test_a_store_that_never_answers_has_proved_nothing() -> None:
    env = FakeEnv()
    began = env.boot()
    with pytest.raises(StoreUnavailable):
        run(prove_preconditions(FaultyStore(MemoryStore(), lambda _: lost_request()), env, deadline_s=7.0))
    assert env.boot() - began < 2 * 7.0


# --- the cache ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "swampstore"


def test_a_proof_is_kept_for_later_processes(folder: Path) -> None:
    env = FakeEnv()
    assert cached_proof(URL, env) is None
    assert cache_proof(URL, Proof(time=5), env)
    assert cached_proof(URL, env) == Proof(time=5)
    assert cached_proof(f"{URL}2", env) is None
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    env.wall += CACHED_PROOF_MS
    assert cached_proof(URL, env) == Proof(time=5)
    env.wall += 1
    assert cached_proof(URL, env) is None


def test_a_proof_of_another_test_or_from_the_future_does_not_count(folder: Path) -> None:
    env = FakeEnv()
    cache_proof(URL, Proof(time=5, version=99), env)
    assert cached_proof(URL, env) is None
    cache_proof(URL, Proof(time=5), env)
    env.wall -= 1
    assert cached_proof(URL, env) is None


@pytest.mark.parametrize("contents", [b"", b"{", b"null", b"[1]", b'{"url": 1}', b"\xff" * 10])
def test_an_unreadable_cache_counts_as_none(folder: Path, contents: bytes) -> None:
    env = FakeEnv()
    cache_proof(URL, Proof(time=5), env)
    (file,) = folder.iterdir()
    file.write_bytes(contents)
    assert cached_proof(URL, env) is None
    assert cache_proof(URL, Proof(time=6), env)
    assert cached_proof(URL, env) == Proof(time=6)


def test_another_store_s_file_does_not_count(folder: Path) -> None:
    env = FakeEnv()
    cache_proof(URL, Proof(time=5), env)
    (file,) = folder.iterdir()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"url": "s3://other"}))
    assert cached_proof(URL, env) is None


def test_a_cache_that_cannot_be_written_is_no_error(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    assert cache_proof(URL, Proof(time=5), FakeEnv()) is False
    assert cached_proof(URL, FakeEnv()) is None


def test_a_memory_store_s_proof_is_not_kept(folder: Path) -> None:
    assert cache_proof("memory://x", Proof(time=5), FakeEnv()) is False
    assert not folder.exists()
