"""The Kubernetes API, as the real client sees it over a socket."""

from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import urllib3
from kubernetes.client import ApiException

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.homes import end_home, supervisor_pid
from kaptain_kfp.testing.kubernetes_api import (
    ADMINISTRATOR,
    KubernetesFace,
    Rule,
    User,
    serve_kubernetes,
)
from kaptain_kfp.testing.waiting import eventually

from ...needs import need_shared

TIMEOUT = (5, 30)


class TestObjects:
    def test_created_read_changed_and_deleted(self, client: Any) -> None:
        made = client.config_map("c", a="1")
        assert (made.kind, made.metadata.namespace, made.data) == (
            "ConfigMap",
            "default",
            {"a": "1"},
        )
        changed = client.core.patch_namespaced_config_map("c", "default", {"data": {"b": "2"}})
        assert changed.data == {"a": "1", "b": "2"}
        changed.data = {"c": "3"}
        client.core.replace_namespaced_config_map("c", "default", changed)
        assert client.core.read_namespaced_config_map("c", "default").data == {"c": "3"}
        gone = client.core.delete_namespaced_config_map("c", "default")
        assert gone.status == "Success"
        code, message = client.refused(
            lambda: client.core.read_namespaced_config_map("c", "default")
        )
        assert (code, message) == (404, 'configmaps "c" not found')

    def test_an_old_version_conflicts(self, client: Any) -> None:
        first = client.config_map("c", a="1")
        client.core.patch_namespaced_config_map("c", "default", {"data": {"a": "2"}})
        code, message = client.refused(
            lambda: client.core.replace_namespaced_config_map("c", "default", first)
        )
        assert code == 409
        assert "the object has been modified" in message

    def test_items_of_built_in_kinds_do_not_say_what_they_are(self, client: Any) -> None:
        client.config_map("c")
        (item,) = client.core.list_namespaced_config_map("default").items
        assert (item.kind, item.api_version, item.metadata.name) == (None, None, "c")

    def test_everywhere_and_by_selector(self, client: Any) -> None:
        client.core.create_namespace({"metadata": {"name": "other"}})
        for space in ("default", "other"):
            body = {"metadata": {"name": "c", "labels": {"space": space}}}
            client.core.create_namespaced_config_map(space, body)
        everywhere = client.core.list_config_map_for_all_namespaces().items
        assert [item.metadata.namespace for item in everywhere] == ["default", "other"]
        found = client.core.list_config_map_for_all_namespaces(label_selector="space=other")
        assert [item.metadata.namespace for item in found.items] == ["other"]

    def test_a_namespace_takes_along_what_is_in_it(self, client: Any) -> None:
        client.core.create_namespace({"metadata": {"name": "other"}})
        client.core.create_namespaced_config_map("other", {"metadata": {"name": "c"}})
        client.core.delete_namespace("other")
        assert client.core.list_namespaced_config_map("other").items == []
        code, message = client.refused(
            lambda: client.core.create_namespaced_config_map("other", {"metadata": {"name": "d"}})
        )
        assert (code, message) == (404, 'namespaces "other" not found')

    def test_custom_objects_and_their_status(self, client: Any) -> None:
        where = ("kubeflow.org", "v1beta1", "default", "experiments")
        body = {
            "apiVersion": "kubeflow.org/v1beta1",
            "kind": "Experiment",
            "metadata": {"name": "e"},
            "spec": {"maxTrialCount": 1},
        }
        client.custom.create_namespaced_custom_object(*where, body)
        patch = {"status": {"conditions": []}, "spec": {"maxTrialCount": 2}}
        status = client.custom.patch_namespaced_custom_object_status(*where, "e", patch)
        assert (status["spec"], status["status"]) == ({"maxTrialCount": 1}, {"conditions": []})
        found = client.custom.list_namespaced_custom_object(*where)
        assert [item["kind"] for item in found["items"]] == ["Experiment"]
        client.custom.delete_namespaced_custom_object(*where, "e")
        assert client.custom.list_namespaced_custom_object(*where)["items"] == []

    def test_dry_run_stores_nothing(self, client: Any) -> None:
        body = {"metadata": {"name": "c"}}
        made = client.core.create_namespaced_config_map("default", body, dry_run="All")
        assert made.metadata.uid
        assert client.core.list_namespaced_config_map("default").items == []

    def test_a_collection_is_deleted_by_selector(self, client: Any) -> None:
        for number in range(3):
            labels = {"odd": str(number % 2)}
            body = {"metadata": {"name": f"c{number}", "labels": labels}}
            client.core.create_namespaced_config_map("default", body)
        client.core.delete_collection_namespaced_config_map("default", label_selector="odd=0")
        left = client.core.list_namespaced_config_map("default").items
        assert [item.metadata.name for item in left] == ["c1"]

    def test_a_body_counts_instead_of_the_query(self, client: Any) -> None:
        client.job("j", "true", suspend=True)
        client.batch.delete_namespaced_job(
            "j", "default", propagation_policy="Background", body={"propagationPolicy": "Orphan"}
        )
        eventually(lambda: not client.batch.list_namespaced_job("default").items, "it is gone")

    def test_a_job_deleted_without_a_word_orphans_its_pods_and_warns(self, client: Any) -> None:
        client.job("j", "true", suspend=True)
        _, status, headers = client.batch.delete_namespaced_job_with_http_info("j", "default")
        assert status == 200
        assert "child pods are preserved by default" in headers["Warning"]

    def test_events_are_found_by_what_they_are_about(self, client: Any) -> None:
        client.job("j", "true")

        def reasons() -> list[str]:
            found = client.core.list_namespaced_event(
                "default", field_selector="involvedObject.name=j"
            )
            return [event.reason for event in found.items]

        eventually(lambda: reasons() == ["SuccessfulCreate"], "the pod is told of")


