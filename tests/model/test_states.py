from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.model.states import ModelState, ModelStatus, fold, newer_runs
from kaptain_kfp.specs import (
    Action,
    BuiltImage,
    Definition,
    ErrorSpec,
    MetricSummary,
    ModelIdentity,
    Outcome,
    Record,
    Submission,
)
from kaptain_kfp.store.records import in_order

START = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
IMAGE = BuiltImage(name="mnist:1", reference="mnist@sha256:1", checksum="1", built=True)
OTHER = BuiltImage(name="mnist:2", reference="mnist@sha256:2", checksum="2", built=True)
ERROR = ErrorSpec(type="ScriptFailedError", message="exit code 1")
METRICS = {"loss": MetricSummary(latest=0.5, min=0.5, max=0.9)}
DEFINITION = Definition(
    identity=ModelIdentity(
        id="m", name="m", description="", version="1", framework="f", framework_version="1"
    ),
    main_file="train.py",
    image_name="m",
    base_image="b",
)


def record(run_id: str, event: str, action: str, **more: Any) -> Record:
    values: dict[str, Any] = {
        "model_id": "m",
        "run_id": run_id,
        "task": more.pop("task", action),
        "event": event,
        "action": action,
        "time": START,
    }
    return Record(**{**values, **more})


def outcome(action: str, run_id: str = "run", revision: str | None = None, **more: Any) -> Record:
    return record(run_id, "outcome", action, revision=revision, outcome=Outcome(**more))


def submitted(values: object, run_id: str = "run") -> Record:
    submission = Submission(definition=DEFINITION, parameters={"hyperparameters": values})
    return record(run_id, "submitted", "train", submission=submission)


def trained(run_id: str = "run", **more: Any) -> Record:
    values: dict[str, Any] = {
        "revision": f"rev-{run_id}",
        "hyperparameters": {"--lr": "0.01"},
        "metrics": METRICS,
        "model_uri": f"file:///m/trained/{run_id}",
    }
    return outcome("train", run_id, **{**values, **more})


def test_states_are_words() -> None:
    assert [str(state) for state in ModelState] == [
        *("untrained", "trained", "tuned", "deployed", "canary")
    ]
    assert f"{ModelState.TUNED}" == ModelState("tuned") == "tuned"


def test_nothing_happened() -> None:
    assert fold([]) == ModelStatus()
    assert ModelStatus().state is ModelState.UNTRAINED
    assert (ModelStatus().revision, ModelStatus().hyperparameters) == (None, None)


def test_a_training() -> None:
    assert fold([submitted({"--lr": 0.01}), trained()]) == ModelStatus(
        state=ModelState.TRAINED,
        revision="rev-run",
        hyperparameters={"--lr": 0.01},
        metrics=METRICS,
        model_uri="file:///m/trained/run",
        last_run_id="run",
    )


def test_a_tuning_keeps_the_text() -> None:
    made = outcome("tune", revision="1", hyperparameters={"--lr": "0.01"}, model_uri="file:///t")
    status = fold([submitted({"--lr": 0.01}), made])
    assert status.state is ModelState.TUNED
    assert (status.revision, status.model_uri) == ("1", "file:///t")
    assert status.hyperparameters == {"--lr": "0.01"}


@pytest.mark.parametrize(
    ("actions", "state"),
    [
        ("train", "trained"),
        ("tune", "tuned"),
        ("train tune", "tuned"),
        ("tune train", "trained"),
        ("train deploy", "deployed"),
        ("train deploy deploy-canary", "canary"),
        ("train deploy deploy-canary promote-canary", "deployed"),
        ("train deploy deploy-canary rollback-canary", "deployed"),
        ("train deploy undeploy", "trained"),
        ("tune deploy undeploy", "tuned"),
        ("train tune deploy deploy-canary undeploy", "tuned"),
        ("deploy undeploy", "untrained"),
        ("deploy", "deployed"),
        ("train deploy train", "trained"),
        ("build", "untrained"),
        ("train build", "trained"),
        ("train deploy log-data log-metrics", "deployed"),
    ],
)
def test_states_follow_outcomes(actions: str, state: str) -> None:
    history = [outcome(action, f"run-{n}") for n, action in enumerate(actions.split())]
    assert fold(history).state == state


