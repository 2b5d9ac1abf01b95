"""Publishing the root: one winner, lost answers settled by nonces, settling marks."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from swampstore.env.blocking import run
from swampstore.errors import StaleWrite, StoreUnavailable, Undecided
from swampstore.limits import DELETE_GRACE_MS, NONCES, STORE_TIME_GRAIN_MS
from swampstore.protocols.register import Seen, ripe
from swampstore.stores.base import Got, Put, Request
from swampstore.stores.retry import Retrying
from swampstore.values.root import Garbage, Proved, Settling, encode_root, garbage_list
from tests.protocols.support import Process, world

RIPE_S = (DELETE_GRACE_MS + 2 * STORE_TIME_GRAIN_MS) / 1000


class Pair:
    """Two processes over a store whose answers can be lost."""

    def __init__(self) -> None:
        self.env, self.store = world()
        self.mine, self.other = (Process(Retrying(self.store, self.env, deadline_s=5), self.env) for _ in range(2))

    def publish(self, process: Process, seen: Seen | None = None, **changes: Any) -> Seen:
        seen = seen or run(process.register.read())
        return run(process.register.publish(seen, replace(seen.root, **changes)))

    def lose_the_answer(self, then: Any = None) -> None:
        """The next write of the root lands, its answer does not arrive; ``then()`` happens before anybody asks."""

        async def after(request: Request) -> None:
            if isinstance(request, Put):
                self.store.after = None
                if then:
                    then()
                raise StoreUnavailable("the connection broke")

        self.store.after = after


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_versions_and_nonces_form_a_chain(pair: Pair) -> None:
    nonces = []
    for version in range(1, NONCES + 5):
        seen = pair.publish(pair.mine)
        assert seen.root.version == version
        nonces.append(seen.root.nonce)
    assert len(set(nonces)) == len(nonces)
    assert seen.root.nonces == tuple(reversed(nonces[-NONCES - 1 : -1]))
    assert run(pair.other.register.read()).root == seen.root


@pytest.mark.parametrize("first", [True, False], ids=["the first root", "a later one"])
def test_of_two_who_saw_the_same_root_one_wins(pair: Pair, first: bool) -> None:
    if not first:
        pair.publish(pair.mine)
    a, b = run(pair.mine.register.read()), run(pair.other.register.read())
    won = pair.publish(pair.mine, a, hlc=1)
    with pytest.raises(StaleWrite):
        pair.publish(pair.other, b, hlc=2)
    assert run(pair.other.register.read()).root == won.root


@pytest.mark.parametrize("first", [True, False], ids=["the first root", "a later one"])
def test_a_lost_answer_is_no_loss(pair: Pair, first: bool) -> None:
    if not first:
        pair.publish(pair.mine)
    pair.lose_the_answer()
    seen = pair.publish(pair.mine, hlc=7)
    assert seen.root.hlc == 7
    assert run(pair.other.register.read()).root == seen.root
    assert pair.publish(pair.mine).root.version == seen.root.version + 1  # its ETag is good


@pytest.mark.parametrize("first", [True, False], ids=["the first root", "a later one"])
@pytest.mark.parametrize("followers", [1, NONCES])
def test_a_lost_answer_is_settled_though_others_have_published_since(pair: Pair, first: bool, followers: int) -> None:
    if not first:
        pair.publish(pair.mine)

    def others() -> None:
        for _ in range(followers):
            pair.publish(pair.other)

    pair.lose_the_answer(others)
    seen = pair.publish(pair.mine, hlc=7)
    assert seen.root.hlc == 7
    assert seen.root == run(pair.other.register.read()).root
    assert seen.root.version == followers + (1 if first else 2)
    assert pair.publish(pair.mine, seen).root.version == seen.root.version + 1


def test_a_publish_that_was_never_applied_is_stale_when_another_was_first(pair: Pair) -> None:
    pair.publish(pair.mine)
    seen = run(pair.mine.register.read())

    async def before(request: Request) -> None:
        if isinstance(request, Put):
            pair.store.before = None
            pair.publish(pair.other, hlc=3)
            raise StoreUnavailable("refused at the door")

    pair.store.before = before
    with pytest.raises(StaleWrite, match="version 2 first"):
        pair.publish(pair.mine, seen, hlc=9)
    assert run(pair.mine.register.read()).root.hlc == 3


def test_a_publish_whose_outcome_stays_unknown_is_undecided(pair: Pair) -> None:
    async def before(request: Request) -> None:
        raise StoreUnavailable("nobody there")

    seen = run(pair.mine.register.read())
    pair.store.before = before
    with pytest.raises(Undecided):
        pair.publish(pair.mine, seen)


def test_a_root_that_is_gone_is_stale(pair: Pair) -> None:
    seen = pair.publish(pair.mine)
    pair.store.drop("ns/root")
    with pytest.raises(StaleWrite, match="gone") as caught:
        pair.publish(pair.mine, seen)
    assert "open the store again" in caught.value.hint


def test_a_bare_store_settles_too() -> None:
    env, store = world()
    mine, other = Process(store, env), Process(store, env)
    a, b = run(mine.register.read()), run(other.register.read())
    run(mine.register.publish(a, a.root))
    with pytest.raises(StaleWrite):
        run(other.register.publish(b, b.root))


def test_a_broken_successor_sends_nothing(pair: Pair) -> None:
    seen = pair.publish(pair.mine, hlc=5)
    pair.store.forget()
    with pytest.raises(AssertionError, match="goes back"):
        pair.publish(pair.mine, seen, hlc=4)
    assert pair.store.calls == []


def test_an_unchanged_root_is_read_without_its_body(pair: Pair) -> None:
    pair.publish(pair.mine)
    first = run(pair.other.register.read())
    pair.store.forget()
    pair.env.advance(3)
    again = run(pair.other.register.read())
    assert pair.store.received == 0
    assert again.root is first.root
    assert (again.modified, again.time) == (first.modified, first.time + 3000)


def test_the_proof_stands_in_the_first_root_and_stays(pair: Pair) -> None:
    pair.mine.register.proof = Proved(123)
    assert pair.publish(pair.mine).root.proof == Proved(123)
    assert pair.publish(pair.other).root.proof == Proved(123)


# --- settling marks -------------------------------------------------------------------------------------------------------


def test_a_mark_names_what_an_older_root_covered_and_moves_only_when_ripe(pair: Pair) -> None:
    start = pair.env.wall_ms()
    assert pair.publish(pair.mine, watermarks={"s00": 1}).root.settling is None
    pair.env.advance(5)
    second = pair.publish(pair.mine, watermarks={"s00": 2})
    assert second.root.settling == Settling(start, {"s00": 1})
    pair.env.advance(RIPE_S - 6)  # one second short of ripe
    third = pair.publish(pair.mine, watermarks={"s00": 3})
    assert third.root.settling == second.root.settling
    assert not ripe(Settling(start, {}), third.time)
    pair.env.advance(1)
    published = third.modified
    fourth = pair.publish(pair.mine, watermarks={"s00": 4})
    assert fourth.root.settling == Settling(published, {"s00": 3})
    assert ripe(Settling(start, {}), fourth.time)


def test_a_mark_never_covers_more_than_its_root(pair: Pair) -> None:
    history: dict[int, dict[str, int]] = {}
    for slot in range(1, 40):
        seen = pair.publish(pair.mine if slot % 3 else pair.other, watermarks={"s00": slot})
        history[seen.modified] = seen.root.watermarks
        mark = seen.root.settling
        if mark is not None:
            assert history[mark.time] == mark.watermarks
        pair.env.advance(1 + slot % 7 * 5)


def test_garbage_is_dated_by_the_publish_that_named_it(pair: Pair) -> None:
    first = pair.publish(pair.mine)
    early = Garbage("blob/" + "0" * 32, 2, pair.env.wall_ms())
    pair.env.advance(100)  # it took long to publish
    named = pair.publish(pair.mine, first, garbage_raw=garbage_list([early]))
    pair.env.advance(10)
    after = pair.publish(pair.other, garbage_raw=named.root.garbage_raw)
    assert after.root.garbage[0].time == named.modified
    pair.env.advance(10)
    assert pair.publish(pair.mine).root.garbage == after.root.garbage


def test_the_clock_takes_in_what_the_root_has_folded() -> None:
    env, store = world()
    writer, reader = Process(store, env), Process(store, env)
    for _ in range(100):
        writer.place.clock.stamp()
    high = writer.put("a").version
    writer.fold()
    store.drop(*store.names("ns/log/"))
    run(reader.register.read())
    assert reader.writer.new_version() > high


def test_roots_of_another_age_do_not_replace_the_last(pair: Pair) -> None:
    old = pair.publish(pair.mine)
    new = pair.publish(pair.mine)
    pair.mine.register.take(_got(old))
    assert pair.mine.register.last == new


def _got(seen: Seen) -> Any:
    body = encode_root(seen.root)
    return Got(body, seen.etag, len(body), seen.modified, seen.time)
