"""Carrying out plans: what a namespace doesn't allow is an event, for every kind of workload."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.controllers import load_controllers
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.plans import carry_out

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
SPECS: dict[str, dict[str, Any]] = {
    "Job": {"template": TEMPLATE, "parallelism": 2, "completions": 2},
    "PyTorchJob": {
        "pytorchReplicaSpecs": {
            "Master": {
                "template": {"spec": {"containers": [{"name": "pytorch", "image": "i"}]}},
            }
        }
    },
    "TFJob": {
        "tfReplicaSpecs": {
            "Chief": {
                "template": {"spec": {"containers": [{"name": "tensorflow", "image": "i"}]}},
            }
        }
    },
}
VERSIONS = {"Job": "batch/v1", "PyTorchJob": "kubeflow.org/v1", "TFJob": "kubeflow.org/v1"}
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "q"},
    "spec": {"hard": {"pods": "0"}},
}


class World:
    def __init__(self, home: Path, kind: str) -> None:
        self.objects = Objects(home)
        self.kind = kind
        self.controller = load_controllers()[kind]
        metadata = {"name": "w", "namespace": "default"}
        made = {"apiVersion": VERSIONS[kind], "kind": kind, "metadata": metadata}
        self.objects.create({**made, "spec": SPECS[kind]})

    @property
    def manifest(self) -> dict[str, Any]:
        return self.objects.get(self.kind, "w")

    def reconcile(self, seconds: int = 0) -> bool:
        manifest, now = self.manifest, NOW + timedelta(seconds=seconds)
        children = self.objects.dependents(manifest["metadata"]["uid"])
        plan = self.controller.reconcile(manifest, children, now)
        return carry_out(self.objects, self.controller, manifest, plan, now)

    @property
    def events(self) -> list[tuple[str, int]]:
        return [(event["reason"], event["count"]) for event in self.objects.list("Event").items]

    @property
    def pods(self) -> int:
        return len(self.objects.list("Pod").items)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("Job", "FailedCreate"), ("PyTorchJob", "FailedCreatePod"), ("TFJob", "FailedCreatePod")],
)
def test_a_refusal_is_an_event_and_nothing_else(tmp_path: Path, kind: str, reason: str) -> None:
    world = World(tmp_path / "home", kind)
    world.objects.create(QUOTA)
    while world.reconcile():  # the Services of replicas come first
        assert world.objects.list("Service").items
    assert not world.reconcile(1)
    assert world.events == [(reason, 2)]
    (event,) = world.objects.list("Event").items
    assert event["message"].startswith('Error creating: pods "w-')
    assert event["message"].endswith(
        '" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0'
    )
    assert event["type"] == "Warning"
    assert world.pods == 0
    status = world.manifest["status"]
    assert "active" not in status
    assert [c["type"] for c in status.get("conditions", ())] in ([], ["Created"])
    world.objects.delete("ResourceQuota", "q")
    assert world.reconcile(2)
    assert world.pods == (2 if kind == "Job" else 1)


def test_what_was_allowed_before_the_refusal_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path / "home", "Job")
    world.objects.create({**QUOTA, "spec": {"hard": {"pods": "1"}}})
    assert not world.reconcile()
    assert not world.reconcile(1)
    assert world.pods == 1
    assert world.manifest["status"]["active"] == 1


def test_another_error_is_no_event(tmp_path: Path) -> None:
    world = World(tmp_path / "home", "Job")
    manifest = world.manifest
    plan = world.controller.reconcile(manifest, [], NOW)
    wrong = {**plan.create[0], "metadata": {"name": "Not_A_Name"}}
    with pytest.raises(Exception, match="Not_A_Name"):
        carry_out(world.objects, world.controller, manifest, type(plan)(create=(wrong,)), NOW)
    assert world.events == []
