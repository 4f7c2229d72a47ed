from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.exceptions import (
    ClusterError,
    ObjectConflictError,
    ObjectExistsError,
    ObjectInvalidError,
    ObjectNotFoundError,
    ResourceExpiredError,
)
from kaptain_kfp.local import rows, writes
from kaptain_kfp.local.bell import Bell
from kaptain_kfp.local.database import Database
from kaptain_kfp.local.kinds import kind_of
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.views import restarted
from kaptain_kfp.testing.waiting import PATIENCE

from .samples import config, names, pod, torch


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "home")


def test_what_is_created_is_there(objects: Objects, tmp_path: Path) -> None:
    made = objects.create(config("a", {"x": "ä\n"}))
    assert made["data"] == {"x": "ä\n"}
    assert made["metadata"]["namespace"] == "default"
    assert objects.get("ConfigMap", "a") == made
    assert Objects(tmp_path / "home").get("ConfigMap", "a") == made


def test_what_is_given_stays_as_it_is(objects: Objects) -> None:
    given = torch("a", n=1)
    made = objects.create(given)
    made["spec"]["n"] = 2
    assert given == torch("a", n=1)
    assert objects.get("PyTorchJob", "a")["spec"] == {"n": 1}


def test_names_are_taken_per_kind_and_namespace(objects: Objects) -> None:
    objects.create(config("a"))
    objects.create(config("a", namespace="other"))
    objects.create(torch("a"))
    with pytest.raises(ObjectExistsError, match='configmaps "a" already exists'):
        objects.create(config("a"))
    assert objects.get("ConfigMap", "a", "other")["metadata"]["namespace"] == "other"


def test_a_kind_of_the_whole_cluster_has_no_namespace(objects: Objects) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "n", "namespace": "x"},
    }
    made = objects.create(manifest)
    assert "namespace" not in made["metadata"]
    assert objects.get("Namespace", "n", "wherever") == made


def test_generated_names(objects: Objects) -> None:
    made = names(objects.create(config("", generateName="x" * 60)) for _ in range(20))
    assert len(set(made)) == 20
    assert {(len(name), name[:58]) for name in made} == {(63, "x" * 58)}


