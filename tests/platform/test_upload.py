from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.platform._upload import files_below, target_of

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
