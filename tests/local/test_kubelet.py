"""The kubelet with real processes: killed at every point, and in every kind of trouble."""

from __future__ import annotations

import base64
import fcntl
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ObjectNotFoundError
from kaptain_kfp.local import shim
from kaptain_kfp.local.binding import NODE_NAME
from kaptain_kfp.local.clock import Clock
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.images import image_file, name_file
from kaptain_kfp.local.kubelet import Kubelet
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.podfiles import PodFiles
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.local.processes import MARK_VARIABLE, mark_of
from kaptain_kfp.testing.homes import end_home, pod_processes

PATIENCE = 20.0
DIGEST = "ab" * 32

# Counts its starts, then waits until the test opens the gate.
GATED = 'echo x >> "$PLACE/starts"; until [ -e "$PLACE/gate" ]; do sleep 0.01; done; exit 3'


class Machine:
    """A home whose supervisor is played by the test, step by step."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.objects = Objects(root)
        self.kubelets: list[Kubelet] = []
        self.boot()

    def boot(self) -> None:
        """Begins anew with nothing but what is on the disk, as after a crash."""
        self.seen = self.objects.revision()
        kubelet = Kubelet(self.home, self.objects, os.environ, Clock())
        self.kubelets.append(kubelet)
        kubelet.recover(self.objects.list("Pod").items)

    @property
    def kubelet(self) -> Kubelet:
        return self.kubelets[-1]

    def step(self) -> None:
        for change in self.objects.changes(self.seen):
            self.seen = int(change.resource_version)
            if change.object["kind"] == "Pod":
                self.kubelet.note(change.object, deleted=change.type == "DELETED")
        self.kubelet.sync()

    def until(self, holds: Callable[[], object], what: str = "it comes true") -> None:
        """Steps until something holds; looks after every step, so that it is hit exactly."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"never: {what}"
            self.step()
            time.sleep(0.002)

    def pod(self, script: str = GATED, *, name: str = "p", **container: Any) -> Pod:
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "volumes": container.pop("volumes", []),
                "initContainers": [
                    {
                        "name": f"init-{number}",
                        "image": HOST_IMAGE,
                        "command": ["sh", "-c", script.replace("$", "$$")],
                        "env": [{"name": "PLACE", "value": str(self.home.root)}],
                    }
                    for number, script in enumerate(container.pop("before", ()))
                ],
                "containers": [
                    {
                        "name": "main",
                        "image": HOST_IMAGE,
                        "command": ["sh", "-c", script.replace("$", "$$")],
                        "env": [{"name": "PLACE", "value": str(self.home.root)}],
                        **container,
                    }
                ],
            },
        }
        return Pod(self, self.objects.create(manifest))

    @property
    def starts(self) -> int:
        counter = self.home.root / "starts"
        return len(counter.read_text().split()) if counter.exists() else 0

    def open_gate(self) -> None:
        (self.home.root / "gate").touch()

    def empty(self) -> bool:
        """Whether nothing is left: no pod, no folder, no process."""
        folders = list(self.home.pods.iterdir()) if self.home.pods.exists() else []
        pods = self.objects.list("Pod").items
        return not (pods or folders or pod_processes(self.home.root))

    def close(self) -> None:
        end_home(self.home.root)
        for kubelet in self.kubelets:
            kubelet.close()


class Pod:
    def __init__(self, machine: Machine, manifest: dict[str, Any]) -> None:
        self.machine = machine
        self.name = manifest["metadata"]["name"]
        self.uid = manifest["metadata"]["uid"]
        self.files = PodFiles(machine.home.pod(self.uid), self.uid)

    @property
    def now(self) -> dict[str, Any]:
        return self.machine.objects.get("Pod", self.name)

    @property
    def phase(self) -> str:
        return str(self.now["status"]["phase"])

    @property
    def state(self) -> dict[str, Any]:
        containers = self.now["status"].get("containerStatuses", [{}])
        state = containers[0].get("state", {})
        assert isinstance(state, dict)
        return state

    def waits_for(self) -> str:
        return str(self.state.get("waiting", {}).get("reason"))

    def has(self, name: str) -> bool:
        return (self.files.folder / name).exists()

    def exit_code(self) -> int:
        self.machine.until(lambda: self.phase in ("Succeeded", "Failed"), f"{self.name} ends")
        return int(self.state["terminated"]["exitCode"])

    def delete(self, grace: int | None = None) -> None:
        self.machine.objects.delete("Pod", self.name, grace_seconds=grace)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "a home")
    yield machine
    machine.close()


