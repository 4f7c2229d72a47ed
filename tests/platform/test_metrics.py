from __future__ import annotations

import io
import json
import math
import re
import time
from contextlib import redirect_stdout

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kaptain_kfp.platform.metadata_util import MetadataUtil
from kaptain_kfp.platform.metrics import parse_log, read_metrics, record_line, summarise


def test_what_is_recorded_is_read_back() -> None:
    recordings = [
        {"accuracy": 0.1 + 0.2, "val/loss": 1e-300},
        {"größe\u2028": -0.0},
        {"a": math.inf, "b": -math.inf},
        {},
    ]
    text = "".join(record_line(metrics, 1.5) for metrics in recordings)
    assert read_metrics(text) == recordings
    assert [json.loads(line)["time"] for line in text.splitlines()] == [1.5] * 4
    (found,) = read_metrics(record_line({"a": math.nan}, 0))
    assert math.isnan(found["a"])


@pytest.fixture(autouse=True)
def alone(outside_of_jobs: None) -> None:
    """No test starts within a job."""


@pytest.mark.parametrize(
    "damaged",
    [
        *('{"time": 1, "metr', "", " ", "[]", "null", "{}", '{"metrics": null}'),
        *('{"metrics": [1]}', '{"metrics": {"a": "much"}}', '{"metrics": {"a": null}}'),
    ],
)
def test_a_damaged_line_hides_no_other(damaged: str) -> None:
    good = record_line({"a": 1.0}, 0)
    assert read_metrics(f"{good}{damaged}\n{good}{damaged}") == [{"a": 1.0}, {"a": 1.0}]


@pytest.mark.parametrize(
    ("values", "latest", "smallest", "largest"),
    [
        ([0.5], 0.5, 0.5, 0.5),
        ([0.5, 0.9, 0.8], 0.8, 0.5, 0.9),
        ([0.5, math.nan], math.nan, 0.5, 0.5),
        ([math.nan, 0.5], 0.5, 0.5, 0.5),
        ([math.inf, 2.0, -math.inf], -math.inf, 2.0, 2.0),
        ([math.nan], math.nan, None, None),
    ],
)
def test_summary(
    values: list[float], latest: float, smallest: float | None, largest: float | None
) -> None:
    found = summarise([{"m": value} for value in values])
    assert list(found) == ["m"]
    assert found["m"]["latest"] == pytest.approx(latest, nan_ok=True, rel=0, abs=0)
    assert (found["m"]["min"], found["m"]["max"]) == (smallest, largest)


