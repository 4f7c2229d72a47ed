from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from kaptain_kfp.testing.kfp_api.errors import ApiError
from kaptain_kfp.testing.kfp_api.packages import as_answered, specs_of_file, specs_of_object

SPEC = {
    "schemaVersion": "2.1.0",
    "pipelineInfo": {"name": "p"},
    "root": {},
    "deploymentSpec": {},
}
PLATFORM = {"platforms": {"kubernetes": {}}}
TEXT = b"""
schemaVersion: 2.1.0
pipelineInfo: {name: p}
root: {}
deploymentSpec: {}
"""


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return content.getvalue()


def tarred(**files: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        zipped(some_yaml=TEXT, README_md=b"hello"),
        zipped(pipeline_yaml=TEXT, other_yaml=b"a: b"),
        tarred(
            some_json=b'{"schemaVersion": "2.1.0", "pipelineInfo": {"name": "p"}, '
            b'"root": {}, "deploymentSpec": {}}'
        ),
        tarred(pipeline_yaml=TEXT),
    ],
)
def test_packages(content: bytes) -> None:
    assert specs_of_file(content) == (SPEC, {})


def test_the_second_document_is_the_platform_spec() -> None:
    both = TEXT + b"---\nplatforms: {kubernetes: {}}\n"
    assert specs_of_file(both) == (SPEC, PLATFORM)
    given = {"pipeline_spec": SPEC, "platform_spec": PLATFORM}
    assert specs_of_object(given) == (SPEC, PLATFORM)
    assert as_answered(SPEC, PLATFORM) == given
    assert as_answered(SPEC, {}) == SPEC
    assert specs_of_object(SPEC) == (SPEC, {})


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (zipped(a_yaml=TEXT, b_yaml=TEXT), "Invalid package"),
        (tarred(README_md=b"hello"), "Invalid package"),
        (b"\x1f\x8bnothing", "Failed to read"),
        (TEXT.replace(b"name: p", b"name: ''"), "name is empty"),
        (TEXT.replace(b"root: {}", b""), "no root"),
        (b"x" * ((32 << 20) + 1), "too large"),
    ],
)
def test_what_is_refused(content: bytes, match: str) -> None:
    with pytest.raises(ApiError, match=match) as caught:
        specs_of_file(content)
    assert caught.value.status == 400


@pytest.mark.parametrize("given", ["text", {"pipeline_spec": "text"}, {}])
def test_objects_that_are_none(given: object) -> None:
    with pytest.raises(ApiError):
        specs_of_object(given)