class TestPages:
    def test_page_by_page(self, client: Any, face: KubernetesFace) -> None:
        for number in range(5):
            client.config_map(f"c{number}")
        names, token, remaining = [], None, []
        while True:
            page = client.core.list_namespaced_config_map("default", limit=2, _continue=token)
            names += [item.metadata.name for item in page.items]
            remaining.append(page.metadata.remaining_item_count)
            token = page.metadata._continue
            if not token:
                break
        assert names == [f"c{number}" for number in range(5)]
        assert remaining == [3, 1, None]
        assert face.requests.count(verb="list") == 3

    def test_a_token_that_is_too_old_comes_with_another_one(
        self, client: Any, face: KubernetesFace
    ) -> None:
        for number in range(4):
            client.config_map(f"c{number}")
        page = client.core.list_namespaced_config_map("default", limit=2)
        busy = Objects(face.home, log_kept=16)
        for number in range(64):
            made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number}"}}
            busy.create(made)
        with pytest.raises(ApiException) as caught:
            client.core.list_namespaced_config_map(
                "default", limit=2, _continue=page.metadata._continue
            )
        status = json.loads(caught.value.body)
        assert (status["code"], status["reason"]) == (410, "Expired")
        rest = client.core.list_namespaced_config_map(
            "default", limit=2, _continue=status["metadata"]["continue"]
        )
        assert [item.metadata.name for item in rest.items] == ["c2", "c3"]
        assert int(rest.metadata.resource_version) > int(page.metadata.resource_version)


