"""The local engine as a whole: real processes, real signals, a real supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.diagnose import Phase, Verdict, verdict_of
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.local.client import ensure_supervisor, supervised
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.testing.homes import end_home, pod_processes, supervisor_pid
from kaptain_kfp.testing.waiting import PATIENCE, eventually


@pytest.fixture
def cluster(kaptain_home: Path) -> LocalCluster:
    return LocalCluster(kaptain_home)


def job(name: str, script: str, *, env: Any = (), pod: Any = (), **spec: Any) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": HOST_IMAGE,
        "command": ["sh", "-c", script],
        "env": list(env),
    }
    pod_spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        **dict(pod),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", "labels": labels_for("m")},
        "spec": {"backoffLimit": 0, "template": {"spec": pod_spec}, **spec},
    }


def finish(cluster: LocalCluster, ref: ResourceRef) -> Verdict:
    over = cluster.wait(ref, lambda o: verdict_of(o).phase is not Phase.ACTIVE, PATIENCE)
    return verdict_of(over)


def running(cluster: LocalCluster, ref: ResourceRef) -> dict[str, Any]:
    cluster.wait(ref, lambda o: o.get("status", {}).get("ready") == 1, PATIENCE)
    return dict(cluster.pods(ref)[0])


def pod_of(cluster: LocalCluster, ref: ResourceRef) -> ResourceRef:
    return ResourceRef.of(cluster.pods(ref)[0])


def test_a_job_runs_and_its_status_is_the_real_controllers(cluster: LocalCluster) -> None:
    ref = cluster.apply(job("ok", "echo one; echo two >&2"))
    assert finish(cluster, ref) == Verdict(
        Phase.SUCCEEDED, "CompletionsReached", "Reached expected number of succeeded pods"
    )
    status = cluster.get(ref)["status"]
    assert [c["type"] for c in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert status["succeeded"] == 1 and status["ready"] == 0 and "active" not in status
    pod = cluster.pods(ref)[0]
    assert pod["metadata"]["labels"]["job-name"] == "ok"
    assert pod["metadata"]["ownerReferences"][0]["uid"] == ref.uid
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (0, "Completed")
    assert list(cluster.logs(ResourceRef.of(pod))) == ["one", "two"]
    eventually(
        lambda: [e.reason for e in cluster.events(ref)] == ["SuccessfulCreate", "Completed"],
        "both events",
    )


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [("exit 3", 3, None), ("kill -9 $$$$", 137, 9), ("no-such-program-here", 127, None)],
)
def test_how_a_process_ends_is_told(
    cluster: LocalCluster, script: str, code: int, number: int | None
) -> None:
    ref = cluster.apply(job("bad", script))
    assert finish(cluster, ref).reason == "BackoffLimitExceeded"
    terminated = cluster.pods(ref)[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["exitCode"] == code
    assert terminated.get("signal") == number
    assert terminated["reason"] == "Error"


def test_a_program_that_is_not_there(cluster: LocalCluster) -> None:
    manifest = job("absent", "")
    manifest["spec"]["template"]["spec"]["containers"][0]["command"] = ["/no/such/program"]
    ref = cluster.apply(manifest)
    assert finish(cluster, ref).phase is Phase.FAILED
    assert cluster.log_tail(pod_of(cluster, ref)) == (
        "exec: '/no/such/program': No such file or directory"
    )


def test_a_log_is_followed_line_by_line(cluster: LocalCluster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    ref = cluster.apply(job("talk", f"printf 'a\\nb'; cat '{gate}'; echo c; printf end"))
    running(cluster, ref)
    lines = cluster.logs(pod_of(cluster, ref), follow=True)
    assert next(lines) == "a"
    gate.write_text("!")
    assert list(lines) == ["b!c", "end"]


def test_the_environment_is_the_pods_own(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leaky")
    monkeypatch.setenv("RANK", "7")
    Objects(cluster.home.root).create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "default"},
            "data": {"TOKEN": "aHVzaA=="},
        }
    )
    env = [
        {"name": "PLAIN", "value": "a b"},
        {"name": "REF", "value": "<$(PLAIN)>"},
        {"name": "KEPT", "value": "$$(PLAIN)"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "TOKEN"}}},
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
    ]
    script = 'echo "$PLAIN,$REF,$KEPT,$SECRET,$ME,${RANK-none},${AWS_SECRET_ACCESS_KEY-none}"'
    ref = cluster.apply(job("env", script, env=env))
    assert finish(cluster, ref).phase is Phase.SUCCEEDED
    told = list(cluster.logs(pod_of(cluster, ref)))
    assert told == ["a b,<a b>,$(PLAIN),hush,default,none,none"]


def test_a_secret_is_a_private_file_and_goes_with_the_process(cluster: LocalCluster) -> None:
    Objects(cluster.home.root).create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "default"},
            "data": {"key": "aHVzaA=="},
        }
    )
    manifest = job("vol", 'cat "$FILE"; stat -c " %a" "$FILE"; echo x > "$SCRATCH/x"')
    spec = manifest["spec"]["template"]["spec"]
    spec["volumes"] = [
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "scratch", "emptyDir": {}},
    ]
    spec["containers"][0]["volumeMounts"] = [
        {"name": "secret", "mountPath": "/etc/secret"},
        {"name": "scratch", "mountPath": "/scratch"},
    ]
    spec["containers"][0]["env"] = [
        {"name": "FILE", "value": "/etc/secret/key"},
        {"name": "SCRATCH", "value": "/scratch"},
    ]
    ref = cluster.apply(manifest)
    assert finish(cluster, ref).phase is Phase.SUCCEEDED, cluster.log_tail(pod_of(cluster, ref))
    assert list(cluster.logs(pod_of(cluster, ref))) == ["hush 600"]
    left = {path.name for path in cluster.home.pod(str(pod_of(cluster, ref).uid)).iterdir()}
    assert left == {"exit.json", "lock", "log", "started.json"}


def test_a_missing_secret_is_said_and_its_arrival_noticed(cluster: LocalCluster) -> None:
    wanted = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}
    ref = cluster.apply(job("waits", "echo $X", env=[wanted]))

    def reason() -> str:
        statuses = cluster.pods(ref)[0].get("status", {}).get("containerStatuses", [{}])
        return str(statuses[0].get("state", {}).get("waiting", {}).get("reason"))

    eventually(lambda: bool(cluster.pods(ref)) and reason() == "CreateContainerConfigError", "said")
    Objects(cluster.home.root).create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "late", "namespace": "default"},
            "data": {"k": "aGVyZQ=="},
        }
    )
    assert finish(cluster, ref).phase is Phase.SUCCEEDED
    assert list(cluster.logs(pod_of(cluster, ref))) == ["here"]


def test_a_cpu_limit_becomes_thread_counts(cluster: LocalCluster) -> None:
    manifest = job("threads", "echo $OMP_NUM_THREADS $MKL_NUM_THREADS")
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"cpu": "1500m"}}
    ref = cluster.apply(manifest)
    finish(cluster, ref)
    assert list(cluster.logs(pod_of(cluster, ref))) == ["2 2"]


def test_a_deadline_ends_the_processes_first(cluster: LocalCluster) -> None:
    ref = cluster.apply(job("late", "sleep 1000", activeDeadlineSeconds=1))
    assert finish(cluster, ref).reason == "DeadlineExceeded"
    assert not pod_processes(cluster.home.root)
    eventually(lambda: not cluster.pods(ref), "its pod is gone")


def test_a_finished_job_goes_after_its_ttl(cluster: LocalCluster) -> None:
    ref = cluster.apply(job("brief", "true", ttlSecondsAfterFinished=1))
    eventually(lambda: not list(cluster.list("Job")), "the job is gone")
    eventually(lambda: not list(cluster.list("Pod")), "its pods are gone")
    assert not list(cluster.home.pods.iterdir())
    assert ref.name == "brief"


STUBBORN = """
trap '' TERM
(trap '' TERM; sleep 1000) &
setsid sh -c 'trap "" TERM; sleep 1000' &
env -u PWD setsid sh -c 'cd /; sleep 1000' >/dev/null 2>&1 &
sleep 1000 & wait
"""


def test_nothing_outlives_a_delete(cluster: LocalCluster) -> None:
    ref = cluster.apply(job("stubborn", STUBBORN))
    running(cluster, ref)
    eventually(lambda: len(pod_processes(cluster.home.root)) >= 6, "all its processes run")
    cluster.delete(ref)
    eventually(lambda: not list(cluster.list("Pod")), "its pod is gone")
    assert not pod_processes(cluster.home.root)


@pytest.mark.fault("script leaves background processes")
def test_what_a_script_leaves_behind_ends_with_it(cluster: LocalCluster) -> None:
    ref = cluster.apply(job("leaves", "setsid sleep 1000 >/dev/null 2>&1 & echo done"))
    assert finish(cluster, ref).phase is Phase.SUCCEEDED
    assert not pod_processes(cluster.home.root)


def test_a_polite_end_is_possible(cluster: LocalCluster, tmp_path: Path) -> None:
    note = tmp_path / "note"
    script = f"trap 'echo bye > \"{note}\"; exit 0' TERM; echo ready; sleep 1000 & wait"
    ref = cluster.apply(job("polite", script, pod={"terminationGracePeriodSeconds": 20}))
    running(cluster, ref)
    assert next(cluster.logs(pod_of(cluster, ref), follow=True)) == "ready"
    began = time.monotonic()
    cluster.delete(ref)
    eventually(lambda: not list(cluster.list("Pod")), "its pod is gone")
    assert note.read_text() == "bye\n"
    assert time.monotonic() - began < 15, "it must not wait for the end of the grace period"


@pytest.mark.fault("supervisor killed")
def test_a_killed_supervisor_is_replaced_and_finds_everything(cluster: LocalCluster) -> None:
    root = cluster.home.root
    marker = "echo started; sleep 1.5; echo ended"
    ref = cluster.apply(job("survivor", marker))
    running(cluster, ref)
    pid = supervisor_pid(root)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert finish(cluster, ref).phase is Phase.SUCCEEDED
    assert list(cluster.logs(pod_of(cluster, ref))) == ["started", "ended"]
    assert len(cluster.pods(ref)) == 1
    assert supervisor_pid(root) != pid


@pytest.mark.fault("shim killed")
def test_a_killed_shim_is_a_lost_pod_and_its_process_goes(cluster: LocalCluster) -> None:
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    once = 'if [ -e "$MARK" ]; then echo again; else touch "$MARK"; sleep 1000; fi'
    mark = {"name": "MARK", "value": str(cluster.home.root / "mark")}
    ref = cluster.apply(job("shimless", once, env=[mark], podFailurePolicy=policy))
    pod = running(cluster, ref)
    eventually((cluster.home.root / "mark").exists, "the first one is at work")
    files = cluster.home.pod(pod["metadata"]["uid"])
    started = __import__("json").loads((files / "started.json").read_text())
    os.kill(started["shim"], signal.SIGKILL)
    assert finish(cluster, ref).phase is Phase.SUCCEEDED
    pods = {p["status"]["phase"]: p for p in cluster.pods(ref)}
    assert set(pods) == {"Failed", "Succeeded"}
    lost = pods["Failed"]["status"]
    assert lost["containerStatuses"][0]["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert any(c["type"] == "DisruptionTarget" for c in lost["conditions"])
    assert not pod_processes(cluster.home.root)


@pytest.mark.fault("reboot: all processes gone at once, pids reused")
def test_a_reboot_loses_processes_but_no_work(cluster: LocalCluster) -> None:
    root = cluster.home.root
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    mark = root / "mark"
    once = f"if [ -e '{mark}' ]; then echo again; else touch '{mark}'; sleep 1000; fi"
    ref = cluster.apply(job("boot", once, podFailurePolicy=policy))
    running(cluster, ref)
    eventually(mark.exists, "the first one is at work")
    end_home(root)
    assert not pod_processes(root) and not supervised(Home(root))
    assert finish(cluster, ref).phase is Phase.SUCCEEDED
    assert len(cluster.pods(ref)) == 2


def test_there_is_one_supervisor_however_many_ask(kaptain_home: Path) -> None:
    Objects(kaptain_home)
    code = (
        "import sys; from pathlib import Path; from kaptain_kfp.local.client import *;"
        "from kaptain_kfp.local.home import Home; ensure_supervisor(Home(Path(sys.argv[1])))"
    )
    asking = [subprocess.Popen([sys.executable, "-c", code, str(kaptain_home)]) for _ in range(6)]
    assert [process.wait() for process in asking] == [0] * 6
    home = Home(kaptain_home)
    eventually(lambda: supervised(home), "one is there")
    log = home.supervisor_log
    eventually(lambda: "begins" in log.read_text(), "it says so")
    assert log.read_text().count("begins") == 1


def test_an_idle_supervisor_leaves_and_the_next_call_starts_another(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTAIN_SUPERVISOR_IDLE_SECONDS", "0.2")
    assert finish(cluster, cluster.apply(job("first", "true"))).phase is Phase.SUCCEEDED
    eventually(lambda: not supervised(cluster.home), "it leaves")
    assert finish(cluster, cluster.apply(job("second", "true"))).phase is Phase.SUCCEEDED


def test_nothing_asked_for_is_forgotten_by_a_leaving_supervisor(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTAIN_SUPERVISOR_IDLE_SECONDS", "0")
    for number in range(15):
        ref = cluster.apply(job(f"n{number}", "true"))
        assert finish(cluster, ref).phase is Phase.SUCCEEDED


@pytest.mark.fault("newer version meets older supervisor")
def test_an_older_supervisor_gives_way(cluster: LocalCluster) -> None:
    ref = cluster.apply(job("across", "sleep 1; echo done"))
    running(cluster, ref)
    first = supervisor_pid(cluster.home.root)
    info = cluster.home.supervisor_info
    info.write_text(info.read_text().replace('"version": "', '"version": "0.0.'))
    ensure_supervisor(cluster.home)
    eventually(
        lambda: supervisor_pid(cluster.home.root) not in (None, first), "another one is there"
    )
    assert finish(cluster, ref).phase is Phase.SUCCEEDED
    assert list(cluster.logs(pod_of(cluster, ref))) == ["done"]
    assert len(cluster.pods(ref)) == 1


@pytest.fixture
def long_home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / ("ü" * 40) / ("x" * 80)
    yield home
    end_home(home)


def test_a_long_home_with_unicode(long_home: Path) -> None:
    cluster = LocalCluster(long_home)
    ref = cluster.apply(job("deep", "pwd"))
    assert finish(cluster, ref).phase is Phase.SUCCEEDED
    assert str(long_home) in next(cluster.logs(pod_of(cluster, ref)))
