from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.exceptions import ClusterError
from kaptain_kfp.local.kinds import kind_of
from kaptain_kfp.local.selectors import field_selector, label_selector

LABELS = {"a": "1", "b": "x", "n": "7", "dom.ain/key": "v", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("", True),
        (None, True),
        ({}, True),
        ({"a": "1"}, True),
        ({"a": "1", "b": "x"}, True),
        ({"a": "1", "b": "y"}, False),
        ({"z": "1"}, False),
        ("a=1", True),
        ("a==1", True),
        ("a = 1", True),
        ("a=2", False),
        ("z=1", False),
        ("a!=1", False),
        ("a!=2", True),
        ("z!=1", True),
        ("a", True),
        ("z", False),
        ("!a", False),
        ("! a", False),
        ("!z", True),
        ("a in (1,2)", True),
        ("a in(1)", True),
        ("a in ( 2 , 3 )", False),
        ("z in (1)", False),
        ("a notin (1,2)", False),
        ("a notin (2)", True),
        ("z notin (1)", True),
        ("empty=", True),
        ("a=", False),
        ("z=", False),
        ("empty in ()", True),
        ("z in ()", False),
        ("empty=,a=1", True),
        ("n>6", True),
        ("n>7", False),
        ("n<8", True),
        ("b>1", False),
        ("z<1", False),
        ("dom.ain/key=v", True),
        ("a=1,b=x", True),
        ("a=1,b=y", False),
        ("a in (1,2),b notin (y),!z,n", True),
        ("in in (in)", False),
    ],
)
def test_labels(selector: Any, selected: bool) -> None:
    assert label_selector(selector)(LABELS) is selected


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("a in (", "found '', expected: ',', ')' or identifier"),
        ("a in", "found '', expected: '('"),
        ("a in (1", "found '', expected: ',', or ')'"),
        ("a in (1 2)", "found '2', expected: ',', or ')'"),
        ("=1", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a b", "found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=1 b", "found 'b', expected: ',' or 'end of string'"),
        ("a>x", "Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ("a=-", 'Invalid value: "-": a valid label must be an empty string'),
        ("a=" + "x" * 64, "must be no more than 63 bytes"),
        ("-a=1", 'Invalid value: "-a": name part must consist of'),
        ("a//b", 'Invalid value: "a//b": prefix part'),
    ],
)
def test_labels_that_cannot_be_read(selector: str, message: str) -> None:
    with pytest.raises(ClusterError) as caught:
        label_selector(selector)
    assert caught.value.message.startswith("unable to parse requirement: ")
    assert message in caught.value.message
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


POD = {
    "metadata": {"name": "p", "namespace": "ns"},
    "spec": {"nodeName": "here", "hostNetwork": True},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        (None, True),
        ("", True),
        ("metadata.name=p", True),
        ("metadata.name==p", True),
        ("metadata.name = p", True),
        ("metadata.name!=p", False),
        ("metadata.namespace=ns,metadata.name=p", True),
        ("metadata.namespace=ns,metadata.name=q", False),
        ("status.phase=Running", True),
        ("status.phase!=Running", False),
        ("spec.nodeName=", False),
        ("status.podIP=", True),
    ],
)
def test_fields(selector: str | None, selected: bool) -> None:
    assert field_selector(selector, kind_of("Pod"))(POD) is selected


@pytest.mark.parametrize(
    ("selector", "kind", "message"),
    [
        ("status.phase=Running", "PyTorchJob", "field label not supported: status.phase"),
        ("spec.none=1", "Pod", "field label not supported: spec.none"),
        ("status.phase=Running", None, "field label not supported: status.phase"),
        (
            "metadata.name",
            "Pod",
            "invalid selector: 'metadata.name'; can't understand 'metadata.name'",
        ),
        ("metadata.name=a,,", "Pod", "invalid selector: 'metadata.name=a,,'; can't understand ''"),
    ],
)
def test_fields_that_cannot_be_asked_for(selector: str, kind: str | None, message: str) -> None:
    with pytest.raises(ClusterError) as caught:
        field_selector(selector, kind and kind_of(kind))  # type: ignore[arg-type]
    assert (caught.value.message, caught.value.code) == (message, 400)
