from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.model.states import fold
from kaptain_kfp.specs import (
    Definition,
    ErrorSpec,
    MetricSummary,
    ModelIdentity,
    Outcome,
    Record,
    Submission,
)
from kaptain_kfp.store.base import Entry
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.records import Records, heads, in_order, since_retried

START = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
APPEND = """
import sys
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.records import Records
records = Records(FolderStore(sys.argv[1]), "dev/mnist")
wins = 0
for number in range(15):
    wins += records.append(records.new("run", f"shared-{number}", "outcome", "train"))
    assert records.append(records.new(sys.argv[2], f"own-{number}", "outcome", "train"))
print(wins)
"""


@dataclass
class Counted:
    """How often a store was asked."""

    reads: list[str] = field(default_factory=list)
    lists: int = 0


class CountingStore(FolderStore):
    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.count = Counted()

    def read(self, key: str) -> bytes:
        self.count.reads.append(key)
        return super().read(key)

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        self.count.lists += 1
        return super().list(prefix, recursive=recursive)


def record(name: str, minute: int, *follows: str, **more: Any) -> Record:
    """A record whose key is `<name>-t-outcome`, following those of the names."""
    values: dict[str, Any] = {
        "model_id": "dev/mnist",
        "run_id": name,
        "task": "t",
        "event": "outcome",
        "action": "train",
        "time": START + timedelta(minutes=minute),
        "follows": tuple(f"{other}-t-outcome" for other in follows),
    }
    return Record(**{**values, **more})


def run_ids(records: Sequence[Record]) -> str:
    return "".join(record.run_id for record in records)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path)


@pytest.fixture
def records(store: CountingStore) -> Records:
    return Records(store, "dev/mnist")


def full_record() -> Record:
    identity = ModelIdentity(
        id="dev/mnist",
        name="MNIST",
        description="Ziffern 🚀",
        version="1",
        framework="sklearn",
        framework_version="1.5",
        labels=("a", "b"),
    )
    definition = Definition(
        identity=identity, main_file="train.py", image_name="mnist", base_image="python"
    )
    parameters = {
        "hyperparameters": {"--z": 1e-05, "--a": True, "--n": 2**70, "--t": "half \udc80"},
        "args": {},
    }
    return record(
        "a",
        0,
        submission=Submission(definition=definition, parameters=parameters, url="file:///x"),
        outcome=Outcome(
            hyperparameters={"--z": "1e-05", "--a": "True"},
            metrics={"loss": MetricSummary(latest=float("inf"), min=0.1, max=0.1)},
            log_tail="line\nline\r\n\0",
        ),
        error=ErrorSpec(type="StoreError", message=""),
    )


def test_brings_back_what_was_appended(records: Records, store: CountingStore) -> None:
    written = full_record()
    assert records.append(written) is True
    assert [entry.key for entry in store.list()] == ["dev/mnist/records/a-t-outcome.json"]
    for reader in (records, Records(store, "dev/mnist")):
        (read,) = reader.load()
        assert read == written
        assert read.submission is not None
        assert list(read.submission.parameters["hyperparameters"]) == ["--z", "--a", "--n", "--t"]
        assert reader.get("a-t-outcome") == written


def test_an_event_is_on_record_once(records: Records, store: CountingStore) -> None:
    first = record("a", 0, revision="first")
    assert records.append(first) is True
    assert records.append(record("a", 1, revision="second")) is False
    assert Records(store, "dev/mnist").append(record("a", 1)) is False
    assert records.load() == [first]


def test_models_do_not_see_each_other(store: CountingStore) -> None:
    ids = ["dev", "dev/mnist", "dev/mnist/small", "dev/mnist-2"]
    for number, model in enumerate(ids):
        Records(store, model).append(record("a", number, model_id=model))
    for model in ids:
        assert [r.model_id for r in Records(store, model).load()] == [model]


def test_refuses_records_of_other_models(records: Records) -> None:
    with pytest.raises(StoreError, match=r"'dev/mnist-2', not of 'dev/mnist'"):
        records.append(record("a", 0, model_id="dev/mnist-2"))
    assert records.load() == []


def test_refuses_ids_that_are_no_keys(store: CountingStore) -> None:
    for model in ("", "../mnist", "dev//mnist", "/dev"):
        with pytest.raises(StoreError, match="key"):
            Records(store, model)


def test_refuses_what_json_has_no_form_for(records: Records) -> None:
    full = full_record()
    assert full.submission is not None
    bad = full.submission.model_copy(update={"parameters": {"--x": object()}})
    with pytest.raises(StoreError, match=r"'a-t-outcome'.*object") as caught:
        records.append(full.model_copy(update={"submission": bad}))
    assert caught.value.hint
    assert records.load() == []


def test_tasks_with_odd_names_have_records_too(records: Records) -> None:
    for task in ("outer/inner", "../up", "100%", "with blank", "größe"):
        written = record("a", 0, task=task)
        assert records.append(written) is True
        assert records.get(written.key) == written
    assert len(records.load()) == 5


