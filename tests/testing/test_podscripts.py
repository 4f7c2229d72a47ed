"""Every script, played on a pod step by step: what is left in status, events and log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing import podscripts as scripts
from kaptain_kfp.testing.podsteps import Script
from kaptain_kfp.testing.scripted_kubelet import ScriptedKubelet

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {"containers": [{"name": "main", "image": "r.io/m:1"}], "restartPolicy": "Never"},
}
BEGUN = ["Scheduled", "Pulling"]
RAN = [*BEGUN, "Pulled", "Created", "Started"]


class Stage:
    """One pod and its kubelet, whose time only goes on when it is told to."""

    def __init__(self, folder: Path, script: Script, **spec: Any) -> None:
        self.home = Home(folder / "home")
        self.objects = Objects(self.home.root)
        self.seconds = 0.0
        self.kubelet = ScriptedKubelet(self.home, script, clock=lambda: self.seconds)
        self.objects.create({**POD, "spec": {**POD["spec"], **spec}})

    def play(self, seconds: float = 0.0) -> dict[str, Any]:
        """Lets time go on; returns the pod's status then."""
        self.seconds += seconds
        self.kubelet.step()
        return self.status

    @property
    def pod(self) -> dict[str, Any]:
        return self.objects.get("Pod", "p")

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.pod["status"]
        return status

    @property
    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.objects.list("Event").items]

    def message(self, reason: str) -> str:
        return str(self.objects.list("Event", fields=f"reason={reason}").items[-1]["message"])


def main_state(status: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = status["containerStatuses"][0]["state"]
    return state


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status["conditions"]}


READY = {
    "PodReadyToStartContainers": "True",
    "Initialized": "True",
    "Ready": "True",
    "ContainersReady": "True",
    "PodScheduled": "True",
}


