"""Schemas of our own, applied; that real ones give a real server's answers is tests/conformance."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ConfigurationError, ObjectInvalidError
from kaptain_kfp.testing.schemas import Schemas

UNCHECKED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was "
    "invalid; correct the existing errors to complete validation"
)
QUANTITY = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": r"^[0-9]+(m|Gi)?$",
    "x-kubernetes-int-or-string": True,
}
ITEM = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "value": {"type": "string", "default": "v"}},
}
SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 0, "maximum": 9},
        "share": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "word": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]*$"},
        "when": {"type": "string", "format": "date-time"},
        "color": {"type": "string", "enum": ["red", "blue"]},
        "memory": QUANTITY,
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "maybe": {"type": "string", "nullable": True},
        "mode": {"type": "string", "default": "fast"},
        "deep": {"type": "object", "properties": {"on": {"type": "boolean", "default": False}}},
        "map": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "integer"}},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": ITEM,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    },
}


def definition(spec: dict[str, Any] = SPEC, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {**schema, **more}},
        "subresources": {"status": {}},
    }
    names = {"kind": "Thing", "plural": "things"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"kind": "CustomResourceDefinition", "spec": spec}


def thing(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": "t", "namespace": "default"},
        "spec": spec,
    }


SCHEMAS = Schemas(definition())


def refusal(
    manifest: dict[str, Any], schemas: Schemas = SCHEMAS, **options: Any
) -> list[tuple[str, str]]:
    """Returns field and message of each thing that is wrong."""
    with pytest.raises(ObjectInvalidError) as caught:
        schemas.admit(manifest, **options)
    assert caught.value.code == 422
    assert caught.value.reason == "Invalid"
    causes = caught.value.details.pop("causes")
    assert caught.value.details == {"name": "t", "group": "example.com", "kind": "Thing"}
    return [(cause["field"], cause["message"]) for cause in causes]


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"size": -1}, "Invalid value: -1: {} in body should be greater than or equal to 0"),
        ({"size": 10}, "Invalid value: 10: {} in body should be less than or equal to 9"),
        ({"size": 1.5}, 'Invalid value: "number": {} in body must be of type integer: "number"'),
        ({"size": True}, 'Invalid value: "boolean": {} in body must be of type integer: "boolean"'),
        ({"share": 0}, "Invalid value: 0: {} in body should be greater than 0"),
        ({"word": ""}, 'Invalid value: "": {} in body should be at least 1 chars long'),
        ({"word": "abcd"}, "Too long: may not be more than 3 bytes"),
        ({"word": "A"}, "Invalid value: \"A\": {} in body should match '^[a-z]*$'"),
        ({"word": "a\n"}, "Invalid value: \"a\\n\": {} in body should match '^[a-z]*$'"),
        ({"when": "soon"}, 'Invalid value: "soon": {} in body must be of type date-time: "soon"'),
        ({"color": "green"}, 'Unsupported value: "green": supported values: "red", "blue"'),
        ({"memory": "2Gb"}, "Invalid value: \"2Gb\": {} in body should match '^[0-9]+(m|Gi)?$'"),
        ({"free": []}, 'Invalid value: "array": {} in body must be of type object: "array"'),
        ({"map": {"a": 1, "b": 2}}, "Too many: 2: must have at most 1 item"),
        ({"items": []}, "Invalid value: 0: {} in body should have at least 1 items"),
    ],
)
def test_one_thing_that_is_wrong(spec: dict[str, Any], cause: str) -> None:
    field = f"spec.{next(iter(spec))}"
    assert refusal(thing(**spec)) == [(field, cause.format(field))]


@pytest.mark.parametrize(
    "spec",
    [
        {"size": 3.0, "share": 1, "word": "abc", "memory": 5},
        {"when": "2026-01-01T00:00:00Z"},
        {"when": "2026-01-01t23:59:60.25+01:00"},
        {"free": {"any": [None, {"thing": 1}]}, "maybe": None},
        {"tags": ["a", "b"], "map": {"a": 1}},
    ],
)
def test_what_is_right_comes_through_whole(spec: dict[str, Any]) -> None:
    admitted = SCHEMAS.admit(thing(**spec), validation="Strict").object
    assert admitted["spec"] == {**spec, "mode": "fast"}


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (r"^a$|^b$", "a", "a\n"),
        (r"^[$]\$$", "$$", "$$\n"),
        (r"^\d$", "1", "\u0661"),
    ],
)
def test_patterns_mean_what_they_mean_for_the_server(pattern: str, right: str, wrong: str) -> None:
    spec = {"type": "object", "properties": {"word": {"type": "string", "pattern": pattern}}}
    schemas = Schemas(definition(spec))
    assert schemas.admit(thing(word=right))
    assert len(refusal(thing(word=wrong), schemas)) == 1


def test_several_things_that_are_wrong() -> None:
    with pytest.raises(ObjectInvalidError) as caught:
        SCHEMAS.admit(thing(size=-1, items=[{}]))
    assert caught.value.message == (
        'Thing.example.com "t" is invalid: [spec.size: Invalid value: -1: spec.size in body should '
        "be greater than or equal to 0, spec.items[0].name: Required value]"
    )


def test_a_number_or_text_that_is_neither() -> None:
    assert refusal(thing(memory=1.5)) == [
        (
            "spec.memory",
            'Invalid value: "number": spec.memory in body must be of type integer,string: "number"',
        ),
        ("<nil>", 'Invalid value: "": "spec.memory" must validate at least one schema (anyOf)'),
        (
            "spec.memory",
            'Invalid value: "number": spec.memory in body must be of type integer: "number"',
        ),
    ]


def test_items_that_come_twice() -> None:
    assert refusal(thing(tags=["a", "b", "a"])) == [("spec.tags[2]", 'Duplicate value: "a"')]
    twice = [{"name": "x"}, {"name": "x", "value": "w"}]
    assert refusal(thing(items=twice)) == [("spec.items[1]", 'Duplicate value: {"name":"x"}')]


def test_unknown_fields() -> None:
    sent = thing(workers=3, items=[{"name": "a", "port": 1}], free={"kept": 1})
    sent["metadata"]["team"] = "x"
    told = tuple(
        f'unknown field "{path}"'
        for path in ("metadata.team", "spec.items[0].port", "spec.workers")
    )
    warned = SCHEMAS.admit(sent)
    assert warned.warnings == told
    assert warned.object["spec"] == {
        "items": [{"name": "a", "value": "v"}],
        "free": {"kept": 1},
        "mode": "fast",
    }
    assert "team" not in warned.object["metadata"]
    silent = SCHEMAS.admit(sent, validation="Ignore")
    assert silent.object == warned.object
    assert silent.warnings == ()
    with pytest.raises(ObjectInvalidError) as caught:
        SCHEMAS.admit(sent, validation="Strict")
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    assert caught.value.message == (
        'Thing in version "v1" cannot be handled as a Thing: strict decoding error: '
        + ", ".join(told)
    )
    assert sent["spec"]["workers"] == 3, "what was sent stays as it is"


def test_defaults_are_filled_in_where_their_object_is() -> None:
    assert SCHEMAS.admit(thing()).object["spec"] == {"mode": "fast"}
    filled = SCHEMAS.admit(thing(deep={}, mode=None, word=None, maybe=None)).object["spec"]
    assert filled == {"deep": {"on": False}, "mode": "fast", "maybe": None}


def test_each_write_leaves_the_other_half() -> None:
    stored = {**thing(size=1), "status": {}}
    changed = {**thing(size=2), "status": "nonsense"}
    assert "status" not in SCHEMAS.admit(changed).object
    assert SCHEMAS.admit(changed, before=stored).object["status"] == {}
    told = SCHEMAS.admit({**thing(size=-1), "status": {}}, before=stored, status=True).object
    assert told["spec"] == {"size": 1}
    wrong = 'Invalid value: "string": status in body must be of type object: "string"'
    assert refusal(changed, before=stored, status=True) == [("status", wrong)]


def test_what_was_wrong_before_may_stay_so() -> None:
    stored = thing(size=-1, word="a", items=[{"name": "a", "value": "v"}, {"name": "b"}])
    changed = deepcopy(stored)
    changed["spec"]["word"] = "b"
    assert SCHEMAS.admit(changed, before=stored).object["spec"]["size"] == -1
    changed["spec"]["size"] = -2
    assert [field for field, _ in refusal(changed, before=stored)] == ["spec.size"]


RULED = Schemas(
    definition(
        {
            "type": "object",
            "properties": {
                "size": {
                    "type": "integer",
                    "x-kubernetes-validations": [
                        {"rule": "self >= 1", "message": "must be at least 1"},
                        {"rule": "self >= oldSelf"},
                    ],
                },
                "items": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "value": {
                                "type": "string",
                                "x-kubernetes-validations": [
                                    {
                                        "rule": "self == oldSelf",
                                        "message": "is fixed",
                                        "reason": "FieldValueForbidden",
                                    }
                                ],
                            },
                        },
                    },
                },
                "url": {
                    "type": "string",
                    "x-kubernetes-validations": [{"rule": "isURL(self)"}],
                },
            },
            "x-kubernetes-validations": [
                {"rule": "has(self.size) || has(self.items)", "message": "one is needed"}
            ],
        }
    )
)


def test_rules() -> None:
    assert refusal(thing(), RULED) == [("spec", "Invalid value: one is needed")]
    assert refusal(thing(size=0), RULED) == [("spec.size", "Invalid value: 0: must be at least 1")]
    assert RULED.admit(thing(size=3)).object["spec"] == {"size": 3}
    assert refusal(thing(size=2), RULED, before=thing(size=3)) == [
        ("spec.size", "Invalid value: 2: failed rule: self >= oldSelf")
    ]


def test_rules_leave_the_interpreter_as_it_is() -> None:
    program = (
        "import sys; before = sys.getrecursionlimit()\n"
        "from kaptain_kfp.testing.schemas.rules import broken_rules\n"
        "schema = {'x-kubernetes-validations': [{'rule': 'self == 1'}]}\n"
        "assert list(broken_rules(schema, 1)) == [] != list(broken_rules(schema, 2))\n"
        "assert 'celpy' in sys.modules and sys.getrecursionlimit() == before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_rules_for_the_items_of_a_list_follow_their_keys() -> None:
    stored = thing(items=[{"name": "a", "value": "1"}, {"name": "b", "value": "2"}])
    moved = thing(items=[{"name": "b", "value": "2"}, {"name": "c", "value": "3"}])
    assert RULED.admit(moved, before=stored)
    changed = thing(items=[{"name": "b", "value": "1"}])
    assert refusal(changed, RULED, before=stored) == [
        ("spec.items[0].value", "Forbidden: is fixed")
    ]


def test_rules_wait_for_the_right_form() -> None:
    causes = refusal(thing(size="0"), RULED)
    assert [f"{field}: {message}" for field, message in causes][1:] == [UNCHECKED]


def test_what_is_not_applied_is_listed() -> None:
    assert RULED.unsupported_rules == ("Thing: spec.url: rule isURL(self)",)
    assert RULED.admit(thing(size=1, url="no url"))
    assert SCHEMAS.unsupported_rules == ()


def test_a_kind_without_a_schema_passes_unchanged() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"anything": None}}
    assert SCHEMAS.admit(pod, validation="Strict").object == pod
    other = {**thing(size="x"), "apiVersion": "example.com/v2"}
    assert SCHEMAS.admit(other, validation="Strict").object == other


def test_they_are_read_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no CustomResourceDefinition in"):
        Schemas.load(tmp_path)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([definition(), {"kind": "Other"}]))
    (kind,) = Schemas.load(tmp_path).kinds
    assert (kind.resource, kind.api_version) == ("things.example.com", "example.com/v1")
    assert kind.custom and kind.status_subresource and kind.namespaced


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.floats(-2, 12) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "value", "on", "other"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*SPEC["properties"], "other"]), VALUES, max_size=4))
def test_what_was_admitted_is_admitted_once_more_as_it_is(spec: dict[str, Any]) -> None:
    try:
        first = SCHEMAS.admit(thing(**spec)).object
    except ObjectInvalidError as error:
        assert error.details["causes"]
    else:
        assert SCHEMAS.admit(first, validation="Strict").object == first
