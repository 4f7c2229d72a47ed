from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..commands import call, told


def test_a_laptop_is_looked_at_in_no_time(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    shown = call("doctor").output
    assert "CHECK" in shown and "not configured; there is no kubeconfig" in shown
    assert "What to do:" in shown and "KF_PIPELINES_ENDPOINT" in shown
    checks = told("doctor", "--json")
    assert {frozenset(one) for one in checks} == {frozenset(("name", "verdict", "found", "remedy"))}
    found = {one["name"]: one["verdict"] for one in checks}
    assert found["kubeflow"] == "skipped" and "failed" not in found.values()
    assert not kaptain_home.exists()


def test_a_laptop_costs_no_cluster_library(kaptain_home: Path) -> None:
    program = (
        "import sys; from kaptain_kfp.cli import main\n"
        "try: main(['doctor'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print(sorted({'kfp', 'kubernetes', 'boto3', 'kfp_server_api'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_check_that_fails_is_the_exit_code(
    kaptain_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaptain_home.write_text("no folder")
    checks = told("doctor", "--json", code=1)
    found = {one["name"]: one for one in checks}
    assert found["home"]["verdict"] == "failed" and "KAPTAIN_HOME" in found["home"]["remedy"]
    assert found["database"]["verdict"] == "skipped"


def test_the_home_can_be_given(kaptain_home: Path, tmp_path: Path) -> None:
    checks = told("--home", str(tmp_path / "another"), "doctor", "--json")
    (home,) = (one for one in checks if one["name"] == "home")
    assert str(tmp_path / "another") in home["found"]


def test_a_target_that_nobody_knows(kaptain_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPTAIN_TARGET", "moon")
    checks = told("doctor", "--json", code=1)
    (target,) = (one for one in checks if one["name"] == "target")
    assert target["verdict"] == "failed" and "'moon'" in target["found"]
    assert "python" in {one["name"] for one in checks}


def test_kubeflow_is_looked_at_where_it_is_asked_for(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    checks = told("doctor", "--kubeflow", "--json", code=1)
    found = {one["name"]: one["verdict"] for one in checks}
    assert found["configuration"] == found["credentials"] == "failed"
    assert found["api server"] == found["storage"] == found["work left over"] == "skipped"