@pytest.mark.parametrize(
    ("action", "revision"),
    [
        *(("train", "new"), ("tune", "new"), ("deploy", "new"), ("undeploy", "new")),
        *(("build", "rev-run"), ("log-data", "rev-run"), ("log-metrics", "rev-run")),
    ],
)
def test_only_what_changes_the_model_changes_its_revision(action: str, revision: str) -> None:
    assert fold([trained(), outcome(action, "other", revision="new")]).revision == revision
    assert fold([trained(), outcome(action, "other")]).revision == "rev-run"


@pytest.mark.parametrize("action", ["build", "deploy", "undeploy", "log-data", "deploy-canary"])
def test_other_outcomes_leave_what_was_learnt(action: str) -> None:
    before = fold([trained()])
    after = fold([trained(), outcome(action, "other", hyperparameters={"--x": "1"}, metrics={})])
    for name in ("hyperparameters", "metrics", "model_uri"):
        assert getattr(after, name) == getattr(before, name)


def test_the_newest_image() -> None:
    assert fold([outcome("build", image=IMAGE), trained("a")]).image == IMAGE
    assert fold([outcome("build", image=IMAGE), trained("a", image=OTHER)]).image == OTHER
    build = [outcome("build", "a", image=IMAGE), outcome("build", "b", image=OTHER)]
    assert fold(build).image == OTHER
    assert fold([outcome("build", image=IMAGE)]).state is ModelState.UNTRAINED


def test_the_later_outcome_counts_as_a_whole() -> None:
    bare = outcome("train", "b", revision="rev-b")
    history = [submitted({"--lr": 0.01}, "a"), submitted({}, "b"), trained("a"), bare]
    status = fold(history)
    assert (status.revision, status.hyperparameters) == ("rev-b", None)
    assert (status.metrics, status.model_uri) == (None, None)
    status = fold([*history[:2], bare, trained("a")])
    assert (status.revision, status.hyperparameters) == ("rev-a", {"--lr": 0.01})


def test_errors_are_told_until_something_succeeds() -> None:
    failed = record("b", "error", "train", error=ERROR, revision="no")
    closed = record("c", "closed", "tune", error=ErrorSpec(type="RunCancelledError", message=""))
    wordless = record("d", "closed", "tune")
    before = fold([trained()])
    status = fold([trained(), failed])
    assert status.last_error == ERROR
    for name in ("state", "revision", "hyperparameters", "metrics", "model_uri", "image"):
        assert getattr(status, name) == getattr(before, name)
    assert fold([trained(), failed, closed]).last_error == closed.error
    assert fold([trained(), failed, wordless]).last_error == ERROR
    assert fold([trained(), failed, submitted({}, "e")]).last_error == ERROR
    assert fold([failed, outcome("log-data", "e")]).last_error is None
    assert fold([trained(), failed, record("b", "retried", "train")]).last_error is None
    assert fold([trained(), failed, record("x", "retried", "train")]).last_error == ERROR


def test_the_last_run_is_the_one_that_began_last() -> None:
    assert fold([submitted({}, "a")]).last_run_id == "a"
    assert fold([submitted({}, "a"), submitted({}, "b"), trained("a")]).last_run_id == "b"
    assert fold([submitted({}, "a"), trained("from the UI")]).last_run_id == "from the UI"


def test_a_schedule_is_no_run() -> None:
    scheduled = record("s", "scheduled", "train", task="schedule")
    assert fold([scheduled]) == ModelStatus()
    assert fold([submitted({}, "a"), scheduled]).last_run_id == "a"
    assert newer_runs([scheduled], None) == []


def test_what_was_done_without_a_run_is_none() -> None:
    submission = Submission(definition=DEFINITION)
    failed = record("x", "error", "build", submission=submission, error=ERROR)
    published = record("y", "outcome", "build", submission=submission, outcome=Outcome(image=IMAGE))
    status = fold([submitted({}, "a"), failed])
    assert (status.last_run_id, status.last_error) == ("a", ERROR)
    status = fold([submitted({}, "a"), failed, published])
    assert (status.last_run_id, status.last_error, status.image) == ("a", None, IMAGE)
    assert newer_runs([failed, published], None) == []


@pytest.mark.parametrize(
    ("own", "newer"),
    [
        (None, ["d", "c", "b", "a"]),
        # b began before a had ended
        ("a", ["d", "c"]),
        ("c", ["d"]),
        ("d", []),
        ("gone", ["d", "c", "b", "a"]),
    ],
)
def test_which_runs_began_after_the_end_of_one(own: str | None, newer: list[str]) -> None:
    records = [
        submitted({}, "a"),
        submitted({}, "b"),
        trained("a"),
        outcome("build", "c"),
        trained("c"),
        submitted({}, "d"),
        record("b", "closed", "train", task="run", error=ERROR),
    ]
    assert newer_runs(records, own) == newer


