"""What the README says of buckets and of Kubeflow is run, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kaptain_kfp.testing.s3 import isolate_aws, serve_s3

from .kubeflow import NAMESPACE, Kubeflow

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def block(kind: str) -> str:
    found: list[str] = re.findall(rf"^```python {kind}\n(.*?)^```$", README, re.M | re.S)
    assert found, f"README.md has no block {kind!r}"
    return "".join(found)


def run(code: str, folder: Path, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_kubeflow(kubeflow: Kubeflow, tmp_path: Path) -> None:
    (kubeflow.project / "trainer.py").write_text(block("file=trainer.py"))
    docker = tmp_path / ".docker" / "config.json"
    docker.parent.mkdir()
    docker.write_text('{"auths": {}}')
    host = kubeflow.registry.host
    names = f"image_name = '{host}/team/line'\nbase_image = '{host}/base:1'\n"
    (said,) = run(
        names + block("kubeflow"),
        kubeflow.project,
        HOME=str(tmp_path),
        KUBECONFIG=str(kubeflow.kubernetes.kubeconfig_of(None, NAMESPACE)),
        KF_PIPELINES_ENDPOINT=kubeflow.pipelines.url,
        KAPTAIN_COMPONENT_IMAGE="registry.example.com/python-steps:1",
        **kubeflow.s3.provider().get_secret_body(),
    )
    assert said.startswith("trained 0.25 s3://models/prod/dev/line/trained/")


def test_a_bucket(
    kaptain_home: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_aws(monkeypatch)
    (project / "trainer.py").write_text("print('m=1.0')")
    training = """
from kaptain_kfp import Model
model = Model(id="a", name="A", description="d", version="1", framework="sklearn",
    framework_version="1", main_file="trainer.py", image_name="i", base_image="b", config=config)
print(model.train({}), model.history()[-1].event)
"""
    with serve_s3(tmp_path / "s3", "models") as server:
        variables = server.provider().get_secret_body()
        assert run(block("s3") + training, project, **variables) == ["True outcome"]
        assert list((server.folder / "models" / "prod" / "a" / "records").iterdir())
