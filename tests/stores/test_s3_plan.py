"""Where a bucket is and whose credentials are used: as botocore has it, or botocore's own client is taken."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import BadConfig, StoreForbidden, StoreUnavailable
from swampstore.stores import s3_plan
from swampstore.stores.base import Create
from swampstore.stores.s3_choice import S3Store
from swampstore.stores.s3_environment import EnvironmentSession, environment_session
from swampstore.stores.s3_options import S3Options
from swampstore.stores.s3_plan import Unfit, make_plan
from swampstore.stores.s3_sign import Keys, Signer


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes the user's configuration file."""

    def write(text: str) -> None:
        (tmp_path / "config").write_text(text)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    return write


def place(**options: Any) -> S3Options:
    return S3Options(**{"bucket": "bucket", "region": "eu-west-1", **options})


HOSTS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "bucket.s3.eu-west-1.amazonaws.com", ""),
    ({"region": "cn-north-1"}, "bucket.s3.cn-north-1.amazonaws.com.cn", ""),
    ({"region": "us-gov-west-1"}, "bucket.s3.us-gov-west-1.amazonaws.com", ""),
    ({"path_style": True}, "s3.eu-west-1.amazonaws.com", "/bucket"),
    ({"bucket": "my.bucket"}, "s3.eu-west-1.amazonaws.com", "/my.bucket"),
    ({"endpoint": "https://s3.example.org:9000"}, "s3.example.org:9000", "/bucket"),
    ({"endpoint": "https://s3.example.org:443/base/"}, "s3.example.org", "/base/bucket"),
    ({"endpoint": "http://s3.example.org", "path_style": False}, "bucket.s3.example.org", ""),
    ({"endpoint": "http://10.0.0.1:9000", "path_style": False}, "10.0.0.1:9000", "/bucket"),
    ({"endpoint": "http://[::1]:9000"}, "[::1]:9000", "/bucket"),
]


@pytest.mark.parametrize(("options", "host", "base"), HOSTS)
def test_where_a_bucket_is(options: dict[str, Any], host: str, base: str) -> None:
    plan = make_plan(place(**options))
    assert (plan.host, plan.base, plan.aws) == (host, base, "endpoint" not in options)
    assert (plan.tls is None) == options.get("endpoint", "").startswith("http:")


def test_the_configuration_is_obeyed(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config("[default]\nregion=eu-central-1\n[profile other]\nregion=ap-south-1\nendpoint_url=http://h:1\n")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert make_plan(place(region=None)).host == "bucket.s3.eu-central-1.amazonaws.com"
    monkeypatch.setenv("AWS_PROFILE", "other")
    plan = make_plan(place(region=None))
    assert (plan.host, plan.region) == ("bucket.h:1", "ap-south-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://h:2")
    assert make_plan(place(region=None)).host == "bucket.h:2"
    assert make_plan(place(endpoint="http://h:3")).host == "h:3"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert make_plan(place()).host == "bucket.s3.eu-west-1.amazonaws.com"


UNFIT: list[tuple[dict[str, str], str, dict[str, Any], str]] = [
    ({"HTTPS_PROXY": "http://proxy:3128"}, "", {}, "proxy"),
    ({"AWS_USE_FIPS_ENDPOINT": "true"}, "", {}, "fips"),
    ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "", {}, "dualstack"),
    ({}, "[default]\ns3 =\n  use_accelerate_endpoint = true\n", {}, "use_accelerate_endpoint"),
    ({}, "[default]\nservices = mine\n[services mine]\ns3 =\n  endpoint_url = http://h:1\n", {}, "by service"),
    ({}, "", {"region": "us-iso-east-1"}, "us-iso-east-1"),
    ({}, "", {"region": "no region!"}, "no region"),
    ({}, "", {"bucket": "team--usw2-az1--x-s3"}, "kind of its own"),
    ({"AWS_CA_BUNDLE": "/not/there.pem"}, "", {}, "certificates"),
    ({"AWS_ENDPOINT_URL": "http://u:p@h:1"}, "", {}, "no plain"),
]


