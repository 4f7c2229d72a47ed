"""A test that leaves, prints or logs a secret fails, wherever that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from .commands import run_suite
from .leaking import LEAKS

SUITE = """
import logging
import subprocess
import sys

import pytest

from kaptain_kfp.local.objects import Objects
from kaptain_kfp.logs import get_logger
from .leaking import KFP_TOKEN, SECRETS

def an_object(home, kind):
    metadata = {"name": "a", "namespace": "default", "annotations": {"a": KFP_TOKEN}}
    Objects(home).create({"apiVersion": "v1", "kind": kind, "metadata": metadata})

def a_pods(home, name, mode):
    file = home / "pods" / "uid" / name
    file.parent.mkdir(parents=True)
    file.write_text(KFP_TOKEN)
    file.chmod(mode)

@pytest.fixture
def server(tmp_path_factory):
    return tmp_path_factory.mktemp("server")

def test_object(kaptain_home): an_object(kaptain_home, "ConfigMap")
def test_object_of_another_home(kaptain_home, tmp_path): an_object(tmp_path / "b", "ConfigMap")
def test_file(tmp_path): (tmp_path / "a").write_text(KFP_TOKEN)
def test_file_in_home(kaptain_home, tmp_path): (tmp_path / "a").write_text(KFP_TOKEN)
def test_file_of_a_pod(kaptain_home):
    an_object(kaptain_home, "Secret")
    a_pods(kaptain_home, "launch.json", 0o644)
def test_stdout(): print({"a": KFP_TOKEN})
def test_stderr(): print(KFP_TOKEN, file=sys.stderr)
def test_process(capfd): subprocess.run(["echo", KFP_TOKEN]), capfd.readouterr()
def test_read(capsys):
    print(KFP_TOKEN)
    assert capsys.readouterr().out
def test_log(): get_logger().info(KFP_TOKEN)
def test_log_of_others(): logging.getLogger("boto3").warning(KFP_TOKEN)

def test_fine(kaptain_home, tmp_path, capsys):
    an_object(kaptain_home, "Secret")
    a_pods(kaptain_home, "launch.json", 0o600)
    print(KFP_TOKEN[:-1])
    get_logger().info(capsys.readouterr().out)
"""
BY_SERVER = """
from .leaking import KFP_TOKEN

def test_server(tmp_path_factory, tmp_path):
    (tmp_path_factory.mktemp("server") / "log").write_text(KFP_TOKEN)
"""


def test_whoever_tells_a_secret_fails(tmp_path: Path) -> None:
    done = run_suite(tmp_path, SUITE, "-p", "no:randomly", "-rE")
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR ")]
    told = {line.partition("::")[2].split()[0] for line in errors}
    names = [line.split("(")[0][4:] for line in SUITE.splitlines() if line.startswith("def test_")]
    assert told == {*names} - {"test_fine"}, done.stdout
    assert f" {len(names)} passed, {len(told)} errors" in done.stdout
    assert "kaptain home: a ConfigMap" in done.stdout


def test_so_does_a_server_that_several_share(tmp_path: Path) -> None:
    done = run_suite(tmp_path, BY_SERVER)
    assert "1 passed, 1 error" in done.stdout
    assert "server0/log" in done.stdout


@pytest.mark.parametrize("text", ["", "kaptain-test", "kaptain-registry"])
def test_what_is_none_is_none(text: str) -> None:
    assert not LEAKS.tells(text)
