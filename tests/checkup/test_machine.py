from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from kaptain_kfp.checkup import machine
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.config import Config, Target
from kaptain_kfp.local.home import Home
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.version import __version__


@pytest.fixture
def home(kaptain_home: Path) -> Home:
    return Home(kaptain_home)


def test_this_python_and_its_packages_fit() -> None:
    (python,) = machine.python()
    (packages,) = machine.packages()
    assert (python.verdict, packages.verdict) == ("ok", "ok")
    assert f"kaptain-kfp {__version__}" in packages.found and "kfp 2." in packages.found


@pytest.mark.parametrize(
    ("requirements", "found", "remedy"),
    [
        (["kfp>=99"], r"kfp is 2.* but >=99 is needed", "pip install 'kfp>=99'"),
        (["kubernetes<30"], r"kubernetes is 3.* but <30 is needed", "'kubernetes<30'"),
        (["no-such-package"], "no-such-package is missing", "pip install 'no-such-package'"),
        (["kfp>=2", "nothing-there>=1", "kubernetes<1"], "; ", "'nothing-there>=1' 'kubernetes<1'"),
    ],
)
def test_packages_that_do_not_fit(requirements: list[str], found: str, remedy: str) -> None:
    (check,) = machine.packages(requirements)
    assert check.verdict == "failed"
    assert re.search(found, check.found) and remedy in check.remedy


def test_the_target_and_why() -> None:
    (check,) = machine.target(Target("local", "because"))
    assert (check.verdict, check.found) == ("ok", "local: because")


def test_a_new_home(home: Home) -> None:
    for look in (machine.home_folder, machine.disk_space, machine.database, machine.supervisor):
        (check,) = look(home)
        assert check.verdict == "ok", check
    assert not home.root.exists()


def test_a_home_that_is_a_file(home: Home) -> None:
    home.root.write_text("")
    (check,) = machine.home_folder(Home(home.root / "below"))
    assert check.verdict == "failed" and f"{home.root} is no folder" in check.found
    assert "KAPTAIN_HOME" in check.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_home_that_is_read_only(home: Home) -> None:
    home.root.mkdir(mode=0o500)
    (check,) = machine.home_folder(home)
    assert check.verdict == "failed" and "can't be written to" in check.found


def test_a_whole_database(home: Home) -> None:
    list(LocalCluster(home.root).list("Job"))
    (check,) = machine.database(home)
    assert check.verdict == "ok" and check.found.startswith("whole, ")


def test_a_damaged_database_is_left_where_it_is(home: Home) -> None:
    list(LocalCluster(home.root).list("Job"))
    path = home.root / "kaptain.db"
    whole = path.read_bytes()
    content = whole[:200] + b"garbage!" * 500 + whole[4200:]
    shutil.rmtree(home.root)
    home.root.mkdir()
    path.write_bytes(content)
    (check,) = machine.database(home)
    assert check.verdict == "failed" and "sets a damaged one aside" in check.remedy
    assert path.read_bytes() == content
    path.write_bytes(b"this never was a database" * 100)
    (check,) = machine.database(home)
    assert check.verdict == "failed" and "not a database" in check.found


def test_a_database_of_a_newer_version(home: Home) -> None:
    home.root.mkdir()
    connection = sqlite3.connect(home.root / "kaptain.db")
    connection.execute("PRAGMA user_version = 99")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    (check,) = machine.database(home)
    assert check.verdict == "failed" and "newer version" in check.found
    assert "pip install --upgrade" in check.remedy


@pytest.mark.parametrize(
    ("told", "verdict", "found"),
    [
        (json.dumps({"version": __version__}), "ok", f"running, version {__version__}"),
        (json.dumps({"version": "0.0.1"}), "warning", "running, of version 0.0.1"),
        ("half a fi", "ok", "running, version unknown"),
    ],
)
def test_the_supervisor_that_runs(home: Home, told: str, verdict: str, found: str) -> None:
    home.root.mkdir()
    home.supervisor_info.write_text(told)
    with home.supervisor_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (check,) = machine.supervisor(home)
    assert check.verdict == verdict and found in check.found
    assert ("kaptain supervisor stop" in check.remedy) == (verdict == "warning")


@pytest.mark.parametrize(("devices", "found"), [("0,1", "2: 0, 1"), ("", "none on this machine")])
def test_gpus(monkeypatch: pytest.MonkeyPatch, devices: str, found: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    (check,) = machine.gpus()
    assert (check.verdict, check.found) == ("ok", found)


def test_gpus_that_nobody_knows_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_driver(tmp_path, monkeypatch)
    (check,) = machine.gpus()
    assert check.verdict == "warning" and "nvidia-smi ended with 9" in check.found
    assert "CUDA_VISIBLE_DEVICES" in check.remedy


def broken_driver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (folder / "nvidia-smi").chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_an_image_is_needed_on_kubeflow_only(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAPTAIN_COMPONENT_IMAGE", raising=False)
    (here,) = machine.component_image(Workplace(Config.local(home=home.root)))
    assert here.verdict == "skipped"
    away = Workplace(Config(None, None, target="kubeflow", home=home.root))
    (missing,) = machine.component_image(away)
    assert missing.verdict == "failed" and "docker/Dockerfile" in missing.remedy
    monkeypatch.setenv("KAPTAIN_COMPONENT_IMAGE", "registry.example/kaptain:1")
    (there,) = machine.component_image(away)
    assert (there.verdict, there.found) == ("ok", "registry.example/kaptain:1")