class TestDiscovery:
    def test_version_groups_and_resources(self, client: Any) -> None:
        assert kubernetes.client.VersionApi(client.api).get_code().major == "1"
        groups = kubernetes.client.ApisApi(client.api).get_api_versions().groups
        assert {"batch", "kubeflow.org", "serving.kserve.io"} <= {group.name for group in groups}
        found = {entry.name: entry for entry in client.core.get_api_resources().resources}
        assert found["pods"].namespaced and not found["namespaces"].namespaced
        assert "get" in found["pods/log"].verbs
        assert {entry.name for entry in client.batch.get_api_resources().resources} == {
            "jobs",
            "jobs/status",
        }

    @pytest.mark.parametrize("path", ["/readyz", "/livez", "/healthz"])
    def test_it_is_well(self, client: Any, path: str) -> None:
        answer = client.api.call_api(path, "GET", response_type="str")
        assert answer[:2] == ("ok", 200)

    def test_which_definitions_are_installed(self, client: Any, face: KubernetesFace) -> None:
        name = "pytorchjobs.kubeflow.org"
        read = client.definitions.read_custom_resource_definition
        assert read(name).spec.names.kind == "PyTorchJob"
        listed = client.definitions.list_custom_resource_definition().items
        assert name in [item.metadata.name for item in listed]
        where = ("kubeflow.org", "v1", "default", "pytorchjobs")
        assert client.custom.list_namespaced_custom_object(*where)["items"] == []

        face.installed.switch("PyTorchJob", on=False)
        assert client.refused(lambda: read(name))[0] == 404
        gone = client.refused(lambda: client.custom.list_namespaced_custom_object(*where))
        assert gone == (404, "404 page not found\n")
        face.installed.switch("PyTorchJob", on=True)
        assert client.custom.list_namespaced_custom_object(*where)["items"] == []

    def test_a_group_and_what_is_built_in(self, client: Any) -> None:
        def get(path: str) -> Any:
            return client.api.call_api(path, "GET", response_type="object")[0]

        assert get("/api")["versions"] == ["v1"]
        group = get("/apis/kubeflow.org")
        assert [version["version"] for version in group["versions"]] == ["v1", "v1beta1"]
        assert group["preferredVersion"]["groupVersion"] == "kubeflow.org/v1"
        for version, names in {
            "apiextensions.k8s.io/v1": ["customresourcedefinitions"],
            "authorization.k8s.io/v1": ["selfsubjectaccessreviews", "subjectaccessreviews"],
        }.items():
            assert [entry["name"] for entry in get(f"/apis/{version}")["resources"]] == names

    def test_definitions_are_only_read(self, client: Any) -> None:
        name = "tfjobs.kubeflow.org"
        gone = client.refused(lambda: client.definitions.delete_custom_resource_definition(name))
        assert gone == (404, "the server could not find the requested resource")

    def test_what_nobody_knows(self, client: Any) -> None:
        for path, message in {
            "/apis/nobody.org/v1": "404 page not found\n",
            "/apis/nobody.org/v1/namespaces/default/things": "404 page not found\n",
            "/nothing": "404 page not found\n",
            "/api/v1/namespaces/default/things": "the server could not find the requested resource",
        }.items():
            call = lambda path=path: client.api.call_api(path, "GET")  # noqa: E731
            assert client.refused(call) == (404, message)


class TestRights:
    @pytest.fixture
    def guarded(self, kaptain_home: Path) -> Iterator[KubernetesFace]:
        reader = Rule(("get", "list"), ("",), ("pods", "configmaps"), ("default",))
        tokens = {"all": ADMINISTRATOR, "some": User("bob", (reader,))}
        with serve_kubernetes(kaptain_home, kubelet=False, tokens=tokens) as served:
            yield served

    @pytest.fixture
    def bob(self, guarded: KubernetesFace, connect: Callable[..., Any]) -> Any:
        return connect(guarded, "some")

    def test_the_kubeconfig_has_the_first_token(
        self, guarded: KubernetesFace, connect: Callable[..., Any]
    ) -> None:
        connect(guarded).config_map("c")
        assert stat.S_IMODE(guarded.kubeconfig.stat().st_mode) == 0o600

    def test_who_has_a_right_may_use_it_and_no_other(self, bob: Any) -> None:
        assert bob.core.list_namespaced_config_map("default").items == []
        code, message = bob.refused(lambda: bob.config_map("c"))
        assert (code, message) == (
            403,
            'configmaps is forbidden: User "bob" cannot create resource "configmaps" in API group '
            '"" in the namespace "default"',
        )
        code, message = bob.refused(lambda: bob.core.read_namespaced_pod_log("p", "default"))
        assert (code, message) == (
            403,
            'pods "p" is forbidden: User "bob" cannot get resource "pods/log" in API group "" in '
            'the namespace "default"',
        )
        code, message = bob.refused(bob.core.list_config_map_for_all_namespaces)
        assert (code, message[-20:]) == (403, "at the cluster scope")

    @pytest.mark.parametrize(("verb", "allowed"), [("list", True), ("create", False)])
    def test_asking_beforehand(self, bob: Any, verb: str, allowed: bool) -> None:
        asked = {"namespace": "default", "verb": verb, "group": "", "resource": "configmaps"}
        body = {"spec": {"resourceAttributes": asked}}
        said = bob.rights.create_self_subject_access_review(body)
        assert said.status.allowed is allowed

    def test_rights_change_while_it_runs(self, guarded: KubernetesFace, bob: Any) -> None:
        guarded.access.grant("some", ADMINISTRATOR)
        bob.config_map("c")
        guarded.access.withdraw("some")
        assert bob.refused(lambda: bob.config_map("d")) == (401, "Unauthorized")

    def test_no_token_is_somebody_without_rights(self, guarded: KubernetesFace) -> None:
        with urllib3.PoolManager() as pool:
            url = f"{guarded.url}/api/v1/namespaces/default/pods"
            answer = pool.request("GET", url, retries=False)
        assert answer.status == 403
        assert "system:anonymous" in answer.json()["message"]


