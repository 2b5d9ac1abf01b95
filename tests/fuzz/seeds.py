"""Valid texts and small objects to begin with, beside those of the store in :mod:`tests.golden.store`."""

from __future__ import annotations

import msgspec

from swampstore.values.frame import Kind
from tests.fuzz.mutate import frame

YAML = [
    b"name: state\nid: 11111111-2222-8333-8444-555555555555\nversion: 7\ncontentType: text/plain\nlifetime: 30d\n"
    b"garbageCollection: 5\nstreaming: false\ntags:\n  type: resource\n  a: b\nownerDefinition:\n  definitionHash: x\n"
    b"createdAt: 2026-06-01T00:00:00.000Z\nsize: 5\nchecksum: sha256:"
    + b"ab" * 32
    + b"\nlifecycle: active\nmore: [1, {a: b}]\n",
]
LEGACY = [
    b'{"version": 1, "entries": {"data/a/b/c/1/raw": {"size": 3, "lastModified": "2026-06-01T00:00:00.000Z",'
    b' "sha256": "' + b"ab" * 32 + b'"}, "x": {"size": 0, "lastModified": "2026-06-01T00:00:00Z", "localMtime": 1}}}'
]
CONFIG = [
    (
        b"datastore:\n  type: s3\n  config:\n    bucket: team\n    prefix: a/b\n    path_style: true\n  namespace: ops\n"
        b"  directories: [data, outputs]\n  exclude: ['*.log']\nother:\n  x: &a [1]\n  y: *a\n"
    ),
    b"datastore:\n  type: filesystem\n  path: ~/store\n",
]
URLS = [
    b"s3://bucket/prefix/a?endpoint=http://h:9000&region=eu&path_style=true&sse=aws:kms&kms_key=k&storage_class=STANDARD",
    b's3:{"bucket": "team", "prefix": "x", "endpoint": "https://h", "forcePathStyle": true}', b"file:///a/b%20c",
    b"memory://x", b"filesystem:~/x", b"/tmp/x",
]  # fmt: skip
WORDS = [
    b"ns/log/w0123456789abcdef01234567/0000000000000001", b"ns/shard/0123456789abcdef0123456789abcdef", b"data/a/b/c/7/raw",
    b"data/a/b/c\0data\0" + b"ab" * 24, b"a/b", b"aws/ec2:web", b'{"fold": 3, "slots": {"s00": 2}}', b"ns/queue/x/register",
]  # fmt: skip
TIMES = [b"30d", b"infinite", b"job", b"5", b"2026-06-01T00:00:00.000Z", b"12h", b"ephemeral", b"1w", b"0001-01-01"]


REGISTER = frame(
    Kind.REGISTER, 1, msgspec.msgpack.encode({"queue": "q", "nonce": b"n", "floor": 3, "ranges": [[5, 6], [9, 9]]})
)
EXPORT = b'{"format": 1, "state": "complete", "store": "file:///x", "namespace": "ops", "prefix": "", "index": "v1"}'
MARK = msgspec.msgpack.encode([3, b"n", [["s00", 2]], [["shard/x", True, [["a", "b", b"12"]]]]])
