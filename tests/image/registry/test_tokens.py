"""Being let in: real registries with passwords, and with a token server before them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import RegistryAuthError, RegistryUnavailableError
from kaptain_kfp.image.oci import Descriptor, Family, sha256_digest
from kaptain_kfp.image.registry.blobs import bytes_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, Request, proxy_to
from kaptain_kfp.testing.registry import RegistryServer, serve_registry
from kaptain_kfp.testing.token_server import TokenRequest, TokenServer, serve_tokens

from ...needs import need_registry
from .conftest import PART, QUICK, fresh, host_of, push_image

CONTENT = os.urandom(4 * PART + 100)
BLOB = Descriptor(Family.OCI.layer, sha256_digest(CONTENT), len(CONTENT))
PASSWORD = "s3cret-word"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that wants a password."""
    need_registry()
    folder = tmp_path_factory.mktemp("closed") / "images"
    with serve_registry(folder, htpasswd={"ann": PASSWORD}) as server:
        yield server


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    need_registry()
    with serve_tokens(
        tmp_path, {"ann": PASSWORD}, identity_tokens={"id-token": "bob"}, anonymous=True
    ) as server:
        yield server


@pytest.fixture
def guarded(tokens: TokenServer, tmp_path: Path) -> Iterator[RegistryServer]:
    """A registry that wants a token."""
    with serve_registry(tmp_path / "images", token=tokens.auth) as server:
        yield server


@pytest.fixture
def proxy(guarded: RegistryServer) -> Iterator[FaultyProxy]:
    with proxy_to(guarded.endpoint) as proxy:
        yield proxy


@contextmanager
def client_of(
    host: str, user: str = "ann", password: str = PASSWORD, **entry: str
) -> Iterator[RegistryClient]:
    login = entry or {"username": user, "password": password}
    credentials = Credentials({"auths": {f"https://{host}/v1/": login}})
    with RegistryClient(credentials, patience=QUICK, part_bytes=PART) as client:
        yield client


def test_a_password(closed: RegistryServer) -> None:
    ref = fresh(closed.host)
    with client_of(closed.host) as client:
        push_image(client, ref)
        assert client.find(ref) is not None


def test_finding_with_a_password_costs_three_requests(closed: RegistryServer) -> None:
    with proxy_to(closed.endpoint) as proxy, client_of(host_of(proxy)) as client:
        ref = fresh(host_of(proxy))
        push_image(client, ref)
        with client_of(host_of(proxy)) as other:
            before = len(proxy.requests)
            assert other.find(ref) is not None
            assert len(proxy.requests) - before == 3


