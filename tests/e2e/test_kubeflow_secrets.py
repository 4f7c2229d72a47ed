"""Secrets are in Secrets, and nowhere else: searched for in all that a training leaves behind."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

import kaptain_kfp
from kaptain_kfp import Config, Model
from kaptain_kfp.exceptions import KaptainError
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.logs import get_logger
from kaptain_kfp.model.world import world_of

from ..leaking import KFP_TOKEN, KUBERNETES_TOKEN, LEAKS, REGISTRY_PASSWORD
from .conftest import Eventually, Gate, MakeKubeflow
from .kubeflow import UPLOADING, Kubeflow, Login

LOGIN = Login("robot", REGISTRY_PASSWORD, KFP_TOKEN, KUBERNETES_TOKEN)
ROOT = Path(__file__).parents[2]
FAILING = UPLOADING + "\nraise SystemExit('the script fails at its end')\n"


@pytest.fixture
def kubeflow(make_kubeflow: MakeKubeflow) -> Kubeflow:
    return make_kubeflow(login=LOGIN)


def models(kubeflow: Kubeflow, script: str) -> list[Model]:
    """Returns one model on each target, with the same store and the same registry."""
    here = Config.local(
        base_dir=str(kubeflow.project),
        storage_config_provider=kubeflow.s3.provider(),
        base_model_storage_uri="s3://models/local",
    )
    return [kubeflow.model(script), kubeflow.model(script, config=here)]


def texts_of(model: Model, caught: list[str]) -> dict[str, str]:
    """Returns everything that a notebook can show of a model."""
    run, world = model.last_run, world_of(model.config)
    assert run is not None
    made: dict[str, Any] = {
        "model": model,
        "meta": model.meta(),
        "config": model.config,
        # but for what the notebook itself wrote there
        "config's parts": {k: v for k, v in vars(model.config).items() if k != "kfp_token"},
        "world": world,
        "world's parts": [getattr(world, each.name) for each in dataclasses.fields(world)],
        "handle": run,
        "handle's parts": list(vars(run).values()),
        "url": run.url,
        "error": (repr(run.error), str(run.error)),
        "outputs": run.outputs,
        "history": [record.dump() for record in model.history()],
        "log": list(run.logs()),
        "said": caught,
    }
    return {name: repr(value) for name, value in made.items()}


@pytest.mark.parametrize(("script", "succeeds"), [(UPLOADING, True), (FAILING, False)])
def test_a_training_leaves_no_secret_anywhere(
    kubeflow: Kubeflow,
    script: str,
    succeeds: bool,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG, get_logger().name)
    for model in models(kubeflow, script):
        assert model.train({"--C": 0.1}, verbose=True) is succeeds
        said = [caplog.text, *capfd.readouterr()]
        telling = [name for name, text in texts_of(model, said).items() if LEAKS.tells(text)]
        assert telling == []
    objects = Objects(kubeflow.home)
    for kind in ("Pod", "Run", "Job", "Event", "Pipeline", "PipelineVersion", "Secret"):
        assert objects.list(kind).items, f"there is a {kind} to look into"
    assert LEAKS.kinds(kubeflow.home) == {"Secret"}
    kubeconfigs = sorted(kubeflow.home.glob("kubeconfig-*.json"))
    assert LEAKS.files(kubeflow.home) == kubeconfigs, "only those that clients are given"
    assert all(path.stat().st_mode & 0o077 == 0 for path in kubeconfigs)
    assert kubeflow.bucket(), "there are records to look into"
    assert LEAKS.files(kubeflow.s3.folder, kubeflow.registry.folder, kubeflow.project) == []


def test_while_it_trains_only_private_files_hold_secrets(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually
) -> None:
    model = kubeflow.model(gate.script)
    assert model.train({}, wait=False)
    eventually(lambda: gate.starts == 1, "the script runs")
    told = [p for p in LEAKS.files(kubeflow.home) if not p.name.startswith("kubeconfig-")]
    assert [(p.name, p.stat().st_mode & 0o777) for p in told] == [("launch.json", 0o600)]
    gate.open()
    run = model.last_run
    assert run is not None
    run.wait(120)


def test_errors_about_credentials_dont_tell_them(
    kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those that are right elsewhere nor those that are wrong."""
    wrong = Login("robot", f"{LOGIN.password}-old", f"{LOGIN.kfp}-old", f"{LOGIN.kubernetes}-old")
    kubeconfig = kubeflow.kubernetes.kubeconfig_of(wrong.kubernetes, "team-a")
    stranger = dataclasses.replace(kubeflow, login=wrong)
    caught = []
    with pytest.raises(KaptainError) as refused:  # by the registry
        stranger.model("print()").build()
    caught.append(refused.value)
    with pytest.raises(KaptainError) as refused:  # by Kubeflow Pipelines
        kubeflow.model("print()", config=kubeflow.config(kfp_token=wrong.kfp)).train({})
    caught.append(refused.value)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    with pytest.raises(KaptainError) as refused:  # by the API server
        kubeflow.model("print()").train({})
    caught.append(refused.value)
    assert len({type(error) for error in caught}) == 3, caught
    for error in caught:
        assert not any(LEAKS.tells(text) for text in (str(error), repr(error), repr(vars(error))))


def test_nothing_that_is_published_holds_a_secret() -> None:
    places = [Path(kaptain_kfp.__file__).parent / "compiler", ROOT / "components"]
    places.append(ROOT / "pipelines")
    compiled = [path for place in places for path in place.rglob("*.yaml")]
    compiled += [path for place in places for path in place.rglob("*.json")]
    assert len(compiled) >= 4
    assert LEAKS.files(*places) == []
