"""The program around a step's command, run as the executor runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.objects import Objects
from kaptain_kfp.runs.launcher import DAG_MARKER
from kaptain_kfp.runs.step_notes import dag_id, note_of, notes

ROOT = "minio://mlpipeline/root"


class Launcher:
    """Launches steps of one run."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.folder = folder
        self.attempts = 0

    @property
    def run_folder(self) -> Path:
        return self.home / "runs" / "run-1"

    def __call__(
        self,
        command: Sequence[str],
        *,
        kubeflow: bool = True,
        kubernetes: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
        iterations: str = "",
    ) -> subprocess.CompletedProcess[str]:
        self.attempts += 1
        outputs = self.folder / f"attempt-{self.attempts}"
        outputs.mkdir()
        settings: dict[str, Any] = {"namespace": "default", "kubernetes": kubernetes or {}}
        if kubeflow:
            settings["kubeflow"] = {"pipelineRoot": ROOT}
        executor_input = {
            "inputs": {"parameterValues": parameters or {}},
            "outputs": {"outputFile": str(outputs / "executor_output.json")},
        }
        resource_name = "p-2026-01-02-03-04-05-123456" + (f"/{iterations}" if iterations else "")
        return subprocess.run(
            [
                *(sys.executable, "-m", "kaptain_kfp.runs.launcher"),
                *(json.dumps(settings), json.dumps(executor_input), *command),
            ],
            env={
                # without what these tests themselves are told
                **{k: v for k, v in os.environ.items() if not k.startswith("KAPTAIN_")},
                "KAPTAIN_HOME": str(self.home),
                "KAPTAIN_RUN_ID": "run-1",
                "KAPTAIN_RUN_NAMESPACE": "default",
                "KAPTAIN_TASK": "inner.step",
                "KAPTAIN_DAG": resource_name,
                "KAPTAIN_TARGET": "kubeflow",
                "OUTPUT": str(outputs / "executor_output.json"),
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def launcher(kaptain_home: Path, tmp_path: Path) -> Launcher:
    kaptain_home.mkdir()
    folder = tmp_path / "pod"
    folder.mkdir()
    return Launcher(kaptain_home, folder)


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def artifact(uri: str) -> list[str]:
    written = {"artifacts": {"model": {"artifacts": [{"name": "m", "uri": uri}]}}}
    return ["sh", "-c", 'printf "%s" "$0" > "$OUTPUT"', json.dumps(written)]


def test_a_step_sees_nothing_of_this_machines_home(launcher: Launcher) -> None:
    done = launcher(shell("env | grep ^KAPTAIN_"))
    assert done.stdout == "KAPTAIN_TARGET=kubeflow\n"
    here = launcher(shell("env | grep -c ^KAPTAIN_"), kubeflow=False)
    assert int(here.stdout) > 1, "a step of this machine does"


def test_the_exit_code_and_a_note(launcher: Launcher) -> None:
    assert launcher(shell("exit 7")).returncode == 7
    note = note_of(launcher.run_folder, "inner.step", "")
    assert note is not None
    assert (note.state, note.message) == ("FAILED", "Error (exit code 7)")
    assert note.ended is not None and note.began <= note.ended
    assert launcher(shell("kill -KILL $$")).returncode == 137
    launcher(shell("exit 3"), kubeflow=False)
    assert len(list(notes(launcher.run_folder))) == 1, "none of a step of this machine"


def test_what_succeeded_is_not_done_again(launcher: Launcher) -> None:
    script = shell('echo x >> starts; echo "{}" > "$OUTPUT"')
    assert launcher(script).returncode == 0
    again = launcher(script)
    assert (again.returncode, "succeeded before" in again.stdout) == (0, True)
    assert (launcher.folder / "starts").read_text() == "x\n"
    assert (launcher.folder / "attempt-2" / "executor_output.json").read_text() == "{}\n"
    assert launcher(script, iterations="loop-iteration-0").returncode == 0
    assert (launcher.folder / "starts").read_text() == "x\nx\n", "another iteration is another step"
    assert launcher(script, kubeflow=False).returncode == 0
    assert (launcher.folder / "starts").read_text() == "x\nx\nx\n"


def test_the_id_of_its_dag(launcher: Launcher) -> None:
    for iterations in ("", "loop-iteration-0"):
        done = launcher(["echo", f"dag {DAG_MARKER}."], iterations=iterations)
        assert done.stdout == f"dag {dag_id('run-1', 'inner.step', iterations)}.\n"


@pytest.mark.parametrize("uri", [f"{ROOT}/p/model", "https://a/b", "models://a", "relative"])
def test_artifacts_that_are_taken(launcher: Launcher, uri: str) -> None:
    assert launcher(artifact(uri)).returncode == 0


def test_outputs_that_cannot_be_read(launcher: Launcher) -> None:
    done = launcher(shell('echo "{" > "$OUTPUT"'))
    assert done.returncode == 1
    assert "failed to read the step's outputs" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("uri", ["s3://a/b", "gs://a/b", "minio://mlpipeline/root-2/a", ROOT])
def test_artifacts_that_are_not(launcher: Launcher, uri: str) -> None:
    done = launcher(artifact(uri))
    assert done.returncode == 1
    wanted = f'URI "{uri}" does not have expected bucket prefix "{ROOT}"'
    assert wanted in done.stderr
    note = note_of(launcher.run_folder, "inner.step", "")
    assert note is not None and wanted in note.message
    assert launcher(artifact(uri), kubeflow=False).returncode == 0


def test_a_secret_for_a_step_of_either_kind(launcher: Launcher) -> None:
    Objects(launcher.home).create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "mine", "namespace": "default"},
            "stringData": {"k": "v"},
        }
    )
    kubernetes = {
        "secretAsEnv": [
            {
                "secretNameParameter": {"input": "kaptain-name-0"},
                "keyToEnv": [{"secretKey": "k", "envVar": "K"}],
            }
        ],
        "secretAsVolume": [{"secretName": "mine", "mountPath": "/mnt/creds"}],
    }
    for kubeflow in (True, False):
        done = launcher(
            shell('echo "$K"; cat /mnt/creds/k; ls -l /mnt/creds/k | cut -c 1-10'),
            kubeflow=kubeflow,
            kubernetes=kubernetes,
            parameters={"kaptain-name-0": "mine"},
            iterations=str(kubeflow),
        )
        assert done.stdout == "v\nv-rw-------\n"
    assert not list(launcher.folder.glob("volumes-*")), "nothing is left of it"


def test_a_secret_that_is_not_there(launcher: Launcher) -> None:
    kubernetes = {"secretAsVolume": [{"secretName": "absent", "mountPath": "/mnt/creds"}]}
    done = launcher(shell("true"), kubernetes=kubernetes)
    assert done.returncode == 1
    assert 'CreateContainerConfigError: secret "absent" not found' in done.stderr
    assert "Traceback" not in done.stderr
    kubernetes["secretAsVolume"][0]["optional"] = True
    assert launcher(shell("test -d /mnt/creds"), kubernetes=kubernetes).returncode == 0


def test_a_program_that_is_not_there(launcher: Launcher) -> None:
    done = launcher(["no-such-program"])
    assert done.returncode == 127
    assert "no-such-program" in done.stderr and "Traceback" not in done.stderr