@pytest.mark.parametrize("word", ["wrong-word", ""])
def test_a_wrong_password(
    closed: RegistryServer, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = f"https://{closed.host}/v1/"
    credentials = Credentials({"auths": {key: {"username": "ann", "password": word or "x"}}})
    with (
        RegistryClient(credentials, patience=QUICK) as client,
        pytest.raises(RegistryAuthError) as caught,
    ):
        client.push_blob(fresh(closed.host), BLOB, bytes_source(CONTENT))
    told = str(caught.value)
    assert closed.host in told
    assert "user 'ann'" in told
    assert f'config.json, "{key}"' in told
    assert f"docker login {closed.host}" in told
    for secret in filter(None, (word, PASSWORD)):
        assert secret not in f"{told} {caught.value!r} {caplog.text}"


def test_no_credentials_at_all(closed: RegistryServer) -> None:
    credentials = Credentials({"credsStore": "nowhere"})
    with (
        RegistryClient(credentials, patience=QUICK) as client,
        pytest.raises(
            RegistryAuthError, match=r"wants credentials to read the manifest.*and there are none"
        ) as caught,
    ):
        client.image(fresh(closed.host))
    assert "docker-credential-nowhere" in str(caught.value.hint)


def test_a_token_for_what_is_to_be_done(guarded: RegistryServer, tokens: TokenServer) -> None:
    ref = fresh(guarded.host)
    with client_of(guarded.host) as client:
        push_image(client, ref)
        assert [(r.method, r.user, r.scopes) for r in tokens.requests] == [
            ("GET", "ann", (f"repository:{ref.repository}:pull,push",))
        ]
        client.image(ref)
        assert tokens.requests[-1].scopes == (f"repository:{ref.repository}:pull",)
        assert len(tokens.requests) == 2


def test_finding_with_a_token_costs_four_requests(proxy: FaultyProxy, tokens: TokenServer) -> None:
    ref = fresh(host_of(proxy))
    with client_of(host_of(proxy)) as client:
        push_image(client, ref, config={"Labels": {"checksum": "abc"}})
    proxy.requests.clear()
    tokens.requests.clear()
    with client_of(host_of(proxy)) as client:
        found = client.find(ref)
    assert found is not None
    assert found.labels["checksum"] == "abc"
    assert len(proxy.requests) + len(tokens.requests) == 4


def test_a_mount_asks_for_both_repositories(guarded: RegistryServer, tokens: TokenServer) -> None:
    source, target = fresh(guarded.host), fresh(guarded.host)
    with client_of(guarded.host) as client:
        client.push_blob(source, BLOB, bytes_source(CONTENT))
        assert not client.copy_blob(source, target, BLOB)
    assert set(tokens.requests[-1].scopes) == {
        f"repository:{target.repository}:pull,push",
        f"repository:{source.repository}:pull",
    }


def test_a_mount_without_the_right_to_the_source(
    guarded: RegistryServer, tokens: TokenServer
) -> None:
    source, target = fresh(guarded.host), fresh(guarded.host)
    with client_of(guarded.host) as client:
        client.push_blob(source, BLOB, bytes_source(CONTENT))
        tokens.rights["ann"] = {source.repository: ""}
        # to push is allowed all the same
        assert client.push_blob(target, BLOB, bytes_source(CONTENT))
        assert not client.copy_blob(source, target, BLOB)


def test_an_identity_token(guarded: RegistryServer, tokens: TokenServer) -> None:
    ref = fresh(guarded.host)
    with client_of(guarded.host, identitytoken="id-token") as client:
        push_image(client, ref)
    assert [(r.method, r.user) for r in tokens.requests] == [("POST", "bob")]


def test_a_token_of_the_registry_itself(guarded: RegistryServer, tokens: TokenServer) -> None:
    ref = fresh(guarded.host)
    scope = f"repository:{ref.repository}:pull,push"
    token = tokens.token(TokenRequest("GET", (scope,), "ann"))
    with client_of(guarded.host, registrytoken=token) as client:
        push_image(client, ref)
    assert tokens.requests == []


@pytest.mark.parametrize("entry", [{"identitytoken": "old-token"}, {}])
def test_a_token_server_that_knows_us_not(
    guarded: RegistryServer, entry: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        client_of(guarded.host, password="wrong-word", **entry) as client,
        pytest.raises(RegistryAuthError, match="get a token from http://127") as caught,
    ):
        client.image(fresh(guarded.host))
    assert guarded.host in str(caught.value)
    for secret in ("wrong-word", "old-token"):
        assert secret not in f"{caught.value} {caplog.text}"


def test_nobody_gets_a_token_where_that_is_allowed(
    guarded: RegistryServer, tokens: TokenServer
) -> None:
    ref = fresh(guarded.host)
    with client_of(guarded.host) as client:
        push_image(client, ref)
    with RegistryClient(patience=QUICK) as client:
        assert client.image(ref).manifest.layers
    assert tokens.requests[-1].user is None


def test_only_to_pull(guarded: RegistryServer, tokens: TokenServer) -> None:
    ref = fresh(guarded.host)
    tokens.rights["ann"] = {ref.repository: "pull"}
    with (
        client_of(guarded.host) as client,
        pytest.raises(RegistryAuthError, match="somebody who is allowed to push there"),
    ):
        push_image(client, ref)


def test_a_token_that_ends_during_an_upload(proxy: FaultyProxy, tokens: TokenServer) -> None:
    """Its server says that it holds for long, and the registry doesn't take it any more."""
    ref = fresh(host_of(proxy))
    tokens.lifetime, tokens.told_lifetime = 3.0, 300.0

    def first_part(request: Request) -> bool:
        if request.method == "PATCH":
            # all tokens but the first are good ones
            tokens.lifetime = 300.0
        return request.method == "PATCH"

    proxy.delay(4.0, when=first_part, times=1)
    with client_of(host_of(proxy)) as client:
        client.push_blob(ref, BLOB, bytes_source(CONTENT))
        assert len(tokens.requests) == 2
        assert b"".join(client.open_blob(ref, BLOB)) == CONTENT
    assert [r.method for r in proxy.requests].count("POST") == 1


def test_a_token_that_is_soon_over_is_not_used(proxy: FaultyProxy, tokens: TokenServer) -> None:
    tokens.told_lifetime = 1.0
    ref = fresh(host_of(proxy))
    with client_of(host_of(proxy)) as client:
        client.find(ref)
        client.find(ref)
    assert len(tokens.requests) == 2
    # the second time it was known that a token is wanted
    assert len(proxy.requests) == 3


def test_a_token_is_renewed_once(proxy: FaultyProxy, tokens: TokenServer) -> None:
    ref = fresh(host_of(proxy))
    with client_of(host_of(proxy)) as client:
        client.find(ref)
        challenge = f'Bearer realm="{tokens.auth.realm}",service="{tokens.auth.service}"'
        proxy.answer(401, headers={"WWW-Authenticate": challenge}, times=None)
        before = len(tokens.requests), len(proxy.requests)
        with pytest.raises(RegistryAuthError):
            client.find(ref)
    assert (len(tokens.requests), len(proxy.requests)) == (before[0] + 1, before[1] + 2)


def test_a_token_server_that_is_busy(
    guarded: RegistryServer, tokens: TokenServer, proxy: FaultyProxy
) -> None:
    ref = fresh(host_of(proxy))
    server = tokens.auth.realm.removesuffix("/token")
    with proxy_to(server) as before_tokens, client_of(host_of(proxy)) as client:
        before_tokens.answer(503, times=2)
        realm = f"{before_tokens.url}/token"
        challenge = f'Bearer realm="{realm}",service="{tokens.auth.service}"'
        proxy.answer(401, headers={"WWW-Authenticate": challenge}, times=1)
        assert client.find(ref) is None
        before_tokens.answer(503, times=None)
        proxy.answer(401, headers={"WWW-Authenticate": challenge}, times=None)
        with pytest.raises(RegistryUnavailableError, match="get a token"):
            client.find(ref)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"text", b'{"expires_in": 3}'])
def test_a_token_server_that_gives_none(
    guarded: RegistryServer, tokens: TokenServer, proxy: FaultyProxy, body: bytes
) -> None:
    with (
        proxy_to(tokens.auth.realm.removesuffix("/token")) as before_tokens,
        client_of(host_of(proxy)) as client,
    ):
        before_tokens.answer(200, body)
        challenge = f'Bearer realm="{before_tokens.url}/token",service="x"'
        proxy.answer(401, headers={"WWW-Authenticate": challenge})
        with pytest.raises(RegistryAuthError, match="it gave none"):
            client.find(image_reference(f"{host_of(proxy)}/a:1"))