def test_says_whose_it_is(records: Records, store: CountingStore) -> None:
    assert records.store is store
    assert repr(records) == f"Records({store!r}, 'dev/mnist')"


def test_knows_what_it_has_not(records: Records) -> None:
    assert records.load() == []
    assert records.get("a-t-outcome") is None


def test_new_records_follow_what_is_there(records: Records) -> None:
    before = datetime.now(timezone.utc)
    first = records.new("a", "run", "submitted", "train")
    assert (first.model_id, first.follows) == ("dev/mnist", ())
    assert before <= first.time <= datetime.now(timezone.utc)
    assert first.time.tzinfo == timezone.utc
    records.append(first)
    branches = [records.new(name, "train", "outcome", "train", revision="1") for name in "bc"]
    for branch in branches:
        assert branch.follows == ("a-run-submitted",)
        records.append(branch)
    last = records.new("d", "run", "closed", "tune", error=ErrorSpec(type="RunError", message="x"))
    assert set(last.follows) == {"b-train-outcome", "c-train-outcome"}
    records.append(last)
    assert records.new("e", "run", "submitted", "train").follows == ("d-run-closed",)
    # a retry, that finds its own record
    assert records.new("d", "run", "closed", "tune").follows == last.follows
    assert records.append(records.new("d", "run", "closed", "tune")) is False


def test_each_execution_has_an_error_and_an_end_of_its_own(records: Records) -> None:
    error = ErrorSpec(type="RunError", message="x")

    def added(task: str, event: Any) -> bool:
        return records.append(records.new("a", task, event, "train", error=error))

    records.append(records.new("a", "run", "submitted", "tune"))
    assert added("train", "error") and added("train", "error") and added("build", "error")
    assert added("run", "closed") and not added("run", "closed")
    for number in (2, 3):
        records.retried("a")
        assert records.load()[-1].action == "tune"
        assert added("run", "closed") and not added("run", "closed")
        assert records.load()[-1].key == f"a-run-closed-{number}"
    assert added("train", "error")
    told = [record.key for record in records.load()]
    assert [key for key in told if key.startswith("a-train")] == [
        "a-train-error",
        "a-train-error-2",
        "a-train-error-3",
    ]
    assert [record.key for record in since_retried(records.load(), "a")] == [
        "a-run-closed-3",
        "a-train-error-3",
    ]


def test_a_run_that_nothing_is_known_of_begins_again(records: Records) -> None:
    records.append(record("b", 0))
    records.retried("a")
    assert run_ids(records.load()) == "b"
    records.retried("b")
    assert [one.key for one in records.load()] == ["b-t-outcome", "b-run-retried"]


def test_reads_each_record_once(records: Records, store: CountingStore) -> None:
    amount = 1000
    for number in range(amount):
        follows = [str(number - 1)] if number else []
        # straight into the folder: this is about reading
        made = record(str(number), -number, *follows, outcome=Outcome(), revision=str(number))
        path = Path(store.uri_of(f"dev/mnist/records/{made.key}.json").removeprefix("file://"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made.dump()), "utf-8")
    begin = time.perf_counter()
    loaded = records.load()
    status = fold(loaded)
    print(f"{amount} records loaded and folded in {time.perf_counter() - begin:.3f} s")
    assert [r.run_id for r in loaded] == [str(number) for number in range(amount)]
    assert status.revision == str(amount - 1)
    assert (len(store.count.reads), store.count.lists) == (amount, 1)
    assert records.load() == loaded
    assert (len(store.count.reads), store.count.lists) == (amount, 2)
    another = records.new("new", "t", "outcome", "tune")
    records.append(another)
    assert records.load() == [*loaded, another]
    assert store.count.reads[amount:] == ["dev/mnist/records/new-t-outcome.json"]
    assert store.count.lists == 4


def test_forgets_what_was_deleted(records: Records, store: CountingStore) -> None:
    records.append(record("a", 0))
    records.append(record("b", 1))
    assert run_ids(records.load()) == "ab"
    store.delete("dev/mnist/records/a-t-outcome.json")
    assert run_ids(records.load()) == "b"
    store.delete("dev/mnist")
    assert records.load() == []
    records.append(record("a", 0, revision="new"))
    assert records.load() == [record("a", 0, revision="new")]


def test_looks_at_nothing_but_records(records: Records, store: CountingStore) -> None:
    records.append(record("a", 0))
    store.write("dev/mnist/records/.DS_Store", b"\0")
    store.write("dev/mnist/records/old/b-t-outcome.json", b"{")
    assert run_ids(records.load()) == "a"


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"\xff{", "decode"),
        (b"[]", "isn't a record"),
        (b"{}", "model_id: Field required"),
        (b'{"model_id": 5}', "model_id: Input should be a valid string"),
    ],
)
def test_names_a_damaged_record(
    records: Records, store: CountingStore, data: bytes, trouble: str
) -> None:
    records.append(record("a", 0))
    store.write("dev/mnist/records/b.json", data)
    for attempt in (
        records.load,
        lambda: records.get("b"),
        lambda: records.new("c", "t", "outcome", "train"),
    ):
        with pytest.raises(StoreError, match="isn't a record of a model") as caught:
            attempt()
        assert caught.value.resource == store.uri_of("dev/mnist/records/b.json")
        assert caught.value.message.startswith(str(caught.value.resource))
        assert trouble in caught.value.message
        assert "delete" in (caught.value.hint or "")
    store.delete("dev/mnist/records/b.json")
    assert run_ids(records.load()) == "a"


