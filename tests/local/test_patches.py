from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ClusterError, ObjectInvalidError
from kaptain_kfp.local.patches import json_patch, merge_patch, same_json, strategic_merge_patch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: Any, patch: Any, result: Any) -> None:
    before = json.dumps([target, patch])
    assert merge_patch(target, patch) == result
    assert json.dumps([target, patch]) == before


@settings(deadline=None)
@given(JSON, JSON)
def test_a_merge_patch_applied_twice_is_the_same(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert same_json(merge_patch(once, patch), once)


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        # RFC 6902, appendix A
        ({"foo": "bar"}, [("add", "/baz", "qux")], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [("add", "/foo/1", "qux")], {"foo": ["bar", "qux", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [("remove", "/baz")], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [("remove", "/foo/1")], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [("replace", "/baz", "boo")], {"baz": "boo"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        (
            {"baz": "qux", "foo": ["a", 2, "c"]},
            [("test", "/baz", "qux"), ("test", "/foo/1", 2)],
            {"baz": "qux", "foo": ["a", 2, "c"]},
        ),
        ({"foo": "bar"}, [("add", "/child", {"g": {}})], {"foo": "bar", "child": {"g": {}}}),
        ({"/": 9, "~1": 10}, [("test", "/~01", 10)], {"/": 9, "~1": 10}),
        ({"a/b": 1}, [("remove", "/a~1b")], {}),
        ({"foo": ["bar"]}, [("add", "/foo/-", ["abc"])], {"foo": ["bar", ["abc"]]}),
        # further
        ({"a": 1}, [("add", "/a", 2)], {"a": 2}),
        ({"a": 1}, [("add", "/", 2)], {"a": 1, "": 2}),
        ({"a": 1}, [("replace", "", {"b": 2})], {"b": 2}),
        ({"a": None}, [("test", "/a", None)], {"a": None}),
        ({"a": 1}, [("test", "/a", 1.0)], {"a": 1}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        (
            {"a": [1]},
            [{"op": "copy", "from": "/a", "path": "/b"}, ("add", "/b/-", 2)],
            {"a": [1], "b": [1, 2]},
        ),
        ({"a": 1}, [], {"a": 1}),
    ],
)
def test_json_patch(target: Any, operations: list[Any], result: Any) -> None:
    before = json.dumps(target)
    assert json_patch(target, list(map(_operation, operations))) == result
    assert json.dumps(target) == before


@pytest.mark.parametrize(
    ("target", "operation", "hint"),
    [
        ({"baz": "qux"}, ("test", "/baz", "bar"), "testing value /baz failed"),
        ({"a": "1"}, ("test", "/a", 1), "testing value /a failed"),
        ({"a": True}, ("test", "/a", 1), "testing value /a failed"),
        ({"a": [0]}, ("test", "/a", [False]), "testing value /a failed"),
        ({"a": 1}, ("test", "/b", None), "path '/b' isn't there"),
        ({"foo": "bar"}, ("add", "/baz/bat", "qux"), "path '/baz/bat' isn't there"),
        ({"foo": "bar"}, ("add", "/foo/x", 1), "path '/foo/x' isn't there"),
        ({"a": 1}, ("remove", "/b"), "path '/b' isn't there"),
        ({"a": 1}, ("replace", "/b", 1), "path '/b' isn't there"),
        ({"a": [1]}, ("remove", "/a/1"), "path '/a/1' isn't there"),
        ({"a": [1]}, ("remove", "/a/-"), "'-' in path '/a/-' is no index"),
        ({"a": [1]}, ("remove", "/a/-1"), "'-1' in path '/a/-1' is no index"),
        ({"a": [1, 2]}, ("remove", "/a/01"), "'01' in path '/a/01' is no index"),
        ({"a": [1]}, ("add", "/a/2", 1), "path '/a/2' is out of range"),
        ({"a": 1}, ("add", "a", 1), "path 'a' doesn't begin with a slash"),
        ({"a": 1}, ("add", "/a"), "has no 'value'"),
        ({"a": 1}, {"op": "add", "value": 1}, "has no 'path'"),
        ({"a": 1}, {"op": "move", "path": "/b"}, "has no 'from'"),
        ({"a": {}}, {"op": "move", "from": "/a", "path": "/a/b"}, "can't be moved into itself"),
        ({"a": 1}, ("grow", "/a", 1), "unknown operation 'grow'"),
        ({"a": 1}, {"path": "/a"}, "unknown operation None"),
        ({"a": 1}, 7, "an operation is no object"),
    ],
)
def test_json_patch_that_does_not_fit(target: Any, operation: Any, hint: str) -> None:
    before = json.dumps(target)
    with pytest.raises(ObjectInvalidError) as caught:
        json_patch(target, [_operation(("add", "/first", 1)), _operation(operation)])
    assert json.dumps(target) == before
    error = caught.value
    assert error.message == "the server rejected our request due to an error in our request"
    assert (error.code, error.reason) == (422, "Invalid")
    assert hint in (error.hint or "")


def _operation(short: Any) -> Any:
    """Spells out ``(op, path, value)``."""
    if isinstance(short, (dict, int)):
        return short
    return dict(zip(("op", "path", "value"), short, strict=False))


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=4), JSON), st.text(max_size=4), JSON)
def test_what_a_json_patch_adds_is_there(target: Any, key: str, value: Any) -> None:
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    made = json_patch(target, [{"op": "add", "path": path, "value": value}])
    assert same_json(made, {**target, key: value})
    test = {"op": "test", "path": path, "value": value}
    removed = json_patch(made, [test, {"op": "remove", "path": path}])
    assert same_json(removed, {k: v for k, v in target.items() if k != key})


POD = {"spec": {"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b"}]}}


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": 1, "b": 2}, {"a": None, "c": 3}, {"b": 2, "c": 3}),
        (
            POD,
            {"spec": {"containers": [{"name": "a", "image": "2"}]}},
            {"spec": {"containers": [{"name": "a", "image": "2", "args": ["x"]}, {"name": "b"}]}},
        ),
        (
            POD,
            {"spec": {"containers": [{"name": "c", "args": None}]}},
            {"spec": {"containers": [*POD["spec"]["containers"], {"name": "c"}]}},
        ),
        (
            POD,
            {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}},
            {"spec": {"containers": [{"name": "b"}]}},
        ),
        (
            POD,
            {"spec": {"containers": [{"name": "z"}, {"$patch": "replace"}]}},
            {"spec": {"containers": [{"name": "z"}]}},
        ),
        (
            POD,
            {"spec": {"containers": [{"name": "a", "args": ["y"]}]}},
            {"spec": {"containers": [{"name": "a", "image": "1", "args": ["y"]}, {"name": "b"}]}},
        ),
        ({"a": {"x": 1, "y": 2}}, {"a": {"$patch": "replace", "z": 3}}, {"a": {"z": 3}}),
        ({"a": {"x": 1}}, {"a": {"$patch": "delete"}}, {"a": {}}),
        ({"finalizers": ["a", "b"]}, {"finalizers": ["b", "c"]}, {"finalizers": ["a", "b", "c"]}),
        (
            {"finalizers": ["a", "b"]},
            {"$deleteFromPrimitiveList/finalizers": ["a"]},
            {"finalizers": ["b"]},
        ),
        (
            POD,
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            POD,
        ),
        ({"list": [1, 2]}, {"list": [3]}, {"list": [3]}),
    ],
)
def test_strategic_merge_patch(target: Any, patch: Any, result: Any) -> None:
    before = json.dumps([target, patch])
    assert strategic_merge_patch(target, patch) == result
    assert json.dumps([target, patch]) == before


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"containers": [{"image": "x"}]}}, "declared merge key: name"),
        ({"spec": {"$retainKeys": ["a"]}}, "unknown directive '$retainKeys'"),
    ],
)
def test_strategic_merge_patch_that_does_not_fit(patch: Any, message: str) -> None:
    with pytest.raises(ClusterError) as caught:
        strategic_merge_patch(POD, patch)
    assert message in caught.value.message
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (None, None, True),
        ("", None, False),
        ({"a": 1, "b": [1]}, {"b": [1], "a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ([], {}, False),
    ],
)
def test_same_json(one: Any, other: Any, same: bool) -> None:
    assert same_json(one, other) is same


def test_what_is_merged_by_a_key_must_be_objects() -> None:
    with pytest.raises(ClusterError, match="an item to be merged by its 'name' must be an object"):
        strategic_merge_patch({"containers": []}, {"containers": ["c"]})
