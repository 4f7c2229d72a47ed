from __future__ import annotations

from pathlib import Path
from typing import Any

from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes

from .conftest import Client

WHERE = ("argoproj.io", "v1alpha1", "default", "workflows")


def run(name: str, **spec: Any) -> dict[str, Any]:
    pipeline = {"pipelineInfo": {"name": "kaptain-train"}}
    template: dict[str, Any] = {"spec": {"containers": []}}
    return {
        "apiVersion": "kaptain-kfp.io/v1",
        "kind": "Run",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "displayName": name,
            "experiment": "m",
            "pipelineSpec": pipeline,
            "kubeflow": {"pipelineRoot": "minio://b"},
            "template": template,
            **spec,
        },
    }


def test_runs_of_kubeflow_pipelines_are_seen_as_workflows(kaptain_home: Path) -> None:
    with serve_kubernetes(kaptain_home, kubelet=False, operators=False) as face:
        client = Client(face)
        try:
            code, message = client.refused(
                lambda: client.custom.list_namespaced_custom_object(*WHERE)
            )
            assert (code, message) == (404, "404 page not found\n"), "there is no Argo"
            objects = Objects(kaptain_home)
            objects.create(run("aaaaa-1"))
            objects.create(run("bbbbb-2", terminate=True))
            found = client.custom.list_namespaced_custom_object(
                *WHERE, label_selector="pipeline/runid=bbbbb-2"
            )
            (ending,) = found["items"]
            assert ending["spec"] == {"activeDeadlineSeconds": 0}
            assert ending["metadata"]["name"] == "kaptain-train-bbbbb"
            other = client.custom.get_namespaced_custom_object(*WHERE, "kaptain-train-aaaaa")
            assert other["spec"] == {}
            code, _ = client.refused(
                lambda: client.custom.get_namespaced_custom_object(*WHERE, "kaptain-train-c")
            )
            assert code == 404
            code, _ = client.refused(
                lambda: client.custom.delete_namespaced_custom_object(*WHERE, "kaptain-train-aaaaa")
            )
            assert code == 405
        finally:
            client.close()
