from __future__ import annotations

import re
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform.config.provider import (
    ConfigurationProvider,
    EnvironmentVariableConfigurationProvider,
    FileBasedConfigurationProvider,
    line_of,
    read_text,
)


@pytest.mark.parametrize(
    "abstract",
    [
        ConfigurationProvider,
        FileBasedConfigurationProvider,
        EnvironmentVariableConfigurationProvider,
    ],
)
def test_interfaces_have_no_instances(abstract: type) -> None:
    with pytest.raises(TypeError, match="abstract"):
        abstract()


def test_read_text(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\xef\xbb\xbfgr\xc3\xbcn")
    assert read_text(file, "The file", "Write it.") == "grün"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "doesn't exist"),
        ("folder", "can't be read (Is a directory)"),
        ("binary", "isn't UTF-8 text"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    expected = f"The file {tmp_path / name} {problem}."
    with pytest.raises(ConfigurationError, match=re.escape(expected)) as raised:
        read_text(tmp_path / name, "The file", "Write it.")
    assert raised.value.hint == "Write it."


@pytest.mark.parametrize(
    ("needle", "line"), [("one", 1), ("two", 2), ("three", 4), ("four", None), ("two\n\nth", 2)]
)
def test_line_of(needle: str, line: int | None) -> None:
    assert line_of("one\ntwo\n\nthree", needle) == line
