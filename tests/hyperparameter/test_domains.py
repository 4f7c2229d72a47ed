from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.hyperparameter import Categorical, Discrete, Domain, Double, Integer


class _Int64(int):
    """Prints like the scalars of numeric libraries."""

    def __repr__(self) -> str:
        return f"int64({int(self)})"


class _Float64(float):
    """Prints like the scalars of numeric libraries."""

    def __repr__(self) -> str:
        return f"float64({float(self)!r})"


@dataclass(frozen=True)
class Bad:
    name: str
    make: Callable[[], object]
    says: tuple[str, ...]


BAD = [
    Bad("double min above max", lambda: Double(2, 1), ("Double.min=2.0", "less than max=1.0")),
    Bad("double min is max", lambda: Double(1, 1), ("Double.min=1.0",)),
    Bad("double nan", lambda: Double(float("nan"), 1), ("Double.min=nan", "finite")),
    Bad("double inf", lambda: Double(0, float("inf")), ("Double.max=inf", "finite")),
    Bad("double bool", lambda: Double(False, 1), ("Double.min=False",)),
    Bad("double text", lambda: Double("0.1", 1), ("Double.min='0.1'",)),  # type: ignore[arg-type]
    Bad("double None", lambda: Double(None, 1), ("Double.min=None",)),  # type: ignore[arg-type]
    Bad("double step 0", lambda: Double(0, 1, step=0), ("Double.step=0.0", "at most 1.0")),
    Bad("double step below 0", lambda: Double(0, 1, step=-0.1), ("Double.step=-0.1",)),
    Bad("double step too long", lambda: Double(0, 1, step=1.5), ("Double.step=1.5",)),
    Bad("double step nan", lambda: Double(0, 1, step=float("nan")), ("Double.step=nan",)),
    Bad(
        "double log from 0",
        lambda: Double(0, 1, distribution="log_uniform"),
        ("Double.min=0.0", "log_uniform needs more than 0"),
    ),
    Bad(
        "double log below 0",
        lambda: Double(-1, 1, distribution="log_normal"),
        ("Double.min=-1.0", "log_normal"),
    ),
    Bad(
        "double distribution",
        lambda: Double(0, 1, distribution="logUniform"),  # type: ignore[arg-type]
        ("Double.distribution='logUniform'", "uniform, log_uniform, normal, log_normal"),
    ),
    Bad("integer float", lambda: Integer(1.0, 2), ("Integer.min=1.0", "Double")),  # type: ignore[arg-type]
    Bad("integer bool", lambda: Integer(0, True), ("Integer.max=True",)),
    Bad("integer text", lambda: Integer("1", 2), ("Integer.min='1'",)),  # type: ignore[arg-type]
    Bad("integer order", lambda: Integer(2, 1), ("Integer.min=2", "less than max=1")),
    Bad("integer step float", lambda: Integer(1, 9, step=0.5), ("Integer.step=0.5",)),  # type: ignore[arg-type]
    Bad("integer step", lambda: Integer(1, 9, step=9), ("Integer.step=9", "at most 8")),
    Bad("integer log", lambda: Integer(0, 9, distribution="log_normal"), ("Integer.min=0",)),
    Bad("discrete empty", lambda: Discrete([]), ("Discrete.values=[]", "at least one")),
    Bad("discrete word", lambda: Discrete(["a"]), ("Discrete.values='a'", "Categorical")),
    Bad("discrete nan", lambda: Discrete([float("nan")]), ("Discrete.values=nan",)),
    Bad("discrete nan text", lambda: Discrete(["nan"]), ("Discrete.values='nan'",)),
    Bad("discrete too large", lambda: Discrete(["1e999"]), ("Discrete.values='1e999'",)),
    Bad("discrete underscore", lambda: Discrete(["1_0"]), ("Discrete.values='1_0'",)),
    Bad("discrete blanks", lambda: Discrete([" 5"]), ("Discrete.values=' 5'",)),
    Bad("discrete bool", lambda: Discrete([True]), ("Discrete.values=True", '"True"')),
    Bad("discrete None", lambda: Discrete([None]), ("Discrete.values=None",)),  # type: ignore[list-item]
    Bad("discrete twice", lambda: Discrete([5, "5"]), ("Discrete.values=['5', '5']", "only once")),
    Bad("discrete same number", lambda: Discrete(["0.1", "0.10"]), ("0.1 only once",)),
    Bad("discrete text", lambda: Discrete("12"), ("Discrete.values='12'", "list")),
    Bad("discrete number", lambda: Discrete(5), ("Discrete.values=5", "list")),  # type: ignore[arg-type]
    Bad("categorical empty", lambda: Categorical([]), ("Categorical.values=[]",)),
    Bad("categorical text", lambda: Categorical("adam"), ("Categorical.values='adam'", "list")),
    Bad("categorical set", lambda: Categorical({"a"}), ("Categorical.values={'a'}", "list")),
    Bad("categorical dict", lambda: Categorical({"a": 1}), ("list",)),
    Bad("categorical bool", lambda: Categorical([True]), ("Categorical.values=True", '"True"')),
    Bad("categorical None", lambda: Categorical([None]), ("Categorical.values=None",)),  # type: ignore[list-item]
    Bad("categorical list", lambda: Categorical([["a"]]), ("Categorical.values=['a']",)),  # type: ignore[list-item]
    Bad("categorical twice", lambda: Categorical(["a", "b", "a"]), ("'a' only once",)),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_refuses(case: Bad) -> None:
    with pytest.raises(ModelValidationException) as caught:
        case.make()
    for words in case.says:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("domain", "fields"),
    [
        (Double(0, 1), (0.0, 1.0, None, "uniform")),
        (Double(-1.5, -0.5, step=1), (-1.5, -0.5, 1.0, "uniform")),
        (Double(1e-5, 0.1, distribution="log_uniform"), (1e-5, 0.1, None, "log_uniform")),
        (Integer(-3, 3), (-3, 3, None, "uniform")),
        (Integer(1, 9, step=8, distribution="normal"), (1, 9, 8, "normal")),
        (Integer(_Int64(1), _Int64(2)), (1, 2, None, "uniform")),
        (Double(_Float64(0.5), _Int64(2)), (0.5, 2.0, None, "uniform")),
    ],
)
def test_ranges(domain: Double | Integer, fields: tuple[Any, ...]) -> None:
    values = (domain.min, domain.max, domain.step, domain.distribution)
    assert values == fields
    assert [type(value) for value in values] == [type(field) for field in fields]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["0.10", "0.2"], ("0.10", "0.2")),
        (["5", "10"], ("5", "10")),
        ([5, 10], ("5", "10")),
        ([0.1, 1e-5, 5.0], ("0.1", "1e-05", "5.0")),
        (["1e-3", "+2", "-.5", "3."], ("1e-3", "+2", "-.5", "3.")),
        (range(1, 4), ("1", "2", "3")),
        ((value for value in (3, 1)), ("3", "1")),
        ([_Int64(4), _Float64(0.5)], ("4", "0.5")),
        ([2**70], (str(2**70),)),
    ],
)
def test_discrete_keeps_the_text(values: Any, texts: tuple[str, ...]) -> None:
    assert Discrete(values).values == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["sgd", "adam"], ("sgd", "adam")),
        (["a b", "a,b", 'say "x"', "größe"], ("a b", "a,b", 'say "x"', "größe")),
        ([16, 0.5, "True"], ("16", "0.5", "True")),
        (["1", "1.0"], ("1", "1.0")),
        (("A", "a"), ("A", "a")),
    ],
)
def test_categorical_keeps_the_text(values: Any, texts: tuple[str, ...]) -> None:
    assert Categorical(values).values == texts


