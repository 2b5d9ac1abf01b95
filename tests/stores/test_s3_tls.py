"""The fast drivers over TLS: certificates are believed only if configured, bodies come whole side by side."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import pytest

from swampstore.errors import BadConfig
from swampstore.stores.base import Create, Get
from tests.stores.stub_s3 import Reply, stub_server

STORED = Reply(200, b"", {"ETag": '"e1"', "Last-Modified": "Sat, 21 Nov 2026 18:43:43 GMT"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = built.add_extension(address, critical=False)
    signed = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(
        key, hashes.SHA256()
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


def test_tls(drive: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates are believed only if configured; calls side by side get whole bodies."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    body = b"x" * 300_000
    with stub_server(lambda asked: Reply(200, body, STORED.headers), tls=context) as stub:
        endpoint = stub.endpoint
        with pytest.raises(BadConfig) as caught:
            drive(drive.open(endpoint=endpoint).get("a"))
        assert "AWS_CA_BUNDLE" in caught.value.hint
        assert stub.asked == []
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        store = drive.open(endpoint=endpoint)
        for _ in range(2):
            gets = drive(store.many([Get(f"a/{n}") for n in range(12)]))
            assert [len(got.body) for got in gets] == [len(body)] * 12
        drive(store.put("a", body, Create()))
        assert stub.asked[-1].body == body