def half_made(pod: Pod) -> bool:
    """Leaves what a supervisor leaves that is killed while it copies the code."""
    pod.files.code.mkdir(parents=True, exist_ok=True)
    (pod.files.code / "half").touch()
    (pod.files.folder / "lock").touch()
    return True


def bound(pod: Pod) -> bool:
    to_us = {"spec": {"nodeName": NODE_NAME}}
    pod.machine.objects.patch("Pod", pod.name, "default", to_us)
    return True


def ended(pod: Pod) -> bool:
    if pod.machine.starts:
        pod.machine.open_gate()
    return pod.has("exit.json")


def cleared(pod: Pod) -> bool:
    """The files are gone, the status isn't written yet."""
    if not ended(pod):
        return False
    pod.files.clear()
    return True


POINTS: dict[str, Callable[[Pod], bool]] = {
    "made": lambda pod: True,
    "bound": bound,
    "scheduled": lambda pod: "startTime" in pod.now["status"],
    "half made": lambda pod: bound(pod) and half_made(pod),
    "launch.json": lambda pod: pod.has("launch.json"),
    "spawned": lambda pod: pod.has("launch.json") and pod.machine.kubelet.sync() is not None,
    "started.json": lambda pod: pod.has("started.json"),
    "at work": lambda pod: pod.machine.starts == 1,
    "running": lambda pod: pod.phase == "Running",
    "exit.json": ended,
    "cleared": cleared,
}
at_every_point = pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)


@at_every_point
def test_a_new_supervisor_goes_on_from_every_point(
    machine: Machine, point: Callable[[Pod], bool]
) -> None:
    pod = machine.pod()
    machine.until(lambda: point(pod), "the point is reached")
    machine.boot()
    machine.until(lambda: machine.starts == 1, "it is at work")
    machine.boot()
    machine.open_gate()
    assert pod.exit_code() == 3
    assert machine.starts == 1
    assert not pod_processes(machine.home.root)
    left = {path.name for path in pod.files.folder.iterdir()}
    assert left == {"exit.json", "lock", "log", "started.json"}
    assert not machine.kubelet.busy()


@pytest.mark.parametrize("grace", [None, 0], ids=["politely", "at once"])
@at_every_point
def test_a_deletion_at_every_point_leaves_nothing(
    machine: Machine, point: Callable[[Pod], bool], grace: int | None
) -> None:
    pod = machine.pod()
    machine.until(lambda: point(pod), "the point is reached")
    pod.delete(grace)
    machine.until(machine.empty, "nothing is left")
    assert machine.starts <= 1
    machine.until(lambda: not machine.kubelet.busy(), "nothing is left to do")


@at_every_point
def test_a_deletion_just_before_a_crash_leaves_nothing(
    machine: Machine, point: Callable[[Pod], bool]
) -> None:
    pod = machine.pod()
    machine.until(lambda: point(pod), "the point is reached")
    pod.delete()
    machine.boot()
    machine.until(machine.empty, "nothing is left")


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_crash_in_the_midst_of_a_deletion_leaves_nothing(
    machine: Machine, withdrawn: bool
) -> None:
    pod = machine.pod()
    machine.until(lambda: pod.phase == "Running")
    if withdrawn:
        pod.delete()
        pod.files.withdraw()
    else:
        pod.delete(0)
    machine.boot()
    machine.until(machine.empty, "nothing is left")


def test_a_late_shim_of_a_killed_supervisor_starts_nothing_more(machine: Machine) -> None:
    pod = machine.pod()
    machine.until(lambda: pod.has("launch.json"))
    late = subprocess.Popen(
        [
            "sh",
            "-c",
            'kill -STOP $$; exec "$@"',
            "sh",
            sys.executable,
            shim.__file__,
            str(pod.files.folder),
        ],
        env={MARK_VARIABLE: pod.files.mark, "PATH": os.environ["PATH"]},
        start_new_session=True,
    )
    os.waitpid(late.pid, os.WUNTRACED)
    machine.boot()
    machine.until(lambda: machine.starts == 1, "another one has started it")
    late.send_signal(signal.SIGCONT)
    assert late.wait(PATIENCE) == 0
    machine.open_gate()
    assert pod.exit_code() == 3
    assert machine.starts == 1