@pytest.mark.parametrize(
    ("manifest", "error", "message"),
    [
        ({"apiVersion": "v9", "kind": "Pod"}, ObjectInvalidError, 'no matches for kind "Pod"'),
        ({"kind": "Pod"}, ObjectInvalidError, 'no matches for kind "Pod"'),
        (config("a", resourceVersion="5"), ClusterError, "resourceVersion should not be set"),
        (config(""), ObjectInvalidError, "name or generateName is required"),
        (
            {**config("a"), "metadata": [1]},
            ClusterError,
            "metadata of a ConfigMap must be an object",
        ),
        (config("a", {"x": float("nan")}), ClusterError, "can't be written as JSON"),
        (config("a", {"x": {1, 2}}), ClusterError, "can't be written as JSON"),
    ],
)
def test_what_is_not_created(
    objects: Objects, manifest: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        objects.create(manifest)
    assert message in str(caught.value)
    assert objects.revision() == 0


def test_a_dry_run_stores_nothing(objects: Objects) -> None:
    made = objects.create(torch("a", n=1), dry_run=True)
    assert made["metadata"]["uid"]
    assert "resourceVersion" not in made["metadata"]
    there = objects.create(torch("a", n=1))
    with pytest.raises(ObjectExistsError):
        objects.create(torch("a"), dry_run=True)
    patched = objects.patch("PyTorchJob", "a", "default", {"spec": {"n": 2}}, dry_run=True)
    assert (patched["spec"], patched["metadata"]["generation"]) == ({"n": 2}, 2)
    updated = objects.update({**there, "spec": {"n": 3}}, dry_run=True)
    assert updated["spec"] == {"n": 3}
    objects.delete("PyTorchJob", "a", dry_run=True)
    assert objects.get("PyTorchJob", "a") == there
    assert objects.revision() == 1


@pytest.mark.parametrize(
    ("change", "generation"),
    [
        ({"spec": {"n": 2}}, 2),
        ({"spec": {"n": True}}, 2),
        ({"spec": {"n": 1}}, 1),
        ({"metadata": {"labels": {"a": "b"}}}, 1),
        ({"status": {"x": 1}}, 1),
    ],
)
def test_the_generation_counts_changes_of_the_spec(
    objects: Objects, change: dict[str, Any], generation: int
) -> None:
    objects.create(torch("a", n=1))
    changed = objects.patch("PyTorchJob", "a", "default", change)
    assert changed["metadata"]["generation"] == generation


def test_choosing_a_machine_is_no_change_of_what_a_pod_shall_be(objects: Objects) -> None:
    objects.create(pod("p"))
    bound = objects.patch("Pod", "p", "default", {"spec": {"nodeName": "here"}})
    assert bound["metadata"]["generation"] == 1
    with pytest.raises(ObjectInvalidError, match="may not change fields other than"):
        objects.patch("Pod", "p", "default", {"spec": {"nodeName": "there"}})


def test_a_write_that_changes_nothing_wakes_nobody(objects: Objects, tmp_path: Path) -> None:
    there = objects.create(torch("a", n=1))
    with Bell(tmp_path / "home") as bell:
        assert objects.update(there) == there
        assert objects.patch("PyTorchJob", "a", "default", {"spec": {"n": 1}}) == there
        assert not bell.wait(0)
        objects.patch("PyTorchJob", "a", "default", {"spec": {"n": 2}})
        assert bell.wait(0)
    assert objects.revision() == 2


def test_the_server_keeps_its_own_fields(objects: Objects) -> None:
    there = objects.create(torch("a"))
    mine = {"creationTimestamp": "2000-01-01T00:00:00Z", "generation": 9, "deletionTimestamp": "x"}
    sent = {**there, "metadata": {**there["metadata"], **mine}}
    assert objects.update(sent) == there


def test_status_and_the_rest_are_written_apart(objects: Objects) -> None:
    there = objects.create({**torch("a", n=1), "status": {"lost": True}})
    assert "status" not in there
    sent = {**there, "spec": {"n": 2}, "status": {"x": 1}}
    with_status = objects.update(sent, status=True)
    assert (with_status["spec"], with_status["status"]) == ({"n": 1}, {"x": 1})
    current = {**sent, "metadata": with_status["metadata"], "status": {"x": 9}}
    with_spec = objects.update(current)
    assert (with_spec["spec"], with_spec["status"]) == ({"n": 2}, {"x": 1})
    patched = objects.patch(
        "PyTorchJob", "a", "default", {"status": None, "spec": {"n": 3}}, status=True
    )
    assert (patched["spec"], "status" in patched) == ({"n": 2}, False)


def test_not_every_kind_has_a_status_to_write_apart(objects: Objects) -> None:
    there = objects.create(config("a", {"x": "1"}))
    with pytest.raises(ObjectNotFoundError, match="could not find the requested resource"):
        objects.update({**there, "data": {"x": "2"}}, status=True)
    with pytest.raises(ObjectNotFoundError, match="write the whole object"):
        objects.patch("ConfigMap", "a", "default", {"data": {"x": "2"}}, status=True)
    assert objects.get("ConfigMap", "a") == there


def test_a_stale_write_is_refused(objects: Objects) -> None:
    old = objects.create(config("a", {"x": "1"}))
    objects.patch("ConfigMap", "a", "default", {"data": {"x": "2"}})
    with pytest.raises(ObjectConflictError, match="please apply your changes"):
        objects.update({**old, "data": {"x": "3"}})
    with pytest.raises(ObjectConflictError):
        version = {"resourceVersion": old["metadata"]["resourceVersion"]}
        objects.patch("ConfigMap", "a", "default", {"metadata": version, "data": {"x": "3"}})
    objects.delete("ConfigMap", "a")
    again = objects.create(config("a", {"x": "4"}))
    with pytest.raises(ObjectConflictError, match="UID in precondition"):
        objects.update(config("a", {"x": "5"}, uid=old["metadata"]["uid"]))
    assert objects.get("ConfigMap", "a") == again


def test_a_write_to_what_is_not_there(objects: Objects) -> None:
    with pytest.raises(ObjectNotFoundError, match='configmaps "a" not found'):
        objects.update(config("a"))
    with pytest.raises(ObjectNotFoundError):
        objects.patch("ConfigMap", "a", "default", {})
    with pytest.raises(ObjectNotFoundError):
        objects.delete("ConfigMap", "a")
    with pytest.raises(ObjectNotFoundError):
        objects.get("ConfigMap", "a")


@pytest.mark.parametrize(
    ("patch", "form", "code"),
    [
        ([{"op": "add", "path": "/data/x", "value": "1"}], "merge", 400),
        ([], "strategic", 400),
        ({"data": {}}, "json", 400),
        ([{"op": "remove", "path": "/data"}], "json", 422),
        ([{"op": "replace", "path": "", "value": 1}], "json", 422),
        ({"metadata": None}, "merge", 400),
        ({"metadata": {"name": "b"}}, "merge", 400),
        ({"metadata": {"namespace": "b"}}, "merge", 400),
        ({"kind": "Secret"}, "merge", 400),
        ({"metadata": {"labels": {"a": "/"}}}, "merge", 422),
    ],
)
def test_a_patch_that_does_not_fit(objects: Objects, patch: Any, form: Any, code: int) -> None:
    there = objects.create(config("a"))
    with pytest.raises(ClusterError) as caught:
        objects.patch("ConfigMap", "a", "default", patch, form=form)
    assert caught.value.code == code
    assert objects.get("ConfigMap", "a") == there


def test_a_service_gets_ports_of_its_own(objects: Objects) -> None:
    ports = []
    for name in ("a", "b", "c"):
        metadata, spec = {"name": name}, {"ports": [{"port": 80}, {"port": 81}]}
        manifest = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        ports += [port["nodePort"] for port in objects.create(manifest)["spec"]["ports"]]
    assert len(set(ports)) == 6


# Deleting


def test_a_pod_with_a_machine_waits_for_its_processes(objects: Objects) -> None:
    objects.create(pod("p"))
    objects.patch("Pod", "p", "default", {"spec": {"nodeName": "here"}})
    marked = objects.delete("Pod", "p")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert objects.delete("Pod", "p") == marked
    shorter = objects.delete("Pod", "p", grace_seconds=5)
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert objects.delete("Pod", "p", grace_seconds=9) == shorter
    assert objects.get("Pod", "p") == shorter
    objects.delete("Pod", "p", grace_seconds=0)
    with pytest.raises(ObjectNotFoundError):
        objects.get("Pod", "p")


def test_watchers_see_what_went_as_it_was_last(objects: Objects) -> None:
    objects.create(config("a", {"x": "1"}, finalizers=["me/hold"], labels={"k": "1"}))
    objects.delete("ConfigMap", "a")
    last = objects.get("ConfigMap", "a")
    change = {"metadata": {"finalizers": None, "labels": {"k": "2"}}}
    answer = objects.patch("ConfigMap", "a", "default", change)
    assert "finalizers" not in answer["metadata"]
    assert answer["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]
    (gone,) = objects.changes(2, labels="k=1")
    assert (gone.type, gone.resource_version) == ("DELETED", "3")
    assert gone.object["metadata"] == {**last["metadata"], "resourceVersion": "3"}
    assert objects.changes(2, labels="k=2") == []


# Owners


def test_dependents_are_those_that_name_the_owner_now(objects: Objects, tmp_path: Path) -> None:
    owner = torch("o")
    uid = objects.create(owner)["metadata"]["uid"]
    reference = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "name": "o", "uid": uid}
    for name in ("b", "a", "c"):
        objects.create(config(name, ownerReferences=[reference]))
    objects.create(config("free"))
    assert names(objects.dependents(uid)) == ["a", "b", "c"]
    assert sorted(names(objects.owned())) == ["a", "b", "c"]
    objects.patch("ConfigMap", "a", "default", {"metadata": {"ownerReferences": None}})
    objects.delete("ConfigMap", "b")
    objects.patch("ConfigMap", "c", "default", {"data": {"x": "1"}})
    objects.patch("ConfigMap", "free", "default", {"metadata": {"ownerReferences": [reference]}})
    assert names(objects.dependents(uid)) == ["c", "free"]
    assert objects.dependents("another") == []
    with Database(tmp_path / "home").read() as connection:
        assert connection.execute("SELECT count(*) FROM owners").fetchone() == (2,)


def test_all_that_are_owned_are_found_page_by_page(objects: Objects) -> None:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}
    for number in range(450):
        objects.create(config(f"c{number:03}", ownerReferences=[reference]))
    found = names(objects.owned())
    assert (len(found), len(set(found))) == (450, 450)


