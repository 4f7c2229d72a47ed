"""Runs that are really executed."""

# No postponed annotations here: kfp reads the types of a pipeline's parameters as they are.
from pathlib import Path

import kfp
from kfp import compiler, dsl

from .conftest import finished


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def tell(run_id: str, dag: str, task: str, n: int) -> str:
    import json
    import os

    names = ("KAPTAIN_TARGET", "KAPTAIN_HOME", "KAPTAIN_RUN_ID", "KAPTAIN_TASK")
    seen = {name: os.environ.get(name) for name in names}
    return json.dumps({"run": run_id, "dag": dag, "task": task, "n": n, "seen": seen})


@dsl.pipeline(name="telling")
def telling(n: int = 3) -> str:
    told = tell(
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        dag=dsl.PIPELINE_TASK_ID_PLACEHOLDER,
        task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
        n=n,
    )
    return told.output


def test_a_run(client: kfp.Client, tmp_path: Path, kaptain_home: Path) -> None:
    compiler.Compiler().compile(telling, str(tmp_path / "p.yaml"))
    pipeline = client.upload_pipeline(str(tmp_path / "p.yaml"), "telling")
    version = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions[0]
    experiment = client.create_experiment("e")
    run = client.run_pipeline(
        experiment.experiment_id,
        "job",
        pipeline_id=pipeline.pipeline_id,
        version_id=version.pipeline_version_id,
        params={"n": 4},
    )
    over = finished(client, run.run_id)
    assert over.state == "SUCCEEDED"
