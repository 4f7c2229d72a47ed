from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ObjectNotFoundError
from kaptain_kfp.local.garbage import collect, collect_for, finish_deletion
from kaptain_kfp.local.objects import Objects

VERSIONS = {"Run": "kaptain-kfp.io/v1", "TFJob": "kubeflow.org/v1"}


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path)


def make(objects: Objects, kind: str, name: str, *owners: Any, **metadata: Any) -> Any:
    own = {"name": name, "ownerReferences": list(owners), **metadata}
    manifest = {"apiVersion": VERSIONS.get(kind, "v1"), "kind": kind, "metadata": own}
    if kind == "Pod":
        manifest["spec"] = {"containers": [{"name": "c", "image": "i:1"}]}
    return objects.create(manifest)


def owner(manifest: Any, *, blocks: bool = False, **changes: Any) -> dict[str, Any]:
    metadata = manifest["metadata"]
    reference = {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        **changes,
    }
    return {**reference, "blockOwnerDeletion": True} if blocks else reference


def there(objects: Objects, kind: str, name: str) -> bool:
    try:
        objects.get(kind, name)
    except ObjectNotFoundError:
        return False
    return True


def owners_of(objects: Objects, name: str) -> list[str]:
    metadata = objects.get("ConfigMap", name)["metadata"]
    return [reference["name"] for reference in metadata.get("ownerReferences", ())]


def settle(objects: Objects) -> None:
    for _ in range(10):
        if collect(objects) == 0:
            return
    pytest.fail("the collector doesn't come to rest")


def test_what_is_owned_goes_with_its_owner_and_its_own(objects: Objects) -> None:
    run = make(objects, "Run", "r")
    job = make(objects, "TFJob", "j", owner(run))
    make(objects, "ConfigMap", "c", owner(job))
    make(objects, "ConfigMap", "free")
    assert collect(objects) == 0
    objects.delete("Run", "r")
    settle(objects)
    assert not there(objects, "TFJob", "j") and not there(objects, "ConfigMap", "c")
    assert there(objects, "ConfigMap", "free")


def test_only_what_hangs_on_the_vanished_is_looked_at(objects: Objects) -> None:
    first, second = make(objects, "Run", "a"), make(objects, "Run", "b")
    make(objects, "ConfigMap", "x", owner(first))
    make(objects, "ConfigMap", "y", owner(second))
    for name in "ab":
        objects.delete("Run", name)
    assert collect_for(objects, [first["metadata"]["uid"], "unknown"]) == 1
    assert not there(objects, "ConfigMap", "x") and there(objects, "ConfigMap", "y")


def test_an_owner_made_anew_is_another(objects: Objects) -> None:
    old = make(objects, "Run", "r")
    make(objects, "ConfigMap", "c", owner(old))
    objects.delete("Run", "r")
    make(objects, "Run", "r")
    settle(objects)
    assert not there(objects, "ConfigMap", "c")


@pytest.mark.parametrize(
    ("namespace", "changes", "kept"),
    [
        ("default", {}, True),
        ("other", {}, False),
        ("default", {"uid": "another"}, False),
        ("default", {"name": "another"}, False),
        ("default", {"kind": "Unknown"}, True),
        ("default", {"apiVersion": "example.org/v1"}, True),
    ],
)
def test_who_counts_as_an_owner(
    objects: Objects, namespace: str, changes: dict[str, Any], kept: bool
) -> None:
    run = make(objects, "Run", "r")
    make(objects, "ConfigMap", "c", owner(run, **changes), namespace=namespace)
    settle(objects)
    assert len(objects.list("ConfigMap").items) == int(kept)


def test_one_owner_is_enough(objects: Objects) -> None:
    first, second = make(objects, "Run", "a"), make(objects, "Run", "b")
    make(objects, "ConfigMap", "c", owner(first), owner(second))
    objects.delete("Run", "a")
    settle(objects)
    assert owners_of(objects, "c") == ["b"]
    objects.delete("Run", "b")
    settle(objects)
    assert not there(objects, "ConfigMap", "c")


@pytest.mark.parametrize("sweep", [False, True])
def test_orphans_stay_and_forget_their_owner(objects: Objects, sweep: bool) -> None:
    run, other = make(objects, "Run", "r"), make(objects, "Run", "o")
    make(objects, "ConfigMap", "a", owner(run))
    make(objects, "ConfigMap", "b", owner(run), owner(other))
    marked = objects.delete("Run", "r", propagation="Orphan")
    assert collect(objects) if sweep else finish_deletion(objects, marked)
    assert not there(objects, "Run", "r")
    assert (owners_of(objects, "a"), owners_of(objects, "b")) == ([], ["o"])
    assert collect(objects) == 0