GIVEN: list[tuple[str, object, dict[str, str], list[tuple[str, object]]]] = [
    (
        "as given, in that order",
        {"--z": 1, "--a": 0.1, "--t": "5", "--b": True},
        {"--a": "0.1", "--b": "True", "--t": "5", "--z": "1"},
        [("--z", 1), ("--a", 0.1), ("--t", "5"), ("--b", True)],
    ),
    (
        "no submission: numbers are numbers",
        None,
        {"--z": "1", "--a": "1e-05", "--t": "007", "--b": "True"},
        [("--z", 1), ("--a", 1e-05), ("--t", "007"), ("--b", "True")],
    ),
    (
        "the run was given other values",
        {"--b": 1, "--a": 0.1},
        {"--a": "0.2", "--b": "True"},
        [("--b", "True"), ("--a", 0.2)],
    ),
    (
        "and other flags",
        {"--gone": 1, "--b": 2},
        {"--a": "1", "--b": "2"},
        [("--b", 2), ("--a", 1)],
    ),
    (
        "a value without text form",
        {"--a": [1], "--b": None},
        {"--a": "1", "--b": "x"},
        [
            ("--a", 1),
            ("--b", "x"),
        ],
    ),
    ("no dictionary", [1], {"--a": "1"}, [("--a", 1)]),
    ("nothing", {}, {}, []),
]


@pytest.mark.parametrize(("name", "given", "texts", "wanted"), GIVEN)
def test_hyperparameters_after_a_training(
    name: str, given: object, texts: dict[str, str], wanted: list[tuple[str, object]]
) -> None:
    done = trained(hyperparameters=texts)
    asked = [] if given is None else [submitted(given)]
    for history in ([*asked, done], [done, *asked]):  # a fast step is first on record
        values = fold(history).hyperparameters
        assert values is not None
        assert list(values.items()) == wanted
        assert [type(value) for value in values.values()] == [type(value) for _, value in wanted]


def test_runs_read_their_own_submission() -> None:
    history = [submitted({"--lr": "0.01"}, "a"), submitted({"--lr": 0.01}, "b"), trained("a")]
    assert fold(history).hyperparameters == {"--lr": "0.01"}


ACTIONS: tuple[Action, ...] = (
    *("build", "train", "tune", "deploy", "deploy-canary", "promote-canary"),
    *("rollback-canary", "undeploy", "log-data", "log-metrics"),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Records in the order in which they were written, each following some before it."""
    made: list[Record] = []
    for number in range(draw(st.integers(0, 10))):
        run_id = draw(st.sampled_from("abc"))
        earlier = [one.key for one in made]
        follows = draw(st.sets(st.sampled_from(earlier), max_size=2)) if earlier else set()
        more: dict[str, Any] = {
            "task": f"t{number}",
            "time": START + timedelta(seconds=draw(st.integers(-5, 5))),
            "follows": tuple(sorted(follows)),
        }
        event = draw(st.sampled_from(["submitted", "outcome", "outcome", "error", "closed"]))
        if event == "outcome":
            values = {"--lr": str(number)}
            more["outcome"] = Outcome(hyperparameters=values, model_uri=f"file:///{number}")
            more["revision"] = str(number)
        elif event == "submitted":
            parameters = {"hyperparameters": {"--lr": number}}
            more["submission"] = Submission(definition=DEFINITION, parameters=parameters)
        else:
            more["error"] = ErrorSpec(type="RunError", message=str(number))
        made.append(record(run_id, event, draw(st.sampled_from(ACTIONS)), **more))
    return made


@given(histories(), st.integers())
def test_the_order_of_arrival_does_not_matter(history: list[Record], seed: int) -> None:
    arrived = list(history)
    random.Random(seed).shuffle(arrived)
    assert fold(in_order(arrived)) == fold(in_order(history))


@given(histories(), st.sampled_from(["error", "closed"]), st.sampled_from(ACTIONS))
def test_an_error_never_changes_the_state(
    history: list[Record], event: str, action: Action
) -> None:
    before = fold(history)
    after = fold([*history, record("new", event, action, error=ERROR, revision="new")])
    expected = {**vars(before), "last_error": ERROR, "last_run_id": "new"}
    assert vars(after) == expected


@given(histories(), st.data())
def test_duplicates_change_nothing(history: list[Record], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(history))) if history else []
    assert fold([*history, *again]) == fold(history)
