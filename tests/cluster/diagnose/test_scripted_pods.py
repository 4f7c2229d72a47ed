"""Whatever may become of a pod: a scheduler and a kubelet write it down, and it is understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kaptain_kfp.cluster.base import Event, Manifest
from kaptain_kfp.cluster.diagnose.failures import failure
from kaptain_kfp.cluster.diagnose.lookout import Lookout, event_subjects
from kaptain_kfp.cluster.diagnose.pods import is_over, phase_of
from kaptain_kfp.cluster.diagnose.verdicts import verdict_of
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import (
    ContainerConfigurationError,
    ImagePullError,
    InitContainerError,
    KaptainError,
    ScriptFailedError,
    SidecarError,
    VolumeMountError,
    WorkloadDisruptedError,
    WorkloadEvictedError,
    WorkloadKilledError,
    WorkloadOutOfMemoryError,
    WorkloadTimeoutError,
    WorkloadUnschedulableError,
)
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing import podscripts as scripts
from kaptain_kfp.testing.podsteps import Script
from kaptain_kfp.testing.scripted_kubelet import ScriptedKubelet

from .conftest import START, job

HOUR = 3600
LASTS = 7 * 24 * HOUR
GAVE_UP = {"type": "Failed", "reason": "BackoffLimitExceeded"}

PREPARE = {"initContainers": [{"name": "prepare", "image": "i"}]}
SECRET = {"imagePullSecrets": [{"name": "registry"}]}
TWO_GPUS, ONE_GIB = ({"nvidia.com/gpu": "2"}, {"memory": "1Gi"})


class Fate(NamedTuple):
    """What is to be understood of a pod; by default that all is well.

    Attributes:
        script: How it goes.
        words: What is said of it.
        kind: As which error.
        hint: The remedy, or a part of it.
        reason: The error's.
        seconds: When.
        spec: The pod's.
        limits: Those of its container.
    """

    script: Script
    words: str
    kind: type[KaptainError] | None = None
    hint: str | None = None
    reason: str | None = None
    seconds: int | None = None
    spec: Mapping[str, Any] = {}
    limits: Mapping[str, str] = {}


def unpulled(why: str, words: str, hint: str, seconds: int, **spec: Any) -> Fate:
    why = f'failed to resolve reference "{{image}}": {why}'
    script, back_off = scripts.image_error(why, after=9), "ImagePullBackOff"
    return Fate(script, words, ImagePullError, hint, back_off, seconds, spec)


def misconfigured(reason: str, why: str, hint: str, seconds: int = 0) -> Fate:
    script = scripts.config_error(why, reason=reason)
    return Fate(script, why, ContainerConfigurationError, hint, reason, seconds)


def taken(script: Script, words: str, reason: str, seconds: int = 9, **more: Any) -> Fate:
    return Fate(script, words, WorkloadDisruptedError, "train again", reason, seconds, **more)


# by script, and by what else a row of the table of troubles tells apart
FATES = {
    "unschedulable": Fate(
        scripts.unschedulable(),
        "3 Insufficient nvidia.com/gpu (asked for 2)",
        WorkloadUnschedulableError,
        "gpus=",
        "Unschedulable",
        600,
        limits=TWO_GPUS,
    ),
    "unschedulable: until there is a node": Fate(scripts.unschedulable(until=500), "succeeded"),
    "image_error": unpulled(
        "{image}: manifest unknown", "r.io/m:1 (without a registry Secret)", "model.build()", 60
    ),
    "image_error: denied": unpulled(
        "401 Unauthorized", "r.io/m:1 (with the Secret registry)", "Secret is right", 60, **SECRET
    ),
    "image_error: platform": unpulled(
        "no match for platform in manifest: not found", "no match for", "processor", 30
    ),
    "image_error: network": unpulled("i/o timeout", "i/o timeout", "nodes reach", 300),
    "invalid_image_name": Fate(
        scripts.invalid_image_name(),
        "can't get the image r.io/m:1",
        ImagePullError,
        "image_name",
        "InvalidImageName",
        0,
    ),
    "config_error": misconfigured(
        "CreateContainerConfigError", 'configmap "settings" not found', "Make what it refers to"
    ),
    "config_error: a Secret may be on its way": misconfigured(
        "CreateContainerConfigError", 'secret "key" not found', "Make what it refers to", 30
    ),
    "config_error: created": misconfigured(
        "CreateContainerError", "name is in conflict", "disk and permissions"
    ),
    "config_error: started": misconfigured(
        "RunContainerError", 'exec: "python": executable file not found in $PATH', "the program"
    ),
    "fail": Fate(scripts.fail(3, "oh", after=9), "exit code 3", ScriptFailedError, None, "Error"),
    "fail: not executable": Fate(
        scripts.fail(126), "exit code 126", ScriptFailedError, "isn't executable", "Error"
    ),
    "fail: not found": Fate(
        scripts.fail(127), "exit code 127", ScriptFailedError, "isn't there", "Error"
    ),
    "fail: interrupted": Fate(scripts.fail(130), "SIGINT", WorkloadKilledError, None, "Error"),
    "fail: aborted": Fate(scripts.fail(134), "SIGABRT", WorkloadKilledError, "native", "Error"),
    "fail: killed": Fate(scripts.fail(137), "SIGKILL", WorkloadKilledError, "batches", "Error"),
    "fail: crashed": Fate(scripts.fail(139), "SIGSEGV", WorkloadKilledError, "native", "Error"),
    "fail: terminated": Fate(scripts.fail(143), "SIGTERM", WorkloadKilledError, None, "Error"),
    "fail: of memory": Fate(
        scripts.fail(1, "epoch 1\nKilled"),
        "want of memory",
        WorkloadOutOfMemoryError,
        "Raise memory= (the limit is 1Gi)",
        "OOMKilled",
        limits=ONE_GIB,
    ),
    "crash_loop": Fate(
        scripts.crash_loop(7, after=9),
        "exit code 7. It was started 4 times",
        ScriptFailedError,
        None,
        "CrashLoopBackOff",
        309,
    ),
    "crash_loop: killed": Fate(
        scripts.crash_loop(139), "SIGSEGV", WorkloadKilledError, "native", "CrashLoopBackOff"
    ),
    "out_of_memory": Fate(
        scripts.out_of_memory(after=9),
        "more memory than its limit of 1Gi",
        WorkloadOutOfMemoryError,
        "Raise memory= (the limit is 1Gi)",
        "OOMKilled",
        9,
        limits=ONE_GIB,
    ),
    "evicted": Fate(
        scripts.evicted(after=9),
        "evicted from its node: The node was low on resource: ephemeral-storage",
        WorkloadEvictedError,
        "own disk",
        "Evicted",
        9,
    ),
    "node_lost": taken(
        scripts.node_lost(after=9), "node node-1 of pod j-abc doesn't answer", "NodeLost", 609
    ),
    "node_lost: given up": taken(
        scripts.node_lost(after=4, forgotten_after=5),
        "was taken from its node, which failed or was tainted",
        "DeletionByTaintManager",
    ),
    "preempted": taken(
        scripts.preempted(after=9),
        "had to make room for a pod of higher priority",
        "PreemptionByScheduler",
        10,
    ),
    "preempted: and stays": taken(
        replace(scripts.preempted(after=9), lets_go=False),
        "had to make room for a pod of higher priority",
        "PreemptionByScheduler",
        609,
    ),
    "deadline": Fate(
        scripts.deadline(after=9),
        "longer than the 9 s",
        WorkloadTimeoutError,
        "timeout=",
        "DeadlineExceeded",
        9,
        {"activeDeadlineSeconds": 9},
    ),
    "failed_mount": Fate(
        scripts.failed_mount("v"),
        'volume "v" : secret "credentials" not found',
        VolumeMountError,
        "refers to is there",
        "FailedMount",
    ),
    "failed_mount: attached": Fate(
        scripts.failed_mount("v", "it is elsewhere", reason="FailedAttachVolume"),
        'volume "v" : it is elsewhere',
        VolumeMountError,
        "no other node holds it",
        "FailedAttachVolume",
    ),
    "failed_mount: for a while": Fate(scripts.failed_mount("kube-root", until=200), "succeeded"),
    "init_failure": Fate(
        scripts.init_failure(4, after=9),
        "its init container prepare ended with exit code 4",
        InitContainerError,
        "the log of that container",
        "Error",
        9,
        PREPARE,
    ),
    "sidecar_stays": Fate(
        scripts.sidecar_stays(after=9),
        "the container istio-proxy goes on",
        SidecarError,
        "sidecar.istio.io/inject",
        "SidecarRunning",
        69,
    ),
    "sidecar_stays: after a failure": Fate(
        scripts.sidecar_stays(code=3, after=9), "exit code 3", ScriptFailedError, None, "Error", 14
    ),
    "run": Fate(scripts.run(), "runs"),
    "stuck_terminating": Fate(scripts.stuck_terminating(), "runs"),
    "succeed": Fate(scripts.succeed(after=9, pull=9), "succeeded"),
}


class Stage:
    """A Job's only pod, which goes by a script; time goes on as it is told to."""

    def __init__(self, root: Path, fate: Fate) -> None:
        self.objects = Objects(root)
        self.seconds = 0
        self._home, self._cluster = Home(root), LocalCluster(root)
        self._kubelet = ScriptedKubelet(self._home, fate.script, clock=lambda: self.seconds)
        metadata = {"name": "j-abc", "namespace": "default"}
        main = {"name": "sklearn", "image": "r.io/m:1", "resources": {"limits": fate.limits}}
        spec = {"restartPolicy": "Never", "containers": [main], **fate.spec}
        self.objects.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        if fate.script == scripts.stuck_terminating():  # that is only seen once it has to go
            self._kubelet.step()
            self.objects.delete("Pod", metadata["name"])

    def play(self) -> list[Manifest]:
        """Returns the pod as it is now, or as it was last."""
        self._kubelet.step()
        gone = [c.object for c in self.objects.changes(0, kind="Pod") if c.type == "DELETED"]
        return self.objects.list("Pod").items or gone

    def log(self, pod: Manifest) -> str:
        log = self._home.pod_log(pod["metadata"]["uid"])
        return log.read_text() if log.exists() else ""

    def events(self, workload: Manifest, pods: list[Manifest]) -> list[Event]:
        subjects = event_subjects(workload, pods)
        return [event for subject in subjects for event in self._cluster.events(subject)]


