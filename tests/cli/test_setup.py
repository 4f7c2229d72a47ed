from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kaptain_kfp.checkup.base import Check
from kaptain_kfp.checkup.cluster import kubernetes_of
from kaptain_kfp.checkup.rights import RunAccount, rights
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.config import Config
from kaptain_kfp.manifests import rbac
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.testing.kubernetes_api import (
    ADMINISTRATOR,
    KubernetesFace,
    Rule,
    User,
    serve_kubernetes,
)

from ..commands import call

GROUP = "rbac.authorization.k8s.io/v1"


@pytest.fixture
def face(kaptain_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesFace]:
    tokens = {"root": ADMINISTRATOR, "steps": User("system:serviceaccount:team-a:runner")}
    with serve_kubernetes(
        kaptain_home, kubelet=False, operators=False, tokens=tokens, namespaces=["team-a"]
    ) as served:
        monkeypatch.setenv("KUBECONFIG", str(served.kubeconfig))
        yield served


def test_it_prints_what_can_be_applied(face: KubernetesFace) -> None:
    printed = call("setup", "rbac", "-n", "team-a", "--service-account", "runner").output
    role, binding = yaml.safe_load_all(printed)
    assert role == rbac.role("steps", "team-a")
    assert binding == rbac.role_binding("steps", "team-a", ["runner"])
    cluster = KubernetesCluster("team-a")
    assert list(cluster.list("Role")) == list(cluster.list("RoleBinding")) == []


def test_without_a_namespace_it_is_the_one_of_the_kubeconfig(face: KubernetesFace) -> None:
    role, binding = yaml.safe_load_all(call("setup", "rbac").output)
    assert role["metadata"]["namespace"] == "default"
    assert [one["name"] for one in binding["subjects"]] == ["default-editor"]


def test_the_context_of_the_environment_is_minded(
    face: KubernetesFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTAIN_KUBE_CONTEXT", "absent")
    for more in ((), ("-n", "team-a", "--apply")):
        assert "no context 'absent'" in call("setup", "rbac", *more, code=1).output


def test_a_namespace_that_is_given_needs_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (role, _) = yaml.safe_load_all(call("setup", "rbac", "-n", "team-a").output)
    assert role["metadata"]["namespace"] == "team-a"
    assert "No Kubernetes cluster is configured" in call("setup", "rbac", code=1).output


def test_applied_it_says_what_changed(face: KubernetesFace) -> None:
    words = ("setup", "rbac", "-n", "team-a", "--service-account", "runner", "--apply")
    name = "kaptain-kfp-steps in team-a"
    assert call(*words).output == f"Role/{name}: created.\nRoleBinding/{name}: created.\n"
    assert call(*words).output == f"Role/{name}: unchanged.\nRoleBinding/{name}: unchanged.\n"
    more = (*words[:-2], "another", "--apply")
    assert call(*more).output == f"Role/{name}: unchanged.\nRoleBinding/{name}: updated.\n"


@pytest.mark.parametrize("party", rbac.PARTIES)
def test_what_is_applied_is_all_that_doctor_asks_for(
    face: KubernetesFace, party: rbac.Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("setup", "rbac", "-n", "team-a", "--for", party, "--apply")
    role = ResourceRef(GROUP, "Role", "team-a", f"kaptain-kfp-{party}")
    applied = KubernetesCluster("team-a").get(role)
    monkeypatch.setenv("KUBECONFIG", str(face.kubeconfig_of("steps")))
    place = Workplace(Config(None, None, target="kubeflow", namespace="team-a"))
    needed = [right for right in rbac.RIGHTS if right.party == party]

    def looked() -> list[Check]:
        cluster = kubernetes_of(place)
        account = RunAccount("runner", lambda: cluster)
        return [c for right in needed for c in rights(cluster, right.name, [right], account)]

    assert {check.verdict for check in looked()} == {"failed"}
    face.access.grant("steps", User("runner", [rule_of(rule) for rule in applied["rules"]]))
    assert {check.verdict for check in looked()} == {"ok"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("Steps",), 1, "component_image: 'Steps'"),
        (("Steps", "--base-image", "python"), 1, "component_image: 'Steps'"),
        (("rbac:1", "--platform", "arm"), 1, "platform: 'arm'"),
        ((), 2, "Missing argument 'REPO[:TAG]'"),
        (("steps:1", "--base"), 2, "--base"),
    ],
)
def test_the_component_image_is_a_command_and_an_option(
    words: tuple[str, ...], code: int, said: str
) -> None:
    of_command = call("setup", "component-image", *words, code=code).output
    assert said in of_command
    assert call("setup", "--component-image", *words, code=code).output == of_command
    if words:
        option = f"--component-image={words[0]}"
        assert call("setup", *words[1:], option, code=code).output == of_command


def test_no_other_command_takes_that_option() -> None:
    assert "--component-image REPO[:TAG]" in call("setup", "--help").output
    refused = call("setup", "rbac", "--component-image", "steps:1", code=2).output
    assert "No such option" in refused and "setup rbac" in refused


def rule_of(rule: dict[str, Any]) -> Rule:
    return Rule(rule["verbs"], rule["apiGroups"], rule["resources"], ("team-a",))


def test_who_may_not_give_rights_is_told_which_one_is_missing(
    face: KubernetesFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(face.kubeconfig_of("steps")))
    said = call("setup", "rbac", "-n", "team-a", "--apply", code=1).output
    assert 'resources: ["roles"]' in said and 'verbs: ["get"]' in said
