"""The same calls on Kubeflow: real clients over sockets, an S3 server, an image registry.

Notebook → Kubeflow Pipelines → steps → Kubernetes → training process → bucket → notebook.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.homes import pod_processes
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.kubernetes_api import KubernetesFace, serve_kubernetes
from kaptain_kfp.testing.registry import RegistryServer, missing_programs, serve_registry
from kaptain_kfp.testing.s3 import S3Server, isolate_aws, serve_s3
from kaptain_kfp.testing.wheels import make_wheel

NAMESPACE = "team-a"
CRDS = Path(__file__).parents[3] / "shared" / "crds"
EXAMPLES = Path(__file__).parents[2] / "examples"

UPLOADING = """
import json, os, pathlib, sys
from kaptain.platform.metadata_util import MetadataUtil
from kaptain.platform.model_export_util import ModelExportUtil

pathlib.Path("model.json").write_text(json.dumps(sys.argv[1:]))
MetadataUtil.record_metrics({"accuracy": 0.5})
MetadataUtil.record_metrics({"accuracy": 0.75})
ModelExportUtil().upload_model("model.json")
print("rank", os.environ.get("RANK"), "of", os.environ.get("WORLD_SIZE"))
"""


@dataclass(frozen=True)
class Kubeflow:
    """A Kubeflow on this machine, and a notebook's way to it."""

    home: Path
    project: Path
    kubernetes: KubernetesFace
    pipelines: KfpFace
    s3: S3Server
    registry: RegistryServer

    def config(self, **settings: Any) -> Config:
        return Config(
            **{
                "docker_config_provider": DockerConfigurationProvider('{"auths": {}}'),
                "storage_config_provider": self.s3.provider(),
                "base_dir": str(self.project),
                "base_model_storage_uri": "s3://models/prod",
                "target": "kubeflow",
                "kfp_host": self.pipelines.url,
                "namespace": NAMESPACE,
                "component_image": f"{self.registry.host}/kaptain/steps:1",
                **settings,
            }
        )

    def model(self, script: str, **properties: Any) -> Model:
        (self.project / "trainer.py").write_text(script, encoding="utf-8")
        return Model(
            **{
                "id": "dev/digits",
                "name": "Digits",
                "description": "What the test trains",
                "version": "1.0",
                "framework": "sklearn",
                "framework_version": "1.5",
                "main_file": "trainer.py",
                "image_name": f"{self.registry.host}/team/digits",
                "base_image": f"{self.registry.host}/base:1",
                "config": self.config(),
                **properties,
            }
        )

    def bucket(self) -> list[str]:
        place = self.s3.folder / "models"
        return sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return Objects(self.home).list(kind, NAMESPACE).items


@pytest.fixture
def kubeflow(
    kaptain_home: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kubeflow]:
    missing = missing_programs()
    if missing and os.environ.get("KAPTAIN_TEST_REQUIRES_REGISTRY"):
        pytest.fail(f"there is no {', '.join(missing)}")
    if missing:
        pytest.skip(f"there is no {', '.join(missing)}")
    monkeypatch.delenv("KAPTAIN_TARGET")
    isolate_aws(monkeypatch)
    crds = CRDS if CRDS.exists() else None
    with (
        serve_registry(tmp_path / "registry") as registry,
        serve_s3(tmp_path / "s3", "models") as s3,
        serve_kubernetes(
            kaptain_home, pull=True, crds=crds, namespaces=("default", NAMESPACE)
        ) as kubernetes,
        serve_kfp(
            kaptain_home,
            kubernetes=kubernetes.kubeconfig_of(None, NAMESPACE),
            namespace=NAMESPACE,
        ) as pipelines,
    ):
        with RegistryClient() as client:
            version = platform.python_version()
            push_base_image(client, f"{registry.host}/base:1", {"PYTHON_VERSION": version})
            # here the interpreter that runs this stands for it
            push_base_image(client, f"{registry.host}/kaptain/steps:1")
        monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
        yield Kubeflow(kaptain_home, project, kubernetes, pipelines, s3, registry)


def test_a_model_is_trained_and_everything_can_be_read_back(kubeflow: Kubeflow) -> None:
    model = kubeflow.model(UPLOADING, labels=["team-a"])
    assert model.state is ModelState.UNTRAINED
    assert model.train({"--C": 0.1, "--epochs": 3}, args={"--log": "x y"}) is True
    assert model.state is ModelState.TRAINED
    assert model.hyperparameters == {"--C": 0.1, "--epochs": 3}
    assert model.metrics == {"accuracy": {"latest": 0.75, "min": 0.5, "max": 0.75}}
    assert model.model_uri == f"s3://models/prod/dev/digits/trained/{model.revision}"
    run = model.last_run
    assert run is not None and run.state is RunState.SUCCEEDED and run.error is None
    assert "rank None of None" in list(run.logs())
    stored = kubeflow.s3.folder / "models/prod/dev/digits/trained" / model.revision / "model.json"
    assert sorted(json.loads(stored.read_text())) == ["--C=0.1", "--epochs=3", "--log=x y"]
    assert [r.event for r in model.history()] == ["submitted", "outcome", "outcome"]
    (job,) = kubeflow.objects("Job")
    image = job["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith(f"{kubeflow.registry.host}/team/digits@sha256:")
    assert not pod_processes(kubeflow.home)


IMPORTING = UPLOADING.replace("import json", "import small, json").replace(
    'print("rank"', 'print("small", small.VERSION)\nprint("rank"'
)


def test_requirements_are_installed_by_the_base_image_once(
    kubeflow: Kubeflow, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    make_wheel(index, "small", "1.0", requires=["click>=999"])
    make_wheel(index, "click", "999.0")
    requirements = kubeflow.project / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {index}\nsmall\n", encoding="utf-8")
    model = kubeflow.model(IMPORTING, requirements="requirements.txt")
    assert model.train({"--C": 1}) is True
    said = "\n".join(model.last_run.logs()) if model.last_run else ""
    for line in (
        "installs requirements.txt in the cluster.",
        "WARNING: the requirements need another version of click than the",
        "Successfully installed click-999.0 small-1.0",
        "Layer with requirements in /opt/kaptain/site-packages for Python",
        "small 1.0",
    ):
        assert line in said
    (job,) = kubeflow.objects("Job")
    assert "-build-" not in job["metadata"]["name"], "the builder's Job is removed"

    (kubeflow.project / "trainer.py").write_text(IMPORTING + "\n# changed", encoding="utf-8")
    assert model.train({"--C": 1}) is True
    again = "\n".join(model.last_run.logs()) if model.last_run else ""
    assert "kept from an earlier build" in again and "small 1.0" in again
    assert "in the cluster" not in again and "Successfully installed" not in again


def test_a_requirement_that_does_not_exist(kubeflow: Kubeflow, tmp_path: Path) -> None:
    requirements = kubeflow.project / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {tmp_path}\nnope==3\n", encoding="utf-8")
    model = kubeflow.model(IMPORTING, requirements="requirements.txt")
    with pytest.raises(ImageBuildException) as caught:
        model.build()
    assert caught.value.message == (
        "The requirement nope==3 in requirements.txt can't be installed."
    )
    assert "No matching distribution found for nope==3" in str(caught.value)
    assert kubeflow.objects("Job") == []
    assert not list(kubeflow.registry.folder.rglob("digits/_manifests/tags/*"))