def write_raw(store: FolderStore, raw: dict[str, Any]) -> None:
    store.write("dev/mnist/records/a-t-outcome.json", json.dumps(raw).encode())


def test_reads_what_newer_versions_add(records: Records, store: CountingStore) -> None:
    written = full_record()
    raw = written.dump()
    raw["mood"] = "good"
    raw["submission"]["definition"]["identity"]["owner"] = {"name": "x"}
    raw["outcome"]["metrics"]["loss"]["mean"] = 3
    raw["outcome"]["energy"] = [1]
    write_raw(store, raw)
    assert records.load() == [written]


def test_says_when_a_newer_version_is_needed(records: Records, store: CountingStore) -> None:
    raw = {**full_record().dump(), "action": "distil", "mood": "good"}
    write_raw(store, raw)
    with pytest.raises(StoreError, match=r"action='distil'") as caught:
        records.load()
    assert "--upgrade" in (caught.value.hint or "")
    raw["time"] = "yesterday"
    write_raw(store, raw)
    with pytest.raises(StoreError, match=r"isn't a record of a model"):
        records.load()


def test_several_processes_append(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, str(tmp_path), f"run-{number}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    wins = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(wins) == 15
    loaded = Records(FolderStore(tmp_path), "dev/mnist").load()
    assert len(loaded) == 15 + 3 * 15
    place = {one.key: number for number, one in enumerate(loaded)}
    assert all(place[key] < place[one.key] for one in loaded for key in one.follows)


@pytest.mark.parametrize(
    ("records", "order"),
    [
        ([], ""),
        ([record("b", 1), record("a", 2), record("c", 0)], "cba"),
        ([record("b", 0), record("a", 0)], "ab"),
        # b's clock is an hour behind
        ([record("a", 0), record("b", -60, "a")], "ab"),
        # and what it doesn't concern stays sorted by time
        ([record("a", 9), record("b", -60, "a"), record("c", 5)], "cab"),
        (
            [record("d", 0, "b", "c"), record("b", 8, "a"), record("c", 7, "a"), record("a", 9)],
            "acbd",
        ),
        ([record("b", 1, "missing"), record("a", 0, "missing")], "ab"),
        ([record("a", 1, "a")], "a"),
        ([record("a", 2, "b"), record("b", 1, "a"), record("c", 3, "a")], "bac"),
        ([record("a", 0), record("a", 0)], "a"),
        ([record("a", 1), record("b", 0, time=datetime(2024, 2, 29, 12))], "ba"),
        (
            [record("a", 1), record("b", 0, time=START.astimezone(timezone(timedelta(hours=5))))],
            "ba",
        ),
    ],
)
def test_orders(records: list[Record], order: str) -> None:
    assert run_ids(in_order(records)) == order
    assert run_ids(in_order(reversed(records))) == order


@pytest.mark.parametrize(
    ("records", "wanted"),
    [
        ([], ()),
        ([record("a", 0)], ("a-t-outcome",)),
        ([record("a", 0), record("b", 1, "a")], ("b-t-outcome",)),
        ([record("c", 0), record("b", 1), record("d", 1, "b")], ("c-t-outcome", "d-t-outcome")),
        ([record("a", 0, "a")], ("a-t-outcome",)),
        ([record("a", 0, "missing")], ("a-t-outcome",)),
    ],
)
def test_heads(records: list[Record], wanted: tuple[str, ...]) -> None:
    assert heads(records) == wanted
    assert heads(iter(records)) == wanted


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Records that follow earlier ones, with clocks that may be wrong, in any order."""
    made: list[Record] = []
    for name in "abcdefgh"[: draw(st.integers(0, 8))]:
        follows = draw(st.sets(st.sampled_from([r.run_id for r in made]))) if made else set()
        made.append(record(name, draw(st.integers(-3, 3)), *sorted(follows)))
    return draw(st.permutations(made))


@given(histories(), st.randoms())
def test_order_is_that_of_the_records(history: list[Record], random: Any) -> None:
    ordered = in_order(history)
    place = {one.key: number for number, one in enumerate(ordered)}
    assert set(place) == {one.key for one in history}
    assert all(place[key] < place[one.key] for one in history for key in one.follows)
    shuffled = [*history, *history]
    random.shuffle(shuffled)
    assert in_order(shuffled) == ordered
    # without reasons against it, time decides
    free = [one for one in ordered if not one.follows and one.key in heads(ordered)]
    assert free == sorted(free, key=lambda one: (one.time, one.key))
