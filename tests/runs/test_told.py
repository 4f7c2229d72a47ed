from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kaptain_kfp.exceptions import ScriptFailedError, StoreError
from kaptain_kfp.runs.told import error_of, kept_tail, known_records, note_retry, outputs_of
from kaptain_kfp.specs import BuiltImage, ErrorSpec, Outcome, Record
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.records import Records

IMAGE = BuiltImage(name="n", reference="r", checksum="c", built=True)
ERROR = ErrorSpec(type="ScriptFailedError", message="it broke", log_tail="one\ntwo")


def record(task: str, event: Any, action: Any = "train", run: str = "run", **more: Any) -> Record:
    now = datetime.now(timezone.utc)
    return Record(model_id="m", run_id=run, task=task, event=event, action=action, time=now, **more)


def test_the_error_of_a_step() -> None:
    records = [
        record("build", "outcome", "build", outcome=Outcome(image=IMAGE)),
        record("train", "error", error=ERROR),
        record("train", "error", run="another", error=ErrorSpec(type="X", message="x")),
    ]
    error = error_of(records, "run", "url")
    assert isinstance(error, ScriptFailedError)
    assert (error.message, error.run_url, error.log_tail) == ("it broke", "url", "one\ntwo")
    assert error_of(records, "nobody", "url") is None


def test_an_error_that_was_made_up_for_counts_no_more() -> None:
    failed = record("train", "error", error=ERROR)
    assert error_of([failed, record("train", "outcome", outcome=Outcome())], "run", "") is None


def test_what_went_wrong_before_a_run_began_again_counts_no_more() -> None:
    records = [record("train", "error", error=ERROR), record("run", "retried")]
    assert error_of(records, "run", "") is None
    second = ErrorSpec(type="StoreError", message="it broke elsewhere")
    error = error_of([*records, record("train", "error", error=second, number=2)], "run", "")
    assert error is not None and error.message == "it broke elsewhere"


def test_the_last_lines() -> None:
    records = [
        record("train", "submitted"),
        record("train", "error", error=ERROR),
        record("train", "outcome", outcome=Outcome(log_tail="three")),
        record("train", "outcome", run="another", outcome=Outcome(log_tail="no")),
    ]
    assert list(kept_tail(records, "run")) == ["one", "two", "three"]


def test_a_store_that_is_away_hides_no_run(log: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    class Away(FolderStore):
        def list(self, prefix: str = "", *, recursive: bool = True) -> NoReturn:
            raise StoreError("The store is away.")

    records = Records(Away(tmp_path), "m")
    assert known_records(records, "run-1") == [] == known_records(None, "run-1")
    note_retry(records, "run-1")
    note_retry(None, "run-1")
    assert [("on no record" in text, "run-1" in text) for text in log.messages] == [
        (False, True),
        (True, True),
    ]


UUID = "5b1d4c0e-3b5f-4a39-9d6e-0d4f1d8f0a51"


DIGITS = "12345678-1234-4abc-9def-0123456789ab"
PLACES = ("17", UUID, f"{UUID}.0123abcd", DIGITS, f"{DIGITS}.deadbeef")


@pytest.mark.parametrize("prefix", ["", *(f"{place}-" for place in PLACES)])
def test_outputs_go_by_the_names_of_tasks(prefix: str) -> None:
    trained = Outcome(model_uri="file:///m")
    records = [
        record(f"{prefix}build-image", "outcome", "build", outcome=Outcome(image=IMAGE)),
        record(f"{prefix}train-2", "outcome", outcome=trained),
        record(f"{prefix}train", "error", error=ERROR),
    ]
    assert outputs_of(records, "run") == {
        "build-image": {"Output": IMAGE.dump()},
        "train-2": {"model_uri": "file:///m", "outcome": trained.dump()},
    }


def test_the_iterations_of_a_loop_are_kept_apart() -> None:
    records = [record(f"{n}-train", "outcome", outcome=Outcome()) for n in (17, 18)]
    assert sorted(outputs_of(records, "run")) == ["17/train", "18/train"]


def test_what_the_server_tells_is_added_and_records_come_first() -> None:
    trained = Outcome(model_uri="s3://b/m")
    records = [record(f"{UUID}-train", "outcome", outcome=trained)]
    artifact = {"uri": "s3://b/root", "metadata": {}}
    told: dict[tuple[str, str], dict[str, Any]] = {
        (UUID, "train"): {"model_uri": "s3://other", "trained_model": artifact},
        (UUID, "of-others"): {"Output": 7},
        (UUID, "still-runs"): {},
    }
    own = {"model_uri": "s3://b/m", "outcome": trained.dump()}
    meant = {"train": {**own, "trained_model": artifact}, "of-others": {"Output": 7}}
    assert outputs_of(records, "run", told) == meant
    # a server that was upgraded since knows the place of the step by another id
    records = [record("17-train", "outcome", outcome=trained)]
    assert outputs_of(records, "run", told) == meant


def test_the_iterations_of_a_loop_that_the_server_tells() -> None:
    records = [
        record(f"{UUID}.{place}-train", "outcome", outcome=Outcome(model_uri="s3://b/m"))
        for place in ("0123abcd", "deadbeef")
    ]
    told: dict[tuple[str, str], dict[str, Any]] = {
        (f"{UUID}.{n}", "train"): {"model_uri": f"s3://b/{n}"} for n in (0, 1)
    }
    assert outputs_of(records, "run", told) == {
        f"{UUID}.{n}/train": {"model_uri": f"s3://b/{n}"} for n in (0, 1)
    }
    told = {step: {} for step in told}
    assert sorted(outputs_of(records, "run", told)) == [
        f"{UUID}.0123abcd/train",
        f"{UUID}.deadbeef/train",
    ]
