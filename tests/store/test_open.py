from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.open import open_store
from kaptain_kfp.store.s3 import S3Store


def test_the_scheme_decides(tmp_path: Path) -> None:
    for folder in (str(tmp_path), tmp_path.as_uri()):
        store = open_store(folder, {"AWS_ACCESS_KEY_ID": "unused"})
        assert isinstance(store, FolderStore)
        assert store.uri == tmp_path.as_uri()
    for settings in (None, {}, S3ConfigurationProvider("a-key", "a-secret")):
        bucket = open_store("s3://models/a", settings)
        assert isinstance(bucket, S3Store)
        assert bucket.uri == "s3://models/a"


def test_equal_is_what_is_reached_in_the_same_way(tmp_path: Path) -> None:
    provider = S3ConfigurationProvider("a-key", "a-secret")
    same = [
        (open_store(str(tmp_path)), open_store(tmp_path.as_uri())),
        (open_store("s3://models/a", provider), open_store("s3://models/a/", provider)),
        (
            open_store("s3://models", provider),
            open_store("s3://models", provider.get_secret_body()),
        ),
    ]
    for one, other in same:
        assert one == other
        assert hash(one) == hash(other)
    different = [
        open_store(str(tmp_path)),
        open_store(str(tmp_path / "a")),
        open_store("s3://models", provider),
        open_store("s3://models/a", provider),
        open_store("s3://models", S3ConfigurationProvider("a-key", "another-secret")),
        tmp_path,
    ]
    for number, one in enumerate(different):
        assert all(one != other for other in different[number + 1 :])


@pytest.mark.parametrize("uri", ["s3://", "gs://models", "http://models/a"])
def test_refuses_other_uris(uri: str) -> None:
    with pytest.raises(StoreError, match=uri):
        open_store(uri)