def test_what_is_being_deleted_is_found(objects: Objects) -> None:
    objects.create(config("a", {"text": '"deletionTimestamp"'}))
    objects.create(config("b", finalizers=["me/hold"]))
    assert objects.in_deletion() == []
    objects.delete("ConfigMap", "b")
    assert names(objects.in_deletion()) == ["b"]


# Listing


def test_lists_are_sorted_and_selected(objects: Objects) -> None:
    for name in ("b", "a.x", "a", "ab"):
        objects.create(config(name, labels={"first": name[0]}))
    objects.create(config("a", namespace="aaa"))
    assert names(objects.list("ConfigMap").items) == ["a", "a", "a.x", "ab", "b"]
    assert names(objects.list("ConfigMap", "default").items) == ["a", "a.x", "ab", "b"]
    assert names(objects.list("ConfigMap", labels={"first": "a"}).items) == ["a", "a.x", "ab"]
    assert names(objects.list("ConfigMap", prefix="a.").items) == ["a.x"]
    assert names(objects.list("ConfigMap", fields="metadata.name=a").items) == ["a", "a"]
    assert names(objects.list("Secret").items) == []


def test_pages_hang_together(objects: Objects) -> None:
    for number in range(10):
        objects.create(config(f"c{number}"))
    first = objects.list("ConfigMap", limit=4)
    assert (names(first.items), first.remaining) == (["c0", "c1", "c2", "c3"], 6)
    objects.delete("ConfigMap", "c1")
    objects.patch("ConfigMap", "c2", "default", {"data": {"x": "new"}})
    objects.delete("ConfigMap", "c4")
    objects.create(config("c55"))
    second = objects.list("ConfigMap", limit=4, continue_token=first.continue_token)
    assert names(second.items) == ["c5", "c55", "c6", "c7"]
    third = objects.list("ConfigMap", limit=4, continue_token=second.continue_token)
    assert (names(third.items), third.continue_token) == (["c8", "c9"], None)
    # Whoever watches from the version of the list learns what changed behind his back.
    assert {page.resource_version for page in (first, second, third)} == {"10"}
    missed = objects.changes(int(third.resource_version))
    assert [(c.type, c.object["metadata"]["name"]) for c in missed] == [
        ("DELETED", "c1"),
        ("MODIFIED", "c2"),
        ("DELETED", "c4"),
        ("ADDED", "c55"),
    ]