def test_a_shim_that_is_about_to_start_is_waited_for(machine: Machine) -> None:
    pod = machine.pod()
    machine.until(lambda: pod.has("launch.json"))
    order = (pod.files.folder / "launch.json").stat()
    with (pod.files.folder / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        machine.boot()
        for _ in range(50):
            machine.step()
            time.sleep(0.002)
        assert (pod.files.folder / "launch.json").stat() == order
        assert pod.state == {}, "that is no trouble"
    machine.open_gate()
    assert pod.exit_code() == 3


def test_an_order_that_no_shim_can_read_is_written_again(machine: Machine) -> None:
    pod = machine.pod()
    machine.until(lambda: pod.has("launch.json"))
    (pod.files.folder / "launch.json").write_text("{")
    machine.until(lambda: pod.waits_for() == "RunContainerError", "that is said")
    assert pod.state["waiting"]["message"].endswith("without starting it: Invalid argument")
    machine.open_gate()
    assert pod.exit_code() == 3


def put_image(home: Path, size: int = 10) -> None:
    card = {
        "digest": DIGEST,
        "checksum": "cd" * 16,
        "interpreter": {"executable": sys.executable},
        "venv": False,
        "main_file": "main.py",
    }
    code = image_file(home, DIGEST).parent / "code"
    code.mkdir(parents=True)
    (code / "main.py").write_text("import sys; sys.exit(4)")
    (code / "data").write_bytes(bytes(size))
    for file in (image_file(home, DIGEST), name_file(home, "me/x:1")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(card))


def test_a_missing_image_is_waited_for(machine: Machine) -> None:
    pod = machine.pod(image="me/x:1", command=None)
    machine.until(lambda: pod.waits_for() == "ErrImageNeverPull", "that is said")
    assert "me/x:1" in pod.state["waiting"]["message"]
    revision = machine.objects.revision()
    for _ in range(20):
        machine.step()
        time.sleep(0.002)
    assert machine.objects.revision() == revision, "it is said once"
    assert machine.kubelet.busy()
    put_image(machine.home.root)
    assert pod.exit_code() == 4


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_is_waited_for(machine: Machine) -> None:
    put_image(machine.home.root, size=3_000_000)
    pod = machine.pod(image="me/x:1", command=None)
    machine.until(lambda: "startTime" in pod.now["status"])
    with files_no_larger_than(2_000_000):
        machine.until(lambda: pod.waits_for() == "CreateContainerError", "that is said")
        assert "File too large" in pod.state["waiting"]["message"]
    assert pod.exit_code() == 4


def test_what_several_pods_left_behind_is_gone_once_they_are_over(machine: Machine) -> None:
    strays = "setsid sleep 1000 & sleep 1000 & "
    pods = [machine.pod(strays + GATED, name=f"p{number}") for number in range(4)]
    machine.until(lambda: len(pod_processes(machine.home.root)) >= 4 * 4, "all of them run")
    machine.open_gate()
    for pod in pods:
        machine.until(lambda pod=pod: pod.files.exited(), "its main process has ended")
    machine.until(lambda: {pod.phase for pod in pods} == {"Failed"}, "that is said")
    assert pod_processes(machine.home.root) == {}
    assert [pod.exit_code() for pod in pods] == [3, 3, 3, 3]


def test_trouble_with_one_pod_is_not_the_others(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.open_gate()
    cursed = machine.pod(name="a-cursed")
    (cursed.files.folder / "exit.json").mkdir(parents=True)  # nobody thought of that
    others = [machine.pod(name=f"p{number}") for number in range(3)]
    with caplog.at_level(logging.WARNING, "kaptain-supervisor"):
        assert [other.exit_code() for other in others] == [3, 3, 3]
    assert cursed.phase == "Pending"
    told = [record for record in caplog.records if record.exc_info]
    assert 1 <= len(told) < 10, "with the traceback, and not at each look"
    assert cursed.uid in told[0].getMessage() and "IsADirectoryError" in caplog.text
    (cursed.files.folder / "exit.json").rmdir()
    assert cursed.exit_code() == 3


def test_a_cursed_pod_can_be_deleted_at_once(machine: Machine) -> None:
    cursed = machine.pod()
    (cursed.files.folder / "exit.json").mkdir(parents=True)
    for _ in range(3):
        machine.step()
    cursed.delete(0)
    machine.until(machine.empty, "nothing is left")


TERM_COUNTER = """
trap 'echo t >> "$PLACE/terms"' TERM
echo x >> "$PLACE/starts"
until [ -e "$PLACE/gate" ]; do sleep 0.01; done
"""


def terms(machine: Machine) -> int:
    counter = machine.home.root / "terms"
    return len(counter.read_text().split()) if counter.exists() else 0


def test_the_grace_period_outlives_the_supervisor(machine: Machine) -> None:
    pod = machine.pod(TERM_COUNTER)
    machine.until(lambda: pod.phase == "Running" and machine.starts == 1)
    pod.delete(60)
    machine.until(lambda: terms(machine) == 1, "it was asked to end")
    machine.boot()
    for _ in range(30):
        machine.step()
        time.sleep(0.002)
    assert terms(machine) == 1, "it is asked once"
    machine.open_gate()
    machine.until(machine.empty, "nothing is left")


def test_the_grace_period_can_be_shortened(machine: Machine) -> None:
    pod = machine.pod(TERM_COUNTER)
    machine.until(lambda: pod.phase == "Running" and machine.starts == 1)
    pod.delete(1000)
    machine.until(lambda: terms(machine) == 1, "it was asked to end")
    pod.delete(1)
    machine.until(machine.empty, "nothing is left")


def test_what_no_pod_stands_for_is_ended(machine: Machine) -> None:
    stray = subprocess.Popen(
        ["sleep", "1000"],
        env={MARK_VARIABLE: mark_of(machine.home.pods, "stray")},
        start_new_session=True,
    )
    for name in ("lost", "other.gone"):
        (machine.home.pods / name / "code").mkdir(parents=True)
    machine.until(lambda: stray.pid in pod_processes(machine.home.root), "it runs")
    machine.boot()
    assert machine.kubelet.busy()
    machine.until(machine.empty, "nothing is left")
    assert stray.wait(PATIENCE) == -signal.SIGKILL
    assert not machine.kubelet.busy()


def test_a_pod_that_vanished_unheard_is_ended(machine: Machine) -> None:
    """As after a look at everything, where the log of changes no longer tells of its end."""
    pod = machine.pod()
    machine.until(lambda: pod.phase == "Running" and machine.starts == 1)
    pod.delete(0)
    machine.seen = machine.objects.revision()
    machine.kubelet.recover(machine.objects.list("Pod").items)
    machine.until(machine.empty, "nothing is left")
    assert not machine.kubelet.busy()


def test_another_pod_of_the_same_name_is_another(machine: Machine) -> None:
    first = machine.pod()
    machine.until(lambda: machine.starts == 1)
    first.delete(0)
    second = machine.pod()
    machine.until(lambda: machine.starts == 2, "the second one is at work")
    machine.open_gate()
    assert second.exit_code() == 3
    machine.until(lambda: not first.files.folder.exists(), "nothing is left of the first one")


def test_a_stale_word_about_a_pod_does_no_harm(machine: Machine) -> None:
    pod = machine.pod()
    early = pod.now
    machine.open_gate()
    assert pod.exit_code() == 3
    final = pod.now
    machine.kubelet.note(early)
    machine.step()
    machine.step()
    assert pod.now == final and machine.starts == 1
    pod.delete(0)
    with pytest.raises(ObjectNotFoundError):
        _ = pod.now
    machine.kubelet.note(final)
    machine.until(machine.empty, "nothing is left")


def test_secrets_come_and_go(machine: Machine) -> None:
    pod = machine.pod(
        'cat "$TOKEN"; echo " $RAW" | od -An -tx1; exit 3',
        env=[
            {"name": "TOKEN", "value": "/etc/s/token"},
            {"name": "RAW", "valueFrom": {"secretKeyRef": {"name": "s", "key": "raw"}}},
        ],
        volumes=[{"name": "v", "secret": {"secretName": "s"}}],
        volumeMounts=[{"name": "v", "mountPath": "/etc/s"}],
    )
    machine.until(lambda: pod.waits_for() == "CreateContainerConfigError", "that is said")
    secret = {"token": b"hush", "raw": b"\xff"}
    data = {key: base64.b64encode(value).decode() for key, value in secret.items()}
    metadata = {"name": "s", "namespace": "default"}
    machine.objects.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    )
    assert pod.exit_code() == 3
    assert pod.files.log.read_text() == "hush 20 ff 0a\n"
    assert not pod.has("volumes") and not pod.has("launch.json")


ONE_GPU = {"limits": {"nvidia.com/gpu": "1"}}


def test_devices_are_remembered_by_the_next_supervisor(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    machine.boot()
    first = machine.pod(name="first", resources=ONE_GPU)
    machine.until(lambda: first.phase == "Running", "the first has the device")
    machine.boot()
    second = machine.pod('test "$CUDA_VISIBLE_DEVICES" = 7', name="second", resources=ONE_GPU)
    machine.until(lambda: second.now["status"].get("conditions"), "the second waits")
    (scheduled,) = second.now["status"]["conditions"]
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    machine.open_gate()
    machine.until(lambda: second.phase == "Succeeded", "the second has it, too")
    told = machine.objects.list("Event", fields="reason=FailedScheduling").items
    assert [event["involvedObject"]["name"] for event in told] == ["second"]


def test_devices_that_the_driver_tells_of_later(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ncat {tmp_path / 'devices'}\n")
    (tmp_path / "nvidia-smi").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine.boot()
    pod = machine.pod('test "$CUDA_VISIBLE_DEVICES" = 4', resources=ONE_GPU)
    machine.until(lambda: pod.now["status"].get("conditions"), "the pod waits")
    wake = machine.kubelet.sync()
    assert wake is not None and 0.0 < wake <= 1.0
    (tmp_path / "devices").write_text("4\n")
    machine.until(lambda: pod.phase == "Succeeded", "it has the device")


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("2", "OutOfnvidia.com/gpu"), ("half", "UnexpectedAdmissionError")],
)
def test_what_the_machine_cannot_give_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, limit: str, reason: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    machine.boot()
    pod = machine.pod(resources={"limits": {"nvidia.com/gpu": limit}})
    machine.until(lambda: pod.phase == "Failed", "it is refused")
    assert pod.now["status"]["reason"] == reason
    assert not pod.files.folder.exists()
    pod.delete()
    machine.until(machine.empty, "nothing is left")


def init_states(pod: Pod) -> list[str]:
    """Returns the states of the containers before the main one, with the exit codes."""
    told = []
    for container in pod.now["status"].get("initContainerStatuses", ()):
        ((word, facts),) = container["state"].items()
        told.append(f"{word} {facts.get('exitCode', facts.get('reason', ''))}".strip())
    return told


def test_containers_run_one_after_the_other_before_the_main_one(machine: Machine) -> None:
    pod = machine.pod("echo main; exit 3", before=["echo 0", GATED.replace("exit 3", "exit 0")])
    machine.until(lambda: machine.starts, "the second runs")
    machine.until(lambda: init_states(pod) == ["terminated 0", "running"], "that is said")
    assert pod.phase == "Pending" and pod.waits_for() == "PodInitializing"
    conditions = {c["type"]: c["status"] for c in pod.now["status"]["conditions"]}
    assert conditions["Initialized"] == conditions["Ready"] == "False"
    machine.boot()
    machine.open_gate()
    assert pod.exit_code() == 3
    assert init_states(pod) == ["terminated 0", "terminated 0"]
    assert (pod.files.log.read_text(), machine.starts) == ("main\n", 1)
    assert machine.home.pod_log(pod.uid, "init-0").read_text() == "0\n"
    assert machine.home.pod_log(pod.uid, "main") == machine.home.pod_log(pod.uid)
    assert {path.name for path in pod.files.folder.glob("code*")} == set()


def test_the_first_that_fails_is_the_last(machine: Machine) -> None:
    pod = machine.pod("echo main", before=["true", "exit 4", "echo never"])
    machine.until(lambda: pod.phase == "Failed", "it fails")
    assert init_states(pod) == ["terminated 0", "terminated 4", "waiting PodInitializing"]
    assert pod.waits_for() == "PodInitializing"
    assert pod.files.log.read_text() == ""
    conditions = {c["type"]: c["status"] for c in pod.now["status"]["conditions"]}
    assert conditions["Initialized"] == "False"
    assert not machine.home.pod_log(pod.uid, "init-2").read_text()


def test_a_pod_that_is_deleted_before_its_main_container_runs(machine: Machine) -> None:
    pod = machine.pod("echo main", before=[GATED])
    machine.until(lambda: machine.starts, "the first runs")
    pod.delete()
    machine.until(machine.empty, "nothing is left")


def test_a_shim_that_is_killed_before_the_main_container_runs(machine: Machine) -> None:
    pod = machine.pod("echo main", before=[GATED])
    machine.until(lambda: machine.starts, "the first runs")
    machine.until(lambda: init_states(pod) == ["running"], "that is said")
    started = pod.files.started()
    assert started is not None
    os.kill(started["shim"], signal.SIGKILL)
    machine.until(lambda: pod.phase == "Failed", "that is noticed")
    assert pod.files.log.read_text() == ""
