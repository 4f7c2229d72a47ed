from __future__ import annotations

import base64

from kaptain_kfp.manifests.secret import storage_secret, storage_secret_name


def test_golden() -> None:
    body = {"AWS_ACCESS_KEY_ID": "a key", "S3_ENDPOINT": "http://minio:9000"}
    assert storage_secret("dev/mnist", "ns", body) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "dev-mnist-secret",
            "namespace": "ns",
            "labels": {
                "app.kubernetes.io/managed-by": "kaptain-kfp",
                "kaptain-kfp/model": "dev-mnist",
            },
            "annotations": {"kaptain-kfp/model-id": "dev/mnist"},
        },
        "type": "Opaque",
        "data": {
            "AWS_ACCESS_KEY_ID": base64.b64encode(b"a key").decode(),
            "S3_ENDPOINT": base64.b64encode(b"http://minio:9000").decode(),
        },
    }


def test_names_stay_legal_and_different() -> None:
    ids = ["m" * 200, "m" * 199 + "x", "0/9", "Dev_x/y.z"]
    names = [storage_secret_name(model_id) for model_id in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert len(name) <= 63
        assert name.endswith("-secret")
        assert name[0].isalpha()
        assert name.replace("-", "").isalnum()
        assert name == name.lower()