def test_each_metric_counts_for_itself() -> None:
    assert summarise([]) == {}
    assert summarise([{"a": 1.0, "b": 5.0}, {"a": 2.0}]) == {
        "a": {"latest": 2.0, "min": 1.0, "max": 2.0},
        "b": {"latest": 5.0, "min": 5.0, "max": 5.0},
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("accuracy=0.93", [("accuracy", 0.93)]),
        ("  acc =  1e-5 \n", [("acc", 1e-5)]),
        ("acc=.98", [("acc", 0.98)]),
        ("acc=+1.", [("acc", 1.0)]),
        ("val-loss=-1E+3", [("val-loss", -1000.0)]),
        ("loss=0.1 accuracy=0.9", [("loss", 0.1), ("accuracy", 0.9)]),
        ("loss=0.1, accuracy=0.9", [("loss", 0.1), ("accuracy", 0.9)]),
        ("INFO:root:accuracy=0.9", [("accuracy", 0.9)]),
        ("2024-01-01 12:00:00,123 INFO: accuracy=0.9", [("accuracy", 0.9)]),
        ("Epoch 3: loss=0.1 accuracy=0.9", [("loss", 0.1), ("accuracy", 0.9)]),
        ("[INFO] accuracy=0.9", [("accuracy", 0.9)]),
        ("INFO:__main__:accuracy=0.9", [("accuracy", 0.9)]),
        ("WARNING:a.b:accuracy=0.9", [("accuracy", 0.9)]),
        ("2024-01-01 12:00:00,123 - root - INFO - accuracy=0.9", [("accuracy", 0.9)]),
        ("2024-01-01 INFO loss=0.1, accuracy=0.9", [("loss", 0.1), ("accuracy", 0.9)]),
        ("loss=0.2\rloss=0.1", [("loss", 0.2), ("loss", 0.1)]),
        ("loss=nan accuracy=0.9", [("accuracy", 0.9)]),
        ("loss=-inf, accuracy=0.9", [("accuracy", 0.9)]),
        ("accuracy=nan", []),
        ("accuracy=1e999", []),
        ("accuracy=", []),
        ("accuracy=95%", []),
        ("accuracy=1_000", []),
        ("accuracy=0,5", []),
        ("accuracy=tensor(.5)", []),
        ('accuracy="0.9"', []),
        ("accuracy: 0.9", []),
        ("accuracy=0.9 (best so far)", []),
        ("val/acc=0.7", []),
        ("val.acc=0.7", []),
        ("Training with lr=0.1 epochs=5", []),
        ("Training with lr=0.1 epochs=5: a new try", []),
        ("optimizer=adam lr=0.1", []),
        ("INFO Training with lr=0.1", []),
        ("INFO:root:Training with lr=0.1", []),
        ("MISINFO:lr=0.1", []),
        ("--lr=0.1 --epochs=5", []),
        ("INFO:root:--lr=0.1", []),
        ("{'acc': .5}", []),
        ("loss=nano", []),
        ("==0.5", []),
        ("", []),
    ],
)
def test_what_counts_as_a_metric(line: str, expected: list[tuple[str, float]]) -> None:
    assert list(parse_log([line])) == expected


# a busy machine is no fault of the code
UNHURRIED = settings(deadline=None, max_examples=50)


@UNHURRIED
@given(
    st.dictionaries(
        # what begins with a dash would be a flag
        st.text(min_size=1, max_size=50).filter(lambda name: name.strip() and name[0] != "-"),
        st.floats(),
        max_size=5,
    )
)
@example({"train/acc": 1e-5, "train.acc": -1e300, "a\nb": 0.5, "größe": -0.0, "|": 5e-324})
def test_what_is_printed_is_read_back(metrics: dict[str, float]) -> None:
    with redirect_stdout(io.StringIO()) as printed:
        MetadataUtil.record_metrics(metrics)
    finite = [(name, value) for name, value in metrics.items() if math.isfinite(value)]
    expected = [(re.sub(r"[^A-Za-z0-9_|-]", "_", name), value) for name, value in finite]
    assert list(parse_log(printed.getvalue().splitlines())) == expected


@UNHURRIED
@given(st.lists(st.dictionaries(st.text(), st.floats()), max_size=5))
def test_whatever_is_recorded_is_read_back(recordings: list[dict[str, float]]) -> None:
    text = "".join(record_line(metrics, 1.5) for metrics in recordings)
    # repr, since not-a-number equals nothing
    assert repr(read_metrics(text)) == repr(recordings)


def test_lines_are_taken_in_order() -> None:
    lines = iter(["a=1", "nothing here", "b=2", "a=3"])
    assert list(parse_log(lines)) == [("a", 1.0), ("b", 2.0), ("a", 3.0)]


@pytest.mark.parametrize(
    "piece",
    [
        *("a=1 ", "a=1,", "a: ", "a] ", "a:", " ", "=", "|", "1", "a= ", "a=nan ", "-"),
        *("INFO:root:", "INFO ", "INFO - ", "INFO:a", "INFO"),
    ],
)
def test_no_line_takes_long(piece: str) -> None:
    """A line that nearly matches must not be tried in ever more ways."""
    started = time.process_time()
    for length in (1900, 1_000_000):
        line = (piece * length)[:length]
        for end in ("", "=", "=1!"):
            list(parse_log([line + end, "a=" + line + end]))
    assert time.process_time() - started < 5
