"""Replicas that fail, vanish or hang: plain scripts, so that no framework is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp import Model
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import ScriptFailedError, WorkloadTimeoutError
from kaptain_kfp.testing.homes import pod_processes

from .conftest import Eventually, MakeModel

# The ranks meet through plain sockets at the master's address.
MEETING = """
import os, socket
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    server = socket.create_server(place)
    met = sorted(int(server.accept()[0].recv(9)) for _ in range(world - 1))
    print("met", met, flush=True)
else:
    while True:
        try:
            with socket.create_connection(place) as line:
                line.sendall(str(rank).encode())
            break
        except ConnectionRefusedError:
            pass
"""


def torch_model(make_model: MakeModel, script: str, **properties: str) -> Model:
    return make_model(script, framework="pytorch", **properties)


def log_of(model: Model) -> list[str]:
    assert model.last_run is not None
    return list(model.last_run.logs())


def test_all_ranks_meet(make_model: MakeModel, kaptain_home: Path) -> None:
    model = torch_model(make_model, MEETING)
    assert model.train({}, workers=4)
    assert "met [1, 2, 3]" in log_of(model)
    assert not pod_processes(kaptain_home)
    assert not list(LocalCluster(kaptain_home).list("Service"))


def test_jobs_side_by_side_never_meet(make_model: MakeModel) -> None:
    models = [torch_model(make_model, MEETING, id=f"m{number}") for number in range(3)]
    for model in models:
        assert model.train({}, workers=3, wait=False)
    for model in models:
        assert model.last_run is not None and model.last_run.wait(60)
        assert "met [1, 2]" in log_of(model)


def test_a_failing_worker_fails_the_job_with_its_own_words(
    make_model: MakeModel, kaptain_home: Path
) -> None:
    script = (
        "import os, sys, time\n"
        "if os.environ['RANK'] == '2':\n"
        "    print('rank 2 has had enough', flush=True); sys.exit(5)\n"
        "print('waiting', flush=True); time.sleep(1000)\n"
    )
    model = torch_model(make_model, script)
    assert model.train({}, workers=3) is False
    run = model.last_run
    assert run is not None
    error = run.error
    assert type(error) is ScriptFailedError
    assert "exit code 5" in error.message and "-worker-1" in error.message
    assert error.log_tail == "rank 2 has had enough"
    assert any("rank 2 has had enough" in line for line in log_of(model))
    assert not pod_processes(kaptain_home), "the others are ended"


def test_a_failing_chief_ends_the_workers(make_model: MakeModel, kaptain_home: Path) -> None:
    script = (
        "import os, sys, time\n"
        "if os.environ['RANK'] == '0': sys.exit('the chief is done for')\n"
        "time.sleep(1000)\n"
    )
    model = torch_model(make_model, script)
    assert model.train({}, workers=2) is False
    error = model.last_run and model.last_run.error
    assert isinstance(error, ScriptFailedError) and "-master-0" in error.message
    assert error.log_tail == "the chief is done for"
    assert not pod_processes(kaptain_home)


def test_a_chief_that_is_done_ends_hanging_workers(
    make_model: MakeModel, kaptain_home: Path
) -> None:
    script = "import os, time\nif os.environ['RANK'] != '0': time.sleep(1000)\nprint('m=1.0')"
    model = torch_model(make_model, script)
    assert model.train({}, workers=3) is True
    assert model.metrics == {"m": {"latest": 1.0, "min": 1.0, "max": 1.0}}
    assert not pod_processes(kaptain_home)


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_replicas_that_hang_are_ended(
    make_model: MakeModel, kaptain_home: Path, framework: str
) -> None:
    model = make_model("import time; time.sleep(1000)", framework=framework)
    assert model.train({}, workers=2, timeout=1) is False
    error = model.last_run and model.last_run.error
    assert isinstance(error, WorkloadTimeoutError)
    assert not pod_processes(kaptain_home)


def test_a_cancel_ends_every_replica(
    make_model: MakeModel, kaptain_home: Path, eventually: Eventually
) -> None:
    model = torch_model(make_model, "import time; time.sleep(1000)")
    assert model.train({}, workers=3, wait=False)
    cluster = LocalCluster(kaptain_home)

    def running() -> bool:
        pods = [p for p in cluster.list("Pod") if "-pytorchjob-" in p["metadata"]["name"]]
        return [p.get("status", {}).get("phase") for p in pods] == ["Running"] * 3

    eventually(running, "all replicas run")
    assert model.last_run is not None
    model.last_run.cancel()
    assert not pod_processes(kaptain_home)
    assert not list(cluster.list("PyTorchJob")) and not list(cluster.list("Service"))


def test_one_replica_alone(make_model: MakeModel) -> None:
    script = "import os; print(os.environ['WORLD_SIZE'], os.environ['RANK'])"
    model = torch_model(make_model, script)
    assert model.train({}, workers=1)
    assert "1 0" in log_of(model)


def test_tensorflow_replicas_know_each_other(make_model: MakeModel) -> None:
    script = (
        "import json, os\n"
        "config = json.loads(os.environ['TF_CONFIG'])\n"
        "print(config['task'], len(config['cluster']['worker']))\n"
    )
    model = make_model(script, framework="tensorflow")
    assert model.train({}, workers=3)
    assert "{'type': 'chief', 'index': 0} 2" in log_of(model)
