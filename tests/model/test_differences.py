from __future__ import annotations

from typing import Any

from kaptain_kfp.model.differences import HIDDEN, FieldChange, differences, without_secrets


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data}


def test_fields_of_the_cluster_do_not_count() -> None:
    wanted = {"kind": "Job", "metadata": {"name": "j"}, "spec": {"containers": [{"name": "a"}]}}
    there = {
        "kind": "Job",
        "metadata": {"name": "j", "uid": "1"},
        "spec": {"containers": [{"name": "a", "terminationMessagePath": "/dev/log"}], "x": 1},
        "status": {},
    }
    assert differences(there, wanted) == ()


def test_fields_that_differ() -> None:
    wanted = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"list": [{"x": 1}, {"x": 2}]}}
    there = {"metadata": {"labels": {"a": "0"}}, "spec": {"list": [{"x": 1}, {"x": 3}]}}
    found = differences(there, wanted)
    assert [str(change) for change in found] == [
        "~ metadata.labels.a: 0 -> 1",
        "+ metadata.labels.b: 2",
        "~ spec.list[1].x: 3 -> 2",
    ]


def test_a_list_of_another_length_differs_as_a_whole() -> None:
    found = differences({"args": ["a"]}, {"args": ["a", "b"]})
    assert found == (FieldChange("args", ["a"], ["a", "b"]),)
    assert differences({"args": "ab"}, {"args": ["a", "b"]})


def test_of_a_secret_only_the_names_are_told() -> None:
    there = secret(same="c2FtZQ==", other="b2xk", gone="Z29uZQ==")
    wanted = secret(same="c2FtZQ==", other="bmV3", new="bW9yZQ==")
    found = differences(there, wanted)
    assert [str(change) for change in found] == [
        f"- data.gone: {HIDDEN}",
        f"+ data.new: {HIDDEN}",
        f"~ data.other: {HIDDEN} -> {HIDDEN}",
    ]


def test_an_object_that_may_be_shown() -> None:
    assert without_secrets(secret(a="b"))["data"] == {"a": HIDDEN}
    config = {"kind": "ConfigMap", "data": {"a": "b"}}
    assert without_secrets(config) == config
