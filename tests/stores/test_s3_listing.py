"""Pages of listings: the quick reading and the thorough one agree, and hostile pages get nowhere."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swampstore.errors import StoreMissing, StoreUnavailable, SwampError
from swampstore.stores import s3_listing
from swampstore.stores.s3_listing import Listing, http_date_ms, read_listing

MOMENT, MS = "2026-11-21T18:43:43.250Z", 1795286623250


def entry(key: str, *, etag: str = "&quot;e1&quot;", size: int = 7, after_etag: str = "") -> str:
    facts = f"<LastModified>{MOMENT}</LastModified><ETag>{etag}</ETag>{after_etag}<Size>{size}</Size>"
    return f"<Contents><Key>{key}</Key>{facts}<StorageClass>STANDARD</StorageClass></Contents>"


def page(*entries: str, more: str = "false", extra: str = "") -> bytes:
    marks = f"<IsTruncated>{more}</IsTruncated>"
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    return (
        f"<?xml version='1.0'?><ListBucketResult {space}>{marks}{extra}{''.join(entries)}</ListBucketResult>".encode()
    )


def names(found: Listing) -> list[str]:
    return [item.name for item in found.items]


def test_what_a_page_says() -> None:
    found = read_listing(page(entry("team/a"), entry("team/b", etag='W/"e2"', size=0), more="true"), skip=5)
    assert found.more
    assert [(item.name, item.size, item.etag, item.modified) for item in found.items] == [
        ("a", 7, "e1", MS),
        ("b", 0, "e2", MS),
    ]
    assert read_listing(page()) == Listing([], False)


def test_names_as_servers_write_them() -> None:
    """References of XML, and percent signs only where the page says that it uses them."""
    assert names(read_listing(page(entry("a&amp;b&#x1F40A;&#13;&lt;")))) == ["a&b\U0001f40a\r<"]
    assert names(read_listing(page(entry("a%2Fb+c")))) == ["a%2Fb+c"]
    coded = "<EncodingType>url</EncodingType>"
    assert names(read_listing(page(entry("a%2Fb+c%01"), extra=coded))) == ["a/b c\x01"]


@pytest.mark.parametrize(
    "body",
    [
        page(entry("a", after_etag="<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>")),
        page(f"<Contents><Size>7</Size><ETag>e1</ETag><Key>a</Key><LastModified>{MOMENT}</LastModified></Contents>"),
        page(entry("a")).replace(b"><", b">\n  <"),
        page(entry("a")).replace(b"<", b"<s:").replace(b"<s:/", b"</s:").replace(b"<s:?", b"<?").replace(b"xmlns", b"xmlns:s"),
        page(entry("a").replace(MOMENT, "Sat, 21 Nov 2026 18:43:43.250 GMT".replace(".250", ""))),
    ],
    ids=["checksums", "another order", "indented", "a prefix", "another clock"],
)  # fmt: skip
def test_pages_of_many_servers(body: bytes) -> None:
    (item,) = read_listing(body).items
    assert (item.name, item.size, item.etag) == ("a", 7, "e1")
    assert item.modified // 1000 == MS // 1000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1), max_size=4))
def test_both_readings_agree(keys: list[str]) -> None:
    body = page(*(entry(key.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")) for key in keys))
    assert read_listing(body) == s3_listing._read_tree(body.decode(), 0)
    assert names(read_listing(body)) == keys


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        LAUGHS + page(entry("&b;")),
        page(entry("a")).replace(b"<ListB", b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><ListB', 1),
        page(entry("&#xD800;")),
        page(entry("&#x110000;")),
        page(entry("a")).replace(b"<IsTruncated>false</IsTruncated>", b""),
        page(entry("a"), more="perhaps"),
        page(entry("a").replace("<Size>7</Size>", "")),
        page(entry("a").replace("<Size>7</Size>", "<Size>-1</Size>")),
        page(entry("a").replace("<Size>7</Size>", f"<Size>{'9' * 5000}</Size>")),
        page(entry("a").replace(MOMENT, "once")),
        page(entry("a").replace(MOMENT, "Sat, 21 Nov 99999 18:43:43 GMT")),
        b"<html><p>Welcome</p></html>",
        b"<html><p>Welcome",
        b"\xff\xfe",
        b"",
        b"x" * (s3_listing.LISTING_BYTES + 1),
    ],
)
def test_hostile_pages(body: bytes) -> None:
    with pytest.raises((StoreMissing, StoreUnavailable)):
        read_listing(body)


def test_a_page_is_whole_or_an_error() -> None:
    """Cut anywhere, it is never a shorter page."""
    body = page(*(entry(f"a/{number}") for number in range(3)))
    for end in range(len(body)):
        with pytest.raises(SwampError):
            read_listing(body[:end])


@given(seconds=st.integers(0, 253_402_300_799))
def test_dates_of_headers_are_read_as_the_standard_library_reads_them(seconds: int) -> None:
    text = formatdate(seconds, usegmt=True)
    assert http_date_ms(text) == seconds * 1000 == round(parsedate_to_datetime(text).timestamp() * 1000)


def test_dates_in_other_forms_and_dates_that_are_none() -> None:
    for other in ("Friday, 01-Jan-27 00:00:00 GMT", "Fri, 1 Jan 2027 01:00:00 +0100"):
        assert http_date_ms(other) == 1_798_761_600_000
    for none in ("", "x", "Fri, 31 Feb 2027 00:00:00 GMT", "Fri, 01 Jan 2027 25:00:00 GMT"):
        with pytest.raises(StoreMissing):
            http_date_ms(none)
