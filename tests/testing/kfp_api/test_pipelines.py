"""Pipelines and their versions, with the real client."""

from __future__ import annotations

import http.server
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import pytest

from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp

from . import pipelines
from .conftest import client_of
from .pipelines import documents, package
from .test_experiments import refused


@pytest.fixture
def file(tmp_path: Path) -> str:
    return package(pipelines.telling, tmp_path)


def test_an_upload_makes_pipeline_and_version(client: kfp.Client, file: str) -> None:
    pipeline = client.upload_pipeline(file, "kaptain train", description="It trains.")
    assert (pipeline.display_name, pipeline.description) == ("kaptain train", "It trains.")
    assert client.get_pipeline_id("kaptain train") == pipeline.pipeline_id
    assert client.get_pipeline_id("kaptain") is None
    by_name = client._pipelines_api.pipeline_service_get_pipeline_by_name("kaptain train")
    assert by_name.to_dict() == pipeline.to_dict()
    (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    assert version.display_name == "kaptain train"
    assert version.pipeline_id == pipeline.pipeline_id
    (spec,) = documents(pipelines.telling)
    assert version.pipeline_spec == spec
    status, code, message = refused(client.upload_pipeline, file, "kaptain train")
    assert (status, code) == (409, 6)
    assert "The name kaptain train already exists" in message


def test_versions(client: kfp.Client, file: str) -> None:
    pipeline = client.upload_pipeline(file, "p")
    second = client.upload_pipeline_version(
        file, "sha256-1", pipeline_id=pipeline.pipeline_id, description="another"
    )
    assert (second.display_name, second.description) == ("sha256-1", "another")
    upload = client.upload_pipeline_version
    assert refused(upload, file, "sha256-1", pipeline_id=pipeline.pipeline_id)[:2] == (409, 6)
    assert refused(upload, file, "x", pipeline_id="absent")[:2] == (404, 5)
    found = client.get_pipeline_version(pipeline.pipeline_id, second.pipeline_version_id)
    assert found.to_dict() == second.to_dict()
    other = client.upload_pipeline(file, "q")
    get = client.get_pipeline_version
    assert refused(get, other.pipeline_id, second.pipeline_version_id)[0] == 404
    refusal = refused(client.delete_pipeline, pipeline.pipeline_id)
    assert refusal[0] == 400 and "2 existing pipeline version(s)" in refusal[2]
    client.delete_pipeline_version(pipeline.pipeline_id, second.pipeline_version_id)
    assert client.list_pipeline_versions(pipeline.pipeline_id).total_size == 1
    client._pipelines_api.pipeline_service_delete_pipeline(pipeline.pipeline_id, cascade=True)
    assert refused(client.get_pipeline, pipeline.pipeline_id)[0] == 404
    assert client.list_pipelines().total_size == 1


def test_a_run_without_a_version_takes_the_latest(client: kfp.Client, file: str) -> None:
    pipeline = client.upload_pipeline(file, "p")
    latest = client.upload_pipeline_version(file, "v2", pipeline_id=pipeline.pipeline_id)
    reference = kfp_server_api.V2beta1PipelineVersionReference(pipeline_id=pipeline.pipeline_id)
    body = kfp_server_api.V2beta1Run(display_name="r", pipeline_version_reference=reference)
    run = client._run_api.run_service_create_run(run=body)
    assert run.pipeline_version_reference.pipeline_version_id == latest.pipeline_version_id
    client.delete_run(run.run_id)


def test_what_is_known_can_be_changed(client: kfp.Client, file: str) -> None:
    pipeline = client.upload_pipeline(file, "p")
    (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    api = client._pipelines_api
    change = kfp_server_api.V2beta1Pipeline(description="new", display_name="P")
    changed = api.pipeline_service_update_pipeline(pipeline.pipeline_id, pipeline=change)
    assert (changed.name, changed.display_name, changed.description) == ("p", "P", "new")
    tags = kfp_server_api.V2beta1PipelineVersion(tags={"a": "b"})
    changed = api.pipeline_service_update_pipeline_version(
        pipeline.pipeline_id, version.pipeline_version_id, pipeline_version=tags
    )
    assert changed.tags == {"a": "b"}


def test_tags_and_a_display_name_come_with_the_upload(client: kfp.Client, file: str) -> None:
    upload = client._upload_api.upload_pipeline
    made = upload(file, name="p", display_name="P", tags='{"team": "a"}')
    assert (made.name, made.display_name, made.tags) == ("p", "P", {"team": "a"})
    status, _, message = refused(upload, file, name="q", tags="team")
    assert status == 400 and "'team'" in message
    unnamed = upload(file)
    assert unnamed.display_name == "telling", "the name of the file"


def test_a_run_names_its_version_in_one_way(client: kfp.Client, file: str) -> None:
    pipeline = client.upload_pipeline(file, "p")
    (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    create = client._run_api.run_service_create_run
    body = kfp_server_api.V2beta1Run(
        display_name="r", pipeline_version_id=version.pipeline_version_id
    )
    run = create(run=body)
    assert run.pipeline_version_reference.pipeline_id == pipeline.pipeline_id
    client.delete_run(run.run_id)
    body.pipeline_spec = version.pipeline_spec
    status, _, message = refused(create, run=body)
    assert status == 400 and "not both" in message


def test_archives(client: kfp.Client, file: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(file, "pipeline.yaml")
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as tar:
        tar.add(file, "some.yaml")
    specs = []
    for name in ("p.zip", "p.tar.gz"):
        pipeline = client.upload_pipeline(str(tmp_path / name), name)
        (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
        specs.append(version.pipeline_spec)
    assert specs[0] == specs[1] == documents(pipelines.telling)[0]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "no YAML object"),
        ("- a", "no YAML object"),
        ("a: [", "Failed to read"),
        ("a: b", "it has no schemaVersion"),
        ("\x00", "Failed to read"),
        ("PKnothing", "Failed to read"),
    ],
)
def test_what_is_no_pipeline(client: kfp.Client, tmp_path: Path, content: str, match: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(content)
    status, code, message = refused(client.upload_pipeline, str(path), "p")
    assert (status, code) == (400, 3)
    assert match in message
    assert client.list_pipelines().total_size == 0, "nothing is left of it"


@pytest.fixture
def folder_url(tmp_path: Path) -> Iterator[str]:
    """A server for the files of `tmp_path`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_packages_that_lie_on_a_server(client: kfp.Client, file: str, folder_url: str) -> None:
    api = client._pipelines_api

    def version(name: str) -> kfp_server_api.V2beta1PipelineVersion:
        url = kfp_server_api.V2beta1Url(pipeline_url=f"{folder_url}/{name}")
        return kfp_server_api.V2beta1PipelineVersion(display_name="v", package_url=url)

    body = kfp_server_api.V2beta1CreatePipelineAndVersionRequest(
        pipeline=kfp_server_api.V2beta1Pipeline(display_name="p"),
        pipeline_version=version("telling.yaml"),
    )
    create = api.pipeline_service_create_pipeline_and_version
    pipeline = create(body)
    another = api.pipeline_service_create_pipeline_version(
        pipeline.pipeline_id, pipeline_version=version("telling.yaml")
    )
    assert another.package_url.pipeline_url == f"{folder_url}/telling.yaml"
    assert client.list_pipeline_versions(pipeline.pipeline_id).total_size == 2
    body.pipeline_version = version("absent.yaml")
    assert refused(create, body)[0] == 400
    empty = api.pipeline_service_create_pipeline(
        pipeline=kfp_server_api.V2beta1Pipeline(display_name="empty")
    )
    assert client.list_pipeline_versions(empty.pipeline_id).pipeline_versions is None
    client.delete_pipeline(empty.pipeline_id)


def test_in_multi_user_mode_some_are_shared(kaptain_home: Path, file: str) -> None:
    with serve_kfp(kaptain_home, multi_user=True) as face:
        client = client_of(face)
        shared = client.upload_pipeline(file, "p")
        mine = client.upload_pipeline(file, "p", namespace="team-a")
        assert (shared.namespace, mine.namespace) == ("", "team-a")
        (found,) = client.list_pipelines(namespace="team-a").pipelines
        assert found.pipeline_id == mine.pipeline_id
        (found,) = client.list_pipelines().pipelines
        assert found.pipeline_id == shared.pipeline_id


def test_everything_is_there_after_a_restart(
    client: kfp.Client, face: KfpFace, kaptain_home: Path, file: str
) -> None:
    pipeline = client.upload_pipeline(file, "p")
    experiment = client.create_experiment("e")
    face.restart()
    assert client.get_pipeline(pipeline.pipeline_id).to_dict() == pipeline.to_dict()
    with serve_kfp(kaptain_home) as another:
        there = client_of(another)
        assert there.get_experiment(experiment.experiment_id).to_dict() == experiment.to_dict()


def test_what_the_upload_lacks(client: kfp.Client, face: KfpFace) -> None:
    import urllib3

    answer = urllib3.request(
        "POST", f"{face.url}/apis/v2beta1/pipelines/upload", fields={"other": ("p", b"x")}
    )
    assert answer.status == 400
    assert "uploadfile" in json.loads(answer.data)["message"]
    answer = urllib3.request("POST", f"{face.url}/apis/v2beta1/pipelines/upload", json={})
    assert answer.status == 400