class TestFaults:
    def test_requests_are_counted_by_what_they_are_for(
        self, client: Any, face: KubernetesFace
    ) -> None:
        for number in range(3):
            client.config_map(f"c{number}")
            client.core.read_namespaced_config_map(f"c{number}", "default")
        template = "/api/v1/namespaces/{namespace}/configmaps"
        assert face.requests.count(verb="create", template=template) == 3
        assert face.requests.count(verb="get", template=f"{template}/{{name}}") == 3
        assert face.requests.count() == 6
        face.requests.reset()
        assert face.requests.by_kind() == {}

    def test_down_for_a_while(self, client: Any, face: KubernetesFace) -> None:
        face.stop()
        with pytest.raises(urllib3.exceptions.MaxRetryError, match="refused"):
            client.config_map("c")
        face.start()
        client.config_map("c")

    def test_refusals_have_a_status(self, client: Any, face: KubernetesFace) -> None:
        face.faults.add(Fault(do="answer", status=503, message="not now"))
        assert client.refused(lambda: client.config_map("c")) == (503, "not now")
        client.config_map("c")

    def test_the_client_waits_as_it_is_told(self, face: KubernetesFace) -> None:
        face.faults.add(Fault(do="answer", status=429, retry_after=1, times=2))
        api = kubernetes.config.new_client_from_config(str(face.kubeconfig))
        begun = time.monotonic()
        kubernetes.client.CoreV1Api(api).list_namespaced_pod("default")
        api.rest_client.pool_manager.clear()
        assert time.monotonic() - begun >= 2
        assert face.requests.count(verb="list") == 3

    def test_an_answer_that_is_lost_was_acted_upon(self, client: Any, face: KubernetesFace) -> None:
        face.faults.add(Fault(do="lose", method="POST"))
        with pytest.raises(urllib3.exceptions.HTTPError):
            client.config_map("c")
        assert client.core.read_namespaced_config_map("c", "default").data == {}


def test_schemas_warn_and_refuse(
    kaptain_home: Path, tmp_path: Path, connect: Callable[..., Any]
) -> None:
    crds = need_shared("crds")
    body = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "p"},
        "spec": {"pytorchReplicaSpecs": {}, "workers": 1},
    }
    where = ("kubeflow.org", "v1", "default", "pytorchjobs")
    with serve_kubernetes(kaptain_home, kubelet=False, operators=False, crds=crds) as face:
        client = connect(face)
        create = client.custom.create_namespaced_custom_object_with_http_info
        code, message = client.refused(lambda: create(*where, body, field_validation="Strict"))
        assert (code, message[-28:]) == (400, 'unknown field "spec.workers"')
        made, _, headers = create(*where, body)
        assert headers["Warning"] == r'299 - "unknown field \"spec.workers\""'
        assert "workers" not in made["spec"]
    served = serve_kubernetes(kaptain_home, crds=tmp_path)
    with pytest.raises(ConfigurationError, match="CustomResourceDefinition"), served:
        pass


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    try:
        with serve_kubernetes(home, kubelet=False) as face:
            kubeconfig = face.kubeconfig
            assert kubeconfig.exists()
            eventually(lambda: supervisor_pid(home), "a supervisor works for it")
        assert not kubeconfig.exists()
        assert supervisor_pid(home) is None, "one without a kubelet is no good to others"
        assert not [t for t in threading.enumerate() if t.name.startswith(("http-", "listener"))]
        assert not list((home / "bells").iterdir())
    finally:
        end_home(home)
