"""The facade itself; what it sets in motion is tested in tests/e2e."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import Config, Model, ModelFramework
from kaptain_kfp.exceptions import (
    ConfigurationError,
    InvalidModelProperty,
    ModelValidationException,
    UndefinedModelProperty,
    UnsupportedModelFrameworkException,
)
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.specs import Submission
from kaptain_kfp.store.records import Records
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.testing.faulty_proxy import proxy_to
from kaptain_kfp.testing.s3 import isolate_aws, serve_s3

GIVEN: dict[str, Any] = {
    "id": "dev/m",
    "name": "M",
    "description": "d",
    "version": "1",
    "framework": ModelFramework.SKLEARN,
    "framework_version": "1.5",
    "main_file": "t.py",
    "image_name": "me/m",
    "base_image": "python:3.11",
}


def make(**changes: Any) -> Model:
    return Model(**{**GIVEN, "config": Config.local(), **changes})


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_a_property_that_is_none(name: str, kaptain_home: Path) -> None:
    with pytest.raises(UndefinedModelProperty, match=f"{name} is None"):
        make(**{name: None})


@pytest.mark.parametrize("name", sorted(set(GIVEN) - {"framework"}))
@pytest.mark.parametrize("blank", ["", "  \n"])
def test_a_property_that_is_blank(name: str, blank: str, kaptain_home: Path) -> None:
    with pytest.raises(InvalidModelProperty, match=f"{name} is blank"):
        make(**{name: blank})


def test_a_property_that_is_no_text(kaptain_home: Path) -> None:
    with pytest.raises(InvalidModelProperty, match=r"version must be text, not float \(4.5\)"):
        make(version=4.5)


@pytest.mark.parametrize(
    "framework", ["sklearn", "SKLEARN", "scikit-learn", ModelFramework.SKLEARN]
)
def test_a_framework_by_any_name(framework: Any, kaptain_home: Path) -> None:
    assert make(framework=framework).framework is ModelFramework.SKLEARN


def test_an_unknown_framework(kaptain_home: Path) -> None:
    with pytest.raises(UnsupportedModelFrameworkException, match="fortran"):
        make(framework="fortran")


@pytest.mark.parametrize("id", ["../x", "a//b", "/a", "a/", "x" * 300, "mödel", "a b", "m/trained"])
def test_an_id_that_cannot_be(id: str, kaptain_home: Path) -> None:
    with pytest.raises(ModelValidationException, match="id="):
        make(id=id)


def test_an_id_in_upper_case_is_kept(kaptain_home: Path) -> None:
    assert make(id="Dev/MNIST").id == "Dev/MNIST"


def test_an_image_name_that_cannot_be(kaptain_home: Path) -> None:
    with pytest.raises(ModelValidationException, match="image_name"):
        make(image_name="Not An Image")


def test_what_may_be_assigned_later(kaptain_home: Path, tmp_path: Path) -> None:
    model = make()
    model.serving_config = {"protocol_version": "v2"}
    assert model.serving_config == {"protocol_version": "v2"}
    assert model.model_uri is None
    other = tmp_path / "other"
    model.config = Config.local(home=other)
    assert model.history() == []
    assert model.config.home == other


def test_the_meta_is_a_snapshot(kaptain_home: Path) -> None:
    model = make(labels=["a"], extra_files=["x"])
    meta = model.meta()
    assert (meta.id, meta.state, meta.labels, meta.extra_files) == (
        "dev/m",
        "untrained",
        ("a",),
        ("x",),
    )
    assert meta.revision == model.revision and len(meta.revision) == 32
    with pytest.raises(AttributeError):
        meta.id = "other"  # type: ignore[misc]


def test_a_kubeflow_that_nobody_can_find(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (tmp_path / "t.py").write_text("")
    config = Config(
        None,
        S3ConfigurationProvider("key", "hush"),
        base_dir=str(tmp_path),
        base_model_storage_uri="s3://bucket/models",
        target="kubeflow",
    )
    with pytest.raises(ConfigurationError, match="kfp_host"):
        make(config=config).train({}, workers=1)


def test_a_store_that_is_not_there_yet(kaptain_home: Path, tmp_path: Path) -> None:
    config = Config.local(base_model_storage_uri="https://example.invalid/models")
    with pytest.raises(ConfigurationError, match="base_model_storage_uri"):
        make(config=config).history()


def test_the_first_line_says_which_world(
    kaptain_home: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "t.py").write_text("print('x')")
    assert make(config=Config.local(base_dir=str(tmp_path))).build()
    assert log.messages[0].startswith("build dev/m: target local (")


def test_attaching_reads_each_record_once(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_aws(monkeypatch)
    given = make()
    submission = Submission(definition=given._definition())
    with serve_s3(tmp_path / "s3", "models") as server, proxy_to(server.endpoint) as proxy:
        provider = server.provider(proxy.url)
        config = Config.local(
            base_model_storage_uri="s3://models", storage_config_provider=provider
        )
        records = Records(S3Store("s3://models", provider), given.id)
        for event in ("submitted", "outcome"):
            records.append(records.new("r", "run", event, "train", submission=submission))
        proxy.requests.clear()
        assert Model.attach(given.id, config=config).state is ModelState.TRAINED
        reads = [r.path for r in proxy.requests if r.method == "GET" and ".json" in r.path]
        assert len(reads) == 2, reads
