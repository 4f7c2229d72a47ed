"""Plans of actions on this machine, held to what the actions then really do."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.adoption import stamped
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.manifests.names import ANNOTATION_SPEC_HASH, LABEL_REVISION, LABEL_RUN
from kaptain_kfp.model.actionplan import ActionPlan
from kaptain_kfp.model.differences import differences

from .conftest import MakeModel

SCRIPT = "print('accuracy=0.5')\n"


def filled(manifest: Any, made: dict[str, Any], **more: str) -> dict[str, Any]:
    """Returns a planned object with that of the run which made the real one."""
    metadata = made["metadata"]
    names = {
        "run": metadata["labels"][LABEL_RUN],
        "revision": metadata["labels"][LABEL_REVISION],
        "suffix": metadata["name"].rpartition("-")[2],
        **more,
    }
    text = json.dumps(manifest)
    for name, value in names.items():
        text = text.replace(f"<{name}>", value)
    loaded: dict[str, Any] = json.loads(text)
    del loaded["metadata"]["annotations"][ANNOTATION_SPEC_HASH]
    return stamped(loaded)


def store_of(home: Path) -> list[Path]:
    return sorted((home / "models").rglob("*"))


@pytest.mark.parametrize(("framework", "kind"), [("sklearn", "Job"), ("pytorch", "PyTorchJob")])
def test_what_is_planned_is_what_is_made(
    make_model: MakeModel, kaptain_home: Path, framework: str, kind: str
) -> None:
    model = make_model(SCRIPT, framework=framework)
    arguments: dict[str, Any] = {"args": {"--log": "$HOME"}, "memory": "1G", "workers": 2}
    plan = model.plan("train", hyperparameters={"--lr": 0.1}, **arguments)
    assert plan.problems == ()
    assert model.train({"--lr": 0.1}, **arguments)
    objects = Objects(kaptain_home)
    (made,) = objects.list(kind, "default").items
    (image,) = (r.outcome.image for r in model.history() if r.outcome and r.action == "build")
    assert image is not None
    (planned,) = plan.manifests
    wanted = filled(planned, made, digest=image.reference.rpartition(":")[2])
    assert differences(made, wanted) == ()
    hashes = [each["metadata"]["annotations"][ANNOTATION_SPEC_HASH] for each in (made, wanted)]
    assert hashes[0] == hashes[1], "the specs are the same to the letter"
    (run,) = objects.list("Run", "default").items
    sent = run["spec"]["parameters"]
    for entry in sent["model"]["source"]["entries"]:
        assert entry["size"] > 0
        entry["size"] = "<size>"
    assert plan.pipeline.parameters == sent
    assert run["spec"]["pipelineSpec"]["pipelineInfo"]["name"] == plan.pipeline.name


def test_nothing_is_sent(
    make_model: MakeModel, kaptain_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_model(SCRIPT)
    before = (Objects(kaptain_home).revision(), store_of(kaptain_home))
    plan = model.plan("train", hyperparameters={})
    assert model.train({}, dry_run=True) is True
    assert model.build(dry_run=True) is True
    assert (Objects(kaptain_home).revision(), store_of(kaptain_home)) == before
    assert before[1] == []
    assert model.history() == []
    assert model.last_run is None
    assert not Home(kaptain_home).supervisor_lock.exists(), "nobody was started for it"
    shown = capsys.readouterr().out
    assert str(plan) in shown
    assert "Plan: build dev/digits. Nothing was sent." in shown


def test_what_is_there_already(make_model: MakeModel, kaptain_home: Path) -> None:
    model = make_model(SCRIPT)
    before = model.plan("build")
    assert (before.image.skipped, before.image.reference) == (False, None)
    assert [source.sent for source in before.sources] == [True]
    assert model.build()
    after = model.plan("train", hyperparameters={})
    assert after.image.skipped
    assert "with this content is there" in after.image.reason
    assert [source.sent for source in after.sources] == [False]
    again = model.plan("build")
    assert (again.image.skipped, again.sources, again.objects) == (True, (), ())
    assert "it needn't be run" in str(again)
    (job,) = after.manifests
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == after.image.reference
    assert "<digest>" not in str(after)
    assert after.pipeline.parameters["model"]["source"]["entries"][0]["size"] > 0


def test_the_resources_altogether(make_model: MakeModel) -> None:
    model = make_model(SCRIPT, framework="pytorch")
    plan = model.plan("train", hyperparameters={}, cpu="500m", memory="2G", workers=3)
    assert plan.resources is not None
    assert plan.resources.replicas == 3
    assert plan.resources.requests == {"cpu": "1500m", "memory": "6G"}
    alone = make_model(SCRIPT).plan("train", hyperparameters={}, cpu=1, workers=3)
    assert alone.resources is not None
    assert (alone.resources.replicas, alone.resources.limits) == (1, {"cpu": "1"})
    assert make_model(SCRIPT).plan("build").resources is None


def test_gpus_that_are_not_there_are_a_problem(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    model = make_model(SCRIPT, framework="pytorch")
    plan = model.plan("train", hyperparameters={}, gpus=2)
    (problem,) = plan.problems
    assert isinstance(problem, ModelValidationException)
    assert problem.reason == "InsufficientGpus"
    assert plan.resources is not None and plan.resources.limits == {"gpus": "4"}
    assert "ModelValidationException: gpus=2 for each of 2 workers" in str(plan)


def test_a_quota_that_leaves_no_room(make_model: MakeModel, kaptain_home: Path) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": "default"},
        "spec": {"hard": {"limits.memory": "1G"}},
    }
    Objects(kaptain_home).create(quota)
    plan = make_model(SCRIPT).plan("train", hyperparameters={}, memory="2G")
    assert [check.verdict for check in plan.checks] == ["accepted", "refused"]
    assert "exceeded quota: small" in plan.checks[1].message
    assert [type(problem).__name__ for problem in plan.problems] == ["AdmissionDeniedError"]


def test_what_cannot_be_is_raised(make_model: MakeModel, project: Path) -> None:
    model = make_model(SCRIPT)
    with pytest.raises(ModelValidationException, match="missing a required argument"):
        model.plan("train")
    with pytest.raises(ModelValidationException, match="action='fly'"):
        model.plan("fly")
    with pytest.raises(ModelValidationException, match="workers"):
        model.train({}, workers=0, dry_run=True)
    (project / "trainer.py").unlink()
    with pytest.raises(ModelValidationException, match=r"trainer\.py"):
        model.build(dry_run=True)


def test_how_it_is_shown(make_model: MakeModel, caplog: pytest.LogCaptureFixture) -> None:
    model = make_model(SCRIPT, description="<script>alert('x')</script>")
    with caplog.at_level(logging.INFO):
        plan = model.plan("train", hyperparameters={"--name": "<b>&"})
    shown = plan._repr_html_()
    assert "<script>" not in shown and "<b>&" not in shown
    assert "&lt;script&gt;" in shown
    assert "+ Job/digits-job-&lt;suffix&gt; is created" in shown
    data = json.loads(json.dumps(plan.to_dict()))
    assert data["objects"][0]["manifest"] == plan.manifests[0]
    assert data["target"]["name"] == "local"
    assert data["problems"] == []
    assert [line for line in str(plan).splitlines() if line.startswith("Pipeline")] == [
        f"Pipeline   kaptain-train, version {plan.pipeline.version}"
    ]
    assert isinstance(plan, ActionPlan) and plan.diff == {}
    assert repr(plan) == "<plan of train dev/digits, objects: 1, problems: 0; print it>"
