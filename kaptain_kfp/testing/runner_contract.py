"""The contract of `Runner`, as tests: this machine and Kubeflow Pipelines have to pass the same.

Subclass `RunnerContract` in a test module and give it the fixtures `runner`, which runs pipelines
and reads its records from `store`, `home`, the local world in which their workloads run, and
`cluster`, where the runner looks for pods and workloads.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.exceptions import (
    RunCancelledError,
    RunError,
    RunFailedError,
    RunNotFoundError,
    RunTimeoutError,
    ScheduleNotFoundError,
    ScriptFailedError,
)
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.runs.base import RunHandle, Runner, RunRequest, RunState, UnfinishedRun
from kaptain_kfp.runs.schedule import Schedule
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.records import Records
from kaptain_kfp.testing.waiting import PATIENCE, eventually

from .runner_pipeline import pipeline
from .runner_steps import MODEL_ID, workload_name

__all__ = ["RunnerContract", "request_to"]


def request_to(what: str, home: Path, store: FolderStore, name: str = "a run") -> RunRequest:
    """Returns the request for a run whose step does something; see `runner_steps.perform`."""
    return RunRequest(
        pipeline=pipeline(),
        parameters={"home": str(home), "store": store.uri, "what": what},
        experiment=MODEL_ID,
        name=name,
        description="What it is for",
        labels=labels_for(MODEL_ID),
    )


class RunnerContract:
    """What every runner must do."""

    @pytest.fixture
    def start(self, runner: Runner, home: Path, store: FolderStore) -> Callable[[str], RunHandle]:
        """Starts a run whose step does something."""
        return lambda what: runner.submit(request_to(what, home, store))

    def test_success(self, start: Callable[[str], RunHandle]) -> None:
        run = start("succeed")
        assert run.url
        assert run.wait(PATIENCE) is RunState.SUCCEEDED
        assert run.state is RunState.SUCCEEDED
        assert run.error is None
        assert "about to succeed" in list(run.logs())
        outputs = run.outputs["act"]
        assert outputs["model_uri"].endswith(run.id)
        assert outputs["outcome"]["hyperparameters"] == {"--lr": "0.10"}
        assert run.wait(0) is RunState.SUCCEEDED

    def test_a_step_that_says_why_it_failed(self, start: Callable[[str], RunHandle]) -> None:
        run = start("fail")
        with pytest.raises(ScriptFailedError, match="exit code 3") as caught:
            run.wait(PATIENCE)
        assert caught.value.log_tail == "last words"
        assert caught.value.run_url == run.url
        assert run.state is RunState.FAILED
        assert isinstance(run.error, ScriptFailedError)
        assert run.outputs == {}

    def test_a_step_that_fails_without_a_word(self, start: Callable[[str], RunHandle]) -> None:
        run = start("die")
        with pytest.raises(RunFailedError) as caught:
            run.wait(PATIENCE)
        assert "last words of a step" in (caught.value.log_tail or "")
        assert run.id in caught.value.message

    def test_waiting_with_a_limit(self, start: Callable[[str], RunHandle]) -> None:
        run = start("hang")
        with pytest.raises(RunTimeoutError, match="it goes on"):
            run.wait(0.2)
        assert not run.state.finished
        assert run.error is None
        run.cancel()

    def test_the_logs_can_be_followed(self, start: Callable[[str], RunHandle]) -> None:
        run = start("hang")
        lines = run.logs(follow=True)
        assert any("the work has begun" in line for line in lines)
        assert not run.state.finished
        run.cancel()
        assert all("the work has begun" not in line for line in lines)

    def test_what_is_shown_meanwhile(
        self, start: Callable[[str], RunHandle], capsys: pytest.CaptureFixture[str]
    ) -> None:
        start("succeed").wait(PATIENCE, verbose=True)
        assert capsys.readouterr().out.splitlines().count("about to succeed") == 1

    def test_a_cancelled_run_leaves_nothing_behind(
        self, start: Callable[[str], RunHandle], cluster: Cluster
    ) -> None:
        run = start("hang")
        name = workload_name(run.id)

        def jobs() -> list[str]:
            return [job["metadata"]["name"] for job in cluster.list("Job")]

        eventually(lambda: name in jobs(), "the step has begun")
        run.cancel()
        assert run.state is RunState.CANCELED
        assert name not in jobs()
        pods = [pod for pod in cluster.list("Pod") if pod["status"]["phase"] == "Running"]
        assert pods == []
        with pytest.raises(RunCancelledError):
            run.wait(PATIENCE)
        assert isinstance(run.error, RunCancelledError)
        run.cancel()

    def test_what_is_over_is_not_cancelled(self, start: Callable[[str], RunHandle]) -> None:
        run = start("succeed")
        run.wait(PATIENCE)
        run.cancel()
        assert run.state is RunState.SUCCEEDED

    def test_what_is_not_over(self, runner: Runner, start: Callable[[str], RunHandle]) -> None:
        start("succeed").wait(PATIENCE)
        assert runner.unfinished() == []
        run = start("hang")
        assert runner.unfinished() == [UnfinishedRun(run.id, MODEL_ID, ours=True)]
        run.cancel()
        assert runner.unfinished() == []

    def test_runs_are_listed(
        self, runner: Runner, start: Callable[[str], RunHandle], cluster: Cluster
    ) -> None:
        assert runner.runs() == []
        begun = cluster.now().replace(microsecond=0)
        over, hanging = start("succeed"), start("hang")
        over.wait(PATIENCE)
        eventually(lambda: hanging.state is RunState.RUNNING, "it runs")
        found = {run.id: run for run in runner.runs(MODEL_ID)}
        assert set(found) == {over.id, hanging.id}
        first, second = found[over.id], found[hanging.id]
        assert {(run.name, run.experiment) for run in (first, second)} == {("a run", MODEL_ID)}
        assert (first.state, first.error) == (RunState.SUCCEEDED, None)
        assert first.parameters["what"] == "succeed"
        assert first.started is not None and first.finished is not None
        assert begun <= first.created <= first.started <= first.finished
        assert (second.state, second.finished) == (RunState.RUNNING, None)
        assert second.started is not None
        hanging.cancel()
        ended = {run.id: run for run in runner.runs()}[hanging.id]
        assert (ended.state, ended.error) == (RunState.CANCELED, None)
        assert ended.finished is not None
        assert len(runner.runs(limit=1)) == 1
        assert runner.runs("dev/other") == []

    def test_ids_with_a_text_in_them(
        self, runner: Runner, start: Callable[[str], RunHandle]
    ) -> None:
        runs = [start("succeed"), start("succeed")]
        assert [run.wait(PATIENCE) for run in runs] == [RunState.SUCCEEDED] * 2
        for part in (runs[0].id[:9], runs[0].id[9:], runs[0].id):
            assert runner.ids(part, 10) == [runs[0].id]
        assert set(runner.ids("-", 10)) == {run.id for run in runs}
        assert len(runner.ids("-", 1)) == 1
        assert runner.ids("no-such-run", 10) == []

    @pytest.mark.parametrize(
        ("what", "state"),
        [
            ("succeed", RunState.SUCCEEDED),
            ("fail", RunState.FAILED),
            ("die", RunState.FAILED),
            ("hang", RunState.CANCELED),
        ],
    )
    def test_all_about_a_run(
        self, start: Callable[[str], RunHandle], runner: Runner, what: str, state: RunState
    ) -> None:
        run = start(what)
        if what == "hang":
            assert list(run.status.tasks) == ["act"]
            eventually(lambda: run.status.tasks["act"] is RunState.RUNNING, "its step runs")
            run.cancel()
        eventually(lambda: run.state.finished, "it is over")
        told = runner.get(run.id).status
        assert (told.info.id, told.info.experiment, told.info.state) == (run.id, MODEL_ID, state)
        assert told.tasks == {"act": state}
        assert told.outputs == run.outputs
        assert type(told.error) is type(run.error) and str(told.error) == str(run.error)

    def test_a_run_is_found_again(self, start: Callable[[str], RunHandle], runner: Runner) -> None:
        run = start("fail")
        again = runner.get(run.id)
        assert (again.id, again.url) == (run.id, run.url)
        with pytest.raises(ScriptFailedError):
            again.wait(PATIENCE)
        assert list(again.logs()) == list(run.logs()) != []

    def test_a_run_that_is_not_there(self, runner: Runner) -> None:
        with pytest.raises(RunNotFoundError, match="no-such-run") as caught:
            runner.get("no-such-run")
        assert caught.value.hint

    def test_a_failed_run_begins_again(self, start: Callable[[str], RunHandle]) -> None:
        run = start("recover")
        with pytest.raises(RunFailedError):
            run.wait(PATIENCE)
        run.retry()
        assert not run.state.finished
        assert run.wait(PATIENCE) is RunState.SUCCEEDED
        assert run.outputs["act"]["model_uri"].endswith(run.id)
        with pytest.raises(RunError):
            run.retry()

    def test_a_run_that_fails_twice_tells_of_both(
        self, start: Callable[[str], RunHandle], store: FolderStore
    ) -> None:
        run = start("fail again")
        with pytest.raises(ScriptFailedError, match="the try 1"):
            run.wait(PATIENCE)
        run.retry()
        with pytest.raises(ScriptFailedError, match="the try 2"):
            run.wait(PATIENCE)
        run.retry()
        with pytest.raises(RunFailedError) as caught:
            run.wait(PATIENCE)
        assert "last words of a step" in (caught.value.log_tail or "")
        told = [record.event for record in Records(store, MODEL_ID).load()]
        assert told == ["error", "retried", "error", "retried"]

    def test_a_cancelled_run_begins_again(self, start: Callable[[str], RunHandle]) -> None:
        run = start("hang")
        run.cancel()
        run.retry()
        eventually(lambda: run.state is RunState.RUNNING, "it runs again")
        run.cancel()
        assert run.state is RunState.CANCELED

    def test_a_schedule(self, runner: Runner, home: Path, store: FolderStore) -> None:
        begun = datetime.now(timezone.utc).replace(microsecond=0)
        request = request_to("succeed", home, store, "every second")
        made = runner.schedule(request, Schedule.of(interval=1, max_concurrency=2))
        assert (made.name, made.experiment, made.enabled) == ("every second", MODEL_ID, True)
        assert made.url
        assert made.schedule == Schedule.of(interval=1, max_concurrency=2)
        runs = eventually(lambda: self._succeeded(runner, 2), "two of its runs succeed")
        assert {run.schedule_id for run in runs} == {made.id}
        assert runner.get(runs[0].id).outputs["act"]["model_uri"].endswith(runs[0].id)
        assert begun <= runs[1].created <= runs[0].created
        assert made.last_run is not None and made.last_run >= runs[1].created
        made.disable()
        assert not made.enabled
        made.delete()
        made.delete()
        assert runner.schedules() == []
        with pytest.raises(ScheduleNotFoundError, match=made.id):
            made.enable()
        with pytest.raises(ScheduleNotFoundError, match=made.id):
            _ = made.schedule
        assert runs[0].id in [run.id for run in runner.scheduled_runs(MODEL_ID)]

    def test_a_disabled_schedule_starts_nothing(
        self, runner: Runner, home: Path, store: FolderStore
    ) -> None:
        def make(name: str, enabled: bool) -> Any:
            schedule = Schedule.of(cron="* * * * * *", enabled=enabled)
            return runner.schedule(request_to("succeed", home, store, name), schedule)

        off, on = make("off", False), make("on", True)
        # made in one second, they have no order
        assert {found.id for found in runner.schedules()} == {on.id, off.id}
        assert {found.name for found in runner.schedules(MODEL_ID)} == {"on", "off"}
        assert runner.schedules("dev/other") == []
        runs = eventually(lambda: self._succeeded(runner, 2), "two runs succeed")
        assert {run.schedule_id for run in runs} == {on.id}
        assert (off.last_run, off.enabled) == (None, False)
        on.disable()
        off.enable()
        assert off.enabled
        eventually(lambda: off.last_run, "it starts a run once it is enabled")

    def test_no_runs_of_schedules(self, runner: Runner, start: Callable[[str], RunHandle]) -> None:
        assert runner.scheduled_runs(MODEL_ID) == []
        start("succeed").wait(PATIENCE)
        assert runner.scheduled_runs(MODEL_ID) == []

    @staticmethod
    def _succeeded(runner: Runner, number: int) -> list[Any]:
        runs = runner.scheduled_runs(MODEL_ID)
        over = [run for run in runs if run.state is RunState.SUCCEEDED]
        return over if len(over) >= number else []
