from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from kaptain_kfp.exceptions import ConfigurationError, StoreError
from kaptain_kfp.platform._s3 import s3_client
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.store.base import Entry
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, proxy_to
from kaptain_kfp.testing.s3 import S3Server, serve_s3

MANY = 2500


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("s3://models", "s3://models"),
        ("s3://models/", "s3://models"),
        ("s3://models/a b/ü%20/", "s3://models/a b/ü%20"),
    ],
)
def test_uris_are_written_as_keys_are(given: str, uri: str) -> None:
    store = S3Store(given, {})
    assert store.uri == uri
    assert store.uri_of("") == uri
    assert store.uri_of("x #/%41?") == f"{uri}/x #/%41?"
    assert store.key_of(f"{uri}/x #/%41?") == "x #/%41?"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://",
        "s3:///models",
        "s3://m",
        "s3://mo dels/x",
        "s3://models//x",
        "s3://models/../x",
        "x",
    ],
)
def test_refuses_what_is_no_bucket(uri: str) -> None:
    with pytest.raises(StoreError, match=r"can't be the URI of a bucket") as caught:
        S3Store(uri, {})
    assert repr(uri) in str(caught.value)
    assert "s3://bucket/prefix" in (caught.value.hint or "")


def test_shows_no_credentials(s3_server: S3Server) -> None:
    body = s3_server.provider().get_secret_body()
    store = S3Store("s3://models", s3_server.provider())
    for shown in (repr(store), repr(store._link), repr(store._link.place)):
        assert body["AWS_SECRET_ACCESS_KEY"] not in shown
        assert body["AWS_ACCESS_KEY_ID"] not in shown


def test_credentials_that_arent_known_yet() -> None:
    with pytest.raises(ConfigurationError, match="minio-creds-secret"):
        S3Store("s3://models", DefaultMinioConfigurationProvider.default())


def test_an_environment_is_as_good_as_a_provider(
    store: S3Store, s3_server: S3Server, uri: str
) -> None:
    store.write("a", b"1")
    environment = {"HOME": "/root", "EMPTY": "", **s3_server.provider().get_secret_body()}
    assert S3Store(uri, environment).read("a") == b"1"


