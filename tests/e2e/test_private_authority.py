"""A store whose certificate no public authority vouches for: only the notebook is told of it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import trustme

from kaptain_kfp.checkup.doctor import checks
from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.model.world import world_of

from .conftest import MakeKubeflow
from .kubeflow import UPLOADING, Kubeflow

SCRIPT = (
    UPLOADING + "\nprint('told of', [name for name in os.environ if name.endswith('CA_BUNDLE')])\n"
)


def test_steps_and_trainings_trust_it_too(
    make_kubeflow: MakeKubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    bundle, key, certificate = (tmp_path / name for name in ("ca.pem", "key.pem", "cert.pem"))
    authority.cert_pem.write_to_path(bundle)
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    # what runs in its cluster never sees the variable that the notebook sets afterwards
    kubeflow = make_kubeflow(s3_certificate=(certificate, key))
    model = kubeflow.model(SCRIPT)
    with pytest.raises(StoreError, match="can't be trusted"):
        model.train({"--C": 1})
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    model.config = kubeflow.config()
    assert [check.verdict for check in checks(model.config) if check.name == "storage"] == ["ok"]

    assert model.train({"--C": 1})

    assert model.state is ModelState.TRAINED
    assert f"prod/dev/digits/trained/{model.revision}/model.json" in kubeflow.bucket()
    assert model.metrics["accuracy"]["latest"] == 0.75
    run = model.last_run
    assert run is not None
    assert "told of []" in "\n".join(run.logs())
    assert told_by_secret(kubeflow) == bundle.read_text()

    bundle.write_bytes(bundle.read_bytes() + trustme.CA().cert_pem.bytes())
    world = world_of(model.config)
    world.credentials.share(model.id, world.cluster)
    assert told_by_secret(kubeflow) == bundle.read_text()


def told_by_secret(kubeflow: Kubeflow) -> str:
    (secret,) = [each for each in kubeflow.objects("Secret") if "S3_ENDPOINT" in each["data"]]
    return base64.b64decode(secret["data"]["S3_CA_CERTIFICATES"]).decode()
