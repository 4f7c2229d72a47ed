from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from kaptain_kfp.exceptions import ClusterError
from kaptain_kfp.local.kinds import KINDS, kind_of
from kaptain_kfp.testing.kubernetes_api.fields import repeated_fields, shape


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
    "status": {"phase": "Pending"},
}


def test_what_a_kind_has_stays() -> None:
    pod = deepcopy(POD)
    assert shape(kind_of("Pod"), pod) == []
    assert pod == POD


def test_what_it_does_not_have_goes() -> None:
    pod = deepcopy(POD)
    pod["spek"] = {}
    pod["spec"]["containers"][0]["comand"] = ["true"]
    pod["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["keys"] = 1
    assert shape(kind_of("Pod"), pod) == [
        "spec.containers[0].env[0].valueFrom.secretKeyRef.keys",
        "spec.containers[0].comand",
        "spek",
    ]
    assert pod == POD


def test_null_is_nothing() -> None:
    pod = deepcopy(POD)
    pod["status"]["startTime"] = pod["spec"]["volumes"] = None
    pod["metadata"]["labels"]["other"] = None
    assert shape(kind_of("Pod"), pod) == []
    assert pod == POD


@pytest.mark.parametrize("kind", [kind.kind for kind in KINDS if not kind.custom])
def test_every_built_in_kind_is_known(kind: str) -> None:
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "n"}, "unheard-of": 1}
    assert shape(kind_of(kind), manifest) == ["unheard-of"]


def test_of_a_custom_kind_only_the_metadata_is_known() -> None:
    manifest = {"metadata": {"name": "n", "label": {}}, "spec": {"any": "thing"}, "more": 1}
    assert shape(kind_of("TFJob"), manifest) == ["metadata.label"]
    assert manifest == {"metadata": {"name": "n"}, "spec": {"any": "thing"}, "more": 1}


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"metadata": 1}, "number into Go struct field Pod.metadata of type v1.ObjectMeta"),
        ({"spec": []}, "array into Go struct field Pod.spec of type v1.PodSpec"),
        (
            {"metadata": {"labels": {"a": 1}}},
            "number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            {"spec": {"containers": {}}},
            "object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            {"spec": {"containers": [{"env": [{"name": "A", "value": True}]}]}},
            "bool into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            {"spec": {"activeDeadlineSeconds": "1"}},
            "string into Go struct field PodSpec.spec.activeDeadlineSeconds of type int32",
        ),
    ],
)
def test_a_value_of_another_type_is_refused(part: dict[str, Any], said: str) -> None:
    with pytest.raises(ClusterError) as caught:
        shape(kind_of("Pod"), {**deepcopy(POD), **part})
    assert caught.value.code == 400
    assert said in caught.value.message


def test_amounts_may_be_numbers() -> None:
    resources = {"limits": {"cpu": 1, "nvidia.com/gpu": 2}, "requests": {"cpu": 0.5}}
    volume = {"name": "v", "emptyDir": {"sizeLimit": 1000}}
    spec = {"containers": [{"name": "c", "resources": resources}], "volumes": [volume]}
    assert shape(kind_of("Pod"), {"spec": deepcopy(spec)}) == []
    assert shape(kind_of("ResourceQuota"), {"spec": {"hard": {"cpu": 1}}}) == []
