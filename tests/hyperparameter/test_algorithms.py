from __future__ import annotations

import pytest

from kaptain_kfp.exceptions import UnsupportedAlgorithmException
from kaptain_kfp.hyperparameter import Algorithm

KATIB = [
    "random",
    "grid",
    "bayesianoptimization",
    "tpe",
    "multivariate-tpe",
    "cmaes",
    "sobol",
    "hyperband",
    "pbt",
    "enas",
    "darts",
]


def test_values_are_the_names_in_katib() -> None:
    assert [algorithm.value for algorithm in Algorithm] == KATIB
    assert Algorithm.RANDOM.value == "random"


@pytest.mark.parametrize("name", KATIB)
def test_of_finds_each_in_any_case(name: str) -> None:
    for text in (name, name.upper(), name.title()):
        found = Algorithm.of(text)
        assert found is not None
        assert found.value == name


def test_of_none_is_none() -> None:
    assert Algorithm.of(None) is None


@pytest.mark.parametrize("name", ["simulated-annealing", "", " ", "RANDOM "])
def test_of_unknown_lists_the_known(name: str) -> None:
    with pytest.raises(UnsupportedAlgorithmException) as caught:
        Algorithm.of(name)
    assert f"algorithm={name!r}" in str(caught.value)
    for known in KATIB:
        assert known in str(caught.value)


def test_of_refuses_what_is_no_text() -> None:
    with pytest.raises(UnsupportedAlgorithmException, match="algorithm=3"):
        Algorithm.of(3)  # type: ignore[arg-type]
