"""The supervisor's process: killed, stopped, idle, and with objects that nobody can handle."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.client import ensure_supervisor, supervised
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.local.supervisor import CONTROLLERS_VARIABLE, KUBELET_VARIABLE
from kaptain_kfp.testing.homes import pod_processes, supervisor_candidates, supervisor_pid
from kaptain_kfp.testing.usage import seconds_of_cpu_at_rest
from kaptain_kfp.testing.waiting import PATIENCE, eventually

GATED = 'echo x >> "$PLACE/starts"; until [ -e "$PLACE/gate" ]; do sleep 0.02; done'


class World:
    """A home and what the test asks of it; only `call` sees that there is a supervisor."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.objects = Objects(root)

    def job(self, name: str, script: str = GATED, **spec: Any) -> str:
        container = {
            "name": "main",
            "image": HOST_IMAGE,
            "command": ["sh", "-c", script.replace("$", "$$")],
            "env": [{"name": "PLACE", "value": str(self.home.root)}],
        }
        pod = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        }
        manifest = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}, **spec},
        }
        self.objects.create(manifest)
        return name

    def call(self) -> None:
        ensure_supervisor(self.home)

    def supervisor(self) -> int:
        """Returns its pid once it is there."""
        self.call()
        eventually(lambda: supervisor_pid(self.home.root), "it has the lock")
        pid = supervisor_pid(self.home.root)
        assert pid is not None
        return pid

    def complete(self, name: str) -> bool:
        conditions = self.objects.get("Job", name)["status"].get("conditions", ())
        return any(c["type"] == "Complete" and c["status"] == "True" for c in conditions)

    @property
    def starts(self) -> int:
        counter = self.home.root / "starts"
        return len(counter.read_text().split()) if counter.exists() else 0

    def open_gate(self) -> None:
        (self.home.root / "gate").touch()

    @property
    def log(self) -> str:
        return self.home.supervisor_log.read_text()


@pytest.fixture
def world(kaptain_home: Path) -> World:
    return World(kaptain_home)


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_it_imports_only_what_it_needs() -> None:
    program = "import sys, kaptain_kfp.local.supervisor; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    foreign = {"pydantic", "kfp", "kubernetes", "boto3", "yaml", "rich", "click", "optuna", "numpy"}
    assert foreign.isdisjoint(name.partition(".")[0] for name in loaded)


def test_a_running_pod_costs_it_nothing(world: World) -> None:
    world.job("sleeps", 'echo x >> "$PLACE/starts"; exec sleep 1000')
    pid = world.supervisor()
    eventually(lambda: world.objects.get("Job", "sleeps")["status"].get("ready"), "it runs")
    revision = world.objects.revision()
    assert seconds_of_cpu_at_rest(pid, 2.5) <= 0.1
    assert world.objects.revision() == revision, "nothing was written"
    assert resident_bytes(pid) <= 60 << 20


def test_asked_to_leave_it_leaves_at_once_and_pods_live_on(world: World) -> None:
    name = world.job("lives")
    pid = world.supervisor()
    eventually(lambda: world.starts == 1, "it runs")
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    # its threads, and with them the lock, may outlive its first one for a moment
    eventually(lambda: not alive(pid) and not supervised(world.home), "it has left")
    assert time.monotonic() - began < 5
    assert pod_processes(world.home.root)
    world.open_gate()
    eventually(lambda: not pod_processes(world.home.root), "the pod ends by itself")
    assert not world.complete(name)
    world.call()
    eventually(lambda: world.complete(name), "its end is told")
    assert world.starts == 1


def test_killed_again_and_again_it_starts_nothing_twice(world: World) -> None:
    name = world.job("once")
    for milliseconds in range(0, 120, 15):
        pid = world.supervisor()
        time.sleep(milliseconds / 1000)  # where it gets to by then is left to chance
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not supervised(world.home), "it is gone")
    world.open_gate()
    world.call()
    eventually(lambda: world.complete(name), "the job is complete")
    assert world.starts == 1
    assert len(world.objects.list("Pod").items) == 1
    assert not pod_processes(world.home.root)


def test_whoever_looks_for_it_does_not_keep_it_from_coming(world: World) -> None:
    """Looking takes the lock for a moment."""

    def at_the_lock() -> bool:
        fds = [
            fd
            for pid in supervisor_candidates(world.home.root)
            for fd in Path(f"/proc/{pid}/fd").iterdir()
        ]
        return any(fd.resolve() == world.home.supervisor_lock.resolve() for fd in fds)

    name = world.job("seen", "true")
    with world.home.supervisor_lock.open("w") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        world.call()  # once
        eventually(at_the_lock, "it wants the lock")
    eventually(lambda: world.complete(name), "it came")