def test_a_forked_process_has_connections_of_its_own() -> None:
    program = (
        "import os, sys; from kaptain_kfp.store.s3 import S3Store; "
        "store = S3Store('s3://models', {}); here = store._link; assert store._link is here; "
        "pid = os.fork(); "
        "os._exit(store._link is here) if pid == 0 else sys.exit(os.waitpid(pid, 0)[1])"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_package_is_light_until_a_store_is_used() -> None:
    program = (
        "import sys; from kaptain_kfp.store.open import open_store; open_store('s3://models/x'); "
        "print(*sorted({'boto3', 'botocore', 's3transfer'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_lists_and_deletes_page_by_page(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / "s3" / "models" / "deep"
    folder.mkdir(parents=True)
    for number in range(MANY):
        (folder / f"{number:04}").touch()
    with serve_s3(tmp_path / "s3") as server, proxy_to(server.endpoint) as proxy:
        store = S3Store("s3://models", server.provider(proxy.url))
        listing = store.list()
        assert next(listing) == Entry("deep/0000", 0)
        assert len(proxy.requests) == 1
        assert [entry.key for entry in listing] == [f"deep/{n:04}" for n in range(1, MANY)]
        assert len(proxy.requests) == 3
        proxy.requests.clear()
        assert list(store.folders()) == ["deep"]
        assert len(proxy.requests) == 1
        proxy.requests.clear()
        assert store.delete("deep") == MANY
        deletions = [request for request in proxy.requests if request.method == "POST"]
        assert len(deletions) == 3
        assert all("content-md5" in request.headers for request in deletions)
        assert list(store.list()) == []


def test_presence_is_one_request(store: S3Store, faulty: S3Store, proxy: FaultyProxy) -> None:
    store.write("a", b"123")
    for key, size in (("a", 3), ("b", None)):
        proxy.requests.clear()
        assert faulty.size(key) == size
        assert [request.method for request in proxy.requests] == ["HEAD"]


def test_nothing_travels_for_a_copy(store: S3Store, faulty: S3Store, proxy: FaultyProxy) -> None:
    store.write("a/b", b"x" * 100_000)
    assert faulty.copy("a", "c") == 1
    copying = [request for request in proxy.requests if request.method == "PUT"]
    assert len(copying) == 1
    assert "x-amz-copy-source" in copying[0].headers
    assert all(request.length == 0 for request in proxy.requests)
    assert store.read("c/b") == b"x" * 100_000


def test_what_is_too_big_is_copied_in_parts(
    conditional: S3Store, moto: S3ConfigurationProvider, uri: str
) -> None:
    content = os.urandom((12 << 20) + 1)
    conditional.write("big", content)
    with proxy_to(moto.s3_endpoint or "") as proxy:
        body = {**moto.get_secret_body(), "S3_ENDPOINT": proxy.url}
        assert S3Store(uri, body, limits=conditional._link.limits).copy("big", "copy") == 1
    parts = [request for request in proxy.requests if "partNumber=" in request.path]
    assert len(parts) == 3
    assert all("x-amz-copy-source" in part.headers for part in parts)
    assert conditional.read("copy") == content


def test_marks_of_folders_are_no_objects(
    conditional: S3Store, moto: S3ConfigurationProvider, uri: str
) -> None:
    client = s3_client(moto.get_secret_body())
    prefix = uri.removeprefix("s3://models/")
    for key in ("a/", "a//b", "a/c", "/d"):
        client.put_object(Bucket="models", Key=f"{prefix}/{key}", Body=b"")
    assert [entry.key for entry in conditional.list()] == ["a/c"]
    assert list(conditional.folders()) == ["a"]
    assert list(conditional.folders("a")) == []


def test_an_object_where_a_folder_is(conditional: S3Store, tmp_path: Path) -> None:
    """Buckets can have both; folders of files can't."""
    conditional.write("a", b"object")
    conditional.write("a/b", b"below")
    assert [entry.key for entry in conditional.list("a")] == ["a", "a/b"]
    assert conditional.copy("a", "c") == 2
    assert conditional.read("c") == b"object"
    with pytest.raises(StoreError, match="both") as caught:
        conditional.download("a", tmp_path / "target")
    assert caught.value.hint
    assert not (tmp_path / "target").exists()
    with pytest.raises(StoreError):
        conditional.download("", tmp_path / "target")
    assert conditional.delete("a") == 2


def test_links_and_special_files_are_as_for_folders(store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_bytes(b"1")
    (source / "link").symlink_to("deep/file")
    (source / "folder").symlink_to("deep")
    assert store.upload(source, "x") == 3
    assert [entry.key for entry in store.list("x")] == ["x/deep/file", "x/folder/file", "x/link"]
    for name, make in (
        ("outside", lambda path: path.symlink_to(tmp_path)),
        ("nowhere", lambda path: path.symlink_to("missing")),
        ("pipe", os.mkfifo),
    ):
        make(source / name)
        with pytest.raises(StoreError, match=name):
            store.upload(source, "y")
        (source / name).unlink()
    assert list(store.list("y")) == []


def test_what_cant_be_written_here_is_named(store: S3Store, tmp_path: Path) -> None:
    store.write("a/b", b"1")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file") as caught:
        store.download("a", tmp_path / "file" / "below")
    assert caught.value.reason == "PathTaken"


def test_token_and_region_go_with_each_request(
    s3_server: S3Server, proxy: FaultyProxy, uri: str
) -> None:
    body = s3_server.provider(proxy.url).get_secret_body()
    store = S3Store(uri, {**body, "AWS_SESSION_TOKEN": "a-token", "AWS_REGION": "eu-north-9"})
    store.write("a", b"1")
    assert store.read("a") == b"1"
    for request in proxy.requests:
        assert request.headers["x-amz-security-token"] == "a-token"
        assert "/eu-north-9/s3/" in request.headers["authorization"]


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_private_authority_is_trusted_once_it_is_named(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    bundle, key, certificate = (tmp_path / name for name in ("ca.pem", "key.pem", "cert.pem"))
    authority.cert_pem.write_to_path(bundle)
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with serve_s3(tmp_path / "s3", "models", certificate=(certificate, key)) as server:
        assert server.endpoint.startswith("https://")
        # another prefix each time: what is connected already stays as it is
        with pytest.raises(StoreError, match="can't be trusted") as caught:
            S3Store(uri, server.provider()).read("a")
        assert caught.value.reason == "TlsError"
        assert "AWS_CA_BUNDLE" in (caught.value.hint or "")
        monkeypatch.setenv(variable, str(bundle))
        trusting = S3Store(uri, {**server.provider().get_secret_body(), "AWS_REGION": "eu-west-1"})
        trusting.write("a", b"1")
        assert trusting.read("a") == b"1"
