"""Models whose training script is written in the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.testing import waiting
from kaptain_kfp.testing.homes import pod_processes
from kaptain_kfp.testing.s3 import isolate_aws

from ..needs import ROOT, lack, need_registry
from .kubeflow import Kubeflow, serve_kubeflow

Eventually = Callable[[Callable[[], object], str], None]

# Counts its starts, says where two of it run at once, then waits until the test opens the gate.
GATED = """
import fcntl, os, pathlib, sys, time
place = pathlib.Path({place!r})
alone = open(place / "alone", "w")
try:
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    (place / "two-at-once").touch()
with (place / "starts").open("a") as file:
    file.write("x")
print("at work", flush=True)
while not (place / "gate").exists():
    time.sleep(0.02)
print("accuracy=0.75", flush=True)
"""


class Gate:
    """A script that waits, and what is known of it."""

    def __init__(self, place: Path) -> None:
        self.script = GATED.format(place=str(place))
        self._place = place

    @property
    def starts(self) -> int:
        counter = self._place / "starts"
        return len(counter.read_text()) if counter.exists() else 0

    @property
    def two_at_once(self) -> bool:
        return (self._place / "two-at-once").exists()

    def open(self) -> None:
        (self._place / "gate").touch()


def processes_of(home: Path, what: str) -> list[int]:
    """Returns the processes of pods whose command line holds a word."""
    found = []
    for pid in pod_processes(home):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if what in command:
            found.append(pid)
    return found


class MakeModel(Protocol):
    """Writes a script and returns the model that is trained by it."""

    def __call__(self, script: str, **properties: Any) -> Model: ...


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of the training code."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def make_model(kaptain_home: Path, project: Path) -> MakeModel:
    def make(script: str, **properties: Any) -> Model:
        (project / "trainer.py").write_text(script, encoding="utf-8")
        return Model(
            **{
                "id": "dev/digits",
                "name": "Digits",
                "description": "What the test trains",
                "version": "1.0",
                "framework": "sklearn",
                "framework_version": "1.5",
                "main_file": "trainer.py",
                "image_name": "kaptain/digits",
                "base_image": "python:3.11",
                "config": Config.local(base_dir=str(project)),
                **properties,
            }
        )

    return make


MakeKubeflow = Callable[..., Kubeflow]


@pytest.fixture
def make_kubeflow(
    kaptain_home: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeKubeflow]:
    """Runs a Kubeflow on this machine, as `serve_kubeflow` is told."""
    need_registry()
    monkeypatch.delenv("KAPTAIN_TARGET")
    isolate_aws(monkeypatch)
    with ExitStack() as stack:

        def make(**options: Any) -> Kubeflow:
            made = serve_kubeflow(kaptain_home, project, tmp_path, **options)
            served = stack.enter_context(made)
            monkeypatch.setenv("KUBECONFIG", str(served.kubernetes.kubeconfig))
            return served

        yield make


@pytest.fixture
def kubeflow(make_kubeflow: MakeKubeflow) -> Kubeflow:
    """A Kubeflow on this machine that is open to everybody."""
    return make_kubeflow()


def need_root(program: str) -> None:
    """Ends a test that changes what its processes see of the machine, where that can't be."""
    able = sys.platform == "linux" and os.geteuid() == 0 and shutil.which(program) is not None
    if able and program == "mount":
        able = subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0
    if not able:
        lack(ROOT, f"this isn't the superuser of a Linux with {program}", "run it as root there")


class Disk:
    """A small disk of its own, mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leaves no room at all."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"x" * size)

    def free(self) -> None:
        self._ballast.unlink()

    def remount(self, how: str) -> None:
        """Makes it read-only (``ro``) or writable (``rw``); works while files are open, too."""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, megabytes: int = 16) -> Iterator[Disk]:
    """Mounts a small disk on a folder."""
    need_root("mount")
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={megabytes}m,mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


@pytest.fixture
def eventually() -> Callable[[Callable[[], object], str], None]:
    """Waits for something that must come true."""

    return waiting.eventually