def test_nothing_that_is_asked_for_while_it_leaves_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call for each job, and none while waiting: a leaving supervisor must not be counted on.

    Several processes ask at once, as often as they can, of supervisors that leave when they may.
    """
    monkeypatch.setenv("KAPTAIN_SUPERVISOR_IDLE_SECONDS", "0")
    program = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from test_supervisor import PATIENCE, World\n"
        "world = World(Path(sys.argv[2]))\n"
        "for number in range(8):\n"
        "    name = world.job(f'{sys.argv[3]}-{number}', 'true'); world.call()\n"
        "    deadline = time.monotonic() + PATIENCE\n"
        "    while not world.complete(name):\n"
        "        assert time.monotonic() < deadline, name + ' was forgotten'\n"
        "        time.sleep(0.001)\n"
    )
    here = str(Path(__file__).parent)
    asking = [
        subprocess.Popen([sys.executable, "-c", program, here, world.home.root, f"client{number}"])
        for number in range(2)
    ]
    assert [process.wait() for process in asking] == [0, 0], world.log
    assert all(world.complete(f"client{n}-{m}") for n in range(2) for m in range(8))


def test_an_object_that_nobody_can_handle_is_not_the_others_trouble(world: World) -> None:
    cursed = world.job("a-cursed", "true", activeDeadlineSeconds="soon")
    name = world.job("fine", "true")
    world.call()
    eventually(lambda: world.complete(name), "the other one is complete")
    assert "Job/default/a-cursed: trouble; again in 1 s" in world.log
    assert "Traceback" in world.log and "TypeError" in world.log
    assert world.log.count("Traceback") < 10, "not at each look"
    world.objects.patch("Job", cursed, "default", {"spec": {"activeDeadlineSeconds": None}})
    eventually(lambda: world.complete(cursed), "it is complete once it can be handled")


def test_what_happened_while_it_slept_long_is_found(world: World) -> None:
    """So long that the log of changes doesn't go back to where it was."""
    gone = world.job("gone")
    pid = world.supervisor()
    eventually(lambda: world.starts == 1, "it runs")
    os.kill(pid, signal.SIGSTOP)
    forgetful = Objects(world.home.root, log_kept=10)
    world.objects.delete("Job", gone, propagation="Background")
    pod = world.objects.list("Pod").items[0]
    world.objects.delete("Pod", pod["metadata"]["name"], grace_seconds=0)
    name = world.job("new", "true")
    note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, "data": {}}
    forgetful.create(note)
    for number in range(1100):
        forgetful.patch("ConfigMap", "n", "default", {"data": {"n": str(number)}})
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: world.complete(name), "the new job is complete")
    eventually(lambda: not pod_processes(world.home.root), "the old one's process is gone")
    eventually(lambda: not (world.home.pod(pod["metadata"]["uid"])).exists(), "and its folder")
    assert supervisor_pid(world.home.root) == pid


def test_a_long_log_is_put_aside(world: World) -> None:
    old = "old words\n" * 120_000
    world.home.supervisor_log.write_text(old)
    world.supervisor()
    eventually(lambda: "begins" in world.log, "it says that it begins")
    assert len(world.log) < 10_000
    assert world.home.supervisor_log.with_name("supervisor.log.1").read_text() == old


def test_a_second_one_leaves_the_first_one_alone(world: World) -> None:
    pid = world.supervisor()
    second = subprocess.run(
        [sys.executable, "-m", "kaptain_kfp.local.supervisor", str(world.home.root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert supervisor_pid(world.home.root) == pid and alive(pid)


def test_without_a_kubelet_the_controllers_work_and_pods_stay_as_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KUBELET_VARIABLE, "off")
    name = world.job("played", "true")
    world.call()
    eventually(lambda: world.objects.list("Pod").items, "the job has its pod")
    (pod,) = world.objects.list("Pod").items
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    world.objects.update({**pod, "status": {"phase": "Succeeded"}}, status=True)
    world.call()
    eventually(lambda: world.complete(name), "the job is complete")
    assert world.starts == 0
    assert not pod_processes(world.home.root)
    assert not list(world.home.pods.glob("*"))


def test_a_word_for_the_kubelet_that_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KUBELET_VARIABLE, "no")
    world.call()
    eventually(lambda: "supervisor failed" in world.log, "it says that it failed")
    eventually(lambda: not supervisor_candidates(world.home.root), "it has gone")
    assert "KAPTAIN_SUPERVISOR_KUBELET is 'no'." in world.log
    assert "Make it 'on' or 'off'" in world.log


def test_only_the_controllers_that_are_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTROLLERS_VARIABLE, "PyTorchJob,TFJob")
    name = world.job("left-alone", "true")
    world.call()
    eventually(lambda: supervisor_pid(world.home.root), "it works")
    world.objects.delete("Job", name, propagation="Foreground")
    eventually(lambda: not world.objects.list("Job").items, "it does the rest of its work")
    assert not world.objects.list("Event").items


def test_a_controller_that_there_is_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONTROLLERS_VARIABLE, "Job,Pod")
    world.call()
    eventually(lambda: "supervisor failed" in world.log, "it says that it failed")
    assert "KAPTAIN_SUPERVISOR_CONTROLLERS names 'Pod'." in world.log


def test_a_namespace_that_does_not_allow_a_pod_is_asked_again(world: World) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    world.objects.create({**space, "metadata": {"name": "default", "labels": labels}})
    name = world.job("refused", "true")
    world.call()

    def told() -> int:
        events = world.objects.list("Event", fields="reason=FailedCreate").items
        return int(events[0]["count"]) if events else 0

    eventually(lambda: told() >= 2, "it is told, and told again")
    assert world.starts == 0
    world.objects.patch("Namespace", "default", "", {"metadata": {"labels": None}})
    eventually(lambda: world.complete(name), "it is complete once it is allowed")
