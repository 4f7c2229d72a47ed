from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.podspec import launch_of
from kaptain_kfp.runs.executor_template import executor_template


@pytest.mark.parametrize("run", ["one", "two"])
def test_one_template_serves_every_run(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    template: dict[str, Any] = executor_template(
        tmp_path, {"kaptain-kfp/model": "m"}, {"GREETING": "$(HOME) $HOME"}, grace_seconds=3
    )
    assert template["spec"]["terminationGracePeriodSeconds"] == 3
    assert template["metadata"]["labels"] == {"kaptain-kfp/model": "m"}
    labels = {**template["metadata"]["labels"], "pipeline/runid": run}
    pod = {
        "metadata": {"name": "p", "namespace": "team-a", "labels": labels},
        "spec": template["spec"],
    }
    launch = launch_of(
        pod, tmp_path, lambda kind, name: {}, entrypoint=(), inherited={}, image_environment={}
    )
    assert launch.command == (sys.executable, "-m", "kaptain_kfp.runs.local_executor")
    assert launch.environment == {
        "KAPTAIN_HOME": str(tmp_path),
        "KAPTAIN_RUN_ID": run,
        "KAPTAIN_RUN_NAMESPACE": "team-a",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": "/mine",
        "GREETING": "$(HOME) $HOME",
    }
