from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from kaptain_kfp.compiler import packaged
from kaptain_kfp.runs.launcher import DAG_MARKER
from kaptain_kfp.runs.local_spec import KubeflowRun, with_own_components


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


KUBEFLOW = KubeflowRun("id-1", "A run", "p-id-1", "created", "planned", "minio://root/p/id-1")


def task_with(constant: str) -> dict[str, Any]:
    pipeline = nested()
    task = pipeline["components"]["comp-inner"]["dag"]["tasks"]["a"]
    task["inputs"] = {"parameters": {"x": {"runtimeValue": {"constant": constant}}}}
    return pipeline


def told(constant: str) -> str:
    made = with_own_components(task_with(constant), kubeflow=KUBEFLOW)
    task = made["components"]["comp-inner"]["dag"]["tasks"]["a"]
    return str(task["inputs"]["parameters"]["x"]["runtimeValue"]["constant"])


def test_what_kubeflow_tells_by_placeholders() -> None:
    from kfp import dsl

    assert told(f"run {dsl.PIPELINE_JOB_ID_PLACEHOLDER}!") == "run id-1!"
    assert told(dsl.PIPELINE_JOB_NAME_PLACEHOLDER) == "A run"
    assert told(dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER) == "p-id-1"
    assert told(dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER) == "created"
    assert told(dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER) == "planned"
    assert told(dsl.PIPELINE_TASK_NAME_PLACEHOLDER) == "a"
    assert told(dsl.PIPELINE_TASK_ID_PLACEHOLDER) == DAG_MARKER
    assert told(dsl.PIPELINE_ROOT_PLACEHOLDER) == "minio://root/p/id-1"


def test_a_run_object_says_what_is_told() -> None:
    run = {
        "metadata": {"name": "0123456789", "creationTimestamp": "created"},
        "spec": {
            "displayName": "R",
            "pipelineSpec": {"pipelineInfo": {"name": "p"}},
            "kubeflow": {"pipelineRoot": "s3://bucket/root/"},
        },
    }
    root = "s3://bucket/root/p/0123456789"
    assert KubeflowRun.of(run) == KubeflowRun(
        "0123456789", "R", "p-01234", "created", "created", root
    )
    run["spec"]["scheduledAt"] = "planned"  # type: ignore[index]
    assert KubeflowRun.of(run).scheduled == "planned"


def command_of(made: dict[str, Any], label: str) -> list[str]:
    return list(made["deploymentSpec"]["executors"][label]["container"]["command"])


def test_steps_of_kubeflow_go_through_the_launcher() -> None:
    made = with_own_components(nested(), namespace="team-a", kubeflow=KUBEFLOW)
    words = command_of(made, "exec-inner.a")
    assert words[:6] == [
        *("kaptain-step", "inner.a", "{{$.pipeline_job_name}}"),
        *("python3", "-m", "kaptain_kfp.runs.launcher"),
    ]
    assert json.loads(words[6]) == {
        "namespace": "team-a",
        "kubernetes": {},
        "kubeflow": {"pipelineRoot": "minio://root/p/id-1"},
    }
    assert words[7:] == ["{{$}}", "sh"]


def test_names_of_secrets_come_as_inputs_of_the_step() -> None:
    entry = {
        "keyToEnv": [{"secretKey": "k", "envVar": "K"}],
        "secretNameParameter": {"componentInputParameter": "secret"},
    }
    settings = {"exec-step": {"secretAsEnv": [entry]}}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": settings}}}}
    before = deepcopy(platform)
    made = with_own_components(nested(), platform)
    assert platform == before
    (source,) = json.loads(command_of(made, "exec-inner.a")[6])["kubernetes"]["secretAsEnv"]
    name = source["secretNameParameter"]["input"]
    task = made["components"]["comp-inner"]["dag"]["tasks"]["a"]
    assert task["inputs"]["parameters"][name] == {"componentInputParameter": "secret"}
    declared = made["components"]["comp-inner.a"]["inputDefinitions"]["parameters"]
    assert declared[name] == {"parameterType": "STRING"}


def test_settings_of_a_pod_alone_need_no_launcher() -> None:
    settings = {"exec-step": {"nodeSelector": {"labels": {"gpu": "yes"}}}}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": settings}}}}
    assert with_own_components(nested(), platform) == with_own_components(nested())
