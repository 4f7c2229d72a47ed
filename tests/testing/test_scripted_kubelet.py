"""Scripted pods beside the real controllers, in their process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.local.client import ensure_supervisor
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.supervisor import KUBELET_VARIABLE
from kaptain_kfp.testing.homes import pod_processes, supervisor_pid
from kaptain_kfp.testing.podscripts import evicted, fail, run, stuck_terminating, succeed
from kaptain_kfp.testing.scripted_kubelet import ScriptedKubelet
from kaptain_kfp.testing.waiting import eventually


class World:
    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.objects = Objects(root)

    def job(self, name: str, **spec: Any) -> None:
        container = {"name": "main", "image": "never/pulled:1"}
        pod = {"restartPolicy": "Never", "containers": [container]}
        self.objects.create(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"backoffLimit": 0, "template": {"spec": pod}, **spec},
            }
        )
        ensure_supervisor(self.home)

    def ended(self, name: str) -> str:
        conditions = self.objects.get("Job", name)["status"].get("conditions", ())
        ends = [c["type"] for c in conditions if c["type"] in ("Complete", "Failed")]
        return "".join(ends)

    def pods(self) -> list[dict[str, Any]]:
        return list(self.objects.list("Pod").items)


@pytest.fixture
def world(kaptain_home: Path) -> World:
    return World(kaptain_home)


def test_jobs_end_as_their_pods_are_said_to(world: World) -> None:
    with ScriptedKubelet(world.home) as kubelet:
        kubelet.play(fail(3), name="bad-*")
        world.job("bad")
        world.job("good")
        eventually(lambda: world.ended("bad") == "Failed", "the one fails")
        eventually(lambda: world.ended("good") == "Complete", "the other one succeeds")
        assert not pod_processes(world.home.root)
    assert KUBELET_VARIABLE not in os.environ


def test_one_pod_after_the_other_goes_by_the_next_script(world: World) -> None:
    ignored = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
    with ScriptedKubelet(world.home) as kubelet:
        kubelet.play(evicted(), succeed(), labels={"job-name": "again"})
        world.job("again", podFailurePolicy={"rules": ignored})
        eventually(lambda: world.ended("again") == "Complete", "the second pod succeeds")
        reasons = sorted(pod["status"].get("reason", "") for pod in world.pods())
        assert reasons == ["", "Evicted"]


def test_a_job_waits_for_a_pod_that_is_stuck(world: World) -> None:
    with ScriptedKubelet(world.home, run()) as kubelet:
        kubelet.play(stuck_terminating(), when=lambda pod: pod["metadata"]["name"] > "s")
        world.job("stuck", activeDeadlineSeconds=1)

        def stuck() -> bool:
            (pod,) = world.pods()
            status = world.objects.get("Job", "stuck")["status"]
            told = [c["type"] for c in status.get("conditions", ())]
            return "deletionTimestamp" in pod["metadata"] and told == ["FailureTarget"]

        eventually(lambda: world.pods() and stuck(), "its time is over, and the pod stays")
        assert world.ended("stuck") == ""
        kubelet.release()
        eventually(lambda: world.ended("stuck") == "Failed", "the pod has gone")
        assert world.pods() == []


def test_it_takes_no_pods_from_a_kubelet(world: World) -> None:
    world.job("real", suspend=True)
    eventually(lambda: supervisor_pid(world.home.root), "a supervisor is there")
    with pytest.raises(ConfigurationError, match="has a supervisor already"):
        ScriptedKubelet(world.home).__enter__()
    assert KUBELET_VARIABLE not in os.environ


def test_it_may_come_later_where_nobody_else_has_the_pods(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KUBELET_VARIABLE, "off")
    world.job("waits")
    eventually(world.pods, "its pod is there")
    with ScriptedKubelet(world.home):
        eventually(lambda: world.ended("waits") == "Complete", "its pod is played")
    assert os.environ[KUBELET_VARIABLE] == "off"


def test_a_rule_needs_a_script(world: World) -> None:
    with pytest.raises(ValueError, match="by which script"):
        ScriptedKubelet(world.home).play(name="p")


def test_what_goes_wrong_in_a_rule_is_raised_in_the_end(world: World) -> None:
    with pytest.raises(ZeroDivisionError), ScriptedKubelet(world.home) as kubelet:
        kubelet.play(run(), when=lambda pod: 1 / 0 > 0)
        world.job("j")
        eventually(lambda: not kubelet.playing, "it has stopped")
