"""What the step `train` stores and throws away, beside work that a test plays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from kaptain_kfp.cluster.adoption import stamped
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.components.step import RunContext, Step
from kaptain_kfp.components.train import Request, _train, run
from kaptain_kfp.components.training import Training
from kaptain_kfp.exceptions import ConfigurationError, ObjectNotFoundError, StoreError, WorkloadFailedError
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.manifests import names
from kaptain_kfp.specs import (
    BuiltImage,
    ImageSpec,
    ModelIdentity,
    ModelSpec,
    SourceSpec,
    StoreSpec,
)
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.records import Records
from kaptain_kfp.testing.waiting import eventually

TASK = ("run", "", "train")
KEY = f"m/trained/{names.identity(*TASK).revision}"
METRICS = f"{KEY}.metrics.jsonl"
IMAGE = BuiltImage(name="i:1", reference="i@sha256:0", checksum="c", built=True)


class Here:
    """A step whose work no kubelet does."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.folder = folder
        self.cluster = LocalCluster(home)
        self.store = FolderStore(folder / "models")
        self.model = ModelSpec(
            identity=ModelIdentity(
                id="m",
                name="m",
                description="",
                version="1",
                framework="sklearn",
                framework_version="1",
            ),
            source=SourceSpec(main_file="t.py", entries=()),
            image=ImageSpec(name="i", base_image="b", checksum="c"),
            store=StoreSpec(uri=self.store.uri),
        )
        given = (self.model.dump(), IMAGE.dump(), {}, {}, 1, {}, {}, {})
        self.request = Request(*given, "run", "", "train")

    def train(self) -> dict[str, Any]:
        card = SimpleNamespace(path=self.folder / "card", metadata={})
        outcome: dict[str, Any] = run(self.request, card, SimpleNamespace(metadata={}))[1]  # type: ignore[arg-type]
        return outcome

    def step(self) -> Step:
        return Step("train", RunContext(*TASK), self.model, self.cluster, self.store)

    def manifest(self, attempt: int) -> dict[str, Any]:
        training = Training.of(self.model, self.request._asdict())
        return training.manifest(
            names.identity(*TASK, attempt),
            "run",
            namespace=self.cluster.namespace,
            form=training.form(self.cluster),
            image=IMAGE.reference,
            upload_uri=self.store.uri_of(KEY),
        )

    def ended(self, attempt: int, condition: str) -> None:
        """Has an attempt end, whether the step has begun it or is still to find it."""
        manifest, objects = self.manifest(attempt), Objects(self.cluster.home.root)
        try:
            job = self.cluster.get(ResourceRef.of(manifest))
        except ObjectNotFoundError:
            job = objects.create(stamped(manifest))
        status = {"conditions": [{"type": condition, "status": "True"}]}
        objects.update({**job, "status": status}, status=True)

    def begun(self, attempt: int) -> bool:
        with suppress(ObjectNotFoundError):
            return bool(self.cluster.get(ResourceRef.of(self.manifest(attempt))))
        return False

    def upload(self, what: str, loss: float) -> None:
        self.store.write(f"{KEY}/{what}", b"weights")
        self.store.write(METRICS, b'{"metrics": {"loss": %f}}\n' % loss)

    def stored(self) -> set[str]:
        return {entry.key for entry in self.store.list("m/trained")}


@pytest.fixture
def here(kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("KAPTAIN_SUPERVISOR_KUBELET", "off")
    return Here(kaptain_home, tmp_path)


def beside(work: Callable[[], None]) -> threading.Thread:
    """Begins something beside the step, which itself needs the main thread for its signals."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_later_attempt_that_is_over_keeps_what_it_stored(here: Here) -> None:
    here.ended(0, "Failed")
    here.ended(1, "Complete")
    here.upload("model", 0.25)
    outcome = here.train()
    assert outcome["model_uri"] == here.store.uri_of(KEY)
    assert outcome["metrics"]["loss"]["latest"] == 0.25
    assert f"{KEY}/model" in here.stored()


def test_a_further_attempt_begins_with_nothing(here: Here) -> None:
    here.ended(0, "Failed")
    here.upload("of-the-failed-one", 9.0)
    left: list[set[str]] = []

    def second() -> None:
        eventually(lambda: here.begun(1), "the second attempt is begun")
        left.append(here.stored())
        here.ended(1, "Complete")

    thread = beside(second)
    outcome = here.train()
    thread.join()
    assert left == [set()]
    assert (outcome.get("model_uri"), outcome["metrics"]) == (None, {})


def test_what_a_job_left_that_is_gone_is_not_taken_for_the_next_ones(here: Here) -> None:
    here.upload("model", 0.25)
    ending = beside(lambda: eventually(lambda: here.begun(0), "begun") and here.ended(0, "Complete"))
    outcome = here.train()
    ending.join()
    assert (outcome.get("model_uri"), outcome["metrics"], here.stored()) == (None, {}, set())


@pytest.mark.parametrize("error", [ConfigurationError("no credentials"), RuntimeError("a bug")])
def test_what_work_out_of_sight_stored_is_kept(here: Here, error: Exception) -> None:
    class Blind(LocalCluster):
        def attend(self, *_: Any) -> NoReturn:
            here.upload("model", 0.25)
            raise error

    here.cluster = Blind(here.cluster.home.root)
    with pytest.raises(type(error)):
        _train(here.step(), here.request)
    assert here.begun(0)
    assert here.stored() == {f"{KEY}/model", METRICS}


def test_a_store_that_keeps_what_failed_changes_no_reason(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    class Keeping(FolderStore):
        def delete(self, prefix: str) -> int:
            if here.begun(0):
                raise StoreError("not now")
            return super().delete(prefix)

    here.store = Keeping(here.folder / "models")
    failing = beside(lambda: eventually(lambda: here.begun(0), "begun") and here.ended(0, "Failed"))
    with pytest.raises(WorkloadFailedError):
        _train(here.step(), here.request)
    failing.join()
    assert f"what is stored under {KEY} couldn't be removed" in capsys.readouterr().out


def test_iterations_of_a_loop_that_are_told_one_place(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kubeflow Pipelines without ML Metadata tells them."""
    monkeypatch.delenv("KAPTAIN_RUN_ID", raising=False)
    loop, cluster = "5b1d4c0e-3b5f-4a39-9d6e-0d4f1d8f0a51", here.cluster
    objects = Objects(cluster.home.root)

    def trained(number: int, jobs: int) -> dict[str, Any]:
        given = {"--n": str(number)}
        here.request = here.request._replace(dag_id=loop, hyperparameters=given)

        def end() -> None:
            eventually(lambda: len(list(cluster.list("Job"))) == jobs, "the job is there")
            for job in cluster.list("Job"):
                status = {"conditions": [{"type": "Complete", "status": "True"}]}
                objects.update({**job, "status": status}, status=True)

        ending = beside(end)
        outcome = here.train()
        ending.join()
        return outcome

    assert trained(1, jobs=1)["hyperparameters"] == {"--n": "1"}
    assert trained(2, jobs=2)["hyperparameters"] == {"--n": "2"}
    assert trained(1, jobs=2)["hyperparameters"] == {"--n": "1"}
    args = [job["spec"]["template"]["spec"]["containers"][0]["args"] for job in cluster.list("Job")]
    assert sorted(args) == [["--n=1"], ["--n=2"]], "each its own job, found again at the next try"
    tasks = {record.task for record in Records(here.store, "m").load() if record.event == "outcome"}
    assert len(tasks) == 2
