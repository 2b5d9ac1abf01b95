"""Pages of a listing, read from the XML of ListObjectsV2 without building a tree of it.

A page of 1,000 names is read by one regular expression in about a millisecond. What does not look exactly like the
pages of the usual servers goes through a real XML parser, some five times slower; both give the same answer.

Invariants:
- No entity is ever expanded but the five of XML itself and character numbers; a document with a type declaration is
  refused, so nothing in it can be named, fetched or multiplied.
- A page that ends early, or that lacks its mark whether more remains, is an error and never a short page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from swampstore.errors import StoreMissing, StoreUnavailable
from swampstore.stores.base import Info

if TYPE_CHECKING:  # loaded where it is needed: hardly ever
    from xml.etree import ElementTree

LISTING_BYTES = 16 << 20
"""More than the largest honest page: 1,000 names of 1,024 bytes, each byte written as ``%XX``, and their facts."""

_ENTRY = re.compile(
    r"<Contents>\s*<Key>([^<]*)</Key>\s*<LastModified>([^<]*)</LastModified>\s*<ETag>([^<]*)</ETag>"
    r"(?:\s*<(?:ChecksumAlgorithm|ChecksumType)>[^<]*</(?:ChecksumAlgorithm|ChecksumType)>)*\s*<Size>([0-9]{1,18})</Size>"
)
_SIZE = re.compile(r"[0-9]{1,18}")
_TRUNCATED = re.compile(r"<IsTruncated>\s*(true|false)\s*</IsTruncated>")
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_HTTP_DATE = re.compile(
    rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ({'|'.join(_MONTHS)}) (\d{{4}}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)
_REFERENCE = re.compile(r"&(?:#(\d{1,7})|#x([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


class Listing(NamedTuple):
    """What a page holds; names are whole keys."""

    items: list[Info]
    more: bool


def read_listing(body: bytes, skip: int = 0) -> Listing:
    """The page in ``body``; ``skip`` characters are cut off the front of each name.

    Raises ``StoreUnavailable`` for what is no whole page, ``StoreMissing`` for what no S3 server answers.
    """
    text = _checked(body)
    marks = _TRUNCATED.findall(text)
    found = _ENTRY.findall(text)
    if len(marks) != 1 or len(found) != text.count("<Contents>"):
        return _read_tree(text, skip)
    decode = unquote_plus if "<EncodingType>url</EncodingType>" in text else _same
    escaped = "&" in text
    return Listing(list(_infos(found, decode, unescaped if escaped else _same, skip)), marks[0] == "true")


def _infos(
    found: list[tuple[str, str, str, str]], decode: Callable[[str], str], plain: Callable[[str], str], skip: int
) -> Iterator[Info]:
    for key, modified, etag, size in found:
        name = plain(key)
        if "%" in name or "+" in name:
            name = decode(name)
        yield Info(name[skip:], int(size), bare(plain(etag)), moment_ms(modified))


def bare(etag: str) -> str:
    """An ETag without quotes and without the mark of a weak one."""
    return etag.removeprefix("W/").strip('"')


def moment_ms(text: str) -> int:
    """A point in time as S3 writes it, in ms since the epoch. Raises ``StoreMissing`` for anything else."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return http_date_ms(text)


def http_date_ms(text: str) -> int:
    """The same for the form of HTTP headers."""
    try:
        return round(_http_date(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise not_s3(f"a time that is none: {text[:40]!r}") from None


def _http_date(text: str) -> datetime:
    """The one form that servers write (RFC 9110, section 5.6.7); others are left to a parser that takes long to load."""
    found = _HTTP_DATE.fullmatch(text)
    if found:
        day, month, year, hour, minute, second = found.groups()
        return datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    from email.utils import parsedate_to_datetime

    return parsedate_to_datetime(text)


def not_s3(what: str) -> StoreMissing:
    """The error for an endpoint that is something else: a web page, a portal, another port."""
    return StoreMissing(f"the endpoint does not speak S3: {what}", hint="check the endpoint's address and port")


def _checked(body: bytes) -> str:
    if len(body) > LISTING_BYTES:
        raise not_s3(f"a listing of {len(body)} bytes")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise StoreUnavailable("a listing that is not UTF-8") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise not_s3("a listing with a type declaration")
    if not text.rstrip().endswith("</ListBucketResult>"):
        return _whole(text)
    return text


def _whole(text: str) -> str:
    """``text`` if it is well-formed whatever its root: of another name, or with a prefix. Raises ``StoreUnavailable``."""
    _parsed(text)
    return text


def _parsed(text: str) -> ElementTree.Element:
    from xml.etree import ElementTree

    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise StoreUnavailable(f"a listing that cannot be read: {error}", hint="check the endpoint") from None


def _read_tree(text: str, skip: int) -> Listing:
    root = _parsed(text)
    facts = {_local(child): (child.text or "") for child in root}
    if facts.get("IsTruncated") not in ("true", "false"):
        raise not_s3("a listing without its marks")
    decode = unquote_plus if facts.get("EncodingType") == "url" else _same
    items: list[Info] = []
    for child in root:
        if _local(child) != "Contents":
            continue
        told = {_local(fact): (fact.text or "") for fact in child}
        if not {"Key", "Size", "ETag", "LastModified"} <= told.keys() or not _SIZE.fullmatch(told["Size"]):
            raise not_s3("a listed object without name, size, ETag or time")
        name = decode(told["Key"])[skip:]
        items.append(Info(name, int(told["Size"]), bare(told["ETag"]), moment_ms(told["LastModified"])))
    return Listing(items, facts["IsTruncated"] == "true")


def _local(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def unescaped(text: str) -> str:
    """Text of XML with its references put in."""
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    number, digits, name = found.groups()
    if name:
        return _NAMED[name]
    code = int(number) if number else int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise not_s3("a name with a character that is none")
    return chr(code)


def _same(text: str) -> str:
    return text
