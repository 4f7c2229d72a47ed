"""The Kubernetes API, as the real client sees it over a socket."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import urllib3
from kubernetes.client import ApiException

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.homes import end_home, pod_processes, supervisor_pid
from kaptain_kfp.testing.kubernetes_api import (
    ADMINISTRATOR,
    KubernetesFace,
    Rule,
    User,
    serve_kubernetes,
)

PATIENCE = 60.0
TIMEOUT = (5, 30)
Clients = Callable[..., Any]


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


class Client:
    """The APIs of the real client, with no retries of their own, for one face."""

    def __init__(self, face: KubernetesFace, token: str | None = None) -> None:
        configuration = kubernetes.client.Configuration()
        file = face.kubeconfig if token is None else face.kubeconfig_of(token)
        kubernetes.config.load_kube_config(str(file), client_configuration=configuration)
        configuration.retries = urllib3.Retry(0)
        self.api = kubernetes.client.ApiClient(configuration)
        self.core = kubernetes.client.CoreV1Api(self.api)
        self.batch = kubernetes.client.BatchV1Api(self.api)
        self.custom = kubernetes.client.CustomObjectsApi(self.api)
        self.definitions = kubernetes.client.ApiextensionsV1Api(self.api)
        self.rights = kubernetes.client.AuthorizationV1Api(self.api)

    def close(self) -> None:
        self.api.rest_client.pool_manager.clear()

    def config_map(self, name: str, **data: str) -> Any:
        body = {"metadata": {"name": name}, "data": data}
        return self.core.create_namespaced_config_map("default", body, _request_timeout=TIMEOUT)


def job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "kaptain.local/host",
        "command": ["sh", "-c", script],
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
            **spec,
        },
    }


@pytest.fixture
def face(kaptain_home: Path) -> Iterator[KubernetesFace]:
    """A server without machines."""
    with serve_kubernetes(kaptain_home, kubelet=False) as served:
        yield served


@pytest.fixture
def client(face: KubernetesFace) -> Iterator[Client]:
    made = Client(face)
    yield made
    made.close()


@pytest.fixture
def real(kaptain_home: Path) -> Iterator[KubernetesFace]:
    """A server whose pods run."""
    with serve_kubernetes(kaptain_home) as served:
        yield served


def refused(call: Callable[[], object]) -> tuple[int, str]:
    """Returns code and message of a refusal."""
    with pytest.raises(ApiException) as caught:
        call()
    body = caught.value.body
    assert isinstance(body, str)
    try:
        return caught.value.status, json.loads(body)["message"]
    except ValueError:
        return caught.value.status, body


class TestObjects:
    def test_created_read_changed_and_deleted(self, client: Client) -> None:
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
        code, message = refused(lambda: client.core.read_namespaced_config_map("c", "default"))
        assert (code, message) == (404, 'configmaps "c" not found')

    def test_an_old_version_conflicts(self, client: Client) -> None:
        first = client.config_map("c", a="1")
        client.core.patch_namespaced_config_map("c", "default", {"data": {"a": "2"}})
        code, message = refused(
            lambda: client.core.replace_namespaced_config_map("c", "default", first)
        )
        assert code == 409
        assert "the object has been modified" in message

    def test_items_of_built_in_kinds_do_not_say_what_they_are(self, client: Client) -> None:
        client.config_map("c")
        (item,) = client.core.list_namespaced_config_map("default").items
        assert (item.kind, item.api_version, item.metadata.name) == (None, None, "c")

    def test_everywhere_and_by_selector(self, client: Client) -> None:
        client.core.create_namespace({"metadata": {"name": "other"}})
        for space in ("default", "other"):
            body = {"metadata": {"name": "c", "labels": {"space": space}}}
            client.core.create_namespaced_config_map(space, body)
        everywhere = client.core.list_config_map_for_all_namespaces().items
        assert [item.metadata.namespace for item in everywhere] == ["default", "other"]
        found = client.core.list_config_map_for_all_namespaces(label_selector="space=other")
        assert [item.metadata.namespace for item in found.items] == ["other"]

    def test_a_namespace_takes_along_what_is_in_it(self, client: Client) -> None:
        client.core.create_namespace({"metadata": {"name": "other"}})
        client.core.create_namespaced_config_map("other", {"metadata": {"name": "c"}})
        client.core.delete_namespace("other")
        assert client.core.list_namespaced_config_map("other").items == []
        code, message = refused(
            lambda: client.core.create_namespaced_config_map("other", {"metadata": {"name": "d"}})
        )
        assert (code, message) == (404, 'namespaces "other" not found')

    def test_custom_objects_and_their_status(self, client: Client) -> None:
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

    def test_dry_run_stores_nothing(self, client: Client) -> None:
        body = {"metadata": {"name": "c"}}
        made = client.core.create_namespaced_config_map("default", body, dry_run="All")
        assert made.metadata.uid
        assert client.core.list_namespaced_config_map("default").items == []

    def test_a_collection_is_deleted_by_selector(self, client: Client) -> None:
        for number in range(3):
            labels = {"odd": str(number % 2)}
            body = {"metadata": {"name": f"c{number}", "labels": labels}}
            client.core.create_namespaced_config_map("default", body)
        client.core.delete_collection_namespaced_config_map("default", label_selector="odd=0")
        left = client.core.list_namespaced_config_map("default").items
        assert [item.metadata.name for item in left] == ["c1"]

    def test_a_body_counts_instead_of_the_query(self, client: Client) -> None:
        client.batch.create_namespaced_job("default", job("j", "true", suspend=True))
        client.batch.delete_namespaced_job(
            "j", "default", propagation_policy="Background", body={"propagationPolicy": "Orphan"}
        )
        eventually(lambda: not client.batch.list_namespaced_job("default").items, "it is gone")

    def test_a_job_deleted_without_a_word_orphans_its_pods_and_warns(self, client: Client) -> None:
        client.batch.create_namespaced_job("default", job("j", "true", suspend=True))
        _, status, headers = client.batch.delete_namespaced_job_with_http_info("j", "default")
        assert status == 200
        assert "child pods are preserved by default" in headers["Warning"]

    def test_events_are_found_by_what_they_are_about(self, client: Client) -> None:
        client.batch.create_namespaced_job("default", job("j", "true"))

        def reasons() -> list[str]:
            found = client.core.list_namespaced_event(
                "default", field_selector="involvedObject.name=j"
            )
            return [event.reason for event in found.items]

        eventually(lambda: reasons() == ["SuccessfulCreate"], "the pod is told of")


class TestPages:
    def test_page_by_page(self, client: Client, face: KubernetesFace) -> None:
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
        self, client: Client, face: KubernetesFace
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
    def test_version_groups_and_resources(self, client: Client) -> None:
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
    def test_it_is_well(self, client: Client, path: str) -> None:
        answer = client.api.call_api(path, "GET", response_type="str")
        assert answer[:2] == ("ok", 200)

    def test_which_definitions_are_installed(self, client: Client, face: KubernetesFace) -> None:
        name = "pytorchjobs.kubeflow.org"
        read = client.definitions.read_custom_resource_definition
        assert read(name).spec.names.kind == "PyTorchJob"
        listed = client.definitions.list_custom_resource_definition().items
        assert name in [item.metadata.name for item in listed]
        where = ("kubeflow.org", "v1", "default", "pytorchjobs")
        assert client.custom.list_namespaced_custom_object(*where)["items"] == []

        face.installed.switch("PyTorchJob", on=False)
        assert refused(lambda: read(name))[0] == 404
        gone = refused(lambda: client.custom.list_namespaced_custom_object(*where))
        assert gone == (404, "404 page not found\n")
        face.installed.switch("PyTorchJob", on=True)
        assert client.custom.list_namespaced_custom_object(*where)["items"] == []

    def test_what_nobody_knows(self, client: Client) -> None:
        for path, message in {
            "/apis/nobody.org/v1": "404 page not found\n",
            "/apis/nobody.org/v1/namespaces/default/things": "404 page not found\n",
            "/nothing": "404 page not found\n",
            "/api/v1/namespaces/default/things": "the server could not find the requested resource",
        }.items():
            call = lambda path=path: client.api.call_api(path, "GET")  # noqa: E731
            assert refused(call) == (404, message)


class TestRights:
    @pytest.fixture
    def guarded(self, kaptain_home: Path) -> Iterator[KubernetesFace]:
        reader = Rule(("get", "list"), ("",), ("pods", "configmaps"), ("default",))
        tokens = {"all": ADMINISTRATOR, "some": User("bob", (reader,))}
        with serve_kubernetes(kaptain_home, kubelet=False, tokens=tokens) as served:
            yield served

    @pytest.fixture
    def bob(self, guarded: KubernetesFace) -> Iterator[Client]:
        made = Client(guarded, "some")
        yield made
        made.close()

    def test_the_kubeconfig_has_the_first_token(self, guarded: KubernetesFace) -> None:
        client = Client(guarded)
        client.config_map("c")
        client.close()
        assert stat.S_IMODE(guarded.kubeconfig.stat().st_mode) == 0o600

    def test_who_has_a_right_may_use_it_and_no_other(self, bob: Client) -> None:
        assert bob.core.list_namespaced_config_map("default").items == []
        code, message = refused(lambda: bob.config_map("c"))
        assert (code, message) == (
            403,
            'configmaps is forbidden: User "bob" cannot create resource "configmaps" in API group '
            '"" in the namespace "default"',
        )
        code, message = refused(lambda: bob.core.read_namespaced_pod_log("p", "default"))
        assert (code, message) == (
            403,
            'pods "p" is forbidden: User "bob" cannot get resource "pods/log" in API group "" in '
            'the namespace "default"',
        )
        code, message = refused(bob.core.list_config_map_for_all_namespaces)
        assert (code, message[-20:]) == (403, "at the cluster scope")

    @pytest.mark.parametrize(("verb", "allowed"), [("list", True), ("create", False)])
    def test_asking_beforehand(self, bob: Client, verb: str, allowed: bool) -> None:
        asked = {"namespace": "default", "verb": verb, "group": "", "resource": "configmaps"}
        body = {"spec": {"resourceAttributes": asked}}
        said = bob.rights.create_self_subject_access_review(body)
        assert said.status.allowed is allowed

    def test_rights_change_while_it_runs(self, guarded: KubernetesFace, bob: Client) -> None:
        guarded.access.grant("some", ADMINISTRATOR)
        bob.config_map("c")
        guarded.access.withdraw("some")
        assert refused(lambda: bob.config_map("d")) == (401, "Unauthorized")

    def test_no_token_is_somebody_without_rights(self, guarded: KubernetesFace) -> None:
        with urllib3.PoolManager() as pool:
            url = f"{guarded.url}/api/v1/namespaces/default/pods"
            answer = pool.request("GET", url, retries=False)
        assert answer.status == 403
        assert "system:anonymous" in answer.json()["message"]


class TestWatches:
    @staticmethod
    def lines(client: Client, **query: Any) -> Generator[dict[str, Any], None, None]:
        """Yields the events of a watch of ConfigMaps, without the client's own reconnecting."""
        answer = client.core.list_namespaced_config_map(
            "default", watch=True, _preload_content=False, _request_timeout=TIMEOUT, **query
        )
        try:
            for line in answer:
                yield json.loads(line)
        finally:
            answer.close()

    def test_a_change_is_told_at_once(self, client: Client) -> None:
        since = client.core.list_namespaced_config_map("default").metadata.resource_version
        events = self.lines(client, resource_version=since)
        times: list[float] = []

        def change() -> None:
            times.append(time.monotonic())
            client.config_map("c")

        timer = threading.Timer(0.5, change)
        timer.start()
        event = next(events)
        assert time.monotonic() - times[0] < 0.5
        timer.join()
        events.close()
        assert (event["type"], event["object"]["kind"]) == ("ADDED", "ConfigMap")

    def test_the_clients_own_watch(self, client: Client) -> None:
        client.config_map("c")
        watch = kubernetes.watch.Watch()
        told = []
        for event in watch.stream(
            client.core.list_namespaced_config_map, "default", timeout_seconds=int(PATIENCE)
        ):
            told.append((event["type"], event["object"].metadata.name))
            if len(told) == 1:
                client.core.patch_namespaced_config_map("c", "default", {"data": {"a": "1"}})
            elif len(told) == 2:
                client.core.delete_namespaced_config_map("c", "default")
            else:
                watch.stop()
        assert told == [("ADDED", "c"), ("MODIFIED", "c"), ("DELETED", "c")]

    def test_it_ends_in_time_and_says_how_far_it_came(self, client: Client) -> None:
        since = client.core.list_namespaced_config_map("default").metadata.resource_version
        client.core.create_namespaced_secret("default", {"metadata": {"name": "s"}})
        told = list(
            self.lines(
                client, resource_version=since, timeout_seconds=1, allow_watch_bookmarks=True
            )
        )
        (bookmark,) = told
        assert bookmark["type"] == "BOOKMARK"
        assert int(bookmark["object"]["metadata"]["resourceVersion"]) > int(since)
        assert list(self.lines(client, resource_version=since, timeout_seconds=1)) == []

    def test_too_old_is_an_error_within_the_stream(
        self, client: Client, face: KubernetesFace
    ) -> None:
        since = client.core.list_namespaced_config_map("default").metadata.resource_version
        busy = Objects(face.home, log_kept=16)
        for number in range(64):
            made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number}"}}
            busy.create(made)
        (event,) = self.lines(client, resource_version=since)
        assert event["type"] == "ERROR"
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")

    def test_what_cannot_be_asked_is_refused_beforehand(self, client: Client) -> None:
        for query in ({"label_selector": "a in ("}, {"field_selector": "spec.x=1"}):
            with pytest.raises(ApiException) as caught:
                list(self.lines(client, **query))
            assert caught.value.status == 400

    def test_goes_on_after_a_cut_a_restart_and_an_expiry(
        self, client: Client, face: KubernetesFace
    ) -> None:
        since = client.core.list_namespaced_config_map("default").metadata.resource_version
        events = self.lines(client, resource_version=since)
        client.config_map("c0")
        assert next(events)["object"]["metadata"]["name"] == "c0"

        face.faults.add(Fault(do="cut", path="watch="))
        with pytest.raises(urllib3.exceptions.ProtocolError):
            next(events)
        since = client.config_map("c1").metadata.resource_version
        events = self.lines(client, resource_version=since)
        client.config_map("c2")
        assert next(events)["object"]["metadata"]["name"] == "c2"

        face.restart()
        with pytest.raises(urllib3.exceptions.ProtocolError):
            next(events)
        events = self.lines(client, resource_version=since)
        assert next(events)["object"]["metadata"]["name"] == "c2"

        face.faults.add(Fault(do="expire", path="watch="))
        error = next(events)
        assert (error["type"], error["object"]["code"]) == ("ERROR", 410)
        with pytest.raises(StopIteration):
            next(events)

    def test_one_that_nobody_listens_to_any_more_ends(
        self, client: Client, face: KubernetesFace
    ) -> None:
        events = self.lines(client)
        client.config_map("c")
        next(events)
        assert face.faults.streams("watch=") == 1
        events.close()
        client.close()
        eventually(lambda: face.faults.streams("watch=") == 0, "the server has noticed")


