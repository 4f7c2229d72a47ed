"""Bad days of the servers of a Kubeflow, in the midst of a training that notices nothing of them.

The script waits at its gate until every fault has struck; then all must be as on a good day: one
job, started once, and the records of one run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kaptain_kfp import Model
from kaptain_kfp.exceptions import RunFailedError, StoreError
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.faults import Fault, Faults
from kaptain_kfp.testing.faulty_proxy import proxy_to
from kaptain_kfp.testing.homes import pod_processes
from kaptain_kfp.testing.kubernetes_api import ADMINISTRATOR
from kaptain_kfp.testing.s3 import s3_error

from ..leaking import KFP_TOKEN, KUBERNETES_TOKEN, REGISTRY_PASSWORD
from .conftest import Eventually, Gate, MakeKubeflow
from .kubeflow import BASE, Kubeflow, Login, Training

LOGIN = Login("robot", REGISTRY_PASSWORD, KFP_TOKEN, KUBERNETES_TOKEN)
FOLLOWED = "watch=true|follow=true"

Disturb = Callable[[Kubeflow, Eventually], None]


@contextmanager
def in_training(
    kubeflow: Kubeflow, model: Model, gate: Gate, eventually: Eventually
) -> Iterator[None]:
    """Trains a model; what is done in the context happens while its script runs, to no effect."""
    training = Training(model)
    eventually(lambda: gate.starts == 1 or training.over, "the script runs")
    eventually(lambda: kubeflow.kubernetes.faults.streams("follow=true"), "its log is followed")
    yield
    assert not training.over
    gate.open()
    assert training.end() is True
    assert gate.starts == 1 and not gate.two_at_once
    assert len(kubeflow.objects("Job")) == 1
    assert model.state is ModelState.TRAINED
    assert model.metrics == {"accuracy": {"latest": 0.75, "min": 0.75, "max": 0.75}}
    # a store that throttles may take "submitted" after what the first step says
    assert sorted(r.event for r in model.history()) == ["outcome", "outcome", "submitted"]
    run = model.last_run
    assert run is not None and run.state is RunState.SUCCEEDED
    log = list(run.logs())
    assert log.count("at work") == 1 and log.count("accuracy=0.75") == 1
    assert not pod_processes(kubeflow.home)


def strike(faults: Faults, eventually: Eventually, *wanted: Fault) -> None:
    """Sets faults, and waits until each has struck as often as it is to."""
    faults.add(*wanted)
    eventually(lambda: not faults.pending, f"all strike: {wanted}")


def test_the_api_server(kubeflow: Kubeflow, gate: Gate, eventually: Eventually) -> None:
    faults, cut = kubeflow.kubernetes.faults, Fault(do="cut", path=FOLLOWED, times=3)
    with in_training(kubeflow, kubeflow.model(gate.script), gate, eventually):
        kubeflow.kubernetes.restart(down_seconds=0.5)
        for trouble in (
            Fault(do="answer", status=429, retry_after=0, times=10),
            Fault(do="answer", status=429, retry_after=1, times=3),
            Fault(do="answer", status=500, times=5),
            Fault(do="answer", status=503, times=5),
            Fault(do="drop", times=5),
            Fault(do="delay", seconds=2.0, times=3),
        ):
            eventually(lambda: faults.streams("watch=true") == 2, "it is watched")
            strike(faults, eventually, cut, trouble)
        eventually(lambda: faults.streams("watch=true") == 2, "it is watched")
        strike(faults, eventually, Fault(do="expire", path="watch=true", times=4))
        strike(faults, eventually, cut, Fault(do="answer", status=410, path="watch=true", times=2))
        eventually(lambda: faults.streams("watch=true") == 2, "it is watched")


def test_a_token_that_expires_in_the_midst_of_a_watch(
    make_kubeflow: MakeKubeflow, gate: Gate, eventually: Eventually
) -> None:
    kubeflow = make_kubeflow(login=LOGIN)
    known = [LOGIN.kfp]
    model = kubeflow.model(gate.script, config=kubeflow.config(kfp_token=lambda: known[-1]))
    with in_training(kubeflow, model, gate, eventually):
        renew(kubeflow, f"{KUBERNETES_TOKEN}-2")
        known.append(f"{KFP_TOKEN}-2")
        kubeflow.kfp_tokens[known[-1]] = True
        del kubeflow.kfp_tokens[LOGIN.kfp]
        cut = Fault(do="cut", path=FOLLOWED, times=3)
        strike(kubeflow.kubernetes.faults, eventually, cut)
        kubeflow.pipelines.requests.reset()
        eventually(lambda: kubeflow.pipelines.requests.count() >= 2, "with the new token")
        watched = kubeflow.kubernetes.faults.streams
        eventually(lambda: watched("watch=true") == 2, "it is watched with the new token")


def renew(kubeflow: Kubeflow, token: str) -> None:
    """Gives everybody another token of the API server; the one they have is no good any more."""
    kubeflow.kubernetes.access.grant(token, ADMINISTRATOR)
    for path in kubeflow.home.glob("kubeconfig-*.json"):
        config = json.loads(path.read_text())
        config["users"][0]["user"]["token"] = token
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(config))
        draft.chmod(0o600)
        draft.replace(path)
    kubeflow.kubernetes.access.withdraw(LOGIN.kubernetes)


def test_kubeflow_pipelines(kubeflow: Kubeflow, gate: Gate, eventually: Eventually) -> None:
    faults = kubeflow.pipelines.faults
    # where the run is submitted, too
    faults.add(
        Fault(do="lose", method="POST", path="/experiments"),
        Fault(do="lose", method="POST", path="/upload"),
        Fault(do="drop", method="GET", times=3),
        Fault(do="answer", method="POST", path="/runs", status=429, retry_after=0),
        Fault(do="lose", method="POST", path="/runs"),
    )
    with in_training(kubeflow, kubeflow.model(gate.script), gate, eventually):
        assert faults.pending == ()
        kubeflow.pipelines.restart(down_seconds=1.0)
        strike(
            faults,
            eventually,
            *(Fault(do="drop", times=2), Fault(do="lose"), Fault(do="answer", status=500)),
            *(Fault(do="answer", status=429, retry_after=1), Fault(do="delay", seconds=1.0)),
        )
    assert len(kubeflow.objects("Run")) == 1


def test_an_object_store_that_throttles_and_breaks_off(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually
) -> None:
    script = gate.script + (
        "from kaptain_kfp.platform.model_export_util import ModelExportUtil\n"
        "pathlib.Path('weights.bin').write_bytes(os.urandom(1 << 20))\n"
        "ModelExportUtil().upload_model('weights.bin')\n"
    )
    with proxy_to(kubeflow.s3.endpoint) as proxy:
        config = kubeflow.config(storage_config_provider=kubeflow.s3.provider(proxy.url))
        model = kubeflow.model(script, config=config)
        assert model.state is ModelState.UNTRAINED
        for method in ("PUT", "GET", "HEAD"):
            proxy.answer(503, s3_error("SlowDown"), when=lambda r, m=method: r.method == m, times=2)
        with in_training(kubeflow, model, gate, eventually):
            large = [True]

            def dies(request: object) -> bool:
                return getattr(request, "length", 0) >= 1 << 20 and bool(large and large.pop())

            proxy.cut(after=1 << 18, when=dies)
            proxy.answer(503, s3_error("SlowDown"), times=2)
            proxy.answer(500, s3_error("InternalError"), times=1)
        assert not large, "an upload broke off"
        (key,) = [key for key in kubeflow.bucket() if key.endswith("weights.bin")]
        assert (kubeflow.s3.folder / "models" / key).stat().st_size == 1 << 20


def test_an_object_store_that_is_full_for_good(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually
) -> None:
    """The run ends and says why where it still can; once the store is back, so are the records."""
    script = gate.script + (
        "from kaptain_kfp.platform.model_export_util import ModelExportUtil\n"
        "pathlib.Path('model.json').write_text('{}')\n"
        "ModelExportUtil().upload_model('model.json')\n"
    )
    with proxy_to(kubeflow.s3.endpoint) as proxy:
        config = kubeflow.config(storage_config_provider=kubeflow.s3.provider(proxy.url))
        model = kubeflow.model(script, config=config)
        assert model.train({}, wait=False)
        run = model.last_run
        assert run is not None
        eventually(lambda: gate.starts == 1, "the script runs")
        proxy.answer(507, s3_error("XMinioStorageFull"), times=None)
        gate.open()
        eventually(lambda: run.state.finished, "the run ended")
        with pytest.raises(StoreError, match="has no space for it"):
            model.history()
        proxy.heal()
        assert [record.event for record in model.history()] == ["submitted", "outcome", "closed"]
        assert model.state is ModelState.UNTRAINED
        error = run.error
        assert type(error) is RunFailedError and error.hint is None
        assert "has no space for it" in str(error) and "couldn't be recorded" in str(error)
    assert not [key for key in kubeflow.bucket() if "/trained/" in key]
    assert not pod_processes(kubeflow.home)


@pytest.mark.parametrize(
    ("changes", "uri", "reason", "told"),
    [
        ({"access_key": "not-a-key"}, BASE, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (
            {"secret_key": "not-the-secret"},
            *(BASE, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        ),
        ({}, "s3://no-such-bucket/models", "NoSuchBucket", "aws s3 mb s3://no-such-bucket"),
    ],
)
def test_a_store_that_cant_be_opened_is_said_before_anything_is_sent(
    kubeflow: Kubeflow, changes: dict[str, str], uri: str, reason: str, told: str
) -> None:
    body = kubeflow.s3.provider().get_secret_body()
    provider = S3ConfigurationProvider(
        changes.get("access_key", body["AWS_ACCESS_KEY_ID"]),
        changes.get("secret_key", body["AWS_SECRET_ACCESS_KEY"]),
        s3_endpoint=kubeflow.s3.endpoint,
        s3_force_path_style=True,
    )
    config = kubeflow.config(storage_config_provider=provider, base_model_storage_uri=uri)
    with pytest.raises(StoreError) as caught:
        kubeflow.model("print()", config=config).train({})
    assert caught.value.reason == reason
    assert told in str(caught.value) and "not-the-secret" not in str(caught.value)
    assert kubeflow.bucket() == []
    assert not [kind for kind in ("Secret", "Run", "Job") if kubeflow.objects(kind)]
