"""Volumes as folders of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ObjectNotFoundError
from kaptain_kfp.local.podvolumes import ConfigurationTrouble, Volumes, volumes_of

FOLDER = Path("/pods/uid/volumes")
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("Secret", "s"): {"data": {"a": "QQ==", "a.draft": "QkI=", "raw": "//4="}},
    ("Secret", "out"): {"data": {"../x": "QQ=="}},
    ("ConfigMap", "c"): {"data": {"a": "é"}, "binaryData": {"b": "AAE="}},
}


def lookup(kind: str, name: str) -> dict[str, Any]:
    try:
        return OBJECTS[kind, name]
    except KeyError:
        raise ObjectNotFoundError(name) from None


def volumes(source: dict[str, Any], *mounts: Any, name: str = "v") -> Volumes:
    pod = {"spec": {"volumes": [{"name": name, **source}]}}
    mounted = [{"name": name, **mount} for mount in mounts or [{"mountPath": "/m"}]]
    return volumes_of(pod, {"volumeMounts": mounted}, FOLDER, lookup)


ITEMS = [{"key": "a", "path": "deep/er"}]


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ({"emptyDir": {}}, {}),
        ({"secret": {"secretName": "s"}}, {"a": b"A", "a.draft": b"BB", "raw": b"\xff\xfe"}),
        ({"secret": {"secretName": "s", "items": ITEMS}}, {"deep/er": b"A"}),
        ({"secret": {"secretName": "none", "optional": True}}, {}),
        ({"secret": {"secretName": "none", "optional": True, "items": ITEMS}}, {}),
        ({"configMap": {"name": "c"}}, {"a": "é".encode(), "b": b"\0\1"}),
        ({"configMap": {"name": "c", "items": ITEMS}}, {"deep/er": "é".encode()}),
    ],
)
def test_what_a_volume_shows(source: dict[str, Any], files: dict[str, bytes]) -> None:
    made = volumes(source)
    assert made.files == {FOLDER / "v" / path: text for path, text in files.items()}
    assert made.folders == (FOLDER / "v",)
    assert made.mounts == {"/m": FOLDER / "v"}


UNKNOWN_KEY = [{"key": "none", "path": "x"}]
OUTSIDE = [{"key": "a", "path": "../../x"}]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "s", "items": UNKNOWN_KEY}}, 'secret "s" has no key "none"'),
        ({"secret": {"secretName": "s", "items": OUTSIDE}}, "leads out of its volume"),
        ({"secret": {"secretName": "out"}}, "leads out of its volume"),
        ({"hostPath": {"path": "/"}}, r"kind \['hostPath'\] isn't supported"),
        ({"persistentVolumeClaim": {}}, r"kind \['persistentVolumeClaim'\] isn't supported"),
    ],
)
def test_what_can_not_be_had(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationTrouble, match=message):
        volumes(source)


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"mountPath": "/"}, 'mountPath "/" is no folder'),
        ({"mountPath": "relative"}, 'mountPath "relative" is no folder'),
        ({"mountPath": "/m", "subPath": "../x"}, "leads out of its volume"),
        ({"mountPath": "/m", "subPath": "/etc"}, "leads out of its volume"),
        ({"mountPath": "/m", "name": "other"}, 'volume "other" is not defined'),
    ],
)
def test_impossible_mounts(mount: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationTrouble, match=message):
        volumes({"emptyDir": {}}, mount)


def test_a_volumes_name_leads_nowhere_else() -> None:
    with pytest.raises(ConfigurationTrouble, match="leads out of its volume"):
        volumes({"emptyDir": {}}, name="../../code")


def test_one_volume_at_several_places() -> None:
    made = volumes(
        {"secret": {"secretName": "s"}},
        {"mountPath": "/whole"},
        {"mountPath": "/one/file", "subPath": "a"},
        {"mountPath": "/part/", "subPath": "deep/er"},
    )
    place = FOLDER / "v"
    assert made.mounts == {
        "/whole": place,
        "/one/file": place / "a",
        "/part": place / "deep" / "er",
    }
    assert made.folders == (place, place / "deep" / "er")


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("/data", "D"),
        ("/data/", "D/"),
        ("/data/x/y", "D/x/y"),
        ("--in=/data/x", "--in=D/x"),
        ("--in /data", "--in D"),
        ("a:/data:/data/b", "a:D:D/b"),
        ("cat '/data/x'; ls \"/data\"", "cat 'D/x'; ls \"D\""),
        ("file:///data/x", "file://D/x"),
        ('{"path": "/data"}', '{"path": "D"}'),
        ("/data/sub", "S"),
        ("/data/sub/x", "S/x"),
        ("/data/subway", "D/subway"),
        ("/a.b", "P"),
        ("/aXb", "/aXb"),
        ("/database", "/database"),
        ("/data.bak", "/data.bak"),
        ("/data-2", "/data-2"),
        ("s3://bucket/data/x", "s3://bucket/data/x"),
        ("http://host/data", "http://host/data"),
        ("./data", "./data"),
        ("../data", "../data"),
        ("~/data", "~/data"),
        ("//data", "//data"),
        ("data", "data"),
        ("", ""),
    ],
)
def test_mount_paths_in_texts(text: str, local: str) -> None:
    mounts = {"/data": Path("D"), "/data/sub": Path("S"), "/a.b": Path("P")}
    assert Volumes(mounts).localise(text) == local


def test_without_mounts_a_text_is_left_as_it_is() -> None:
    assert Volumes().localise("/data") == "/data"
