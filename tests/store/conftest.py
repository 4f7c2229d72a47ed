"""What tests of the S3 store share: real servers, and a proxy that has bad days."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.store.s3 import Limits, S3Store
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, proxy_to
from kaptain_kfp.testing.s3 import S3Server, isolate_aws, serve_moto, serve_s3

SMALL_PARTS = Limits(part_bytes=5 << 20, copy_bytes=5 << 20)

_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serve_s3(tmp_path_factory.mktemp("s3") / "buckets", "models") as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[S3ConfigurationProvider]:
    with serve_moto("models") as provider:
        yield provider


@pytest.fixture
def uri(monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty store on each server, in an environment that says nothing of AWS."""
    isolate_aws(monkeypatch)
    return f"s3://models/{next(_numbers)}"


@pytest.fixture
def store(s3_server: S3Server, uri: str) -> S3Store:
    """A store that is well."""
    return S3Store(uri, s3_server.provider())


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with proxy_to(s3_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def faulty(s3_server: S3Server, proxy: FaultyProxy, uri: str) -> S3Store:
    """The same store, behind the proxy."""
    return S3Store(uri, s3_server.provider(proxy.url), limits=SMALL_PARTS)


@pytest.fixture
def conditional(moto: S3ConfigurationProvider, uri: str) -> S3Store:
    """A store on a server that minds conditions."""
    return S3Store(uri, moto, limits=SMALL_PARTS)
