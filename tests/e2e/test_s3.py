"""Training on this machine, models in a bucket: the work gets credentials, and nothing else."""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import StoreError, UndefinedModelProperty
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.model.credentials import Credentials
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.model.world import world_of
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.store.models import list_models
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.testing.faulty_proxy import proxy_to
from kaptain_kfp.testing.leaks import Leaks
from kaptain_kfp.testing.s3 import S3Server, isolate_aws, s3_error, serve_s3

from .conftest import MakeModel

BASE = "s3://kaptain/the models"
SCRIPT = """
import os, pathlib
from kaptain.platform.metadata_util import MetadataUtil
from kaptain.platform.model_export_util import ModelExportUtil

pathlib.Path("model.json").write_text("{}")
for accuracy in (0.5, 0.9):
    MetadataUtil.record_metrics({"accuracy": accuracy})
ModelExportUtil().upload_model("model.json")
print("bucket is reached with", sorted(name for name in os.environ if name.startswith("AWS_")))
"""


@dataclass(frozen=True)
class Bucket:
    server: S3Server
    secrets: tuple[str, ...]

    def config(self, project: Path, uri: str = BASE, **changes: str) -> Config:
        body = {**self.server.provider().get_secret_body(), **changes}
        provider = S3ConfigurationProvider(
            body["AWS_ACCESS_KEY_ID"],
            body["AWS_SECRET_ACCESS_KEY"],
            body.get("AWS_SESSION_TOKEN"),
            s3_endpoint=body["S3_ENDPOINT"],
            s3_force_path_style=True,
        )
        return Config.local(
            base_dir=str(project), storage_config_provider=provider, base_model_storage_uri=uri
        )

    def keys(self) -> list[str]:
        return [e.key for e in S3Store("s3://kaptain", self.server.provider()).list()]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    isolate_aws(monkeypatch)
    with serve_s3(tmp_path / "s3", "kaptain") as server:
        body = server.provider().get_secret_body()
        yield Bucket(server, (body["AWS_ACCESS_KEY_ID"], body["AWS_SECRET_ACCESS_KEY"]))


def test_a_model_is_trained_into_a_bucket(
    make_model: MakeModel, project: Path, kaptain_home: Path, bucket: Bucket
) -> None:
    model = make_model(SCRIPT, config=bucket.config(project))
    assert model.state is ModelState.UNTRAINED
    assert model.train({"--C": 0.1}, verbose=True)
    assert model.state is ModelState.TRAINED
    assert model.metrics == {"accuracy": {"latest": 0.9, "min": 0.5, "max": 0.9}}
    trained = f"the models/dev/digits/trained/{model.revision}"
    assert model.model_uri == f"s3://kaptain/{trained}"
    found = bucket.keys()
    assert {f"{trained}/model.json", f"{trained}.metrics.jsonl"} <= set(found)
    assert len([key for key in found if key.startswith("the models/dev/digits/records/")]) == 3
    assert len([key for key in found if key.startswith("the models/dev/digits/sources/")]) == 1
    assert not (kaptain_home / "models").exists()

    again = Model.attach("dev/digits", config=bucket.config(project))
    assert again.model_uri == model.model_uri
    assert again.metrics == model.metrics
    assert [r.event for r in again.history()] == ["submitted", "outcome", "outcome"]
    assert list_models(world_of(again.config).store) == ["dev/digits"]

    leaks, objects = Leaks(*bucket.secrets), Objects(kaptain_home)
    assert leaks.files(kaptain_home) == []
    assert all(objects.list(kind).items for kind in ("Pod", "Run", "Job"))
    assert leaks.kinds(kaptain_home) == {"Secret"}
    told = [repr(model), repr(model.config), repr(world_of(model.config)), repr(model.history())]
    run = model.last_run
    assert run is not None
    log = list(run.logs())
    assert (
        "bucket is reached with ['AWS_ACCESS_KEY_ID', 'AWS_REGION', 'AWS_SECRET_ACCESS_KEY']" in log
    )
    content = b"".join(
        path.read_bytes() for path in bucket.server.folder.rglob("*") if path.is_file()
    )
    for text in (*told, *log, content.decode(errors="replace")):
        assert not any(secret in text for secret in bucket.secrets)


