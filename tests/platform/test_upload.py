from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp.platform._s3 import s3_client
from kaptain_kfp.platform._upload import files_below, target_of
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, Request, proxy_to
from kaptain_kfp.testing.s3 import isolate_aws, s3_error, serve_moto

from .conftest import Bucket


@pytest.mark.parametrize("key", ["a", "a#b?c/d", "a%20b", "a/"])
def test_keys_are_taken_as_they_are(bucket: Bucket, tmp_path: Path, key: str) -> None:
    (tmp_path / "m").write_bytes(b"1")
    target_of(f"s3://models/{key}").put(tmp_path / "m", "m")
    assert bucket.objects == {f"{key.rstrip('/')}/m": b"1"}


@pytest.mark.parametrize("uri", ["s3://models", "s3:///key", "gs://models/key"])
def test_what_is_no_target_is_named(uri: str) -> None:
    with pytest.raises(ValueError, match=f"'{uri}'"):
        target_of(uri)


def test_a_server_may_be_named_without_a_scheme(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_ENDPOINT", bucket.server.endpoint.removeprefix("http://"))
    target_of("s3://models/key").append(".jsonl", "1")
    assert bucket.objects == {"key.jsonl": b"1"}


def test_what_is_big_goes_in_parts(bucket: Bucket, tmp_path: Path) -> None:
    content = os.urandom(9 * 1024 * 1024)
    (tmp_path / "m").write_bytes(content)
    target_of("s3://models/key").put(tmp_path / "m", "deep/m")
    assert bucket.objects == {"key/deep/m": content}


def test_an_object_is_replaced(bucket: Bucket, tmp_path: Path) -> None:
    for content in (b"first, longer", b"second"):
        (tmp_path / "m").write_bytes(content)
        target_of("s3://models/key").put(tmp_path / "m", "m")
    assert bucket.objects == {"key/m": b"second"}


def run(folder: Path, *lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = (
        *("from pathlib import Path", "from kaptain_kfp.platform._upload import target_of"),
        "OTHER = {'aws_access_key_id': 'another-key', 'aws_secret_access_key': 'another-secret'}",
        *lines,
    )
    (folder / "m").write_bytes(b"1")
    return subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import boto3; boto3.setup_default_session(**OTHER)",
        "import os; os.environ['S3_SIGNATURE_VERSION'] = 's3v4'",
    ],
)
def test_the_keys_of_the_job_count(bucket: Bucket, tmp_path: Path, before: str) -> None:
    target = "target = target_of('s3://models/key')"
    done = run(tmp_path, before, target, "target.put(Path('m'), 'm')", "target.append('.l', '2')")
    assert (done.returncode, done.stderr) == (0, "")
    assert bucket.objects == {"key/m": b"1", "key.l": b"2"}


@pytest.mark.parametrize(
    ("call", "environment", "problem"),
    [
        (
            "'s3://models/key').put(Path('m'), 'm')",
            {"AWS_SECRET_ACCESS_KEY": "not-the-secret"},
            "SignatureDoesNotMatch",
        ),
        (
            "'s3://models/key').append('.jsonl', '1')",
            {"AWS_ACCESS_KEY_ID": "nobodys-key"},
            "InvalidAccessKeyId",
        ),
        ("'s3://elsewhere/key').put(Path('m'), 'm')", {}, "NoSuchBucket"),
        ("'s3://elsewhere/key').append('.jsonl', '1')", {}, "NoSuchBucket"),
    ],
)
def test_what_the_server_says_reaches_the_script(
    bucket: Bucket, tmp_path: Path, call: str, environment: dict[str, str], problem: str
) -> None:
    done = run(tmp_path, f"target_of({call}", **environment)
    assert done.returncode == 1
    assert problem in done.stderr.splitlines()[-1]
    assert bucket.objects == {}
    used = {**os.environ, **environment}
    assert used["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr


@pytest.fixture
def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """What the job takes for the server."""
    with proxy_to(bucket.server.endpoint) as proxy:
        monkeypatch.setenv("S3_ENDPOINT", proxy.url)
        yield proxy


def is_get(request: Request) -> bool:
    return request.method == "GET"


def test_without_the_right_to_list_the_first_lines_arrive(
    bucket: Bucket, proxy: FaultyProxy
) -> None:
    """Then S3 denies access to what isn't there."""
    proxy.answer(403, s3_error("AccessDenied"), when=is_get)
    target = target_of("s3://models/key")
    target.append(".jsonl", "1\n")
    assert proxy.requests[-1].headers["if-none-match"] == "*"
    target.append(".jsonl", "2\n")
    assert bucket.objects == {"key.jsonl": b"1\n2\n"}


def test_without_the_right_to_read_nothing_is_overwritten(
    outside_of_jobs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_aws(monkeypatch)
    with serve_moto("models") as provider, proxy_to(provider.s3_endpoint or "") as proxy:
        body = provider.get_secret_body()
        for name, value in {**body, "S3_ENDPOINT": proxy.url}.items():
            monkeypatch.setenv(name, value)
        target = target_of("s3://models/key")
        target.append(".jsonl", "1\n")
        proxy.answer(403, s3_error("AccessDenied"), when=is_get, times=None)
        with pytest.raises(Exception, match="AccessDenied") as caught:
            target.append(".jsonl", "2\n")
        assert "GetObject" in str(caught.value)
        stored = s3_client(body).get_object(Bucket="models", Key="key.jsonl")["Body"]
        assert stored.read() == b"1\n"


def test_without_the_right_to_write_that_is_said(bucket: Bucket, proxy: FaultyProxy) -> None:
    proxy.answer(403, s3_error("AccessDenied"), times=None)
    with pytest.raises(Exception, match="AccessDenied") as caught:
        target_of("s3://models/key").append(".jsonl", "1\n")
    assert "PutObject" in str(caught.value)


def test_a_server_that_is_busy_for_a_moment(
    bucket: Bucket, proxy: FaultyProxy, tmp_path: Path
) -> None:
    (tmp_path / "m").write_bytes(b"1")
    target = target_of("s3://models/key")
    proxy.answer(503, s3_error("SlowDown"), times=2)
    target.put(tmp_path / "m", "m")
    proxy.answer(503, s3_error("SlowDown"), times=2)
    target.append(".jsonl", "1\n")
    assert bucket.objects == {"key/m": b"1", "key.jsonl": b"1\n"}


def test_a_connection_that_breaks_leaves_no_part(
    bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    (tmp_path / "m").write_bytes(os.urandom(20 << 20))
    target = target_of("s3://models/key")
    proxy.cut(after=1 << 20, when=lambda request: "partNumber=2" in request.path, times=None)
    with pytest.raises(Exception, match="closed"):
        target.put(tmp_path / "m", "m")
    assert bucket.objects == {}
    proxy.heal()
    target.put(tmp_path / "m", "m")
    assert bucket.objects == {"key/m": (tmp_path / "m").read_bytes()}


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "weights").write_bytes(b"1")
    model = tmp_path / "model"
    model.mkdir()
    (model / "link").symlink_to("../far")
    (model / "file").symlink_to("../far/weights")
    (model / "round").symlink_to(".")
    assert [name for _, name in files_below(model)] == ["file", "link/weights"]


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to("missing")
    with pytest.raises(FileNotFoundError, match="broken"):
        list(files_below(tmp_path))
