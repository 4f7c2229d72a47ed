from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timezone
from typing import Any

import pytest

from kaptain_kfp.local.deletion import complete, marked
from kaptain_kfp.local.kinds import kind_of

NOW = datetime(2026, 1, 2, 3, 4, 30, tzinfo=timezone.utc)
AT_ONCE = None


def thing(kind: str = "ConfigMap", *finalizers: str, **metadata: Any) -> dict[str, Any]:
    own = {"name": "x", **({"finalizers": list(finalizers)} if finalizers else {}), **metadata}
    return {"kind": kind, "metadata": own, "spec": {}}


def leaving(kind: str = "ConfigMap", *finalizers: str, grace: int = 0) -> dict[str, Any]:
    times = {"deletionTimestamp": "2026-01-02T03:04:30Z", "deletionGracePeriodSeconds": grace}
    return thing(kind, *finalizers, **times)


def pod(**spec: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "p", "generation": 1}, "spec": spec}


def mark(before: dict[str, Any], policy: Any = None, grace: int | None = None) -> Any:
    given = deepcopy(before)
    after = marked(kind_of(before["kind"]), before, policy, grace, NOW)
    assert before == given
    return after


@pytest.mark.parametrize(
    ("before", "policy", "finalizers"),
    [
        (thing(), None, AT_ONCE),
        (thing(), "Background", AT_ONCE),
        (thing(), "Foreground", ["foregroundDeletion"]),
        (thing(), "Orphan", ["orphan"]),
        (thing("Job"), None, ["orphan"]),
        (thing("Job"), "Background", AT_ONCE),
        (thing("Job"), "Foreground", ["foregroundDeletion"]),
        (thing("ConfigMap", "me/hold"), None, ["me/hold"]),
        (thing("ConfigMap", "me/hold"), "Orphan", ["me/hold", "orphan"]),
        # what was asked for before holds, unless something else is asked for
        (leaving("ConfigMap", "orphan"), None, ["orphan"]),
        (leaving("ConfigMap", "foregroundDeletion"), None, ["foregroundDeletion"]),
        (leaving("ConfigMap", "foregroundDeletion"), "Orphan", ["orphan"]),
        (leaving("ConfigMap", "foregroundDeletion"), "Background", AT_ONCE),
        (leaving("Job", "foregroundDeletion"), None, ["foregroundDeletion"]),
        (leaving("ConfigMap", "me/hold", "orphan"), "Background", ["me/hold"]),
        (leaving("ConfigMap", "me/hold"), None, ["me/hold"]),
    ],
)
def test_what_it_waits_for(before: dict[str, Any], policy: Any, finalizers: Any) -> None:
    after = mark(before, policy)
    assert (after and after["metadata"]["finalizers"]) == finalizers


def test_the_mark() -> None:
    metadata = mark(thing("PyTorchJob", "me/hold", generation=4))["metadata"]
    assert metadata == {
        "name": "x",
        "finalizers": ["me/hold"],
        "generation": 5,
        "deletionTimestamp": "2026-01-02T03:04:30Z",
        "deletionGracePeriodSeconds": 0,
    }


def test_what_has_no_generation_gets_none() -> None:
    assert "generation" not in mark(thing("ConfigMap", "me/hold"))["metadata"]


def test_marking_once_more_changes_nothing() -> None:
    once = mark(thing("PyTorchJob", "me/hold", generation=4))
    assert mark(once) == once


@pytest.mark.parametrize(
    ("spec", "asked", "grace", "until"),
    [
        ({}, None, AT_ONCE, None),
        ({}, 60, AT_ONCE, None),
        ({"nodeName": "n"}, None, 30, "2026-01-02T03:05:00Z"),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 5}, None, 5, "2026-01-02T03:04:35Z"),
        ({"nodeName": "n"}, 90, 90, "2026-01-02T03:06:00Z"),
        ({"nodeName": "n"}, 0, AT_ONCE, None),
        ({"nodeName": "n"}, -1, AT_ONCE, None),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 0}, None, AT_ONCE, None),
    ],
)
def test_the_grace_of_a_pod(
    spec: dict[str, Any], asked: int | None, grace: int | None, until: str | None
) -> None:
    metadata = (mark(pod(**spec), grace=asked) or {"metadata": {}})["metadata"]
    assert metadata.get("deletionGracePeriodSeconds") == grace
    assert metadata.get("deletionTimestamp") == until


@pytest.mark.parametrize(
    ("asked", "grace", "until"),
    [
        (None, 30, "2026-01-02T03:04:30Z"),
        (60, 30, "2026-01-02T03:04:30Z"),
        (30, 30, "2026-01-02T03:04:30Z"),
        (10, 10, "2026-01-02T03:04:10Z"),
    ],
)
def test_grace_is_only_ever_shortened(asked: int | None, grace: int, until: str) -> None:
    before = leaving("Pod", grace=30)
    metadata = mark(before, grace=asked)["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == grace
    assert metadata["deletionTimestamp"] == until


def test_a_leaving_pod_goes_at_once_when_asked() -> None:
    assert mark(leaving("Pod", grace=30), grace=0) is AT_ONCE
    held = mark(leaving("Pod", "me/hold", grace=30), grace=0)
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0


@pytest.mark.parametrize(
    ("manifest", "over"),
    [
        (thing(), False),
        (thing("ConfigMap", "me/hold"), False),
        (leaving(), True),
        (leaving("ConfigMap", "me/hold"), False),
        (leaving("Pod", grace=30), False),
        (leaving("Pod"), True),
    ],
)
def test_when_nothing_is_waited_for_any_more(manifest: dict[str, Any], over: bool) -> None:
    assert complete(manifest) is over
