"""Decoders of what does not lie in a store of objects: lane files, spooled audit records, the answers of S3 servers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from swampstore.stores.s3_listing import read_listing
from swampstore.stores.s3_wire import Answer, BadAnswer
from swampstore.values.audit_filter import parse_condition
from swampstore.values.entry import AUDIT, Record
from swampstore.values.lane_file import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    LaneHeader,
    decode_frames,
    decode_header,
    encode_frame,
    encode_header,
    find_frame,
    lane_salt,
)
from swampstore.values.segment import encode_records
from swampstore.values.spool import Bundle, decode_bundle, encode_bundle, parse_bundle_name
from tests.fuzz.mutate import Mutator, packed, raw_bytes, reframed, text

NAME = "ns/obj"
LANE = "w" + "0a" * 12
PAGE = (
    b'<?xml version="1.0"?><ListBucketResult xmlns="x"><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>'
    b"<Contents><Key>a%2Fb&amp;c</Key><LastModified>2027-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
    b"<Size>12</Size></Contents><Contents><Size>3</Size><Key>d</Key><ETag>f</ETag>"
    b"<LastModified>Fri, 01 Jan 2027 00:00:00 GMT</LastModified></Contents></ListBucketResult>"
)
ANSWERS = (
    b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 5\r\nDate: Fri, 01 Jan 2027 00:00:00 GMT\r\n\r\nhello',
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n",
    b"HTTP/1.0 412 Precondition Failed\r\nConnection: close\r\n\r\n<Error><Code>PreconditionFailed</Code></Error>",
)
CONDITIONS = (b"provider=a", b"cost>=10", b"user.name!=root", b"text~timeout", b'tags~"x"')
NUMBERS = re.compile(rb"\d+")


# --- lane files -------------------------------------------------------------------------------------------------------


def lane_files(records: Sequence[Record]) -> list[bytes]:
    """Small lane files: one frame a record, and all in one."""
    return [
        b"".join(framed([encode_records([record]) for record in records[:8]])),
        b"".join(framed([encode_records(list(records[:20]))])),
    ]


def framed(bodies: Sequence[bytes], count: int = 1) -> list[bytes]:
    head = encode_header(LaneHeader(LANE, 1_800_000_000_000))
    made, at = [head], len(head)
    for body in bodies:
        frame = encode_frame(lane_salt(LANE), at, body, count)
        made.append(frame)
        at += len(frame)
    return made


def mutate_lane(data: bytes, dice: random.Random) -> bytes:
    """Raw damage; or other records (or other counts of them) in frames whose checksums hold."""
    if dice.random() < 0.4:
        return raw_bytes(data, dice)
    body = data[HEADER_BYTES + FRAME_HEAD_BYTES :]
    bodies = [(packed if dice.random() < 0.5 else raw_bytes)(body, dice)]
    return b"".join(framed(bodies, dice.choice((0, 1, 1, 1, 8, 1000))))


def run_lane(use: Callable[[Sequence[Record]], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        decode_header(data, NAME)
        found = decode_frames(data[HEADER_BYTES:], LANE, HEADER_BYTES, NAME)
        use(found.records)
        find_frame(data[HEADER_BYTES:], LANE, HEADER_BYTES)
        decode_frames(data, LANE, 0)  # read at another place than it was written for: nothing holds

    return run


# --- spooled audit records -----------------------------------------------------------------------------------


def run_bundle(use: Callable[[Sequence[Record]], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        use(decode_bundle(data, NAME).records)

    return run


def run_condition(data: bytes) -> None:
    condition = parse_condition(data.decode("utf-8", "surrogateescape"))
    for held in ({"provider": "a", "cost": 7, "user": {"name": ["x"]}}, None, [1], {"text": None}, {"cost": True}):
        condition.matches(held)


def run_bundle_name(data: bytes) -> None:
    parse_bundle_name(data.decode("utf-8", "surrogateescape"))


# --- answers of servers -----------------------------------------------------------------------------------------------


def numbers(inner: Mutator) -> Mutator:
    """Also replaces numbers by absurd ones."""

    def mutate(data: bytes, dice: random.Random) -> bytes:
        if dice.random() < 0.3:
            wild = dice.choice((b"0", b"-1", b"9" * 30, b"9" * 5000, b"1_0", b"0x10", "٣".encode(), b"1e9"))
            data = NUMBERS.sub(lambda found: wild if dice.random() < 0.4 else found[0], data)
        return data if dice.random() < 0.2 else inner(data, dice)

    return mutate


def run_answer(data: bytes) -> None:
    """Fed in pieces, as sockets do; a bad answer is an error of the connection."""
    for method, step in (("GET", len(data) + 1), ("GET", 7), ("HEAD", 50)):
        answer = Answer(method, 1 << 20)
        try:
            for at in range(0, len(data), step):
                if answer.feed(data[at : at + step]):
                    break
            else:
                answer.end()
        except BadAnswer:
            continue


More = tuple[str, Sequence[bytes], Mutator, Callable[[bytes], object]]


def more(records: Sequence[Record], use: Callable[[Sequence[Record]], None]) -> list[More]:
    """Name, seeds, mutator and run of each; ``use`` is what is done with records that came out."""
    audit = [record for record in records if record.flags & AUDIT]
    bundle = encode_bundle(Bundle("file:///srv/x", "ops", audit[:3]))
    return [
        ("lane file", lane_files(records), mutate_lane, run_lane(use)),
        ("spooled records", [bundle], reframed(), run_bundle(use)),
        ("audit condition", CONDITIONS, numbers(text), run_condition),
        ("name of a spool", [b"0" * 15 + b"1-01a1ff80f587-3-120-0011223344556677.rec"], text, run_bundle_name),
        ("listing", [PAGE], numbers(text), lambda data: read_listing(data, 1)),
        ("answer", ANSWERS, numbers(raw_bytes), run_answer),
    ]
