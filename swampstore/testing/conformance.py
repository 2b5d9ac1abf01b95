"""What every store must do, as tests: subclass :class:`StoreConformance` for a store of your own.

    class TestMine(StoreConformance):
        @pytest.fixture
        def store(self): ...                      # an empty store
        def raw_get(self, store, name): ...       # the bytes under a name, or None, past the store
        def raw_set(self, store, name, body): ... # the same for writing

For an asyncio store set ``asynchronous = True``; everything of one test then runs in one event loop.
Each test names the invariant of :mod:`swampstore.stores.base` that it holds the store to.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest

from swampstore.errors import AlreadyExists, BadName, Misuse, NotFound, StaleWrite
from swampstore.stores.base import (
    Create,
    Get,
    Got,
    Head,
    Headed,
    List,
    NotModified,
    Overwrite,
    Page,
    Put,
    Replace,
    Store,
    Stored,
)
from swampstore.testing.conformance_races import RaceConformance
from swampstore.testing.samples import BAD_NAMES, BIG_BYTES, NAMES, SPANS, UNSORTED, Blocks

CLOCK_SLACK_MS = 5_000


class StoreConformance(RaceConformance):
    """See the module. ``drive`` finishes a coroutine, ``together`` many of them at the same time."""

    # --- one object ----------------------------------------------------------------------------------------------

    def test_what_is_put_is_got(self, store: Store, drive: Any) -> None:
        stored = drive(store.put("a/b", b"hello", Create()))
        got = drive(store.get("a/b"))
        assert (got.body, got.size, got.etag) == (b"hello", 5, stored.etag)
        assert self.raw_get(store, "a/b") == b"hello"

    def test_what_others_put_is_got(self, store: Store, drive: Any) -> None:
        """An object that came another way has an ETag and can be replaced."""
        self.raw_set(store, "other/file", b"theirs")
        assert drive(store.get("other/file")).body == b"theirs"
        etag = drive(store.head("other/file")).info.etag
        assert drive(store.put("other/file", b"ours", Replace(etag))).etag != etag
        assert self.raw_get(store, "other/file") == b"ours"

    def test_create_keeps_what_is_there(self, store: Store, drive: Any) -> None:
        """A refused create changes neither bytes nor ETag."""
        first = drive(store.put("a", b"first", Create()))
        with pytest.raises(AlreadyExists):
            drive(store.put("a", b"second", Create()))
        got = drive(store.get("a"))
        assert (got.body, got.etag) == (b"first", first.etag)

    def test_create_meets_what_others_put(self, store: Store, drive: Any) -> None:
        self.raw_set(store, "a", b"theirs")
        with pytest.raises(AlreadyExists):
            drive(store.put("a", b"ours", Create()))
        assert self.raw_get(store, "a") == b"theirs"

    def test_replace_needs_the_current_etag(self, store: Store, drive: Any) -> None:
        """An ETag from before the last write is refused."""
        first = drive(store.put("a", b"1", Create()))
        second = drive(store.put("a", b"2", Replace(first.etag)))
        assert second.etag != first.etag
        with pytest.raises(StaleWrite):
            drive(store.put("a", b"3", Replace(first.etag)))
        got = drive(store.get("a"))
        assert (got.body, got.etag) == (b"2", second.etag)

    def test_replace_never_creates(self, store: Store, drive: Any) -> None:
        """A missing object is refused, deleted ones too."""
        first = drive(store.put("a", b"1", Create()))
        drive(store.delete(["a"]))
        for name in ("a", "never/was"):
            with pytest.raises((NotFound, StaleWrite)):
                drive(store.put(name, b"2", Replace(first.etag)))
            assert self.raw_get(store, name) is None

    def test_overwrite_needs_nothing(self, store: Store, drive: Any) -> None:
        etags = [drive(store.put("a", body, Overwrite())).etag for body in (b"1", b"2", b"3")]
        assert len(set(etags)) == 3
        assert drive(store.get("a")).body == b"3"

    def test_contents_of_one_name_never_share_an_etag(self, store: Store, drive: Any) -> None:
        """Not by overwriting, and not by deleting and creating."""
        etags = [drive(store.put("a", b"%03d" % 0, Create())).etag]
        etags += [drive(store.put("a", b"%03d" % n, Overwrite())).etag for n in range(1, 20)]
        drive(store.delete(["a"]))
        etags.append(drive(store.put("a", b"%03d" % 20, Create())).etag)
        assert len(set(etags)) == 21

    def test_every_verb_tells_the_same_bare_etag(self, store: Store, drive: Any) -> None:
        """put, get, head and list agree, without quotes."""
        etag = drive(store.put("a", b"1", Create())).etag
        (listed,) = drive(store.list("a")).items
        assert {etag} == {drive(store.get("a")).etag, drive(store.head("a")).info.etag, listed.etag}
        assert etag
        assert '"' not in etag

    def test_empty_contents(self, store: Store, drive: Any) -> None:
        """No bytes are contents too."""
        drive(store.put("empty", b"", Create()))
        got = drive(store.get("empty"))
        assert (got.body, got.size) == (b"", 0)
        assert drive(store.get("empty", span=(0, 10))).body == b""
        assert drive(store.head("empty")).info.size == 0

    def test_what_is_not_there(self, store: Store, drive: Any) -> None:
        for work in (store.get("no"), store.get("no", span=(0, 1)), store.get("no", span=(0, 0)), store.head("no")):
            with pytest.raises(NotFound):
                drive(work)

    def test_delete(self, store: Store, drive: Any) -> None:
        """Names that are there go, others are no error, and a name can be created again."""
        for name in ("a/b/c", "a/b/d", "e"):
            drive(store.put(name, b"x", Create()))
        drive(store.delete(["a/b/c", "never/was", "e"]))
        drive(store.delete([]))
        drive(store.delete(["a/b/c"]))
        assert [item.name for item in drive(store.list("")).items] == ["a/b/d"]
        assert self.raw_get(store, "a/b/c") is None
        drive(store.put("a/b/c", b"again", Create()))
        assert drive(store.get("a/b/c")).body == b"again"

    def test_delete_of_many_batches(self, store: Store, drive: Any) -> None:
        drive(store.put("d/0000", b"x", Create()))
        drive(store.put("d/1500", b"x", Create()))
        drive(store.delete([f"d/{n:04}" for n in range(1501)]))
        assert drive(store.list("d/")).items == ()

    def test_spans(self, store: Store, drive: Any) -> None:
        stored = drive(store.put("a", b"0123456789", Create()))
        for span, expected in SPANS:
            got = drive(store.get("a", span=span))
            assert (span, got.body, got.size, got.etag) == (span, expected, 10, stored.etag)

    def test_if_none_match(self, store: Store, drive: Any) -> None:
        """NotModified while the ETag is the same, with any span."""
        first = drive(store.put("a", b"1", Create()))
        for span in (None, (0, 1), (0, 0)):
            same = drive(store.get("a", if_none_match=first.etag, span=span))
            assert isinstance(same, NotModified)
            assert abs(same.time - time.time() * 1000) < CLOCK_SLACK_MS
        drive(store.put("a", b"2", Overwrite()))
        assert drive(store.get("a", if_none_match=first.etag)).body == b"2"

    def test_every_answer_carries_the_time(self, store: Store, drive: Any) -> None:
        drive(store.put("a", b"1", Create()))
        works = (store.put("b", b"", Create()), store.get("a"), store.head("a"), store.list(""))
        times = [drive(work).time for work in works] + [drive(store.now()), drive(store.head("a")).info.modified]
        assert all(abs(told - time.time() * 1000) < CLOCK_SLACK_MS for told in times)

    # --- names and listings --------------------------------------------------------------------------------------

    def test_names(self, store: Store, drive: Any) -> None:
        """Every verb takes every acceptable name as it is."""
        for name in NAMES:
            drive(store.put(name, name.encode(), Create()))
            assert drive(store.get(name)).body == name.encode()
            assert drive(store.head(name)).info.name == name
            assert [item.name for item in drive(store.list(name)).items] == [name]
            assert self.raw_get(store, name) == name.encode()
            drive(store.delete([name]))
        assert drive(store.list("")).items == ()

    def test_bad_names(self, store: Store, drive: Any) -> None:
        for name in BAD_NAMES:
            for work in (store.get(name), store.put(name, b"", Overwrite()), store.head(name), store.delete([name])):
                with pytest.raises(BadName):
                    drive(work)

    def test_listings_are_in_byte_order(self, store: Store, drive: Any) -> None:
        """Sorted by UTF-8 bytes, whatever the folders."""
        names = [name for name in UNSORTED if name not in ("a", "a/b")]  # a disk has no object with objects below it
        for name in names:
            drive(store.put(name, name.encode(), Create()))
        page = drive(store.list(""))
        assert [item.name for item in page.items] == sorted(names, key=str.encode)
        assert [item.size for item in page.items] == [len(item.name.encode()) for item in page.items]
        assert not page.more

    def test_prefixes_are_of_characters(self, store: Store, drive: Any) -> None:
        """A prefix need not end at a slash; ``start_after`` need not exist."""
        for name in ("log/a/1", "log/ab/2", "log/b/3", "logs/4"):
            drive(store.put(name, b"", Create()))

        def names(prefix: str, **more: Any) -> list[str]:
            return [item.name for item in drive(store.list(prefix, **more)).items]

        assert names("log/a") == ["log/a/1", "log/ab/2"]
        assert names("log/a/") == ["log/a/1"]
        assert names("log") == ["log/a/1", "log/ab/2", "log/b/3", "logs/4"]
        assert names("x/") == []
        assert names("log/", start_after="log/a/1") == ["log/ab/2", "log/b/3"]
        assert names("log/", start_after="log/a") == ["log/a/1", "log/ab/2", "log/b/3"]
        assert names("log/", start_after="log/ab/") == ["log/ab/2", "log/b/3"]
        assert names("log/", start_after="log/z") == []
        assert names("log/", start_after="a") == ["log/a/1", "log/ab/2", "log/b/3"]

    def test_pages(self, store: Store, drive: Any) -> None:
        """Pages join to the whole, are full but for the last, and say rightly whether more remains."""
        names = [f"p/{n % 3}/{n:02}" for n in range(12)]
        drive(store.many([Put(name, b"", Create()) for name in names]))
        for limit in (1, 5, 11, 12, 13, 1000):
            pages: list[Page] = []
            seen: list[str] = []
            while not pages or pages[-1].more:
                pages.append(drive(store.list("p/", start_after=seen[-1] if seen else "", limit=limit)))
                seen += [item.name for item in pages[-1].items]
            assert seen == sorted(names)
            assert [len(page.items) for page in pages[:-1]] == [limit] * (-(-len(names) // limit) - 1)

    def test_bad_arguments(self, store: Store, drive: Any) -> None:
        """Limits below 1, negative spans and climbing prefixes are the caller's mistakes."""
        drive(store.put("a", b"1", Create()))
        for call in (lambda: store.list("", limit=0), lambda: store.get("a", span=(-1, 1))):
            with pytest.raises(Misuse):
                drive(call())
        with pytest.raises(BadName):
            drive(store.list("../"))

    # --- many and large ------------------------------------------------------------------------------------------

    def test_many_answers_in_order_with_errors_in_place(self, store: Store, drive: Any) -> None:
        """One part's error is its outcome and nobody else's."""
        drive(store.put("a", b"1", Create()))
        outcomes = drive(
            store.many(
                [
                    Get("a"),
                    Get("no"),
                    Put("a", b"2", Create()),
                    Put("b", b"2", Create()),
                    Head("a"),
                    List("a"),
                    Head(""),
                ]
            )
        )
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [Got, NotFound, AlreadyExists, Stored, Headed, Page, BadName]
        assert drive(store.get("b")).body == b"2"
        assert list(drive(store.many([]))) == []

    def test_many_of_a_burst(self, store: Store, drive: Any) -> None:
        puts = [Put(f"m/{n:03}", b"%d" % n, Create()) for n in range(150)]
        assert all(isinstance(outcome, Stored) for outcome in drive(store.many(puts)))
        gets = drive(store.many([Get(put.name) for put in puts]))
        assert [got.body for got in gets] == [put.body for put in puts]

    def test_streamed_bodies(self, store: Store, drive: Any) -> None:
        """Of every size, in parts where the store needs them."""
        for size in (0, 1, 100_000, BIG_BYTES):
            body = Blocks(size)
            stored = drive(store.put(f"big/{size}", body, Overwrite()))
            head = drive(store.head(f"big/{size}")).info
            assert (head.size, head.etag) == (size, stored.etag)
        assert drive(store.get(f"big/{BIG_BYTES}", span=(BIG_BYTES - 5, 10))).size == BIG_BYTES
        whole = drive(store.get("big/100000")).body
        assert hashlib.sha256(whole).hexdigest() == Blocks(100_000).digest(1 << 20)

    def test_a_body_that_lies_about_its_size_is_not_stored(self, store: Store, drive: Any) -> None:
        for size, yields in ((100, 99), (100, 101), (BIG_BYTES, BIG_BYTES - 1)):
            with pytest.raises(Misuse):
                drive(store.put("lie", Blocks(size, yields), Overwrite()))
        assert drive(store.list("")).items == ()

    def test_url_and_close(self, store: Store, drive: Any) -> None:
        assert ":" in store.url
        assert "@" not in store.url
        drive(store.close())
        drive(store.close())
