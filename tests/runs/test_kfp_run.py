"""Following runs of Kubeflow Pipelines' API, over HTTP, through good and bad days."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import (
    ConfigurationError,
    RunCancelledError,
    RunError,
    RunFailedError,
    RunnerUnavailableError,
    RunNotFoundError,
    RunTimeoutError,
    StoreError,
)
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.runs.base import RunHandle, RunState
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_run import KfpRunHandle
from kaptain_kfp.runs.kfp_schedule import KfpScheduleHandle
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.runs.schedule import Schedule
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.waiting import PATIENCE, eventually

from .conftest import MakeRunner, Time, serving

HOUR = 3600.0
RUN = "/apis/v2beta1/runs/{run_id}"


@pytest.fixture
def start(kaptain_home: Path, store: FolderStore) -> Callable[[KfpRunner, str], RunHandle]:
    """Starts a run whose step does something."""
    return lambda runner, what: runner.submit(request_to(what, kaptain_home, store))


Start = Callable[[KfpRunner, str], RunHandle]


@pytest.fixture
def waiting(face: KfpFace, make_runner: MakeRunner, start: Start) -> Iterator[RunHandle]:
    """A run whose step waits for ever, seen on a clock that only sleeping moves."""
    run = start(make_runner(), "hang")
    yield make_runner(Time()).get(run.id)
    face.faults.clear()
    run.cancel()


def test_waiting_an_hour_takes_less_than_400_requests(face: KfpFace, waiting: RunHandle) -> None:
    face.requests.reset()
    with pytest.raises(RunTimeoutError, match="after 3600 s"):
        waiting.wait(HOUR)
    assert 100 < face.requests.count() <= 400
    assert face.requests.count(template=RUN) == face.requests.count()


def test_showing_the_logs_meanwhile_asks_the_server_no_more(
    face: KfpFace, make_runner: MakeRunner, waiting: RunHandle
) -> None:
    time = Time()
    run = make_runner(time).get(waiting.id)
    face.requests.reset()
    with pytest.raises(RunTimeoutError):
        run.wait(HOUR, verbose=True)
    assert face.requests.count() <= 400


class AnHourOfLog(Time):
    """Time that passes while a log is followed; after an hour something ends what writes it."""

    def __init__(self, end: Callable[[], None]) -> None:
        super().__init__()
        self.shown = threading.Event()
        self.ended_at: float | None = None
        self._end = end
        self._waiter = threading.current_thread()
        self._unfollowed = threading.Event()

    def sleep(self, seconds: float) -> None:
        if threading.current_thread() is not self._waiter:
            self._unfollowed.set()  # who follows logs sleeps only where there is none
            return
        assert self.shown.wait(PATIENCE)
        if self.now >= HOUR and self.ended_at is None:
            self.ended_at = self.now
            self._end()
            assert self._unfollowed.wait(PATIENCE)
        super().sleep(seconds)


def test_a_log_that_is_followed_says_when_to_look(
    face: KfpFace, make_runner: MakeRunner, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(make_runner(), "hang")
    eventually(lambda: "the work has begun" in list(run.logs()), "its log begins")
    asked: list[int] = []

    def end() -> None:
        asked.append(face.requests.count())
        run.cancel()

    time = AnHourOfLog(end)

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            time.shown.set()
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", Screen())
    face.requests.reset()
    with pytest.raises(RunCancelledError):
        make_runner(time).get(run.id).wait(verbose=True)
    assert 55 <= asked[0] <= 70
    assert time.ended_at is not None and time.now - time.ended_at <= 2


def test_the_first_looks_are_a_second_apart(waiting: RunHandle, make_runner: MakeRunner) -> None:
    time = Time()
    with pytest.raises(RunTimeoutError):
        make_runner(time).get(waiting.id).wait(5)
    assert time.slept[0] == 1.0
    assert sum(time.slept) == pytest.approx(5)
    assert time.slept[:3] == sorted(time.slept[:3])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(do="drop", times=3),
        Fault(do="lose", times=3),
        Fault(do="cut", times=2),
        Fault(do="answer", status=500, times=4),
        Fault(do="answer", status=503, times=12),
        Fault(do="answer", status=429, retry_after=1, times=4),
    ],
    ids=["dropped", "lost", "cut", "500", "503", "429"],
)
def test_bad_luck_does_not_end_the_waiting(
    face: KfpFace, make_runner: MakeRunner, start: Start, fault: Fault
) -> None:
    run = start(make_runner(), "succeed")
    assert run.wait(PATIENCE) is RunState.SUCCEEDED
    handle = make_runner(Time()).get(run.id)
    face.faults.add(fault)
    assert handle.wait(HOUR) is RunState.SUCCEEDED


def test_the_server_may_be_away_for_some_minutes(
    face: KfpFace, make_runner: MakeRunner, start: Start, log: pytest.LogCaptureFixture
) -> None:
    run = start(make_runner(), "succeed")
    assert run.wait(PATIENCE) is RunState.SUCCEEDED
    handle = make_runner(Time()).get(run.id)
    face.faults.add(Fault(do="answer", times=100))
    assert handle.wait(HOUR) is RunState.SUCCEEDED
    assert len([line for line in log.messages if "Still waiting" in line]) == 1


def test_the_server_may_not_be_away_for_ever(face: KfpFace, waiting: RunHandle) -> None:
    face.faults.add(Fault(do="drop", times=None))
    with pytest.raises(RunnerUnavailableError, match=face.url):
        waiting.wait()
    with pytest.raises(RunnerUnavailableError):
        waiting.cancel()


def test_a_restart_while_somebody_waits(
    face: KfpFace, make_runner: MakeRunner, start: Start
) -> None:
    run = start(make_runner(), "hang")
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            run.wait(PATIENCE)
        except RunCancelledError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    face.restart(down_seconds=0.5)
    make_runner().get(run.id).cancel()
    thread.join(PATIENCE)
    assert len(ended) == 1


def test_a_token_that_expires_while_somebody_waits(
    kaptain_home: Path, store: FolderStore, tmp_path: Path
) -> None:
    tokens = {"first": True}
    asked: list[str] = []

    def ask() -> str:
        asked.append(next(iter(tokens)))
        return asked[-1]

    def token(newer: bool) -> str:
        return ask() if newer or not asked else asked[-1]

    with serve_kfp(kaptain_home, tokens=tokens) as face:
        settings = KfpSettings(host=face.url, ui=face.url, token=token)
        runner = KfpRunner(KfpConnection(settings), LocalCluster(kaptain_home), store)
        run = runner.submit(request_to("succeed", kaptain_home, store))
        tokens.clear()
        tokens["second"] = True
        assert run.wait(PATIENCE) is RunState.SUCCEEDED
        assert asked == ["first", "second"]
        tokens.clear()
        tokens["third"] = False
        with pytest.raises(ConfigurationError, match="403"):
            _ = run.state


def test_a_run_that_is_deleted_while_somebody_waits(
    make_runner: MakeRunner, start: Start, face: KfpFace
) -> None:
    runner = make_runner()
    run = start(runner, "succeed")
    run.wait(PATIENCE)
    connection = runner._connection
    connection.call("delete it", connection.runs.run_service_delete_run, run.id)
    for ask in (run.wait, run.cancel, lambda: run.state, lambda: run.error):
        with pytest.raises(RunNotFoundError, match=run.id):
            ask()


@pytest.mark.parametrize("artifact_api", [False, True], ids=["ml-metadata", "artifact-api"])
def test_what_kubeflow_pipelines_says_where_no_step_left_a_word(
    kaptain_home: Path, make_runner: MakeRunner, start: Start, artifact_api: bool
) -> None:
    with serve_kfp(kaptain_home, artifact_api=artifact_api) as face:
        run = start(make_runner(host=face.url), "die")
        with pytest.raises(RunFailedError, match=r"its step 'act' failed: .*exit code 1") as caught:
            run.wait(PATIENCE)
        assert caught.value.reason == "PipelineFailed"


def test_outputs_outlive_the_run_and_its_server(
    face: KfpFace, make_runner: MakeRunner, start: Start, log: pytest.LogCaptureFixture
) -> None:
    started = start(make_runner(), "succeed")
    started.wait(PATIENCE)
    runner = make_runner(Time())  # which waits for the server on a clock of its own
    run = runner.get(started.id)
    told = run.outputs
    assert set(told) == {"act"} and not log.messages
    face.faults.add(Fault(do="drop", times=None))
    assert run.outputs == told
    assert any("Artifacts" in message and run.id in message for message in log.messages)
    face.faults.clear()
    connection = runner._connection
    connection.call("delete it", connection.runs.run_service_delete_run, run.id)
    assert run.outputs == told


def test_a_run_is_followed_and_retried_while_the_store_is_away(
    face: KfpFace, kaptain_home: Path, start: Start, log: pytest.LogCaptureFixture
) -> None:
    class Away(FolderStore):
        def list(self, prefix: str = "", *, recursive: bool = True) -> NoReturn:
            raise StoreError("The store is away.")

    connection = KfpConnection(KfpSettings(host=face.url, ui=face.url))
    runner = KfpRunner(connection, LocalCluster(kaptain_home), Away(kaptain_home / "away"))
    run = start(runner, "die")
    with pytest.raises(RunFailedError, match="its step 'act' failed"):
        run.wait(PATIENCE)
    assert run.status.info.state is RunState.FAILED and run.status.outputs == {}
    log.clear()
    run.retry()
    assert any("on no record: The store is away." in message for message in log.messages)
    with pytest.raises(RunFailedError, match="its step 'act' failed"):
        run.wait(PATIENCE)


def test_once_the_pods_are_gone_the_records_keep_the_last_lines(
    make_runner: MakeRunner, start: Start, kaptain_home: Path
) -> None:
    run = start(make_runner(), "fail")
    with pytest.raises(Exception, match="exit code 3"):
        run.wait(PATIENCE)
    cluster = LocalCluster(kaptain_home)
    for pod in cluster.list("Pod"):
        cluster.delete(ResourceRef.of(pod))
    eventually(lambda: not list(cluster.list("Pod")), "the pods are gone")
    assert list(run.logs()) == ["last words"]
    assert list(run.logs(follow=True)) == ["last words"]


def test_a_lost_answer_to_a_retry(face: KfpFace, make_runner: MakeRunner, start: Start) -> None:
    run = start(make_runner(Time()), "recover")
    eventually(lambda: run.state.finished, "it fails")
    face.faults.add(Fault(do="lose", method="POST", path=":retry"))
    run.retry()
    eventually(lambda: run.state is RunState.SUCCEEDED, "it succeeds")
    with pytest.raises(RunError, match=r"refused to retry the run .*\(400\)"):
        run.retry()


def test_a_cancel_that_comes_too_late(face: KfpFace, make_runner: MakeRunner, start: Start) -> None:
    runner = make_runner()
    run = start(runner, "succeed")
    face.faults.add(Fault(do="delay", method="POST", path=":terminate", seconds=4.0))
    run.cancel()
    assert run.state in (RunState.SUCCEEDED, RunState.CANCELED)


def test_a_lost_answer_to_a_cancel(face: KfpFace, make_runner: MakeRunner, start: Start) -> None:
    run = start(make_runner(), "hang")
    face.faults.add(Fault(do="lose", method="POST", path=":terminate"))
    run.cancel()
    assert run.state is RunState.CANCELED


def test_handles_say_who_they_are(waiting: RunHandle, face: KfpFace) -> None:
    assert repr(waiting) == f"<run {waiting.id} on {face.url}>"


def test_schedules_tell_when(face: KfpFace, make_runner: MakeRunner, kaptain_home: Path) -> None:
    runner = make_runner()
    request: Any = request_to("succeed", kaptain_home, FolderStore(kaptain_home / "models"))
    made = runner.schedule(request, Schedule.of(cron="0 3 1 1 *"))
    due = made.next_run
    assert due is not None and (due.month, due.day, due.hour, due.minute) == (1, 1, 3, 0)
    assert made.last_run is None
    assert made.url == f"{face.url}/#/recurringrun/details/{made.id}"
    made.disable()
    assert made.next_run is None


@pytest.mark.parametrize(
    ("schedule", "requests"),
    [
        (Schedule.of(cron="0 3 1 1 *"), 1),
        (Schedule.of(interval=3600), 2),
        (Schedule.of(interval=3600, enabled=False), 1),
    ],
)
def test_schedules_are_asked_for_once(
    face: KfpFace, make_runner: MakeRunner, kaptain_home: Path, schedule: Schedule, requests: int
) -> None:
    runner = make_runner()
    request: Any = request_to("succeed", kaptain_home, FolderStore(kaptain_home / "models"))
    made = runner.schedule(request, schedule)
    face.requests.reset()
    due = made.next_run
    assert face.requests.count() == requests
    face.requests.reset()
    status = made.status
    assert face.requests.count() == 2
    assert (status.schedule, status.last_run) == (schedule, None)
    assert (status.next_run is None) == (due is None) == (not schedule.enabled)


def test_a_search_for_a_run_ends_where_the_schedule_began() -> None:
    runs = [{"run_id": "a", "created_at": "2026-03-01T00:00:00Z"}]
    older = [{"run_id": "b", "created_at": "2025-12-31T00:00:00Z"}]
    known = {"recurring_run_id": "s", "created_at": "2026-01-01T00:00:00Z", "experiment_id": "e"}
    with serving() as server:
        pages = (
            {"runs": runs, "next_page_token": "1"},
            {"runs": older, "next_page_token": "2"},
            {},
        )
        server.answers = [(200, {}, json.dumps(page)) for page in pages]
        connection, _ = server.connect()
        assert KfpScheduleHandle(connection, known, "e", ours=True).last_run is None
        assert len(server.headers) == 2


@pytest.fixture
def scripted(kaptain_home: Path) -> Iterator[Callable[..., RunHandle]]:
    """A run of a server that answers as the test says, one state after the other."""
    # nobody works in this home, so it stays as it is: a run that nobody cancelled
    spec = {"displayName": "r", "experiment": "e", "pipelineSpec": {}, "template": {}}
    manifest = {
        "apiVersion": "kaptain-kfp.io/v1",
        "kind": "Run",
        "metadata": {"name": "r", "namespace": "default"},
        "spec": spec,
    }
    Objects(kaptain_home).create(manifest)
    with serving() as server:

        def run_of(*states: str) -> RunHandle:
            server.answers = [(200, {}, f'{{"run_id": "r", "state": "{s}"}}') for s in states]
            connection = KfpConnection(
                KfpSettings(host=server.url, ui=server.url), sleep=lambda _: None
            )
            return KfpRunHandle(connection, LocalCluster(kaptain_home), None, "r")

        yield run_of


def test_a_state_that_nobody_knows_is_waited_out(scripted: Callable[..., RunHandle]) -> None:
    run = scripted("PENDING", "BRAND_NEW", "BRAND_NEW", "SUCCEEDED")
    assert run.wait() is RunState.SUCCEEDED


def test_a_run_that_was_skipped(scripted: Callable[..., RunHandle]) -> None:
    run = scripted("SKIPPED")
    assert run.wait() is RunState.SKIPPED
    assert run.error is None


def test_a_server_that_calls_cancelled_runs_failed(scripted: Callable[..., RunHandle]) -> None:
    # asked whether it is over, told to terminate, asked until it is over
    run = scripted("RUNNING", "", "CANCELING", "FAILED")
    run.cancel()
    assert run.state is RunState.CANCELED
    assert isinstance(run.error, RunCancelledError)
    run.retry()
    assert run.state is RunState.FAILED


def test_a_run_that_others_terminated_without_a_trace(
    scripted: Callable[..., RunHandle], kaptain_home: Path
) -> None:
    run = scripted("FAILED")
    assert run.state is RunState.FAILED
    Objects(kaptain_home).patch("Run", "r", "default", {"spec": {"terminate": True}})
    assert run.state is RunState.CANCELED
    with pytest.raises(RunCancelledError):
        run.wait()
