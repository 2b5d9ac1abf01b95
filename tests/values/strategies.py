"""Values for the tests of this folder."""

from __future__ import annotations

from hypothesis import strategies as st

from swampstore.values.entry import Blob, External, Inline, Location, Meta, Packed, Record, put_record, tombstone
from swampstore.values.version import just_above, make_version, refined

KEYS = ["a", "a/b", "a/c", "b", "é/ü"]
part = st.text(alphabet="0123456789abcdef", min_size=32, max_size=32)
locations: st.SearchStrategy[Location] = st.one_of(
    st.builds(Inline, st.binary(max_size=20)),
    st.builds(Blob, part),
    st.builds(Packed, part, st.integers(0, 1 << 40), st.integers(0, 1 << 20)),
    st.builds(External, st.text(max_size=20), st.text(max_size=20)),
)
versions = st.builds(make_version, st.integers(0, 6), st.sampled_from([b"v" * 12, b"w" * 12]), st.integers(0, 2))
any_version = st.one_of(versions, versions.map(just_above), versions.map(refined))
times = st.integers(0, 1 << 45)
metas = st.builds(
    Meta,
    size=st.integers(0, 1 << 50),
    at=locations,
    sha256=st.one_of(st.none(), st.binary(min_size=32, max_size=32)),
    content_type=st.text(max_size=20),
    tags=st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=9), max_size=3),
    created=times,
    modified=times,
    mode=st.integers(0, 0o7777),
    lifetime=st.text(max_size=5),
    base=st.one_of(st.none(), any_version),
    unverified=st.booleans(),
    extra=st.dictionaries(st.text(max_size=5), st.one_of(st.integers(0, 9), st.text(max_size=5)), max_size=2),
)
puts = st.builds(put_record, st.sampled_from(KEYS), versions, metas, expires=times)
tombstones = st.one_of(
    st.builds(tombstone, st.sampled_from(KEYS), versions),
    st.builds(lambda key, base: tombstone(key, just_above(base), base=base), st.sampled_from(KEYS), versions),
)
records: st.SearchStrategy[Record] = st.one_of(puts, tombstones)


def put(key: str, hlc: int, *, base: bytes | None = None, data: bytes = b"", expires: int = 0, op: int = 0) -> Record:
    """A put of inline contents at clock ``hlc``."""
    meta = Meta(size=len(data), at=Inline(data), sha256=(data * 32)[:32] or None, base=base)
    return put_record(key, make_version(hlc, b"w" * 12, op), meta, expires=expires)
