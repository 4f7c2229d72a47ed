"""ResourceQuotas: what they refuse, and what is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ClusterError
from kaptain_kfp.local.kinds import KINDS, kind_of
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.quotas import kinds_counted, refusal, status, used

POD = kind_of("Pod")


def quota(**hard: Any) -> dict[str, Any]:
    hard = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": hard},
    }


def pod(name: str = "p", *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    made = [
        {"name": "abc"[index], "image": "i", "resources": resources}
        for index, resources in enumerate(containers or ({},))
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": made, **spec},
    }


def asks(**amounts: Any) -> dict[str, Any]:
    return {"requests": amounts}


def test_what_must_be_said() -> None:
    two = pod("p", asks(cpu="1"), asks(memory="1Gi"))
    both = quota(cpu="9", requests_memory="9Gi", pods="9")
    assert refusal(both, POD, two, []) == (
        "failed quota: q: must specify cpu for: b; requests.memory for: a"
    )
    limited = quota(limits_cpu="9")
    assert refusal(limited, POD, two, []) == "failed quota: q: must specify limits.cpu for: a,b"
    assert refusal(quota(cpu="9"), POD, pod("p", {"limits": {"cpu": 1}}), []) is None
    assert refusal(quota(requests_nvidia_com__gpu="0"), POD, pod(), []) is None


def test_what_is_too_much() -> None:
    there = [pod("a", asks(cpu="500m", memory="1Gi")), pod("b", asks(cpu="250m", memory="1Gi"))]
    full = quota(cpu="1", memory="2Gi", pods="2")
    assert refusal(full, POD, pod("c", asks(cpu="0.25", memory="512Mi")), there) == (
        "exceeded quota: q, requested: memory=512Mi,pods=1, used: memory=2Gi,pods=2, "
        "limited: memory=2Gi,pods=2"
    )
    assert refusal(quota(cpu="1"), POD, pod("c", asks(cpu="250m")), there) is None
    assert refusal(quota(cpu="1"), POD, pod("c", asks(cpu="251m")), there) == (
        "exceeded quota: q, requested: cpu=251m, used: cpu=750m, limited: cpu=1"
    )


def test_a_large_init_container_counts_and_pods_that_are_over_do_not() -> None:
    init = {"name": "i", "resources": asks(cpu="3")}
    spec = pod("p", asks(cpu="1"), asks(cpu="1"), initContainers=[init])
    over = {**pod("o", asks(cpu="8")), "status": {"phase": "Failed"}}
    amounts = used(POD, [spec, over])
    assert (amounts["cpu"], amounts["pods"], amounts["count/pods"]) == (3, 1, 2)


def test_devices_and_limits() -> None:
    gpu = pod("g", {"limits": {"nvidia.com/gpu": 2, "memory": "1Gi"}})
    hard = quota(limits_memory="4Gi")
    hard["spec"]["hard"]["requests.nvidia.com/gpu"] = "3"
    assert refusal(hard, POD, gpu, [gpu]) == (
        "exceeded quota: q, requested: requests.nvidia.com/gpu=2, used: "
        "requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=3"
    )
    assert status(hard, used(POD, [gpu]))["used"] == {
        "limits.memory": "1Gi",
        "requests.nvidia.com/gpu": "2",
    }


def test_only_what_it_names_is_counted() -> None:
    named = quota(services="1", **{"count__pytorchjobs.kubeflow.org": "1"})
    assert {kind.kind for kind in kinds_counted(named, KINDS)} == {"Service", "PyTorchJob"}
    assert [kind.kind for kind in kinds_counted(quota(limits_cpu="1"), KINDS)] == ["Pod"]


def test_its_status_follows_what_happens(tmp_path: Path) -> None:
    objects = Objects(tmp_path / "home")
    objects.create(quota(cpu="2", pods="2"))

    def in_use() -> Any:
        return objects.get("ResourceQuota", "q")["status"]["used"]

    assert in_use() == {"cpu": "0", "pods": "0"}
    objects.create(pod("a", asks(cpu="1500m")))
    assert in_use() == {"cpu": "1500m", "pods": "1"}
    with pytest.raises(ClusterError) as caught:
        objects.create(pod("b", asks(cpu="1")))
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    assert caught.value.message == (
        'pods "b" is forbidden: exceeded quota: q, '
        "requested: cpu=1, used: cpu=1500m, limited: cpu=2"
    )
    done = {**objects.get("Pod", "a"), "status": {"phase": "Succeeded"}}
    objects.update(done, status=True)
    assert in_use() == {"cpu": "0", "pods": "0"}
    objects.create(pod("b", asks(cpu="1")))
    objects.delete("Pod", "b")
    assert in_use() == {"cpu": "0", "pods": "0"}
    objects.patch("ResourceQuota", "q", "default", {"spec": {"hard": {"cpu": "4"}}})
    assert objects.get("ResourceQuota", "q")["status"]["hard"] == {"cpu": "4", "pods": "2"}