class TestPods:
    def test_a_job_runs_and_its_log_is_followed(self, real: KubernetesFace) -> None:
        client = Client(real)
        script = "echo one; sleep 0.5; echo two; printf three"
        client.batch.create_namespaced_job("default", job("j", script))

        def pods() -> list[Any]:
            return list(
                client.core.list_namespaced_pod("default", label_selector="job-name=j").items
            )

        eventually(lambda: [pod.status.phase for pod in pods()] == ["Running"], "it runs")
        name = pods()[0].metadata.name
        answer = client.core.read_namespaced_pod_log(
            name, "default", follow=True, _preload_content=False, _request_timeout=TIMEOUT
        )
        assert answer.read() == b"one\ntwo\nthree"
        read = client.core.read_namespaced_pod_log
        assert read(name, "default", tail_lines=2) == "two\nthree"
        assert read(name, "default", limit_bytes=3, container="main") == "one"
        assert read(name, "default", since_seconds=3600) == "one\ntwo\nthree"
        stamped = read(name, "default", timestamps=True).splitlines()
        assert [line.partition("Z ")[2] for line in stamped] == ["one", "two", "three"]
        code, message = refused(lambda: read(name, "default", previous=True))
        assert (code, message[:30]) == (400, "previous terminated container ")
        eventually(
            lambda: client.batch.read_namespaced_job("j", "default").status.succeeded,
            "the job is complete",
        )
        client.close()

    def test_a_log_is_followed_across_a_cut_and_a_restart(self, real: KubernetesFace) -> None:
        client = Client(real)
        client.batch.create_namespaced_job("default", job("j", "echo one; sleep 1000"))
        eventually(lambda: pod_processes(real.home), "it runs")
        name = client.core.list_namespaced_pod("default").items[0].metadata.name

        def follow() -> Any:
            return client.core.read_namespaced_pod_log(
                name, "default", follow=True, _preload_content=False, _request_timeout=TIMEOUT
            )

        log = real.home / "pods" / client.core.read_namespaced_pod(name, "default").metadata.uid
        eventually(lambda: (log / "log").read_bytes() == b"one\n", "it spoke")
        eventually(
            lambda: client.core.read_namespaced_pod(name, "default").status.phase == "Running",
            "that it runs is told",
        )

        def cut() -> None:
            real.faults.add(Fault(do="cut", path="follow=", pieces=1))

        for end in (cut, real.restart):
            answer = follow()
            assert answer.readline() == b"one\n"
            end()
            with pytest.raises(urllib3.exceptions.ProtocolError):
                answer.read()
        answer = follow()
        assert answer.readline() == b"one\n"
        client.core.delete_namespaced_pod(name, "default", grace_period_seconds=0)
        assert answer.read() == b""
        client.close()

    def test_one_that_waits_for_its_machine_has_nothing_to_say(self, client: Client) -> None:
        container = {"name": "main", "image": "kaptain.local/host", "command": ["true"]}
        body = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
        client.core.create_namespaced_pod("default", body)
        answer = client.core.read_namespaced_pod_log_with_http_info("p", "default")
        assert answer[1] == 204

    def test_a_supervisor_that_is_killed_is_replaced(self, real: KubernetesFace) -> None:
        client = Client(real)
        eventually(lambda: supervisor_pid(real.home), "there is one")
        first = supervisor_pid(real.home)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        client.batch.create_namespaced_job("default", job("j", "true"))
        eventually(
            lambda: client.batch.read_namespaced_job("j", "default").status.succeeded,
            "its work is done",
        )
        client.close()


