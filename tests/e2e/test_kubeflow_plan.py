"""The plan of a training on Kubeflow, held to what the training then really makes."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.objects import Objects
from kaptain_kfp.manifests.names import ANNOTATION_SPEC_HASH
from kaptain_kfp.model.actionplan import ActionPlan
from kaptain_kfp.model.differences import differences
from kaptain_kfp.testing.wheels import make_wheel

from .conftest import MakeKubeflow
from .kubeflow import NAMESPACE, UPLOADING, Kubeflow
from .test_plan import filled

SECRETS = ["Secret/dev-digits-secret", "Secret/dev-digits-registry"]


def effects(plan: ActionPlan) -> dict[str, str]:
    return {
        planned.resource.rpartition("-<")[0] or planned.resource: planned.effect
        for planned in plan.objects
    }


def everything(plan: ActionPlan) -> str:
    return "\n".join([str(plan), plan._repr_html_(), json.dumps(plan.to_dict()), repr(plan)])


@pytest.mark.parametrize(("framework", "kind"), [("sklearn", "Job"), ("tensorflow", "TFJob")])
def test_what_is_planned_is_what_is_made(kubeflow: Kubeflow, framework: str, kind: str) -> None:
    # a name without a registry is one of the registry that is configured
    config = kubeflow.config(docker_registry_url=f"http://{kubeflow.registry.host}")
    model = kubeflow.model(UPLOADING, framework=framework, image_name="team/digits", config=config)
    objects = Objects(kubeflow.home)
    before = objects.revision()
    kubeflow.kubernetes.requests.reset()
    kubeflow.pipelines.requests.reset()
    arguments: dict[str, Any] = {"hyperparameters": {"--lr": 0.1}, "memory": "1G", "workers": 1}
    plan = model.plan("train", **arguments)
    assert model.train(**arguments, dry_run=True)
    assert plan.problems == ()
    assert {check.verdict for check in plan.checks} == {"accepted"}
    name = f"{kind}/digits-{kind.lower()}"
    assert effects(plan) == {**dict.fromkeys(SECRETS, "create"), name: "create"}

    assert objects.revision() == before
    assert kubeflow.kubernetes.requests.count(method="POST") == 2 * len(plan.checks)
    assert {asked.method for asked in kubeflow.kubernetes.requests.by_kind()} == {"GET", "POST"}
    assert kubeflow.pipelines.requests.count() == 0
    assert kubeflow.bucket() == []

    assert model.train(**arguments)
    (made,) = kubeflow.objects(kind)
    (image,) = (r.outcome.image for r in model.history() if r.outcome and r.action == "build")
    assert image is not None
    wanted = filled(plan.manifests[-1], made, digest=image.reference.rpartition(":")[2])
    assert differences(made, wanted) == ()
    assert ANNOTATION_SPEC_HASH in wanted["metadata"]["annotations"], "so the specs are the same"
    stored = {secret["metadata"]["name"]: secret for secret in kubeflow.objects("Secret")}
    for planned in plan.manifests[:2]:
        there = stored[planned["metadata"]["name"]]
        assert set(there["data"]) == set(planned["data"])
        hidden = {**planned, "data": there["data"]}
        assert differences(there, hidden) == ()

    after = model.plan("train", **arguments)
    assert effects(after) == {**dict.fromkeys(SECRETS, "keep"), name: "create"}
    assert (after.image.skipped, after.image.reference) == (True, image.reference)
    assert [source.sent for source in after.sources] == [False]
    assert after.pipeline.version == plan.pipeline.version
    told = everything(plan) + everything(after)
    for secret in stored.values():
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", ".dockerconfigjson"):
            value = secret["data"].get(key)
            assert value is None or value not in told
            assert value is None or base64.b64decode(value).decode() not in told


def without_sizes(manifest: Any) -> dict[str, Any]:
    """Returns an object with placeholders for the sizes of archives in its arguments."""
    text = re.sub(r'\\"size\\":\d+', r'\\"size\\":<size>', json.dumps(manifest))
    found: dict[str, Any] = json.loads(text)
    del found["metadata"]["annotations"][ANNOTATION_SPEC_HASH]
    return found


def test_the_job_that_installs_requirements_is_planned_too(
    make_kubeflow: MakeKubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)  # which no component image sets here
    kubeflow = make_kubeflow()
    make_wheel(tmp_path / "index", "small")
    listed = f"--no-index\n--find-links {tmp_path / 'index'}\nsmall\n"
    (kubeflow.project / "requirements.txt").write_text(listed, encoding="utf-8")
    model = kubeflow.model(UPLOADING, requirements="requirements.txt")
    before = model.plan("build")
    assert before.problems == ()
    assert {check.verdict for check in before.checks} == {"accepted"}
    planned = before.objects[-1]
    assert planned.resource == "Job/digits-build-<suffix>"
    assert [check.resource for check in before.checks][-1] == f"pods of {planned.resource}"
    assert "A Job installs its requirements." in before.image.reason
    assert before.builder is not None and before.builder.replicas == 1
    assert model.build() is True
    (made,) = (
        change.object
        for change in Objects(kubeflow.home).changes(0, kind="Job", namespace=NAMESPACE)
        if change.type == "ADDED"
    )
    wanted = filled(planned.manifest, made)
    assert differences(without_sizes(made), without_sizes(wanted)) == ()

    (kubeflow.project / "trainer.py").write_text(f"{UPLOADING}\n", encoding="utf-8")
    after = model.plan("train", hyperparameters={})
    assert after.image.skipped is False
    assert "kept in the registry" in after.image.reason
    assert [each.resource for each in after.objects] == [*SECRETS, "Job/digits-job-<suffix>"]
    assert after.builder is None
    (kubeflow.project / "trainer.py").write_text(UPLOADING, encoding="utf-8")
    refreshed = model.plan("build", refresh_base=True)
    assert refreshed.image.skipped is None
    assert refreshed.sources != (), "there is a run, which looks at the base"


def test_a_registry_that_is_away(kubeflow: Kubeflow) -> None:
    model = kubeflow.model(UPLOADING, image_name="127.0.0.1:9/team/digits")
    plan = model.plan("train", hyperparameters={})
    assert plan.image.skipped is None
    assert [type(problem).__name__ for problem in plan.problems] == ["RegistryUnavailableError"]
