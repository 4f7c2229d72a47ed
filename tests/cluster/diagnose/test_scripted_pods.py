"""Whatever may become of a pod: a scheduler and a kubelet write it down, and it is understood."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

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
SPEC = {"restartPolicy": "Never", "containers": [{"name": "sklearn", "image": "r.io/m:1"}]}
GAVE_UP = {"type": "Failed", "reason": "BackoffLimitExceeded"}

PREPARE = {"initContainers": [{"name": "prepare", "image": "i"}]}
Fate = tuple[Script, dict[str, Any], type[KaptainError] | None, str]
FATES: dict[str, Fate] = {
    "config_error": (scripts.config_error(), {}, ContainerConfigurationError, "credentials"),
    "crash_loop": (scripts.crash_loop(7), {}, ScriptFailedError, "exit code 7"),
    "deadline": (scripts.deadline(), {"activeDeadlineSeconds": 9}, WorkloadTimeoutError, "the 9 s"),
    "evicted": (scripts.evicted(), {}, WorkloadEvictedError, "ephemeral-storage"),
    "fail": (scripts.fail(3), {}, ScriptFailedError, "exit code 3"),
    "failed_mount": (scripts.failed_mount("v"), {}, VolumeMountError, 'volume "v"'),
    "image_error": (scripts.image_error(), {}, ImagePullError, "r.io/m:1: not found"),
    "init_failure": (scripts.init_failure(4), PREPARE, InitContainerError, "prepare ended with"),
    "invalid_image_name": (scripts.invalid_image_name(), {}, ImagePullError, "r.io/m:1"),
    "node_lost": (scripts.node_lost(after=9), {}, WorkloadDisruptedError, "the node node-1"),
    "out_of_memory": (scripts.out_of_memory(), {}, WorkloadOutOfMemoryError, "more memory"),
    "preempted": (scripts.preempted(after=9), {}, WorkloadDisruptedError, "preempting"),
    "run": (scripts.run(), {}, None, "runs"),
    "sidecar_stays": (scripts.sidecar_stays(), {}, SidecarError, "istio-proxy goes on"),
    "stuck_terminating": (scripts.stuck_terminating(), {}, None, "runs"),
    "succeed": (scripts.succeed(after=9, pull=9), {}, None, "succeeded"),
    "unschedulable": (scripts.unschedulable(), {}, WorkloadUnschedulableError, "nvidia.com/gpu"),
}


class Stage:
    """A Job's only pod, which goes by a script; time goes on as it is told to."""

    def __init__(self, root: Path, script: Script, **spec: Any) -> None:
        self.objects = Objects(root)
        self.seconds = 0
        self._cluster = LocalCluster(root)
        self._kubelet = ScriptedKubelet(Home(root), script, clock=lambda: self.seconds)
        metadata = {"name": "j-abc", "namespace": "default"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**SPEC, **spec}}
        self.objects.create(pod)
        if not script.lets_go:  # that is only seen once it has to go
            self._kubelet.step()
            self.objects.delete("Pod", metadata["name"])

    def play(self) -> list[Manifest]:
        """Returns the pod as it is now, or as it was last."""
        self._kubelet.step()
        gone = [c.object for c in self.objects.changes(0, kind="Pod") if c.type == "DELETED"]
        return self.objects.list("Pod").items or gone

    def events(self, workload: Manifest, pods: list[Manifest]) -> list[Event]:
        subjects = event_subjects(workload, pods)
        return [event for subject in subjects for event in self._cluster.events(subject)]


def diagnosed(stage: Stage) -> KaptainError | str:
    """Follows the pod for hours, as a step follows its workload."""
    workload, lookout = job(status={"active": 1}), Lookout(LASTS)
    for stage.seconds in range(2 * HOUR):
        pods, now = stage.play(), START + timedelta(seconds=stage.seconds)
        if all(map(is_over, pods)):
            if all(phase_of(pod) == "Succeeded" for pod in pods):
                return "succeeded"
            failed = job(GAVE_UP)
            return failure(failed, verdict_of(failed), pods, "", "")
        asks = lookout.wants_events(workload, pods, now)
        events = stage.events(workload, pods) if asks else None
        if error := lookout.look(workload, pods, events, now).error:
            return error
    return "runs"


def test_there_is_a_fate_for_every_script() -> None:
    assert sorted(FATES) == scripts.__all__


@pytest.mark.parametrize(("script", "spec", "kind", "words"), FATES.values(), ids=FATES)
def test_it_is_understood(
    tmp_path: Path,
    script: Script,
    spec: dict[str, Any],
    kind: type[KaptainError] | None,
    words: str,
) -> None:
    found = diagnosed(Stage(tmp_path / "home", script, **spec))
    assert (type(found) if isinstance(found, KaptainError) else None) is kind, found
    assert words in str(found)
    assert kind in (None, ScriptFailedError) or found.hint