@pytest.mark.parametrize("token", ["abc", "WzFd", "e30=", "ü", "WyJ4IiwiYSIsImIiXQ=="])
def test_a_token_that_makes_no_sense(objects: Objects, token: str) -> None:
    with pytest.raises(ClusterError) as caught:
        objects.list("ConfigMap", continue_token=token)
    assert caught.value.code == 400


def test_a_list_that_began_too_long_ago_is_gone_on_with_as_things_are(tmp_path: Path) -> None:
    objects = Objects(tmp_path / "home", log_kept=16)
    for number in range(4):
        objects.create(config(f"c{number}"))
    first = objects.list("ConfigMap", limit=2)
    assert first.continue_token is not None
    for number in range(64):
        objects.create(torch(f"t{number}"))
    with pytest.raises(ResourceExpiredError) as caught:
        objects.list("ConfigMap", limit=2, continue_token=first.continue_token)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    rest = objects.list("ConfigMap", limit=2, continue_token=restarted(first.continue_token))
    assert names(rest.items) == ["c2", "c3"]
    assert rest.resource_version == str(objects.revision())


def test_five_thousand_objects_need_the_memory_of_a_page(objects: Objects, tmp_path: Path) -> None:
    kind, now = kind_of("ConfigMap"), datetime.now(timezone.utc)
    with Database(tmp_path / "home").write() as connection:
        for number in range(5000):
            manifest = config(f"c{number:04}", {"x": "x" * 2000}, labels={"even": str(number % 2)})
            rows.store(connection, kind, writes.new_object(kind, manifest, now), None)
    tracemalloc.start()
    try:
        seen, pages, token = 0, 0, None
        while pages == 0 or token:
            page = objects.list("ConfigMap", labels="even=0", limit=50, continue_token=token)
            seen, pages, token = seen + len(page.items), pages + 1, page.continue_token
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == 2500
    assert peak < 1_500_000  # all of them take more than ten million