@pytest.mark.parametrize(("environ", "text", "options", "reason"), UNFIT)
def test_reasons_to_leave_it_to_botocore(
    environ: dict[str, str],
    text: str,
    options: dict[str, Any],
    reason: str,
    config: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if text:
        config(text)
    with pytest.raises(Unfit, match=reason):
        make_plan(place(**options))
    store = S3Store(place(**options), asynchronous=False)
    assert store._made(store._plan()).__class__.__name__ == "BotoStore"
    assert store.driver == "botocore"
    assert reason in store.reason
    demanding = S3Store(place(**options, driver="fast"), asynchronous=False)
    with pytest.raises(BadConfig, match=reason):
        run(demanding.get("a"))


def test_settings_that_concern_others_are_no_reason(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,.amazonaws.com")
    config("[default]\ns3 =\n  max_concurrent_requests = 20\n  payload_signing_enabled = true\n")
    assert make_plan(place()).aws


def test_the_driver_is_chosen_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for asynchronous, drivers in ((False, ("FastStore", "BotoStore")), (True, ("AioFastStore", "AioBotoStore"))):
        for driver, expected in zip(("auto", "botocore"), drivers, strict=True):

            async def use(driver: str = driver, asynchronous: bool = asynchronous) -> str:
                store = S3Store(place(endpoint="http://127.0.0.1:9", driver=driver), asynchronous=asynchronous)
                assert store.driver == ""
                with pytest.raises(StoreUnavailable):
                    await store.put("a", b"1", Create())
                await store.close()
                return type(store._inner).__name__

            assert (asyncio.run(use()) if asynchronous else run(use())) == expected


# --- credentials ------------------------------------------------------------------------------------------------------


def test_the_environment_alone_says_what_botocore_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://h:1")
    for token in ("", "t2"):
        monkeypatch.setenv("AWS_SECURITY_TOKEN", token)
        assert isinstance(environment_session(None), EnvironmentSession)
        quick = make_plan(place(region=None))
        with monkeypatch.context() as patch:
            patch.setattr(s3_plan, "environment_session", lambda profile: None)
            slow = make_plan(place(region=None))
        assert quick.keys() == slow.keys() == Keys("test", "test-secret", token or "t1")
        assert (quick.host, quick.region, quick.base) == (slow.host, slow.region, slow.base)


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_PROFILE": "other"},
        {"AWS_CREDENTIAL_EXPIRATION": "2026-11-21T18:43:43Z"},
        {"AWS_SOMETHING_NEW": "1"},
        {"http_proxy": "http://proxy:3128"},
        {"AWS_CONFIG_FILE": __file__},
        {"AWS_SHARED_CREDENTIALS_FILE": __file__},
    ],
)
def test_anything_else_in_the_environment_is_for_botocore(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert environment_session(None) is None


def test_a_named_profile_is_for_botocore(config: Any) -> None:
    config("[profile mine]\naws_access_key_id = k\naws_secret_access_key = s\naws_session_token = t\n")
    assert environment_session("mine") is None
    assert make_plan(place(profile="mine")).keys() == Keys("k", "s", "t")


def test_credentials_that_cannot_be_fetched(config: Any) -> None:
    config("[profile mine]\ncredential_process = /bin/false\n")
    with pytest.raises(StoreForbidden, match="credential"):
        make_plan(place(profile="mine")).keys()


# --- signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "a+token/=="])
@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body"),
    [
        ("GET", "/bucket/a%20b/%C3%BC", "", {"range": "bytes=0-5", "if-none-match": "e1"}, b""),
        ("PUT", "/a+b%2Bc", "", {"if-none-match": "*", "x-amz-storage-class": "STANDARD_IA"}, b"body"),
        ("GET", "/bucket", "encoding-type=url&list-type=2&max-keys=5&prefix=a%2Fb%20c&start-after=a", {}, b""),
        ("POST", "/", "delete=", {"content-md5": "x==", "content-type": "application/xml"}, b"<Delete/>"),
    ],
)
def test_signatures_are_those_of_botocore(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes, token: str | None
) -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    keys = Keys("AKID", "secret/+", token)
    head = Signer("h:9000", "eu-west-1").head(keys, method, path, query, headers, body).decode()
    lines = head.split("\r\n")
    sent = {name: value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    assert lines[0] == f"{method} {path}{'?' + query if query else ''} HTTP/1.1"
    covered = sent["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert set(covered) == set(sent) - {"authorization", "user-agent", "content-length"}

    auth = S3SigV4Auth(Credentials(*keys), "s3", "eu-west-1")
    kept = {name: sent[name] for name in covered if name != "host"}
    request = AWSRequest(method, f"http://h:9000{path}?{query}", data=body, headers=kept)
    request.context["timestamp"] = sent["x-amz-date"]
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert sent["authorization"].endswith(f"Signature={auth.signature(text, request)}")


def test_the_key_of_a_day_follows_the_credentials() -> None:
    signer = Signer("h", "eu-west-1")
    heads = [signer.head(Keys("k", secret, None), "GET", "/a", "", {}, b"") for secret in ("one", "two", "one")]
    assert heads[0].split()[-1] != heads[1].split()[-1]