def test_it_succeeds_after_a_slow_pull_and_a_while(tmp_path: Path) -> None:
    stage = Stage(tmp_path, scripts.succeed("done", after=5, pull=9))
    assert stage.play()["phase"] == "Pending"
    assert main_state(stage.status) == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(stage.status) == {
        **READY,
        "PodReadyToStartContainers": "False",
        "Ready": "False",
        "ContainersReady": "False",
    }
    assert stage.reasons == BEGUN
    assert stage.message("Scheduled") == "Successfully assigned default/p to node-1"
    assert stage.pod["spec"]["nodeName"] == "node-1"
    assert stage.kubelet.step() == 9
    assert stage.play(9)["phase"] == "Running"
    assert conditions(stage.status) == READY
    assert stage.reasons == RAN
    assert stage.home.pod_log(stage.pod["metadata"]["uid"]).read_text() == "done\n"
    assert stage.play(4.9)["phase"] == "Running"
    assert stage.play(0.1)["phase"] == "Succeeded"
    terminated = main_state(stage.status)["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (0, "Completed")
    reasons = {c.get("reason") for c in stage.status["conditions"] if c["status"] == "False"}
    assert reasons == {None, "PodCompleted"}
    assert stage.kubelet.step() is None


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        (scripts.fail(3, "oh"), 3, "Error"),
        (scripts.out_of_memory("oh"), 137, "OOMKilled"),
    ],
)
def test_it_fails(tmp_path: Path, script: Script, code: int, reason: str) -> None:
    stage = Stage(tmp_path, script)
    assert stage.play()["phase"] == "Failed"
    terminated = main_state(stage.status)["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (code, reason)
    assert stage.home.pod_log(stage.pod["metadata"]["uid"]).read_text() == "oh\n"


IMAGE = 'failed to pull and unpack image "r.io/m:1"'


@pytest.mark.parametrize(
    ("script", "reason", "message", "events"),
    [
        (
            scripts.image_error(IMAGE),
            "ImagePullBackOff",
            f'Back-off pulling image "r.io/m:1": ErrImagePull: {IMAGE}',
            [*BEGUN, "Failed", "Failed", "BackOff", "Failed"],
        ),
        (
            scripts.invalid_image_name(),
            "InvalidImageName",
            'Failed to apply default image tag "r.io/m:1": couldn\'t parse image name '
            '"r.io/m:1": invalid reference format',
            ["Scheduled", "InspectFailed", "Failed"],
        ),
        (
            scripts.config_error('key {x} of secret "s" not found'),
            "CreateContainerConfigError",
            'key {x} of secret "s" not found',
            [*BEGUN, "Failed"],
        ),
        (
            scripts.config_error("context deadline exceeded", reason="CreateContainerError"),
            "CreateContainerError",
            "context deadline exceeded",
            [*BEGUN, "Failed"],
        ),
        (
            scripts.config_error("no such program", reason="RunContainerError"),
            "RunContainerError",
            "no such program",
            [*BEGUN, "Failed"],
        ),
        (
            scripts.failed_mount("v", 'configmap "c" not found'),
            "ContainerCreating",
            None,
            ["Scheduled", "FailedMount"],
        ),
        (
            scripts.failed_mount("v", "it is elsewhere", reason="FailedAttachVolume"),
            "ContainerCreating",
            None,
            ["Scheduled", "FailedAttachVolume"],
        ),
    ],
)
def test_it_never_starts(
    tmp_path: Path, script: Script, reason: str, message: str | None, events: list[str]
) -> None:
    stage = Stage(tmp_path, script)
    assert stage.play()["phase"] == "Pending"
    waiting = main_state(stage.status)["waiting"]
    assert (waiting["reason"], waiting.get("message")) == (reason, message)
    assert stage.reasons == events
    assert stage.play(1000)["phase"] == "Pending"


def test_an_image_error_backs_off_after_a_while(tmp_path: Path) -> None:
    stage = Stage(tmp_path, scripts.image_error("no such image", after=10))
    assert main_state(stage.play())["waiting"]["reason"] == "ErrImagePull"
    assert stage.message("Failed") == "Error: ErrImagePull"
    assert main_state(stage.play(10))["waiting"]["reason"] == "ImagePullBackOff"


def test_a_volume_that_cannot_be_attached(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path, scripts.failed_mount("v", "it is elsewhere", reason="FailedAttachVolume")
    )
    stage.play()
    (event,) = stage.objects.list("Event", fields="reason=FailedAttachVolume").items
    assert event["message"] == 'AttachVolume.Attach failed for volume "v" : it is elsewhere'
    assert event["source"] == {"component": "attachdetach-controller"}


def test_a_volume_that_comes_late(tmp_path: Path) -> None:
    stage = Stage(tmp_path, scripts.failed_mount("v", 'secret "s" not found', until=60))
    assert stage.play()["phase"] == "Pending"
    assert stage.message("FailedMount") == (
        'MountVolume.SetUp failed for volume "v" : secret "s" not found'
    )
    assert stage.play(60)["phase"] == "Succeeded"
    assert stage.reasons == ["Scheduled", "FailedMount", *RAN[1:]]


def test_no_node_is_large_enough(tmp_path: Path) -> None:
    message = "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: }."
    stage = Stage(tmp_path, scripts.unschedulable(message, until=60))
    (condition,) = stage.play()["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
    assert (condition["reason"], condition["message"]) == ("Unschedulable", message)
    assert "nodeName" not in stage.pod["spec"]
    assert "containerStatuses" not in stage.status
    (event,) = stage.objects.list("Event").items
    assert (event["reason"], event["message"]) == ("FailedScheduling", message)
    assert event["source"] == {"component": "default-scheduler"}
    assert stage.play(60)["phase"] == "Succeeded"


def test_it_crashes_again_and_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, scripts.crash_loop(7, restarts=2, after=1), restartPolicy="Always")
    stage.play()
    (first,) = stage.play(1)["containerStatuses"]
    assert stage.status["phase"] == "Running"
    uid = stage.pod["metadata"]["uid"]
    assert first["restartCount"] == 1
    assert first["lastState"]["terminated"]["exitCode"] == 7
    assert first["state"]["waiting"] == {
        "reason": "CrashLoopBackOff",
        "message": f"back-off 10s restarting failed container=main pod=p_default({uid})",
    }
    (second,) = stage.play(1)["containerStatuses"]
    assert second["restartCount"] == 2
    assert "back-off 20s" in second["state"]["waiting"]["message"]
    assert stage.message("BackOff") == (
        f"Back-off restarting failed container main in pod p_default({uid})"
    )
    assert stage.objects.list("Event", fields="reason=BackOff").items[0]["count"] == 2


@pytest.mark.parametrize(
    ("script", "reason", "disrupted", "event"),
    [
        (scripts.evicted("Low on disk {x}."), "Evicted", "TerminationByKubelet", "Evicted"),
        (scripts.deadline(), "DeadlineExceeded", None, "DeadlineExceeded"),
        (
            scripts.node_lost(forgotten_after=0),
            "NodeLost",
            "DeletionByTaintManager",
            "NodeNotReady",
        ),
    ],
)
def test_it_is_ended_from_outside(
    tmp_path: Path, script: Script, reason: str, disrupted: str | None, event: str
) -> None:
    stage = Stage(tmp_path, script)
    assert stage.play()["phase"] == "Failed"
    assert stage.status["reason"] == reason
    found = [c["reason"] for c in stage.status["conditions"] if c["type"] == "DisruptionTarget"]
    assert found == ([disrupted] if disrupted else [])
    assert stage.reasons == [*RAN, event]
    if event != "NodeNotReady":
        assert stage.message(event) == stage.status["message"]


def test_a_lost_node_leaves_the_pod_unknown(tmp_path: Path) -> None:
    stage = Stage(tmp_path, scripts.node_lost())
    assert stage.play()["phase"] == "Unknown"
    assert conditions(stage.status) == {**READY, "Ready": "False", "DisruptionTarget": "True"}
    assert stage.status["message"] == "Node node-1 which was running pod p is unresponsive"


def test_it_makes_room_for_a_more_important_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path, scripts.preempted(after=1))
    stage.play()
    status = stage.play(1)
    assert "deletionTimestamp" in stage.pod["metadata"]
    assert status["conditions"][-1]["reason"] == "PreemptionByScheduler"
    assert stage.kubelet.step() is None
    assert stage.objects.list("Pod").items == []
    (last,) = [c.object for c in stage.objects.changes(0, kind="Pod") if c.type == "DELETED"]
    assert last["status"]["phase"] == "Failed"
    assert main_state(last["status"])["terminated"]["exitCode"] == 143
    assert stage.reasons == [*RAN, "Preempted", "Killing"]