def diagnosed(stage: Stage) -> KaptainError | str:
    """Follows the pod for hours, as a step follows its workload."""
    workload, lookout = job(status={"active": 1}), Lookout(LASTS)
    for stage.seconds in range(HOUR):
        pods, now = stage.play(), START + timedelta(seconds=stage.seconds)
        if all(map(is_over, pods)):
            if all(phase_of(pod) == "Succeeded" for pod in pods):
                return "succeeded"
            failed = job(GAVE_UP)
            return failure(failed, verdict_of(failed), pods, stage.log(pods[0]), "")
        asks = lookout.wants_events(workload, pods, now)
        events = stage.events(workload, pods) if asks else None
        if error := lookout.look(workload, pods, events, now).error:
            return error
    return "runs"


def test_there_is_a_fate_for_every_script() -> None:
    assert sorted({name.partition(":")[0] for name in FATES}) == scripts.__all__


@pytest.mark.parametrize("fate", FATES.values(), ids=FATES)
def test_it_is_understood(tmp_path: Path, fate: Fate) -> None:
    stage = Stage(tmp_path / "home", fate)
    found = diagnosed(stage)
    assert fate.words in str(found)
    assert (type(found) if isinstance(found, KaptainError) else None) is fate.kind, found
    if isinstance(found, KaptainError):
        assert found.reason == fate.reason
        assert (fate.hint is None) is (found.hint is None)
        assert (fate.hint or "") in (found.hint or "")
        assert fate.seconds in (None, stage.seconds)
