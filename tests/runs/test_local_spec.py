from __future__ import annotations

from copy import deepcopy
from typing import Any

from kaptain_kfp.compiler import packaged
from kaptain_kfp.runs.local_spec import with_own_components


def nested() -> dict[str, Any]:
    step = {"executorLabel": "exec-step"}
    return {
        "components": {
            "comp-step": step,
            "comp-inner": {"dag": {"tasks": {"a": {"componentRef": {"name": "comp-step"}}}}},
        },
        "deploymentSpec": {
            "executors": {"exec-step": {"container": {"command": ["sh"], "image": "i"}}}
        },
        "pipelineInfo": {"name": "p"},
        "root": {
            "dag": {
                "tasks": {
                    "a": {"componentRef": {"name": "comp-step"}},
                    "b": {"componentRef": {"name": "comp-step"}},
                    "inner": {"componentRef": {"name": "comp-inner"}},
                }
            }
        },
    }


def test_every_task_gets_a_component_and_an_executor_of_its_own() -> None:
    made = with_own_components(nested())
    assert sorted(made["components"]) == ["comp-a", "comp-b", "comp-inner", "comp-inner.a"]
    assert sorted(made["deploymentSpec"]["executors"]) == ["exec-a", "exec-b", "exec-inner.a"]
    inner = made["components"]["comp-inner"]["dag"]["tasks"]["a"]
    assert inner["componentRef"]["name"] == "comp-inner.a"
    command = made["deploymentSpec"]["executors"]["exec-inner.a"]["container"]["command"]
    assert command == ["kaptain-step", "inner.a", "{{$.pipeline_job_name}}", "sh"]


def test_the_compiled_pipeline_is_left_as_it_is() -> None:
    for pipeline in (nested(), packaged.pipeline("kaptain-train")):
        before = deepcopy(pipeline)
        with_own_components(pipeline)
        assert pipeline == before
