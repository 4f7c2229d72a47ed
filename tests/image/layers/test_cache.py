from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.image.layers.cache import (
    constraint_settings,
    index_settings,
    index_variables,
    local_digests,
    movable,
    requirements_key,
)
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.requirements import LocalProject, Requirements, read_requirements

ASKED = Requirements(
    lines=("numpy>=1,<2", "torch[b,a] ; python_version > '3'", "x @ https://example.com/x.whl"),
    constraints=("scipy<2",),
    options=("--extra-index-url https://example.com/simple",),
    local=(LocalProject("./mine"),),
    version_controlled=("git+https://example.com/y.git",),
)
INDEX = {"global.index-url": "https://example.com/simple"}
DIGESTS = {"./mine": "1"}


def key(asked: Requirements = ASKED, **changes: Any) -> str:
    facts: dict[str, Any] = {
        "base_digest": "sha256:1",
        "platform": Platform(),
        "python_version": "3.11",
        "requirements": asked,
        "index": INDEX,
        "local_digests": DIGESTS,
        **changes,
    }
    return requirements_key(**facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_digest": "sha256:2"},
        {"platform": Platform("linux", "arm64")},
        {"platform": Platform("linux", "amd64", "v3")},
        {"python_version": "3.12"},
        {"python_version": None},
        {"index": {"global.index-url": "https://elsewhere.example.com"}},
        {"index": {}},
        {"local_digests": {"./mine": "2"}},
        {"exclude": ["torch"]},
        *(
            {"requirements": replace(ASKED, **change)}
            for change in (
                {"lines": ASKED.lines[:-1]},
                {"lines": ("numpy>=1,<3", *ASKED.lines[1:])},
                {"lines": (*ASKED.lines[:2], "x @ https://example.com/x2.whl")},
                {"lines": (*ASKED.lines, "numpy --hash=sha256:00")},
                {"constraints": ()},
                {"options": ()},
                {"local": (LocalProject("./mine", "[a]"),)},
                {"version_controlled": ()},
            )
        ),
    ],
)
def test_each_change_counts(changes: dict[str, Any]) -> None:
    assert key(**changes) != key() == key()


def test_lines_and_constraints_are_not_the_same() -> None:
    assert key(Requirements(lines=("a",))) != key(Requirements(constraints=("a",)))


def test_spelling_does_not_count() -> None:
    lines = (
        "x@https://me:s3cret@example.com/x.whl",
        "Torch[a, b];python_version>'3'",
        "NumPy <2,>=1",
        "numpy>=1,<2",
    )
    options = ("--extra-index-url https://you:s3cret@example.com/simple",)
    clones = ("git+https://me@example.com/y.git",)
    asked = replace(ASKED, lines=lines, options=options, version_controlled=clones)
    index = {"global.index-url": "https://me:s3cret@example.com/simple"}
    assert key(asked, index=index) == key()
    assert key(exclude=["My_Package"]) == key(exclude=["my-package", "my.package"])


@settings(deadline=None)
@given(st.permutations(ASKED.lines))
def test_order_does_not_count(lines: list[str]) -> None:
    assert key(replace(ASKED, lines=tuple(lines))) == key()


def test_what_pip_will_refuse_has_a_key_too() -> None:
    assert key(Requirements(lines=("not a 'requirement",))) != key(Requirements(lines=("b b",)))
    assert key(Requirements(lines=("a  b",))) == key(Requirements(lines=("a b",)))


def test_the_indexes_that_pip_itself_tells(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://me:s3cret@example.com/simple\ntimeout = 7\n"
        "constraint =\n    /c.txt\n    https://example.com/it's.txt\n"
        "[download]\nconstraint = d.txt\n"
        "[install]\nfind-links =\n    /wheels\n    https://x:y@example.com/w\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
            "PIP_CONFIG_FILE": str(config),
            "PIP_EXTRA_INDEX_URL": "https://u:p@extra.example.com/simple",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = index_settings(done.stdout.splitlines())
    assert found["global.index-url"] == "https://example.com/simple"
    assert found[":env:.extra-index-url"] == "https://extra.example.com/simple"
    assert "/wheels" in found["install.find-links"]
    assert "https://example.com/w" in found["install.find-links"]
    assert not any("timeout" in name for name in found)
    assert "s3cret" not in str(found)
    places = constraint_settings(done.stdout.splitlines())
    assert {"/c.txt", "https://example.com/it's.txt"} <= set(places)
    assert "d.txt" not in places


def test_the_base_image_is_told_of_indexes_but_of_no_password() -> None:
    said: list[str] = []
    found = index_variables(
        {
            "PIP_INDEX_URL": "https://me:hush@example.com/simple",
            "PIP_EXTRA_INDEX_URL": "https://example.com/more",
            "PIP_TRUSTED_HOST": "example.com",
            "PIP_NO_INDEX": "",
            "PIP_TARGET": "/elsewhere",
            "PATH": "/bin",
        },
        said.append,
    )
    assert found == {
        "PIP_EXTRA_INDEX_URL": "https://example.com/more",
        "PIP_TRUSTED_HOST": "example.com",
    }
    (line,) = said
    assert "PIP_INDEX_URL" in line and "hush" not in line


@pytest.mark.parametrize(
    ("path", "changed", "same"),
    [
        ("./lib", ["lib", "lib/a.py", "."], ["lib2", "train.py"]),
        ("lib/sub", ["lib", "lib/sub/x"], ["lib/a.py", "other"]),
        (".", ["lib", "train.py"], []),
    ],
)
def test_a_path_has_the_digest_of_what_lies_there(
    path: str, changed: list[str], same: list[str]
) -> None:
    asked = Requirements(local=(LocalProject(path),))

    def digest(entry: str, content: str) -> str:
        return local_digests(asked, {entry: content, "far": "f"}).get(path, "")

    for entry in changed:
        assert digest(entry, "1") != digest(entry, "2")
    for entry in same:
        assert digest(entry, "1") == digest(entry, "2")


def test_folders_of_wheels_are_named_by_their_paths_in_the_code(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text(
        "--find-links .\n--find-links wheels\n-f /\n./mine\n-i https://a\n"
    )
    (tmp_path / "wheels").mkdir()
    moved = movable(read_requirements(tmp_path / "r.txt"), tmp_path)
    folders = [f"--find-links {path}" for path in (".", "wheels", "/")]
    assert moved.options == (*folders, "-i https://a")
    assert [project.path for project in moved.local] == ["./mine", ".", "wheels", "/"]
    assert set(local_digests(moved, {"wheels": "1"})) == {".", "wheels"}
