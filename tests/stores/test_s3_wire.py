"""Answers of HTTP/1.1 as they come in: in any pieces the same, and never taken for whole when they are not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swampstore.stores.s3_wire import HEAD_BYTES, REFUSAL_BYTES, Answer, BadAnswer, Told

HEAD = b'HTTP/1.1 200 OK\r\nETag: "e1"\r\nDate: Sat, 21 Nov 2026 18:43:43 GMT\r\n'
SIZED = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: t\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED
TO_THE_END = HEAD + b"\r\nhello"
EMPTY = HEAD.replace(b"200 OK", b"204 No Content") + b"\r\n"


def told(data: bytes, method: str = "GET", *, pieces: int = 1 << 20, ends: bool = False) -> tuple[Told, bool]:
    answer = Answer(method, None)
    for at in range(0, len(data), pieces):
        answer.feed(data[at : at + pieces])
    if ends:
        answer.end()
    assert answer.told is not None
    return answer.told, answer.reusable


@pytest.mark.parametrize("data", [SIZED, CHUNKED, INTERIM, TO_THE_END])
@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 1000])
def test_in_any_pieces(data: bytes, pieces: int) -> None:
    found, reusable = told(data, pieces=pieces, ends=data is TO_THE_END)
    assert (found.status, found.body, found.headers["etag"]) == (200, b"hello", '"e1"')
    assert reusable == (data is not TO_THE_END)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 50))
def test_chunks(chunks: list[bytes], pieces: int) -> None:
    coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    found, reusable = told(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + coded, pieces=pieces)
    assert found.body == b"".join(chunks)
    assert reusable


def test_answers_without_a_body() -> None:
    assert told(EMPTY)[0].body == b""
    found, reusable = told(HEAD + b"Content-Length: 500\r\n\r\n", "HEAD")
    assert (found.body, found.headers["content-length"], reusable) == (b"", "500", True)
    assert told(HEAD.replace(b"200", b"304") + b"Content-Length: 500\r\n\r\n")[0].status == 304


def test_when_a_connection_may_be_used_again() -> None:
    assert told(SIZED)[1]
    assert not told(SIZED + b"HTTP/1.1 200 OK")[1]  # somebody speaks without being asked
    assert not told(SIZED.replace(b"ETag", b"Connection: close\r\nETag"))[1]
    assert not told(SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"))[1]
    assert told(SIZED.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"ETag", b"Connection: keep-alive\r\nETag"))[1]
    assert not told(CHUNKED.replace(b"ETag", b"Content-Length: 5\r\nETag"))[1]  # two opinions of its length


@pytest.mark.parametrize("data", [SIZED, CHUNKED, INTERIM])
def test_an_answer_that_breaks_off_is_none(data: bytes) -> None:
    for end in range(len(data)):
        answer = Answer("GET", None)
        assert not (answer.feed(data[:end]) if end else False)
        with pytest.raises(BadAnswer):
            answer.end()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        HEAD + b"no header\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 0x5\r\n\r\n",
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * HEAD_BYTES,
        b"HTTP/1.1 500 no\r\nContent-Length: %d\r\n\r\n" % (REFUSAL_BYTES + 1),
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        Answer("GET", None).feed(data)


def test_bodies_are_bounded() -> None:
    for data in (HEAD + b"Content-Length: 101\r\n\r\n", HEAD + b"\r\n" + b"x" * 101):
        with pytest.raises(BadAnswer, match="limit 100"):
            Answer("GET", 100).feed(data)
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"32\r\n" + b"x" * 50 + b"\r\n"
    answer = Answer("GET", 100)
    answer.feed(HEAD + chunks)
    with pytest.raises(BadAnswer, match="limit 100"):
        answer.feed(b"33\r\n" + b"x" * 51)
