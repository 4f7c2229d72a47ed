"""Images on Kubeflow: built by a step, found again without one, published past the pipeline."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, proxy_to
from kaptain_kfp.testing.registry import missing_programs
from kaptain_kfp.testing.wheels import make_wheel

from .kubeflow import UPLOADING, Kubeflow


@pytest.fixture
def proxy(kubeflow: Kubeflow) -> Iterator[FaultyProxy]:
    with proxy_to(kubeflow.registry.endpoint) as proxy:
        yield proxy


def host_of(proxy: FaultyProxy) -> str:
    return proxy.url.removeprefix("http://")


def test_what_a_step_built_is_not_published_again(kubeflow: Kubeflow, proxy: FaultyProxy) -> None:
    model = kubeflow.model("print('training')", image_name=f"{host_of(proxy)}/team/digits")
    assert model.build() is True
    (outcome,) = [record.outcome for record in model.history() if record.outcome is not None]
    assert outcome.image is not None
    assert outcome.image.name == f"{host_of(proxy)}/team/digits:dev-digits-sklearn-1.5"
    base = outcome.image.base
    assert base is not None and base.startswith(f"{kubeflow.registry.host}/base:1@sha256:")
    last_run = model.last_run
    kubeflow.pipelines.requests.reset()
    kubeflow.kubernetes.requests.reset()
    stored = kubeflow.bucket()
    proxy.requests.clear()
    assert model.build(publish=True) is True
    assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}
    assert 0 < len(proxy.requests) <= 4
    assert kubeflow.pipelines.requests.by_kind() == {}
    assert kubeflow.kubernetes.requests.by_kind() == {}
    assert kubeflow.bucket() == stored
    assert model.last_run == last_run


def test_a_step_looks_at_the_base_again_when_asked(kubeflow: Kubeflow) -> None:
    model = kubeflow.model("print('training')")
    assert model.build() is True
    with RegistryClient() as client:
        moved = push_base_image(client, model.base_image, {"MOVED": "yes"})
    assert model.build() is True
    assert model.build(refresh_base=True) is True
    images = [r.outcome.image for r in model.history() if r.outcome is not None]
    assert len(images) == 2
    assert images[-1] is not None and images[-1].base == f"{model.base_image}@{moved}"


def test_what_is_published_from_here_is_what_is_trained(kubeflow: Kubeflow) -> None:
    model = kubeflow.model(UPLOADING)
    assert model.build(publish=True) is True
    assert model.last_run is None
    (record,) = model.history()
    assert record.outcome is not None and record.outcome.image is not None
    assert model.train({"--C": 0.1}) is True
    (job,) = kubeflow.objects("Job")
    image = job["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == record.outcome.image.reference
    trained = model.history()[-1].outcome
    assert trained is not None and trained.image is not None
    assert trained.image.reference == image and trained.image.built is False
    assert trained.image.base == record.outcome.image.base
    (card,) = kubeflow.home.rglob("trained_model")
    assert json.loads(card.read_text())["image"] == image


@pytest.mark.skipif(bool(missing_programs("skopeo")), reason="there is no skopeo")
def test_another_model_has_the_same_requirements(kubeflow: Kubeflow, tmp_path: Path) -> None:
    index = tmp_path / "index"
    make_wheel(index, "small", "1.0")
    requirements = kubeflow.project / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {index}\nsmall\n", encoding="utf-8")
    given = {"requirements": "requirements.txt"}
    first = kubeflow.model(f"import small\n{UPLOADING}", **given)
    assert first.build() is True
    jobs = {"method": "POST", "template": "/apis/batch/v1/namespaces/{namespace}/jobs"}
    assert kubeflow.kubernetes.requests.count(**jobs) == 1
    second = kubeflow.model(
        f"import small\n{UPLOADING}\nprint(small.VERSION)",
        id="dev/letters",
        name="Letters",
        image_name=f"{kubeflow.registry.host}/other/letters",
        **given,
    )
    assert second.build() is True
    assert kubeflow.kubernetes.requests.count(**jobs) == 1, "there is no builder"
    said = "\n".join(second.last_run.logs()) if second.last_run else ""
    assert f"The requirements are those of {kubeflow.registry.host}/team/digits@sha256:" in said
    assert "installs requirements.txt in the cluster" not in said
    (outcome,) = [record.outcome for record in second.history() if record.outcome is not None]
    image = outcome.image
    assert image is not None
    fetched = ["--src-tls-verify=false", f"docker://{image.reference}", f"dir:{tmp_path / 'dir'}"]
    subprocess.run(["skopeo", "copy", "--quiet", *fetched], check=True)
    assert second.train({"--C": 1}) is True
    assert second.last_run is not None and "1.0" in list(second.last_run.logs())
    assert [key for key in kubeflow.bucket() if key.startswith("prod/.kaptain-layers/")]
