"""The Roles that ``kaptain setup rbac`` makes are enough, for runs and for notebooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import RunCancelledError
from kaptain_kfp.manifests import rbac
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.kubernetes_api import Rule, User
from kaptain_kfp.testing.wheels import make_wheel

from .conftest import Eventually, Gate, MakeKubeflow
from .kubeflow import NAMESPACE, UPLOADING, Kubeflow, Login

LOGIN = Login(
    "robot", "kaptain-registry-password", "kaptain-pipelines-token", "kaptain-kubernetes-token"
)
NOTEBOOK = "kaptain-kubernetes-token-of-a-notebook"


@dataclass(frozen=True)
class Party(User):
    """One that notes what it was refused."""

    refused: list[str] = field(default_factory=list)

    def may(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        allowed = super().may(verb, group, resource, namespace)
        if not allowed:
            self.refused.append(f"{verb} {resource}")
        return allowed


def party(name: rbac.Party) -> Party:
    """Returns somebody with exactly the rights of a Role."""
    rules = rbac.role(name, NAMESPACE)["rules"]
    words = ("verbs", "apiGroups", "resources")
    return Party(name, [Rule(*(rule[word] for word in words), (NAMESPACE,)) for rule in rules])


@pytest.fixture
def steps() -> Party:
    return party("steps")


@pytest.fixture
def notebook() -> Party:
    return party("notebook")


@pytest.fixture
def kubeflow(
    make_kubeflow: MakeKubeflow, monkeypatch: pytest.MonkeyPatch, steps: Party, notebook: Party
) -> Kubeflow:
    made = make_kubeflow(login=LOGIN)
    made.kubernetes.access.grant(LOGIN.kubernetes, steps)
    made.kubernetes.access.grant(NOTEBOOK, notebook)
    kubeconfig = made.kubernetes.kubeconfig_of(NOTEBOOK, NAMESPACE)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    return made


def test_a_training_whose_image_is_built_in_the_cluster(
    kubeflow: Kubeflow, steps: Party, notebook: Party, tmp_path: Path
) -> None:
    make_wheel(tmp_path / "index", "small")
    listed = f"--no-index\n--find-links {tmp_path / 'index'}\nsmall\n"
    (kubeflow.project / "requirements.txt").write_text(listed, encoding="utf-8")
    more = {"requirements": "requirements.txt", "framework_version": "2"}
    model = kubeflow.model(UPLOADING, framework="pytorch", **more)
    assert model.plan("train", hyperparameters={"--C": 1}).problems == ()
    assert set(notebook.refused) == {"create pods"}, "which a plan can do without"
    notebook.refused.clear()
    assert model.train({"--C": 1}) is True
    failing = kubeflow.model("raise SystemExit(3)", framework="pytorch", **more)
    assert failing.train({"--C": 1}) is False
    assert (steps.refused, notebook.refused) == ([], [])


def test_a_run_that_is_ended(
    kubeflow: Kubeflow, steps: Party, notebook: Party, gate: Gate, eventually: Eventually
) -> None:
    model = kubeflow.model(gate.script)
    assert model.train({}, wait=False)
    ours = model.last_run
    assert ours is not None
    eventually(lambda: gate.starts == 1, "the script is at work")
    ours.cancel()
    assert (ours.state, kubeflow.objects("Job")) == (RunState.CANCELED, [])
    assert model.train({}, wait=False)
    theirs = model.last_run
    assert theirs is not None
    eventually(lambda: gate.starts == 2, "the next one is at work")
    kubeflow.client().terminate_run(theirs.id)
    eventually(lambda: theirs.state.finished, "it is over")
    eventually(lambda: kubeflow.objects("Job") == [], "its step ended its job")
    assert type(theirs.error) is RunCancelledError
    assert (steps.refused, notebook.refused) == ([], [])
