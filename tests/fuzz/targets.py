"""Every decoder as a target: valid bytes to begin with, how to change them, and what is done with what was decoded.

Invariant: a target raises ``SwampError`` and nothing else, for any bytes.
"""

from __future__ import annotations

import contextlib
import functools
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from swampstore.errors import SwampError
from swampstore.protocols.audit_changes import AuditPosition
from swampstore.protocols.pins import decode_pin
from swampstore.stores.names import check_name
from swampstore.stores.urls import parse_url
from swampstore.values import plainyaml
from swampstore.values.audit import AUDIT_KEY, file_of, run_of, shown
from swampstore.values.block import COLUMNS, RECORDS
from swampstore.values.data import parse_id_key, parse_model, parse_path, raw_of
from swampstore.values.data_version import Item, version_of
from swampstore.values.entry import (
    AUDIT,
    OPAQUE,
    PENDING,
    Inline,
    Meta,
    Record,
    base_of,
    check_value,
    content_of,
    entry_of,
    put_record,
    record_sum,
)
from swampstore.values.frame import Kind
from swampstore.values.join import join_counted
from swampstore.values.keys import check_key, check_namespace, check_prefix
from swampstore.values.lifetimes import parse_keep, parse_lifetime, parse_time
from swampstore.values.metadata import parse_metadata, render_metadata
from swampstore.values.names import Names
from swampstore.values.root import RunRef, decode_root, encode_root, root_problem
from swampstore.values.run import FOOTER, BlockInfo, build_run, decode_block, decode_index, decode_run, index_span
from swampstore.values.segment import decode_segment
from swampstore.values.summary import joined, summary_of
from swampstore.values.tickets import decode_register, decode_sign, decode_ticket
from swampstore.values.version import is_version, split_version, version_ms
from swampstore.workers.legacy.entries import EntryReader
from swampstore.workers.legacy.locks import read_lock
from swampstore.workers.legacy.rules import Place, Rules, parse_data
from swampstore.workers.sync.labels import decode_labels
from swampstore.workers.sync.state import decode_mark
from swampstore_cli.config import parse_section
from tests.fuzz.mutate import Mutator, packed, raw_bytes, reframed, segment_body, text
from tests.fuzz.seeds import CONFIG, EXPORT, LEGACY, MARK, REGISTER, TIMES, URLS, WORDS, YAML
from tests.fuzz.targets_more import more
from tests.fuzz.targets_outside import outside
from tests.golden.store import make

NAME = "ns/obj"
NAMES = Names("ns")


@dataclass(frozen=True)
class Target:
    """``run`` decodes and uses what it got; ``mutate`` changes one of ``seeds``."""

    name: str
    seeds: Sequence[bytes]
    mutate: Mutator
    run: Callable[[bytes], object]

    def input(self, seed: int) -> bytes:
        """The input that belongs to ``seed``."""
        dice = random.Random(f"{self.name} {seed}")
        return self.mutate(dice.choice(self.seeds), dice)


# --- what is done with records ----------------------------------------------------------------------------------------


def use_records(records: Sequence[Record]) -> None:
    """What folds, merges, reads and sync do with records that came out of a decoder."""
    table: dict[str, Record] = {}
    join_counted(table, records)
    join_counted(table, reversed(records))
    joined([summary_of(records), summary_of(sorted(records, key=lambda record: record.key))])
    item = Item("data/aws/ec2/web/state", 1_800_000_000_000)
    for record in records:
        check_value(record)
        record_sum(record)
        split_version(record.version), version_ms(record.version)
        content_of(record), base_of(record)
        item.add(record)
        if record.flags & AUDIT:
            shown(record)
        elif not record.gone and (not record.flags & OPAQUE or record.flags & PENDING):
            use_entry(record)
    item.versions()


def use_entry(record: Record) -> None:
    """What readers do with an entry."""
    entry = entry_of(record)
    msgspec.json.encode(entry.describe())
    version = version_of(record)
    if version is not None:
        msgspec.json.encode(version.describe())
        parse_metadata(render_metadata(entry.meta), NAME, version=entry.meta.data.ordinal if entry.meta.data else 0)


def use_refs(refs: Sequence[RunRef]) -> None:
    for ref in refs:
        index_span(ref)
        joined([ref.summary, ref.summary])
        check_name(f"ns/{ref.name}")


# --- framed objects -----------------------------------------------------------------------------------------------------


def run_segment(data: bytes) -> None:
    lane, slot = _lane_of(data)
    use_records(decode_segment(data, NAME, lane, slot).records)


def _lane_of(data: bytes) -> tuple[str, int]:
    """The lane and slot of the seed that was mutated, unless the mutation is in them."""
    for lane, slot in _segments():
        if lane.encode() in data:
            return lane, slot
    return "s00", 2


@functools.cache
def _segments() -> tuple[tuple[str, int], ...]:
    names = Names("ops")
    return tuple(found for name in make() if (found := names.parse_segment(name)))


