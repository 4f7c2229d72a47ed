"""Everything well, then one thing after the other broken: exactly its rows say so."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.checkup.base import Check
from kaptain_kfp.checkup.cluster import KATIB_LABEL
from kaptain_kfp.checkup.doctor import checks_here
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.config import Config
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.manifests.rbac import RIGHTS
from kaptain_kfp.manifests.secret import storage_secret
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kubernetes_api import ADMINISTRATOR, Rule, User

from ..leaking import KUBERNETES_TOKEN, LEAKS
from ..needs import need_registry
from .conftest import NAMESPACE, SEE_NAMESPACES, Kubeflow, all_rights, rules_of

Look = Callable[..., dict[str, Check]]
Break = Callable[[Kubeflow, Config], AbstractContextManager[None]]


def wrong(found: dict[str, Check]) -> dict[str, str]:
    return {name: c.verdict for name, c in found.items() if c.verdict in ("failed", "warning")}


def test_all_is_well(kubeflow: Kubeflow, look: Look) -> None:
    found = look()
    registry = f"registry {kubeflow.registry.host}" if kubeflow.registry else None
    unwell = {name: check for name, check in found.items() if check.verdict != "ok"}
    unwell.pop("extras", None)  # may not be installed where tests run
    if registry is None:
        unwell = {name: check for name, check in unwell.items() if "registry" not in name}
    assert unwell == {}
    assert all(not check.remedy for name, check in found.items() if check.verdict == "ok")
    assert found["api server"].found.endswith(f" at {kubeflow.face.url}")
    assert f"kubeconfig {kubeflow.face.kubeconfig}" in found["credentials"].found
    assert found["TrainJob"].found == "trainer.kubeflow.org v1alpha1, form runtimePatches"
    assert "single-user" in found["kubeflow pipelines"].found
    assert re.match(r"\d+\.\d+\.\d+, ", found["kubeflow pipelines"].found)
    said = "create, delete, get, list, watch; asked as you, not as default-editor"
    assert found["rights on jobs.batch"].found == said
    assert found["rights on serviceaccounts"].found == "delete, list"
    assert list(kubeflow.s3.folder.rglob("kaptain-doctor/*")) == []


@contextmanager
def api_server_stopped(kubeflow: Kubeflow, _: Config) -> Iterator[None]:
    kubeflow.face.stop()
    yield
    kubeflow.face.start()


@contextmanager
def no_kubeconfig(kubeflow: Kubeflow, _: Config) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBECONFIG", str(kubeflow.home / "none"))
        yield


@contextmanager
def unknown_token(kubeflow: Kubeflow, _: Config) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBECONFIG", str(kubeflow.face.kubeconfig_of("unknown")))
        yield


@contextmanager
def namespace_missing(kubeflow: Kubeflow, config: Config) -> Iterator[None]:
    config.namespace = "team-b"
    kubeflow.face.access.grant(KUBERNETES_TOKEN, ADMINISTRATOR)
    yield
    kubeflow.grant(all_rights())


@contextmanager
def namespace_hidden(kubeflow: Kubeflow, _: Config) -> Iterator[None]:
    kubeflow.grant([rule for rule in all_rights() if rule is not SEE_NAMESPACES])
    yield
    kubeflow.grant(all_rights())


@contextmanager
def label_missing(kubeflow: Kubeflow, _: Config) -> Iterator[None]:
    namespace = ResourceRef("v1", "Namespace", "", NAMESPACE)
    administrator = kubeflow.administrator()
    administrator.patch(namespace, {"metadata": {"labels": {KATIB_LABEL: None}}})
    yield
    administrator.patch(namespace, {"metadata": {"labels": {KATIB_LABEL: "enabled"}}})


def without(*kinds: str) -> Break:
    @contextmanager
    def broken(kubeflow: Kubeflow, _: Config) -> Iterator[None]:
        for kind in kinds:
            kubeflow.face.installed.switch(kind, on=False)
        yield
        for kind in kinds:
            kubeflow.face.installed.switch(kind, on=True)

    return broken


@contextmanager
def chosen_operator_missing(kubeflow: Kubeflow, config: Config) -> Iterator[None]:
    config.training_api = "operator"
    with without("PyTorchJob")(kubeflow, config):
        yield


@contextmanager
def chosen_trainer_missing(kubeflow: Kubeflow, config: Config) -> Iterator[None]:
    config.training_api = "trainer"
    with without("TrainJob")(kubeflow, config):
        yield


@contextmanager
def pipelines_stopped(kubeflow: Kubeflow, _: Config) -> Iterator[None]:
    kubeflow.kfp.server.stop()
    yield
    kubeflow.kfp.server.start()


def settings(**given: Any) -> Break:
    @contextmanager
    def broken(kubeflow: Kubeflow, config: Config) -> Iterator[None]:
        for name, value in given.items():
            setattr(config, name, value)
        yield

    return broken


@contextmanager
def wrong_key(kubeflow: Kubeflow, config: Config) -> Iterator[None]:
    config.storage_config_provider = S3ConfigurationProvider(
        *("another-key", "another-secret"),
        s3_endpoint=kubeflow.s3.endpoint,
        s3_force_path_style=True,
    )
    yield


@contextmanager
def secret_of_old_credentials(kubeflow: Kubeflow, _: Config) -> Iterator[None]:
    body = {**kubeflow.s3.provider().get_secret_body(), "AWS_SECRET_ACCESS_KEY": "the-old-one"}
    administrator = kubeflow.administrator()
    ref = administrator.apply(storage_secret("dev/mnist", NAMESPACE, body))
    yield
    administrator.delete(ref)


@contextmanager
def job_of_a_run_that_is_gone(kubeflow: Kubeflow, _: Config) -> Iterator[None]:
    administrator = kubeflow.administrator()
    ref = administrator.apply(job_of("mnist-tfjob-1", "run-1"))
    yield
    administrator.delete(ref)


def job_of(name: str, run_id: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": labels_for("dev/mnist", run_id=run_id),
            "annotations": {ANNOTATION_MODEL_ID: "dev/mnist"},
        },
        "spec": {"tfReplicaSpecs": {}},
    }


BROKEN: dict[str, tuple[Break, dict[str, str], str, str]] = {
    "no kubeconfig": (
        *(no_kubeconfig, {"credentials": "failed"}),
        *("No Kubernetes cluster is configured", "Set KUBECONFIG"),
    ),
    "API server away": (
        *(api_server_stopped, {"api server": "failed"}),
        *("can't be reached", "See that the cluster runs"),
    ),
    "token unknown": (
        *(unknown_token, {"api server": "failed"}),
        *("doesn't accept the credentials", "Log in again"),
    ),
    "namespace missing": (
        *(namespace_missing, {"namespace": "failed"}),
        *("no namespace 'team-b'", "kubectl create namespace team-b"),
    ),
    "namespace hidden": (
        *(namespace_hidden, {"namespace": "warning"}),
        *("may not be asked", "right to get the namespace team-a"),
    ),
    "label missing": (
        *(label_missing, {"katib namespace label": "failed"}),
        *("missing", f"kubectl label --overwrite namespace team-a {KATIB_LABEL}=enabled"),
    ),
    "TFJob missing": (
        *(without("TFJob"), {"TFJob": "failed"}),
        *("tfjobs.kubeflow.org is not installed", "Have the Training Operator installed"),
    ),
    "PyTorchJob missing, TrainJob there": (without("PyTorchJob"), {}, "", ""),
    "TrainJob missing, PyTorchJob there": (without("TrainJob"), {}, "", ""),
    "PyTorchJob and TrainJob missing": (
        *(without("PyTorchJob", "TrainJob"), {"PyTorchJob": "failed", "TrainJob": "failed"}),
        *("not installed", "installed in this cluster"),
    ),
    "the chosen operator missing": (
        *(chosen_operator_missing, {"PyTorchJob": "failed"}),
        *("pytorchjobs.kubeflow.org is not installed", "the Training Operator"),
    ),
    "the chosen trainer missing": (
        *(chosen_trainer_missing, {"TrainJob": "failed"}),
        *("trainjobs.trainer.kubeflow.org is not installed", "Kubeflow Trainer"),
    ),
    "Experiment missing": (
        *(without("Experiment"), {"Experiment": "failed"}),
        *("needed to tune", "Have Katib installed"),
    ),
    "InferenceService missing": (
        *(without("InferenceService"), {"InferenceService": "failed"}),
        *("needed to deploy", "Have KServe installed"),
    ),
    "Workflow missing": (
        *(without("Workflow"), {"Workflow": "failed"}),
        *("needed to run pipelines", "Have Kubeflow Pipelines"),
    ),
    "pipelines away": (
        *(pipelines_stopped, {"kubeflow pipelines": "failed"}),
        *("can't be reached", "KF_PIPELINES_ENDPOINT"),
    ),
    "no pipelines known": (
        *(settings(kfp_host=None), {"kubeflow pipelines": "failed"}),
        *("is not known", "KF_PIPELINES_ENDPOINT"),
    ),
    "pipelines' token wrong": (
        *(settings(kfp_token="expired-token"), {"kubeflow pipelines": "failed"}),
        *("401", "get a new one"),
    ),
    "bucket missing": (
        *(settings(base_model_storage_uri="s3://gone/base"), {"storage": "failed"}),
        *("no bucket gone", "mb s3://gone"),
    ),
    "keys wrong": (wrong_key, {"storage": "failed"}, "access key", "AWS_ACCESS_KEY_ID"),
    "no storage provider": (
        *(settings(storage_config_provider=None), {"storage": "failed"}),
        *("needs a storage_config_provider", "S3ConfigurationProvider.from_env"),
    ),
    "component image missing": (
        *(settings(component_image=None), {"component image": "failed"}),
        *("not configured", "KAPTAIN_COMPONENT_IMAGE"),
    ),
    "old credentials": (
        *(secret_of_old_credentials, {"secrets": "warning"}),
        *("dev-mnist-secret: other credentials", "kaptain clean --force"),
    ),
    "work left over": (
        *(job_of_a_run_that_is_gone, {"work left over": "warning"}),
        *(r"TFJob/mnist-tfjob-1 \(run run-1 GONE\)", "kaptain clean --force"),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken(kubeflow: Kubeflow, look: Look, case: str) -> None:
    breaks, expected, said, remedy = BROKEN[case]
    config = kubeflow.config()
    with breaks(kubeflow, config):
        found = look(config)
    assert wrong(found) == expected, found
    for name in expected:
        assert re.search(said, found[name].found)
        assert re.search(remedy, found[name].remedy)
    if case == "namespace missing":
        assert found["rights on pods"].found == "not checked: see 'namespace'"
    assert not LEAKS.tells(repr(found))


@pytest.mark.parametrize("name", sorted({right.name for right in RIGHTS}))
def test_a_right_is_missing(kubeflow: Kubeflow, look: Look, name: str) -> None:
    needed = [right for right in RIGHTS if right.name == name]
    kubeflow.grant(
        [
            Rule(rule.verbs, rule.groups, [resource], rule.namespaces)
            for rule in all_rights()
            for resource in rule.resources
            if (rule.groups[0], resource) != (needed[0].group, needed[0].resource)
        ]
    )
    found = look()
    kubeflow.grant(all_rights())
    assert wrong(found) == {f"rights on {name}": "failed"}, found
    check = found[f"rights on {name}"]
    for right in needed:
        assert f"kaptain setup rbac --for {right.party} -n {NAMESPACE} --apply" in check.remedy
        assert all(verb in check.found for verb in right.verbs)
    others = {"steps", "notebook"} - {right.party for right in needed}
    assert not any(f"--for {party}" in check.remedy for party in others)


REVIEWS = Rule(("create",), ("authorization.k8s.io",), ("subjectaccessreviews",))


def account(kubeflow: Kubeflow, name: str, rules: list[Rule]) -> None:
    """Gives a service account exactly these rights."""
    user = User(f"system:serviceaccount:{NAMESPACE}:{name}", rules)
    kubeflow.face.access.grant(f"token-of-{name}", user)


@pytest.mark.parametrize("configured", [None, "robot"])
def test_the_rights_of_the_runs_are_asked_for_and_not_our_own(
    kubeflow: Kubeflow, look: Look, configured: str | None
) -> None:
    config = kubeflow.config()
    config.kfp_service_account = configured
    name = configured or "default-editor"
    kubeflow.grant([*all_rights(), REVIEWS])
    account(kubeflow, name, [r for r in rules_of("steps") if "jobs" not in r.resources])
    found = look(config)
    account(kubeflow, name, rules_of("steps"))
    well = look(config)
    kubeflow.grant(all_rights())
    missing = {"rights on jobs.batch"}
    assert wrong(found) == dict.fromkeys(missing, "failed"), found
    (check,) = (found[row] for row in missing)
    verbs = "create, delete, get, list, watch"
    assert check.found == f"{name} may not {verbs} (needed by the steps)"
    option = f" --service-account {configured}" if configured else ""
    command = f"kaptain setup rbac --for steps -n {NAMESPACE}{option} --apply"
    assert check.remedy == f"An administrator of the namespace runs: {command}"
    assert wrong(well) == {}
    assert not any("asked as you" in check.found for check in well.values())


def test_the_account_of_a_standalone_kubeflow_pipelines(kubeflow: Kubeflow, look: Look) -> None:
    administrator = kubeflow.administrator()
    made = {"name": "pipeline-runner", "namespace": NAMESPACE}
    ref = administrator.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {**made, "labels": labels_for("m")},
        }
    )
    kubeflow.grant([*all_rights(), REVIEWS])
    account(kubeflow, "pipeline-runner", [])
    found = look()
    administrator.delete(ref)
    kubeflow.grant(all_rights())
    assert found["rights on pods/log"].found == (
        "pipeline-runner may not get (needed by the steps)"
    )
    assert "--service-account pipeline-runner" in found["rights on pods/log"].remedy


def test_credentials_of_the_registry_are_wrong(kubeflow: Kubeflow, look: Look) -> None:
    need_registry()
    assert kubeflow.registry is not None
    config = kubeflow.config()
    config.docker_config_provider = kubeflow.docker("team", "guessed")
    found = look(config)
    name = f"registry {kubeflow.registry.host}"
    assert wrong(found) == {name: "failed"}, found
    assert "user 'team'" in found[name].found and "docker login" in found[name].remedy
    assert "guessed" not in repr(found)


def test_the_registry_is_away(kubeflow: Kubeflow, look: Look) -> None:
    config = kubeflow.config()
    config.docker_config_provider = None
    config.component_image = "127.0.0.1:1/kaptain-kfp:1"
    found = look(config)
    assert wrong(found) == {"registry 127.0.0.1:1": "failed"}
    assert "Check the registry's host and port" in found["registry 127.0.0.1:1"].remedy


def test_a_server_that_hangs_costs_only_its_rows_and_no_time(
    kubeflow: Kubeflow, look: Look
) -> None:
    kubeflow.face.faults.add(Fault(do="delay", path="^/version", times=None, seconds=120))
    begun = time.monotonic()
    try:
        found = look()
        hasty = look(seconds=0.5)
    finally:
        kubeflow.face.faults.clear()
    assert time.monotonic() - begun < 60
    assert wrong(found) == {"api server": "failed"}
    assert found["api server"].found.endswith(" took the request, but doesn't answer.")
    assert hasty["api server"].found == "no answer within 0.5 s"
    assert found["storage"].verdict == "ok"
    assert found["rights on pods"].found == "not checked: see 'api server'"


def test_without_a_docker_file_the_rest_is_looked_at(
    kubeflow: Kubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kubeflow.kfp.url)
    found = {check.name: check for check in checks_here(seconds=60)}
    assert found["configuration"].verdict == "failed"
    assert "docker login" in found["configuration"].remedy
    assert found["target"].found == "kubeflow: KF_PIPELINES_ENDPOINT is set"
    assert found["api server"].verdict == "ok"
    # the namespace of the kubeconfig has no such Secret
    assert "minio-creds-secret" in found["storage"].found
