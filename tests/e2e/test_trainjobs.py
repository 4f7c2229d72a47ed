"""TrainJobs on this machine: nodes that meet, by hand and through the Model."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.cluster.base import Manifest, ResourceRef
from kaptain_kfp.cluster.diagnose import Phase, Verdict, chief_of, verdict_of
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import ContainerConfigurationError, ScriptFailedError
from kaptain_kfp.local.controllers import load_controllers
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.forms import training_form
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.model.frameworks import ModelFramework
from kaptain_kfp.testing.homes import pod_processes
from kaptain_kfp.testing.waiting import PATIENCE

from .conftest import MakeModel

# The nodes meet through plain sockets, where torchrun would.
MEETING = """
import os, socket
rank, nodes = int(os.environ["PET_NODE_RANK"]), int(os.environ["PET_NNODES"])
place = os.environ["PET_MASTER_ADDR"], int(os.environ["PET_MASTER_PORT"])
if rank == 0:
    server = socket.create_server(place)
    met = sorted(int(server.accept()[0].recv(9)) for _ in range(nodes - 1))
    print("met", met, "processes", os.environ["PET_NPROC_PER_NODE"], flush=True)
else:
    while True:
        try:
            with socket.create_connection(place) as line:
                line.sendall(str(rank).encode())
            break
        except ConnectionRefusedError:
            pass
"""

# What torchrun does for one process on each node, as far as these scripts see it.
TORCHRUN = f"""#!{sys.executable}
import os, sys
os.environ["RANK"], os.environ["WORLD_SIZE"] = os.environ["PET_NODE_RANK"], os.environ["PET_NNODES"]
os.execv(sys.executable, [sys.executable, "-u", *sys.argv[1:]])
"""


def trainjob(name: str, script: str, nodes: int, **spec: Any) -> dict[str, Any]:
    command = [sys.executable, "-c", script]
    trainer = {"numNodes": nodes, "numProcPerNode": 1, "image": HOST_IMAGE, "command": command}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name, "namespace": "default", "labels": labels_for("m")},
        "spec": {"runtimeRef": {"name": "torch-distributed"}, "trainer": trainer, **spec},
    }


def finish(cluster: LocalCluster, ref: ResourceRef) -> Verdict:
    over = cluster.wait(ref, lambda o: verdict_of(o).phase is not Phase.ACTIVE, PATIENCE)
    return verdict_of(over)


def chief(cluster: LocalCluster, ref: ResourceRef) -> Manifest:
    (pod,) = chief_of(cluster.pods(ref))
    return pod


def test_jobs_side_by_side_meet_among_themselves(kaptain_home: Path) -> None:
    cluster = LocalCluster(kaptain_home)
    refs = [cluster.apply(trainjob(f"j{number}", MEETING, 3)) for number in range(2)]
    for ref in refs:
        message = "jobset completed successfully"
        assert finish(cluster, ref) == Verdict(Phase.SUCCEEDED, "AllJobsCompleted", message)
        log = list(cluster.logs(ResourceRef.of(chief(cluster, ref))))
        assert log == ["met [1, 2] processes 1"]


def test_what_the_cluster_says_that_it_has(kaptain_home: Path) -> None:
    kinds = LocalCluster(kaptain_home).training_kinds()
    assert set(kinds) == {"TFJob", "PyTorchJob", "TrainJob"} <= set(load_controllers())
    assert training_form(ModelFramework.PYTORCH, "trainer", kinds) == "runtimePatches"


def test_a_deadline_ends_the_nodes(kaptain_home: Path) -> None:
    cluster = LocalCluster(kaptain_home)
    hanging = trainjob("j", "import time; time.sleep(1000)", 2, activeDeadlineSeconds=1)
    ref = cluster.apply(hanging)
    assert finish(cluster, ref).reason == "DeadlineExceeded"
    cluster.attend(ref, lambda job, pods: not pods, PATIENCE)
    assert not pod_processes(kaptain_home)


@pytest.fixture
def torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a launcher for these scripts first on the path."""
    program = tmp_path / "bin" / "torchrun"
    program.parent.mkdir()
    program.write_text(TORCHRUN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def model_of(make_model: MakeModel, project: Path, script: str) -> Model:
    config = Config.local(base_dir=str(project), training_api="trainer")
    # Requirements give the image an environment of its own, without the programs beside this
    # Python: a torchrun there would come before any other.
    (project / "requirements.txt").write_text("click\n")
    return make_model(script, framework="pytorch", config=config, requirements="requirements.txt")


def test_the_same_call_trains_in_a_trainjob(
    make_model: MakeModel, project: Path, kaptain_home: Path, torchrun: None
) -> None:
    model = model_of(
        make_model, project, MEETING + "\nimport sys; print(sys.argv[1:], 'loss=0.5')\n"
    )
    assert model.train({"--lr": "0.1"}, workers=3)
    assert model.last_run is not None
    log = list(model.last_run.logs())
    assert "met [1, 2] processes 1" in log and "['--lr=0.1'] loss=0.5" in log
    assert model.metrics == {"loss": {"latest": 0.5, "min": 0.5, "max": 0.5}}
    (job,) = LocalCluster(kaptain_home).list("TrainJob")
    assert job["spec"]["trainer"]["args"] == ["trainer.py", "--lr=0.1"]
    assert not pod_processes(kaptain_home) and not list(LocalCluster(kaptain_home).list("Service"))


def test_a_failing_node_fails_the_training_with_its_own_words(
    make_model: MakeModel, project: Path, kaptain_home: Path, torchrun: None
) -> None:
    script = (
        "import os, sys, time\n"
        "if os.environ['RANK'] == '1':\n"
        "    print('node 1 has had enough', flush=True); sys.exit(5)\n"
        "time.sleep(1000)\n"
    )
    model = model_of(make_model, project, script)
    assert model.train({}, workers=2) is False
    error = model.last_run and model.last_run.error
    assert type(error) is ScriptFailedError
    assert "exit code 5" in error.message and "-node-0-1-" in error.message
    assert error.log_tail == "node 1 has had enough"
    assert not pod_processes(kaptain_home)


def test_an_image_without_torch_says_so(make_model: MakeModel, project: Path) -> None:
    if shutil.which("torchrun"):
        pytest.skip("there is a torchrun for everybody on this machine")
    model = model_of(make_model, project, "print('never')")
    with pytest.raises(ContainerConfigurationError, match="torchrun"):
        model.train({}, workers=1)