def test_while_it_trains_only_private_files_hold_credentials(
    make_model: MakeModel,
    project: Path,
    kaptain_home: Path,
    bucket: Bucket,
    tmp_path: Path,
    eventually: Callable[[Callable[[], object], str], None],
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    model = make_model(
        "import pathlib, time\n"
        f"pathlib.Path({str(begun)!r}).touch()\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\n",
        config=bucket.config(project),
    )
    assert model.train({}, wait=False)
    eventually(begun.exists, "the script began")
    told = Leaks(*bucket.secrets).files(kaptain_home)
    found = [(path.name, oct(stat.S_IMODE(path.stat().st_mode))) for path in told]
    go.touch()
    # of the executor, and of the training
    assert found == [("launch.json", "0o600")] * 2
    run = model.last_run
    assert run is not None
    assert run.wait(60) is RunState.SUCCEEDED


def test_new_credentials_replace_the_old_ones(
    make_model: MakeModel, project: Path, kaptain_home: Path, bucket: Bucket
) -> None:
    model = make_model(SCRIPT, config=bucket.config(project))
    world = replace(
        world_of(model.config), credentials=Credentials(S3ConfigurationProvider("a", "b", "token"))
    )
    world.credentials.share(model.id, world.cluster)
    assert model.train({})
    [secret] = LocalCluster(kaptain_home).list("Secret")
    body = bucket.server.provider().get_secret_body()
    assert {k: base64.b64decode(v).decode() for k, v in secret["data"].items()} == body
    metadata = secret["metadata"]
    assert metadata["name"] == "dev-digits-secret"
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "kaptain-kfp",
        "kaptain-kfp/model": "dev-digits",
    }


@pytest.mark.parametrize(
    ("changes", "uri", "reason", "told"),
    [
        ({"AWS_ACCESS_KEY_ID": "not-a-key"}, BASE, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (
            {"AWS_SECRET_ACCESS_KEY": "not-the-secret"},
            BASE,
            "SignatureDoesNotMatch",
            "AWS_SECRET_ACCESS_KEY",
        ),
        ({}, "s3://no-such-bucket/models", "NoSuchBucket", "aws s3 mb s3://no-such-bucket"),
    ],
)
def test_what_cant_be_reached_is_said_before_anything_is_sent(
    make_model: MakeModel,
    project: Path,
    kaptain_home: Path,
    bucket: Bucket,
    changes: dict[str, str],
    uri: str,
    reason: str,
    told: str,
) -> None:
    model = make_model(SCRIPT, config=bucket.config(project, uri, **changes))
    with pytest.raises(StoreError) as caught:
        model.train({})
    assert caught.value.reason == reason
    assert told in str(caught.value)
    assert bucket.server.endpoint in str(caught.value)
    for value in (*bucket.secrets, "not-the-secret"):
        assert value not in str(caught.value)
    assert bucket.keys() == []
    cluster = LocalCluster(kaptain_home)
    assert [o for kind in ("Secret", "Run") for o in cluster.list(kind)] == []


def test_other_credentials_count_from_the_next_action_on(
    make_model: MakeModel, project: Path, bucket: Bucket
) -> None:
    model = make_model(SCRIPT, config=bucket.config(project))
    assert model.state is ModelState.UNTRAINED
    model.config = bucket.config(project, AWS_ACCESS_KEY_ID="not-a-key")
    with pytest.raises(StoreError, match="doesn't know the access key"):
        _ = model.state
    model.config = bucket.config(project)
    assert model.state is ModelState.UNTRAINED


def test_a_bucket_that_goes_away_while_a_model_is_trained(
    make_model: MakeModel,
    project: Path,
    kaptain_home: Path,
    bucket: Bucket,
    tmp_path: Path,
    eventually: Callable[[Callable[[], object], str], None],
) -> None:
    """The run ends, and says why where it still can; once the bucket is back, so do the records."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    with proxy_to(bucket.server.endpoint) as proxy:
        model = make_model(
            "import pathlib, time\n"
            f"pathlib.Path({str(begun)!r}).touch()\n"
            f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\n",
            config=bucket.config(project, S3_ENDPOINT=proxy.url),
        )
        assert model.train({}, wait=False)
        eventually(begun.exists, "the script began")
        run = model.last_run
        assert run is not None
        proxy.answer(507, s3_error("XMinioStorageFull"), times=None)
        go.touch()
        eventually(lambda: run.state.finished, "the run ended")
        log = "\n".join(LocalCluster(kaptain_home).log_tail(pod) for pod in executors(kaptain_home))
        assert "has no space for it" in log
        assert "this couldn't be recorded" in log
        assert "Traceback" not in log
        with pytest.raises(StoreError, match="has no space for it"):
            model.history()
        proxy.heal()
        assert [record.event for record in model.history()] == ["submitted", "outcome", "closed"]
        assert model.state is ModelState.UNTRAINED


def executors(home: Path) -> list[ResourceRef]:
    pods = LocalCluster(home).list("Pod")
    return [ResourceRef.of(pod) for pod in pods if "executor" in pod["metadata"]["name"]]


def test_a_bucket_without_the_model(project: Path, kaptain_home: Path, bucket: Bucket) -> None:
    with pytest.raises(UndefinedModelProperty, match="s3://kaptain/the models"):
        Model.attach("dev/nothing", config=bucket.config(project))