@pytest.mark.parametrize(
    ("domain", "parameter_type", "text"),
    [
        (Double(0, 1), "double", "Double(min=0.0, max=1.0, step=None, distribution='uniform')"),
        (
            Integer(1, 9, step=2),
            "int",
            "Integer(min=1, max=9, step=2, distribution='uniform')",
        ),
        (Discrete(["0.10", 5]), "discrete", "Discrete(values=('0.10', '5'))"),
        (Categorical(["a"]), "categorical", "Categorical(values=('a',))"),
    ],
)
def test_is_a_value(domain: Domain, parameter_type: str, text: str) -> None:
    assert domain.parameter_type == parameter_type
    assert repr(domain) == text
    again = [copy.deepcopy(domain), pickle.loads(pickle.dumps(domain)), eval(text)]
    assert again == [domain] * 3
    assert len({domain, *again}) == 1
    with pytest.raises(FrozenInstanceError):
        domain.min = 5  # type: ignore[attr-defined]


def test_kinds_differ() -> None:
    domains: set[Domain] = {Discrete([1]), Categorical([1]), Double(1, 2), Integer(1, 2)}
    domains.add(Double(1, 2, step=0.5))
    assert len(domains) == 5


@pytest.mark.parametrize("kind", [Double, Integer])
def test_extras_are_keyword_only(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind(1, 2, 1)


def test_domain_itself_is_abstract() -> None:
    with pytest.raises(TypeError):
        Domain()  # type: ignore[abstract]
