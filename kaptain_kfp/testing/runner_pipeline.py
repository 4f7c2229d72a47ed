"""A pipeline for the contract of runners: its one step does what the test says."""

# No postponed annotations here: kfp reads the types of a component's parameters as they are.
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from kfp import compiler, dsl

__all__ = ["pipeline"]


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def act(
    home: str,
    store: str,
    what: str,
    run_id: str,
    dag_id: str,
    task_name: str,
) -> NamedTuple("Outputs", [("model_uri", str), ("outcome", dict)]):  # type: ignore[valid-type]
    from kaptain_kfp.testing.runner_steps import perform

    return perform(home, store, what, run_id, dag_id, task_name)


@dsl.pipeline(name="kaptain-contract")
def contract(home: str, store: str, what: str) -> None:
    act(
        home=home,
        store=store,
        what=what,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        dag_id=dsl.PIPELINE_TASK_ID_PLACEHOLDER,
        task_name=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
    ).set_caching_options(False)


@cache
def pipeline() -> Mapping[str, Any]:
    """Returns the pipeline, compiled.

    Its parameters: `home`, the local world in which workloads run; `store`, the folder of the
    records; and `what` its step does, see `kaptain_kfp.testing.runner_steps.perform`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "contract.yaml"
        compiler.Compiler().compile(contract, str(path))
        compiled: Mapping[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return compiled
