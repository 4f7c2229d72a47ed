from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.manifests.names import (
    LIMITS,
    Identity,
    KindWord,
    identity,
    label_value,
    labels_for,
    sanitise,
    workload_name,
)

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
KINDS: list[KindWord] = list(LIMITS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dev/mnist", "dev-mnist"),
        ("MNIST", "mnist"),
        ("Wine Classification", "wine-classification"),
        ("4you", "m-4you"),
        ("a" * 63, "a" * 63),
    ],
)
def test_sanitise(text: str, name: str) -> None:
    assert sanitise(text) == name


def test_what_is_cut_stays_the_same_everywhere() -> None:
    assert sanitise("a" * 64) == "a" * 54 + "-ffe054fe"
    assert sanitise("数字") == "m-c16ec927"


@given(st.text(max_size=120), st.integers(min_value=12, max_value=63))
def test_names_are_legal(text: str, limit: int) -> None:
    name = sanitise(text, limit)
    assert DNS_1035.fullmatch(name)
    assert len(name) <= limit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x" * 100 + "a", "x" * 100 + "b"),
        ("数", "字"),
        ("", "-"),
        ("a" * 53 + "-" + "b" * 20, "a" * 53 + "/" + "b" * 20),
    ],
)
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert sanitise(one) != sanitise(other)
    assert label_value(one) != label_value(other)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("job", 52), ("tfjob", 50), ("pytorchjob", 50), ("trainjob", 50), ("tune", 40)],
)
def test_workload_name(kind: KindWord, limit: int) -> None:
    assert workload_name("MNIST", kind, "1a2b3c4d") == f"mnist-{kind}-1a2b3c4d"
    cut = workload_name("m" * 80, kind, "1a2b3c4d")
    assert len(cut) == limit
    assert cut.endswith(f"-{kind}-1a2b3c4d")
    assert cut != workload_name("m" * 81, kind, "1a2b3c4d")
    assert len(workload_name("m" * 80, kind, "1a2b3c4d", limit=35)) == 35


@given(st.text(max_size=80), st.sampled_from(KINDS))
def test_workload_names_are_legal(name: str, kind: KindWord) -> None:
    result = workload_name(name, kind, "0" * 8)
    assert DNS_1035.fullmatch(result)
    assert len(result) <= LIMITS[kind]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dev/mnist", "dev-mnist"),
        ("Dev/MNIST_1.0", "Dev-MNIST_1.0"),
        ("_a_", "a"),
        ("0", "0"),
        ("a" * 63, "a" * 63),
    ],
)
def test_label_value(text: str, value: str) -> None:
    assert label_value(text) == value


@given(st.text(max_size=120))
def test_label_values_are_legal(text: str) -> None:
    value = label_value(text)
    assert LABEL_VALUE.fullmatch(value)
    assert len(value) <= 63


def test_labels_for() -> None:
    assert labels_for("dev/mnist") == {
        "app.kubernetes.io/managed-by": "kaptain-kfp",
        "kaptain-kfp/model": "dev-mnist",
    }
    assert labels_for("m", revision="a" * 32, run_id="run-1") == {
        "app.kubernetes.io/managed-by": "kaptain-kfp",
        "kaptain-kfp/model": "m",
        "kaptain-kfp/revision": "a" * 32,
        "kaptain-kfp/run": "run-1",
    }


def test_identity_never_changes() -> None:
    first = identity("run", "dag", "train")
    assert first == Identity(revision="d0cca5e6b60881775297b65695bfb6e6", suffix="d0cca5e6")
    assert identity("run", "dag", "train", attempt=0) == first


def test_an_attempt_keeps_the_revision_and_changes_the_suffix() -> None:
    attempts = [identity("run", "dag", "train", attempt) for attempt in range(20)]
    assert {attempt.revision for attempt in attempts} == {attempts[0].revision}
    assert len({attempt.suffix for attempt in attempts}) == 20
    assert attempts[0].suffix == attempts[0].revision[:8]


STEP = st.tuples(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))


@given(STEP, STEP)
def test_steps_differ_where_any_part_differs(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    same = identity(*one) == identity(*other)
    assert same is (one == other)


@given(STEP, st.integers(min_value=0, max_value=100))
def test_identity_is_hex(step: tuple[str, str, str], attempt: int) -> None:
    found = identity(*step, attempt)
    assert re.fullmatch(r"[0-9a-f]{32}", found.revision)
    assert re.fullmatch(r"[0-9a-f]{8}", found.suffix)


@pytest.mark.parametrize("moved", [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd")])
def test_parts_are_kept_apart(moved: tuple[str, str, str]) -> None:
    assert identity(*moved) != identity("abcd", "", "")
    assert identity("a,b", "c", "d") != identity("a", "b,c", "d")