def run_root(data: bytes) -> None:
    root = decode_root(data, NAME)
    use_refs(root.runs)
    use_records(root.inline)
    use_records(root.eph.inline)
    use_records(root.audit.inline)
    root_problem(root)
    for lane in root.watermarks:
        root.retired(lane)
    for item in root.garbage:
        check_name(f"ns/{item.name}")
    decode_root(encode_root(root), NAME)


def run_index(data: bytes) -> None:
    for info in decode_index(data, NAME):
        joined([info.summary])


BLOCK = struct.Struct(">IIII")


def run_block(data: bytes) -> None:
    """A stored block behind what its index says of it: size, decoded size, count, checksum."""
    head, stored = data[: BLOCK.size].ljust(BLOCK.size, b"\0"), data[BLOCK.size :]
    size, raw_size, count, crc = BLOCK.unpack(head)
    for form in (RECORDS, COLUMNS):
        info = BlockInfo("", "~", 0, size, raw_size, crc, count, 0, 0, 0, form=form)
        with contextlib.suppress(SwampError):
            use_records(decode_block(info, stored, NAME))


def block_seed(records: Sequence[Record]) -> bytes:
    ref, data = build_run("l0/x", sorted(records, key=lambda record: record.key))
    at, length = index_span(ref)
    info = decode_index(data[at : at + length], NAME)[0]
    stored = data[info.offset : info.offset + info.size]
    return BLOCK.pack(info.size, info.raw_size, info.count, info.crc) + stored


def mutate_block(data: bytes, dice: random.Random) -> bytes:
    """Changed records in a block that its index describes rightly, but for a lie now and then."""
    from swampstore.values.frame import compress, decompress

    _, raw_size, count, _ = BLOCK.unpack_from(data)
    raw = packed(decompress(data[BLOCK.size :], raw_size, NAME), dice)
    stored = compress(raw)
    if dice.random() < 0.1:
        stored = raw_bytes(stored, dice)
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, TypeError, LookupError, RecursionError):
        count = len(msgspec.msgpack.decode(raw)[0])
    raw_size = len(raw) if dice.random() < 0.97 else dice.choice((0, 1, 1 << 22, (1 << 32) - 1))
    return BLOCK.pack(len(stored), raw_size, count, zlib.crc32(stored)) + stored


def run_whole(data: bytes) -> None:
    """A whole run as the doctor reads it: by its footer and by the digest of its reference."""
    import hashlib

    if len(data) < FOOTER.size:
        return
    at, _, _ = FOOTER.unpack(data[-FOOTER.size :])
    digest = hashlib.sha256(data).digest()
    ref = RunRef("", "~", "l0/x", len(data), min(at, (1 << 63) - 1), 1, 0, digest, 0, 0)
    for info, stored in decode_run(ref, data, NAME):
        use_records(decode_block(info, stored, NAME))


# --- values, texts ------------------------------------------------------------------------------------------------------


def run_value(data: bytes) -> None:
    """The value of a record under each flag."""
    version = bytes(7) + b"\1" * 17
    for flags in (0, 1, 2, 3, 4, 8, 16 | 8, 32, 64 | 8, 128):
        use_some([Record("data/aws/ec2/web/state/1/raw", version, flags, 5, data)])
    use_some([Record("data/aws/ec2/web/state\0data\0" + version.hex(), version, OPAQUE | PENDING, 0, data)])
    use_some([Record("\0audit\0decisions\0800000000000\0id", version, AUDIT | OPAQUE, 0, data)])


def use_some(records: Sequence[Record]) -> None:
    """:func:`use_records`; a record that is refused ends only its own turn."""

    for record in records:
        try:
            use_records([record])
        except SwampError:
            continue


def run_catalog(data: bytes) -> None:
    record = Record("2027-01-01\0decisions\0x", bytes(24), OPAQUE, 0, data)
    use_refs([run_of("decisions", file_of(record))])


def run_version(data: bytes) -> None:
    if is_version(data):
        split_version(data), version_ms(data)
        use_records([put_record("a", data, Meta(size=0, at=Inline(b"")))])


def run_names(data: bytes) -> None:
    """Every parser of names and keys; a name that passes leads nowhere else."""
    word = data.decode("utf-8", "surrogateescape")
    NAMES.parse_segment(word), NAMES.parse_unique(word), NAMES.is_ours(word)
    AUDIT_KEY.fullmatch(word), parse_id_key(word), parse_path(word), raw_of(word), parse_data(word)
    Rules(Place("p/", "ns"), ["other"], internals=True).classify(word)
    for check in (check_key, check_prefix, check_namespace, check_name, parse_model, AuditPosition.parse):
        use_text(check, word)


def use_text(check: Callable[[str], object], word: str) -> None:

    try:
        check(word)
    except SwampError:
        return


def run_url(data: bytes) -> None:
    parse_url(data.decode("utf-8", "surrogateescape"))


def run_times(data: bytes) -> None:
    word = data.decode("utf-8", "replace")
    for parse in (parse_lifetime, parse_keep, parse_time):
        try:
            parse(word)
        except (ValueError, OverflowError):  # what these say: their callers make it a typed error
            continue