def test_its_init_container_fails(tmp_path: Path) -> None:
    init = [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}]
    stage = Stage(tmp_path, scripts.init_failure(4), initContainers=init)
    status = stage.play()
    assert status["phase"] == "Failed"
    one, two = status["initContainerStatuses"]
    assert one["state"]["terminated"]["exitCode"] == 4
    assert two["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert main_state(status) == {"waiting": {"reason": "PodInitializing"}}
    initialized = next(c for c in status["conditions"] if c["type"] == "Initialized")
    assert initialized["status"] == "False"
    assert initialized["message"] == "containers with incomplete status: [one two]"


def test_init_containers_that_succeed(tmp_path: Path) -> None:
    init = [{"name": "one", "image": "i"}]
    stage = Stage(tmp_path, scripts.run(pull=1), initContainers=init)
    (one,) = stage.play()["initContainerStatuses"]
    assert one["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(stage.status)["Initialized"] == "False"
    (one,) = stage.play(1)["initContainerStatuses"]
    assert one["state"]["terminated"]["exitCode"] == 0
    assert one["ready"]
    assert conditions(stage.status) == READY


def test_a_sidecar_keeps_it_running(tmp_path: Path) -> None:
    stage = Stage(tmp_path, scripts.sidecar_stays(code=3, after=1))
    assert [c["name"] for c in stage.play()["containerStatuses"]] == ["main", "istio-proxy"]
    main, proxy = stage.play(1)["containerStatuses"]
    assert stage.status["phase"] == "Running"
    assert main["state"]["terminated"]["exitCode"] == 3
    assert "running" in proxy["state"] and proxy["ready"]
    ready = next(c for c in stage.status["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "False"
    assert ready["message"] == "containers with unready status: [main]"


def test_it_is_stuck_until_its_machine_answers(tmp_path: Path) -> None:
    stage = Stage(tmp_path, scripts.stuck_terminating())
    stage.play()
    stage.objects.delete("Pod", "p")
    for _ in range(3):
        assert stage.play(1000)["phase"] == "Running"
    assert stage.reasons.count("Killing") == 1
    stage.kubelet.release()
    stage.kubelet.step()
    assert stage.objects.list("Pod").items == []
