from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.exceptions import ClusterError, ObjectInvalidError
from kaptain_kfp.local.defaults import with_defaults
from kaptain_kfp.local.kinds import kind_of, lookup
from kaptain_kfp.local.rules import check_change, check_new

SECRET = "bm90IHRoaXM"


def thing(kind: str, content: Any = None, **metadata: Any) -> dict[str, Any]:
    own = {"name": "x", "namespace": "default", **metadata}
    made = {"apiVersion": kind_of(kind).api_version, "kind": kind, "metadata": own}
    return with_defaults({**made, **(content or {})})


def pod(*containers: Any, **spec: Any) -> dict[str, Any]:
    found = list(containers) or [{"name": "c", "image": "i:1"}]
    return thing("Pod", {"spec": {"containers": found, **spec}})


def job(pod_spec: Any = None, **spec: Any) -> dict[str, Any]:
    short = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}
    template = {"spec": {**short, **(pod_spec or {})}}
    return thing("Job", {"spec": {"template": template, **spec}})


@pytest.mark.parametrize(
    "manifest",
    [
        thing("ConfigMap"),
        thing("ConfigMap", {"data": {"a.b-c_D": "ä" * 1000}}),
        thing("ConfigMap", labels={"a/b": "", "c": "1.x_y-z"}, annotations={"K.x/Y": "ä / \n"}),
        thing("ConfigMap", annotations={"a": "x" * (256 * 1024 - 1)}),
        thing("ConfigMap", {"data": {"a": "x" * 1024 * 1024}}),
        thing("Secret", {"data": {"a": "YQ==", "b": ""}}),
        thing("PyTorchJob", {"spec": {"anything": [1]}}, name="1.a"),
        pod(),
        job(),
        job({"restartPolicy": "OnFailure"}),
    ],
    ids=lambda manifest: str(manifest["kind"]),
)
def test_what_is_acceptable(manifest: dict[str, Any]) -> None:
    check_new(kind_of(manifest["kind"]), manifest)
    check_change(kind_of(manifest["kind"]), manifest, manifest)