# Several at once


def at_once(work: Callable[[int], None], threads: int) -> None:
    running = [threading.Thread(target=work, args=[number]) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(PATIENCE)


@settings(max_examples=4, deadline=None)
@given(threads=st.integers(2, 6), rounds=st.integers(1, 12))
def test_no_increment_is_lost(threads: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        objects = Objects(Path(folder))
        objects.create(config("counter", {"n": "0"}))

        def increment() -> None:
            done = 0
            while done < rounds:
                there = objects.get("ConfigMap", "counter")
                with suppress(ObjectConflictError):
                    objects.update({**there, "data": {"n": str(int(there["data"]["n"]) + 1)}})
                    done += 1

        at_once(lambda _: increment(), threads)
        there = objects.get("ConfigMap", "counter")
        assert there["data"]["n"] == str(threads * rounds)
        assert objects.revision() == threads * rounds + 1


def test_only_one_creates_a_name(objects: Objects) -> None:
    made: list[int] = []

    def create(number: int) -> None:
        for name in range(10):
            try:
                objects.create(config(f"c{name}"))
                made.append(name)
            except ObjectExistsError:
                pass

    at_once(create, 4)
    assert sorted(made) == list(range(10))


WRITER = """
import sys
from pathlib import Path
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.views import restarted

objects, me = Objects(Path(sys.argv[1])), sys.argv[2]
config = {"apiVersion": "v1", "kind": "ConfigMap"}
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    objects.create({**config, "metadata": {"name": f"{me}-{number}"}})
    objects.patch("ConfigMap", "shared", "default", {"data": {f"{me}-{number}": "x"}})
"""


def test_processes_lose_nothing(objects: Objects, tmp_path: Path) -> None:
    objects.create(config("shared", {}))
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    program = [sys.executable, "-c", WRITER, str(tmp_path / "home")]
    writers = [subprocess.Popen([*program, word], text=True, **pipes) for word in "abcd"]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        results = [writer.communicate("go\n", timeout=PATIENCE) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert results == [("", "")] * 4
    expected = {f"{word}-{number}" for word in "abcd" for number in range(25)}
    assert set(objects.get("ConfigMap", "shared")["data"]) == expected
    assert set(names(objects.list("ConfigMap").items)) == {*expected, "shared"}
    assert objects.revision() == 1 + 2 * len(expected)
    versions = [int(change.resource_version) for change in objects.changes(0)]
    assert versions == list(range(1, objects.revision() + 1))


def test_nobody_writes_while_one_is_exclusive(objects: Objects) -> None:
    created = threading.Event()

    def create() -> None:
        objects.create(config("a"))
        created.set()

    thread = threading.Thread(target=create)
    with objects.exclusive():
        thread.start()
        assert not created.wait(0.2)
        assert objects.revision() == 0
    thread.join(PATIENCE)
    assert objects.revision() == 1