class Restless(Objects):
    """Somebody always writes in the moment after we looked."""

    def dependents(self, uid: str) -> Sequence[dict[str, Any]]:
        found = super().dependents(uid)
        for child in found:
            metadata = child["metadata"]
            labels = {"seen": metadata["resourceVersion"]}
            self.patch("ConfigMap", metadata["name"], "default", {"metadata": {"labels": labels}})
        return found


def test_whoever_else_writes_is_no_hindrance(tmp_path: Path) -> None:
    objects = Restless(tmp_path)
    for propagation in ("Orphan", "Foreground", "Background"):
        run = make(objects, "Run", "r")
        for number in range(3):
            make(objects, "ConfigMap", f"{propagation.lower()}-{number}", owner(run, blocks=True))
        gone = objects.delete("Run", "r", propagation=propagation)
        finish_deletion(objects, gone)
        collect_for(objects, [run["metadata"]["uid"]])
        assert not there(objects, "Run", "r")
    assert collect(objects) == 0
    left = [item["metadata"]["name"] for item in objects.list("ConfigMap").items]
    assert left == [f"orphan-{number}" for number in range(3)]


def test_in_the_foreground_the_owner_goes_last(objects: Objects) -> None:
    run = make(objects, "Run", "r")
    job = make(objects, "TFJob", "j", owner(run, blocks=True))
    make(objects, "ConfigMap", "held", owner(job, blocks=True), finalizers=["x/hold"])
    objects.delete("Run", "r", propagation="Foreground")
    settle(objects)
    held = objects.get("ConfigMap", "held")["metadata"]
    assert held["finalizers"] == ["x/hold"] and "deletionTimestamp" in held
    assert objects.get("TFJob", "j")["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert there(objects, "Run", "r")
    objects.patch("ConfigMap", "held", "default", {"metadata": {"finalizers": None}})
    settle(objects)
    assert not there(objects, "TFJob", "j") and not there(objects, "Run", "r")


def test_in_the_foreground_only_those_block_who_say_so(objects: Objects) -> None:
    run = make(objects, "Run", "r")
    make(objects, "ConfigMap", "held", owner(run), finalizers=["x/hold"])
    finish_deletion(objects, objects.delete("Run", "r", propagation="Foreground"))
    assert not there(objects, "Run", "r")
    assert "deletionTimestamp" in objects.get("ConfigMap", "held")["metadata"]


def test_in_the_foreground_what_another_keeps_stays(objects: Objects) -> None:
    run, other = make(objects, "Run", "r"), make(objects, "Run", "o")
    make(objects, "ConfigMap", "c", owner(run, blocks=True), owner(other))
    finish_deletion(objects, objects.delete("Run", "r", propagation="Foreground"))
    assert not there(objects, "Run", "r")
    assert owners_of(objects, "c") == ["o"]


def test_a_bound_pod_is_marked_and_left_to_its_kubelet(objects: Objects) -> None:
    run = make(objects, "Run", "r")
    make(objects, "Pod", "p", owner(run, blocks=True))
    objects.patch("Pod", "p", "default", {"spec": {"nodeName": "here"}})
    objects.delete("Run", "r", propagation="Foreground")
    settle(objects)
    assert objects.get("Pod", "p")["metadata"]["deletionGracePeriodSeconds"] == 30
    assert there(objects, "Run", "r")
    objects.delete("Pod", "p", grace_seconds=0)
    settle(objects)
    assert not there(objects, "Run", "r")


def test_what_is_not_being_deleted_is_left_alone(objects: Objects) -> None:
    run = make(objects, "Run", "r", finalizers=["orphan", "foregroundDeletion"])
    make(objects, "ConfigMap", "c", owner(run))
    assert not finish_deletion(objects, run)
    assert collect(objects) == 0
    assert owners_of(objects, "c") == ["r"]


def test_what_was_seen_too_long_ago_is_looked_at_anew(objects: Objects) -> None:
    run = make(objects, "Run", "r")
    make(objects, "ConfigMap", "c", owner(run))
    marked = objects.delete("Run", "r", propagation="Orphan")
    objects.patch("Run", "r", "default", {"metadata": {"labels": {"a": "b"}}})
    assert finish_deletion(objects, marked)
    assert not finish_deletion(objects, marked)
    assert not there(objects, "Run", "r") and there(objects, "ConfigMap", "c")
    make(objects, "Run", "r", finalizers=["orphan"])
    assert not finish_deletion(objects, marked)
    assert objects.get("Run", "r")["metadata"]["finalizers"] == ["orphan"]