def run_yaml(data: bytes) -> None:
    try:
        plainyaml.load(data.decode("utf-8", "replace"))
    except ValueError:
        return


def run_legacy_index(data: bytes) -> None:
    reader = EntryReader(NAME)
    for at in range(0, len(data), 20_000):
        reader.feed(data[at : at + 20_000])
    reader.finish()


def run_legacy_meta(data: bytes) -> None:
    from swampstore.stores.base import Got
    from swampstore.workers.legacy.index import _decode_meta

    _decode_meta(Got(data, "e", len(data), 0, 0), NAME)


def run_export_mark(data: bytes) -> None:
    from swampstore.workers.legacy.export_mark import Mark, _decode, _problem

    _problem(_decode(data), Mark(1, "unfinished", "file:///x", "ops", "", "v1"))


def run_config(data: bytes) -> None:
    parse_section(data.decode("utf-8", "replace"), Path("/repo/.swamp.yaml"))


def run_proof(data: bytes) -> None:
    """The cached proof: what cannot be read counts as none."""
    from swampstore.stores.probe import decode_cached

    decode_cached(data)


def run_audit_value(data: bytes) -> None:
    shown(Record("\0audit\0decisions\0800000000000\0id", bytes(24), AUDIT | OPAQUE, 0, data))


# --- the list ----------------------------------------------------------------------------------------------------


@functools.cache
def targets() -> dict[str, Target]:
    """Every target by name."""
    objects = make()
    ours = Names("ops")

    def of(part: str, kind: Kind | None = None) -> list[bytes]:
        found = [body for name, body in objects.items() if f"/{part}" in f"/{name.removeprefix('ops/')}"]
        return [body for body in found if kind is None or body[4] == kind]

    runs = [*of("shard/"), *of("l0/"), *of("eph/"), *of("audit/")]
    segments = [body for name, body in objects.items() if ours.parse_segment(name)]
    records = [
        record
        for name, body in objects.items()
        if (at := ours.parse_segment(name))
        for record in decode_segment(body, name, *at).records
    ]
    blocks = [block_seed(list({record.key: record for record in some}.values())) for some in (records, records[:3])]
    indexes = [run[FOOTER.unpack(run[-16:])[0] : -16] for run in runs]
    values = [record.value for record in records if len(record.value) > 4]
    audit = [record.value for record in records if record.flags & AUDIT]
    root = decode_root(objects["ops/root"], "root")
    catalog = objects["ops/" + root.audit.catalog[0].name]
    files = [record.value for info, stored in decode_run(root.audit.catalog[0], catalog, "c") for record in decode_block(info, stored, "c")]  # fmt: skip
    seg = reframed(segment_body)
    made = [
        Target("segment", segments, seg, run_segment),
        Target("root", [objects["ops/root"], *of("saved/")], reframed(), run_root),
        Target("run index", indexes, reframed(), run_index),
        Target("block", blocks, mutate_block, run_block),
        Target("run", runs, raw_bytes, run_whole),
        Target("ticket", of("t/", Kind.TICKET), reframed(), lambda data: decode_ticket(data, NAME)),
        Target("register", [*of("register", Kind.REGISTER), REGISTER], reframed(), run_register),
        Target("sign", of("h/", Kind.SIGN), reframed(), lambda data: decode_sign(data, NAME)),
        Target("pin", of("pin/", Kind.PIN), reframed(), lambda data: decode_pin(data, NAME)),
        Target("value", values, packed, run_value),
        Target("audit value", audit, packed, run_audit_value),
        Target("audit catalog", files, packed, run_catalog),
        Target("version", [bytes(24), bytes(24) + b"\xff"], raw_bytes, run_version),
        Target("names", WORDS, text, run_names),
        Target("url", URLS, text, run_url),
        Target("times", TIMES, text, run_times),
        Target("yaml", [*YAML, *CONFIG], text, run_yaml),
        Target("metadata.yaml", YAML, text, lambda data: parse_metadata(data, NAME, version=7)),
        Target(".swamp.yaml", CONFIG, text, run_config),
        Target("legacy index", LEGACY, text, run_legacy_index),
        Target("legacy meta", [b'{"version": 2, "partitions": ["a", "b"], "commitSeq": 7}'], text, run_legacy_meta),
        Target("legacy lock", [b'{"holder": "x", "hostname": "h", "pid": 1, "ttlMs": 5}'], text, read_lock),
        Target("export mark", [EXPORT], text, run_export_mark),
        Target("sync mark", [MARK], packed, lambda data: decode_mark(data, NAME)),
        Target("sync labels", [b"\x92\xa1t\x81\xa1a\xa1b"], packed, lambda data: decode_labels(data)),
        Target("cached proof", [b'{"url": "x", "proof": {"time": 1, "version": 1}, "saved": 2}'], text, run_proof),
    ]
    made += [Target(*one) for one in (*more(records, use_records), *outside(runs, use_records))]
    return {target.name: target for target in made}


def run_register(data: bytes) -> None:
    register = decode_register(data, NAME)
    for number in (1, 5, 1 << 40):
        register.granted(number)
        register.finish(number)