class TestFaults:
    def test_requests_are_counted_by_what_they_are_for(
        self, client: Client, face: KubernetesFace
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

    def test_refusals_have_a_status(self, client: Client, face: KubernetesFace) -> None:
        face.faults.add(Fault(do="answer", status=503, message="not now"))
        assert refused(lambda: client.config_map("c")) == (503, "not now")
        client.config_map("c")

    def test_the_client_waits_as_it_is_told(self, face: KubernetesFace) -> None:
        face.faults.add(Fault(do="answer", status=429, retry_after=1, times=2))
        api = kubernetes.config.new_client_from_config(str(face.kubeconfig))
        begun = time.monotonic()
        kubernetes.client.CoreV1Api(api).list_namespaced_pod("default")
        api.rest_client.pool_manager.clear()
        assert time.monotonic() - begun >= 2
        assert face.requests.count(verb="list") == 3

    def test_an_answer_that_is_lost_was_acted_upon(
        self, client: Client, face: KubernetesFace
    ) -> None:
        face.faults.add(Fault(do="lose", method="POST"))
        with pytest.raises(urllib3.exceptions.HTTPError):
            client.config_map("c")
        assert client.core.read_namespaced_config_map("c", "default").data == {}


def test_schemas_warn_and_refuse(kaptain_home: Path, tmp_path: Path) -> None:
    crds = Path(__file__).resolve().parents[4] / "shared" / "crds"
    if not crds.exists():
        pytest.skip("the definitions aren't there: ../shared/crds")
    body = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "p"},
        "spec": {"pytorchReplicaSpecs": {}, "workers": 1},
    }
    where = ("kubeflow.org", "v1", "default", "pytorchjobs")
    with serve_kubernetes(kaptain_home, kubelet=False, operators=False, crds=crds) as face:
        client = Client(face)
        create = client.custom.create_namespaced_custom_object_with_http_info
        code, message = refused(lambda: create(*where, body, field_validation="Strict"))
        assert (code, message[-28:]) == (400, 'unknown field "spec.workers"')
        made, _, headers = create(*where, body)
        assert headers["Warning"] == r'299 - "unknown field \"spec.workers\""'
        assert "workers" not in made["spec"]
        client.close()
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
