from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.cluster.adoption import check_ours, stamped, the_very
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.exceptions import ForeignObjectError, ObjectNotFoundError
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, ANNOTATION_SPEC_HASH, labels_for


def made(model: str = "dev/m", **spec: Any) -> dict[str, Any]:
    metadata = {
        "name": "j",
        "uid": "1",
        "labels": labels_for(model),
        "annotations": {ANNOTATION_MODEL_ID: model},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def hash_of(manifest: Any) -> Any:
    return stamped(manifest)["metadata"]["annotations"][ANNOTATION_SPEC_HASH]


def test_the_hash_is_that_of_the_spec() -> None:
    assert hash_of(made(a=1, b={"c": 2, "d": 3})) == hash_of(made(b={"d": 3, "c": 2}, a=1))
    assert hash_of(made(a=1)) == hash_of(made("another", a=1))
    assert hash_of(made(a=1)) != hash_of(made(a=2))


def test_stamping_leaves_the_manifest_and_its_annotations_alone() -> None:
    manifest = made(a=1)
    annotations = stamped(manifest)["metadata"]["annotations"]
    assert annotations[ANNOTATION_MODEL_ID] == "dev/m"
    assert ANNOTATION_SPEC_HASH not in manifest["metadata"]["annotations"]


def test_a_secret_gets_no_hash() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"a": "Yg=="},
    }
    assert stamped(secret) == secret


def test_whose_it_is() -> None:
    check_ours(made(a=1), made(a=2))
    with pytest.raises(ForeignObjectError, match="belongs to the model 'dev/m'"):
        check_ours(made(), made("dev-m"))
    foreign = made()
    foreign["metadata"]["labels"] = None
    with pytest.raises(ForeignObjectError, match="not made by this package") as caught:
        check_ours(foreign, made())
    assert caught.value.resource == "Job/j"


def test_one_of_the_same_name_is_another() -> None:
    ref = ResourceRef("batch/v1", "Job", "default", "j", "1")
    assert the_very(made(), ref)["metadata"]["uid"] == "1"
    with pytest.raises(ObjectNotFoundError, match="another one of that name"):
        the_very(made(), ResourceRef("batch/v1", "Job", "default", "j", "2"))
