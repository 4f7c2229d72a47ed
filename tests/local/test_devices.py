"""Which GPUs there are, and who gets which."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.local.devices import DriverSilent, assigned, gpus_of_machine, note_of, wanted


def pod(limit: Any = None, note: dict[str, str] | None = None) -> dict[str, Any]:
    resources = {} if limit is None else {"limits": {"nvidia.com/gpu": limit}}
    return {
        "metadata": {"name": "p", "annotations": note or {}},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
    }


def driver(folder: Path, script: str) -> dict[str, str]:
    """Returns an environment in which a program plays the driver's."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o700)
    return {"PATH": f"{folder}{os.pathsep}{os.defpath}"}


@pytest.mark.parametrize(
    ("told", "devices"),
    [
        ("0,1", ("0", "1")),
        (" 3 , 5 ", ("3", "5")),
        ("GPU-1a,MIG-2b", ("GPU-1a", "MIG-2b")),
        ("0,-1,2", ("0",)),
        ("1,1", ("1",)),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
    ],
)
def test_the_variable_says_which_there_are(told: str, devices: tuple[str, ...]) -> None:
    assert gpus_of_machine({"CUDA_VISIBLE_DEVICES": told}) == devices


def test_the_driver_is_asked(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "assert sys.argv[1:] == ['--query-gpu=index', '--format=csv,noheader'], sys.argv\n"
        "print('0\\n1\\n2')"
    )
    assert gpus_of_machine(driver(tmp_path, script)) == ("0", "1", "2")


def test_a_driver_without_devices(tmp_path: Path) -> None:
    assert gpus_of_machine(driver(tmp_path, "print('No devices were found')")) == ()


def test_a_driver_that_fails_says_nothing_of_devices(tmp_path: Path) -> None:
    script = "print('Driver/library version mismatch')\nraise SystemExit(18)"
    with pytest.raises(DriverSilent, match="ended with 18 and said: Driver/library"):
        gpus_of_machine(driver(tmp_path, script))


def test_a_driver_that_does_not_start(tmp_path: Path) -> None:
    environment = driver(tmp_path, "")
    (tmp_path / "nvidia-smi").write_text("#!/nowhere\n")
    with pytest.raises(DriverSilent, match="can't be run"):
        gpus_of_machine(environment)


def test_a_machine_without_a_driver(tmp_path: Path) -> None:
    assert gpus_of_machine({"PATH": str(tmp_path)}) == ()


@pytest.mark.parametrize(("limit", "count"), [(None, 0), ("0", 0), ("2", 2), (1, 1)])
def test_what_a_pod_asks_for(limit: Any, count: int) -> None:
    assert wanted(pod(limit)) == count


@pytest.mark.parametrize("limit", ["0.5", "many", "-1"])
def test_what_no_pod_can_ask_for(limit: str) -> None:
    with pytest.raises(ModelValidationException, match=r"nvidia\.com/gpu"):
        wanted(pod(limit))


def test_each_device_goes_to_one_pod() -> None:
    first = note_of(2, ("0", "1", "2"), [])
    assert first is not None
    assert assigned(pod(2, first)) == ("0", "1")
    second = note_of(1, ("0", "1", "2"), [pod(2, first)])
    assert second is not None
    assert assigned(pod(1, second)) == ("2",)
    assert note_of(1, ("0", "1", "2"), [pod(2, first), pod(1, second)]) is None
    assert note_of(0, (), [pod(2, first)]) == {}
    assert assigned(pod()) == ()