@pytest.mark.parametrize(
    ("manifest", "field", "message"),
    [
        (thing("ConfigMap", name="A"), "metadata.name", 'Invalid value: "A": a lowercase RFC'),
        (thing("ConfigMap", labels={"a": "-"}), "metadata.labels", 'Invalid value: "-": a valid'),
        (thing("ConfigMap", labels={"-": "a"}), "metadata.labels", 'Invalid value: "-": name'),
        (thing("ConfigMap", annotations={"-": "a"}), "metadata.annotations", 'Invalid value: "-"'),
        (
            thing("ConfigMap", annotations={"a": "x" * 256 * 1024}),
            "metadata.annotations",
            "Too long: may not be more than 262144 bytes",
        ),
        (thing("ConfigMap", {"data": {"a/b": "x"}}), "data[a/b]", 'Invalid value: "a/b": a valid'),
        (
            thing("ConfigMap", {"data": {"a": "x" * 1024 * 1024, "b": "y"}}),
            "data",
            "Too long: may not be more than 1048576 bytes",
        ),
        (thing("Secret", {"data": {"": "YQ=="}}), "data[]", 'Invalid value: "": a valid config'),
        (thing("Pod", {"spec": {}}), "spec.containers", "Required value"),
        (pod({"name": "a"}, {"image": "i"}), "spec.containers[1].name", "Required value"),
        (job({"containers": []}), "spec.template.spec.containers", "Required value"),
        (
            job({"containers": [{"image": "i"}]}),
            "spec.template.spec.containers[0].name",
            "Required value",
        ),
        (
            job({"restartPolicy": "Always"}),
            "spec.template.spec.restartPolicy",
            'Required value: valid values: "OnFailure", "Never"',
        ),
        (
            {**job(), "metadata": {"name": "x" * 64}},
            "spec.template.labels",
            f'Invalid value: "{"x" * 64}": must be no more than 63 bytes',
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_what_is_not(manifest: dict[str, Any], field: str, message: str) -> None:
    kind = kind_of(manifest["kind"])
    with pytest.raises(ObjectInvalidError) as caught:
        check_new(kind, manifest)
    error = caught.value
    assert (error.code, error.reason) == (422, "Invalid")
    name = manifest["metadata"]["name"]
    word = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    assert error.message.startswith(f'{word} "{name}" is invalid: {field}: {message}')
    (cause,) = error.details["causes"]
    assert cause["field"] == field
    assert error.details["name"] == name


@pytest.mark.parametrize(
    ("value", "word"), [(5, "number"), (True, "bool"), (None, "null"), ([], "array")]
)
def test_a_label_that_is_no_text(value: Any, word: str) -> None:
    with pytest.raises(ClusterError) as caught:
        check_new(kind_of("ConfigMap"), thing("ConfigMap", labels={"a": value}))
    assert caught.value.code == 400
    assert f"json: cannot unmarshal {word} into Go struct field" in caught.value.message


@pytest.mark.parametrize("value", [SECRET, f"{SECRET}!", 5, ["x"]])
def test_a_secret_that_is_not_encoded_is_not_told(value: Any) -> None:
    with pytest.raises(ClusterError, match="illegal base64 data") as caught:
        check_new(kind_of("Secret"), thing("Secret", {"data": {"password": value}}))
    assert caught.value.code == 400
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def changed(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Returns the object with one field set."""
    key, _, rest = path.partition("/")
    inner = changed(manifest.get(key, {}), rest, value) if rest else value
    return {**manifest, key: inner}


@pytest.mark.parametrize(
    ("before", "path", "value"),
    [
        (thing("ConfigMap", {"data": {"a": "1"}}), "data/a", "2"),
        (thing("ConfigMap", {"data": {"a": "1"}}), "immutable", True),
        (thing("Secret", {"immutable": True}), "metadata/labels", {"a": "b"}),
        (job(), "spec/parallelism", 2),
        (job(), "spec/suspend", True),
        (job(), "spec/backoffLimit", 2),
        (job(), "spec/ttlSecondsAfterFinished", 2),
        (job(), "spec/activeDeadlineSeconds", 2),
        (pod(), "spec/nodeName", "here"),
        (pod(), "spec/activeDeadlineSeconds", 5),
        (pod(nodeName="here"), "spec/tolerations", [{"key": "a"}]),
        (thing("ConfigMap", finalizers=["a"]), "metadata/finalizers", ["a", "b"]),
        (
            thing("ConfigMap", finalizers=["a", "b"], deletionTimestamp="x"),
            "metadata/finalizers",
            ["b"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_change(before: dict[str, Any], path: str, value: Any) -> None:
    check_change(kind_of(before["kind"]), before, changed(before, path, value))


def test_a_pods_image_may_change() -> None:
    before, after = pod(), pod({"name": "c", "image": "i:2"})
    check_change(kind_of("Pod"), before, after)


@pytest.mark.parametrize(
    ("before", "path", "value", "field"),
    [
        (thing("ConfigMap", {"immutable": True}), "data", {"a": "1"}, "data"),
        (thing("ConfigMap", {"immutable": True}), "immutable", False, "immutable"),
        (thing("Secret", {"immutable": True}), "data", {"a": "YQ=="}, "data"),
        (thing("Secret"), "type", "kubernetes.io/tls", "type"),
        (job(), "spec/completions", 2, "spec.completions"),
        (job(), "spec/selector", {}, "spec.selector"),
        (job(), "spec/completionMode", "Indexed", "spec.completionMode"),
        (job(), "spec/podFailurePolicy", {"rules": []}, "spec.podFailurePolicy"),
        (job(), "spec/template/spec/priority", 1, "spec.template"),
        (pod(), "spec/restartPolicy", "Never", "spec"),
        (pod(), "spec/containers", [{"name": "d", "image": "i:1"}], "spec"),
        (pod(nodeName="here"), "spec/nodeName", "there", "spec"),
        (
            thing("ConfigMap", deletionTimestamp="x"),
            "metadata/finalizers",
            ["b"],
            "metadata.finalizers",
        ),
        (thing("ConfigMap"), "metadata/labels", {"a": "/"}, "metadata.labels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_not(before: dict[str, Any], path: str, value: Any, field: str) -> None:
    with pytest.raises(ObjectInvalidError) as caught:
        check_change(kind_of(before["kind"]), before, changed(before, path, value))
    assert caught.value.code == 422
    assert [cause["field"] for cause in caught.value.details["causes"]] == [field]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("metadata/name", "y", "the name of the object (y) does not match the name on the URL (x)"),
        ("metadata/namespace", "y", "the namespace of the provided object does not match"),
        ("kind", "Secret", "(v1, Secret) do not match the expected (v1, ConfigMap)"),
        ("apiVersion", "v2", "(v2, ConfigMap) do not match the expected (v1, ConfigMap)"),
    ],
)
def test_it_must_be_the_same_object(path: str, value: str, message: str) -> None:
    before = thing("ConfigMap")
    with pytest.raises(ClusterError) as caught:
        check_change(kind_of("ConfigMap"), before, changed(before, path, value))
    assert caught.value.code == 400
    assert message in caught.value.message


def test_unknown_kinds() -> None:
    with pytest.raises(ObjectInvalidError, match="There is no kind 'MPIJob'"):
        kind_of("MPIJob")
    with pytest.raises(ObjectInvalidError, match='no matches for kind "Pod" in version "v2"'):
        lookup("v2", "Pod")


def docker(**data: str) -> dict[str, Any]:
    return thing("Secret", {"type": "kubernetes.io/dockerconfigjson", "data": data})


def test_a_docker_configuration_must_be_one() -> None:
    check_new(kind_of("Secret"), docker(**{".dockerconfigjson": "e30="}))
    for found, said in (
        (docker(), "Required value"),
        (docker(**{".dockerconfigjson": "YQ=="}), 'Invalid value: "<secret contents redacted>"'),
    ):
        with pytest.raises(ObjectInvalidError) as caught:
            check_new(kind_of("Secret"), found)
        (cause,) = caught.value.details["causes"]
        assert cause["field"] == "data[.dockerconfigjson]"
        assert said in cause["message"]


@pytest.mark.parametrize("missing", ["apiVersion", "kind", "name", "uid"])
def test_an_owner_is_named_in_full(missing: str) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    check_new(kind_of("ConfigMap"), thing("ConfigMap", ownerReferences=[owner]))
    del owner[missing]
    with pytest.raises(ObjectInvalidError, match=f"metadata.ownerReferences.{missing}: "):
        check_new(kind_of("ConfigMap"), thing("ConfigMap", ownerReferences=[owner]))
