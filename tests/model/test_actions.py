"""How actions are concluded where what runs them has bad days."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import RunnerUnavailableError, RunNotFoundError
from kaptain_kfp.model.actions import close_finished_runs, conclude
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.specs import Definition, ModelIdentity, Submission
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.records import Records
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.runner_steps import MODEL_ID
from kaptain_kfp.testing.waiting import eventually

IDENTITY = ModelIdentity(
    id=MODEL_ID, name="m", description="", version="1", framework="f", framework_version="1"
)
SUBMISSION = Submission(
    definition=Definition(identity=IDENTITY, main_file="t.py", image_name="i", base_image="b")
)


@pytest.fixture
def face(kaptain_home: Path) -> Iterator[KfpFace]:
    with serve_kfp(kaptain_home) as served:
        yield served


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(FolderStore(tmp_path / "models"), MODEL_ID)


@pytest.fixture
def runner(face: KfpFace, kaptain_home: Path, records: Records) -> KfpRunner:
    passed = [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    settings = KfpSettings(host=face.url, ui=face.url)
    connection = KfpConnection(settings, sleep=sleep, clock=lambda: passed[0])
    return KfpRunner(connection, LocalCluster(kaptain_home), records.store)


def events(records: Records) -> list[str]:
    return [record.event for record in records.load()]


def submitted(runner: KfpRunner, records: Records, home: Path, what: str) -> str:
    assert isinstance(records.store, FolderStore)
    run = runner.submit(request_to(what, home, records.store))
    records.append(records.new(run.id, "run", "submitted", "train", submission=SUBMISSION))
    return run.id


def test_a_run_is_not_over_because_its_server_is_away(
    face: KfpFace, runner: KfpRunner, records: Records, kaptain_home: Path
) -> None:
    run = runner.get(submitted(runner, records, kaptain_home, "hang"))
    face.faults.add(Fault(do="drop", times=None))
    with pytest.raises(RunnerUnavailableError):
        conclude(run, records, "train", None)
    with pytest.raises(RunnerUnavailableError):
        close_finished_runs(records, runner)
    assert events(records) == ["submitted"]
    face.faults.clear()
    run.cancel()
    close_finished_runs(records, runner)
    close_finished_runs(records, runner)
    assert events(records) == ["submitted", "closed"]


def test_a_run_that_is_deleted_while_it_is_followed(
    runner: KfpRunner, records: Records, kaptain_home: Path
) -> None:
    run = runner.get(submitted(runner, records, kaptain_home, "die"))
    eventually(lambda: run.state.finished, "it is over")
    connection = runner._connection
    connection.call("delete it", connection.runs.run_service_delete_run, run.id)
    with pytest.raises(RunNotFoundError):
        conclude(run, records, "train", None)
    close_finished_runs(records, runner)
    assert events(records) == ["submitted", "closed"]


def test_work_that_fails_is_false(runner: KfpRunner, records: Records, kaptain_home: Path) -> None:
    failed = runner.get(submitted(runner, records, kaptain_home, "die"))
    eventually(lambda: failed.state.finished, "it is over")
    assert conclude(failed, records, "train", None) is False
    assert events(records) == ["submitted", "closed"]


def test_a_run_that_begins_again_may_end_without_a_word_again(
    runner: KfpRunner, records: Records, kaptain_home: Path
) -> None:
    run = runner.get(submitted(runner, records, kaptain_home, "die"))
    for _ in range(2):
        eventually(lambda: run.state.finished, "it is over")
        for _ in range(2):
            close_finished_runs(records, runner)
        run.retry()
    assert events(records) == ["submitted", "closed", "retried", "closed", "retried"]
    run.cancel()
