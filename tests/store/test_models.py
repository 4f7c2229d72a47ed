from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.models import list_models
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.testing.faulty_proxy import proxy_to
from kaptain_kfp.testing.s3 import isolate_aws, serve_s3


def test_models_are_those_with_records(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for key in (
        "dev/mnist/records/r-run-submitted.json",
        "dev/mnist/records/r-train-outcome.json",
        "dev/mnist/trained/0123/records/looks-like.json",
        "dev/mnist/trained/0123/model.joblib",
        "other/records/r-run-submitted.json",
        "other/records/deeper/x.json",
        "third/records/notes.txt",
        "dev/mnist/v2/records/r-run-submitted.json",
        "records/first/records/r-run-submitted.json",
        "un titled/records/r-run-submitted.json",
        ".kaptain-layers/records/0123.json",
    ):
        store.write(key, b"{}")
    assert list_models(store) == ["dev/mnist", "dev/mnist/v2", "other", "records/first"]


def test_models_are_found_without_a_look_at_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_aws(monkeypatch)
    with serve_s3(tmp_path / "s3", "models") as server, proxy_to(server.endpoint) as proxy:
        store = S3Store("s3://models", server.provider(proxy.url))
        for key in ("dev/a/records/1.json", "dev/b/records/1.json", "dev/b/trained/r/model"):
            store.write(key, b"")
        store.write(".kaptain-layers/0123.json", b"")
        proxy.requests.clear()
        assert list_models(store) == ["dev/a", "dev/b"]
        prefixes = [parse_qs(urlsplit(r.path).query).get("prefix", [""])[0] for r in proxy.requests]
    assert prefixes.count("dev/b/records/") == 1
    assert not [prefix for prefix in prefixes if "trained" in prefix or "layers" in prefix]
