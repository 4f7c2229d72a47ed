from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from kaptain_kfp.local.kinds import KINDS, kind_of
from kaptain_kfp.testing.kubernetes_api.fields import prune_unknown, repeated_fields


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"a": 1, "b": {"a": 1}}', []),
        (b'{"a": 1, "a": 2}', ["a"]),
        (b'{"a": {"b": 1, "b": 1, "b": 1, "c": 1, "c": 1}}', ["a.b", "a.c"]),
        (b'{"a": [{}, {"b": [{"c": 1, "c": 2}]}]}', ["a[1].b[0].c"]),
        (b"[]", []),
        (b"{", []),
        (b"a: 1\na: 2\n", []),
    ],
)
def test_fields_that_come_twice(body: bytes, fields: list[str]) -> None:
    assert repeated_fields(body) == fields


POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"any": "thing"}},
    "spec": {
        "containers": [
            {
                "name": "c",
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "resources": {"limits": {"any/thing": "1"}},
            }
        ]
    },
    "status": {"phase": "Pending", "startTime": None},
}


def test_what_a_kind_has_stays() -> None:
    pod = deepcopy(POD)
    assert prune_unknown(kind_of("Pod"), pod) == []
    assert pod == POD


def test_what_it_does_not_have_goes() -> None:
    pod = deepcopy(POD)
    pod["spek"] = {}
    pod["spec"]["containers"][0]["comand"] = ["true"]
    pod["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["keys"] = 1
    assert prune_unknown(kind_of("Pod"), pod) == [
        "spec.containers[0].env[0].valueFrom.secretKeyRef.keys",
        "spec.containers[0].comand",
        "spek",
    ]
    assert pod == POD


@pytest.mark.parametrize("kind", [kind.kind for kind in KINDS if not kind.custom])
def test_every_built_in_kind_is_known(kind: str) -> None:
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "n"}, "unheard-of": 1}
    assert prune_unknown(kind_of(kind), manifest) == ["unheard-of"]


def test_values_of_another_form_are_left_to_others() -> None:
    manifest = {"metadata": "text", "spec": [1], "data": None}
    assert prune_unknown(kind_of("Job"), manifest) == ["data"]
