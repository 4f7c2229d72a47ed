from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.image.sources import collect

NOBODY = 65534


def refused(base: Path, *words: str, **arguments: object) -> None:
    """Collects, and expects an error that has all the words."""
    given: dict[str, object] = {"main_file": "train.py", **arguments}
    with pytest.raises(ModelValidationException) as caught:
        collect(base, **given)  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"main_file": "nope.py"}, ("main_file", "'nope.py'", "doesn't exist", "base_dir")),
        ({"main_file": "train.py/x"}, ("main_file", "doesn't exist")),
        ({"main_file": "src"}, ("main_file", "'src'", "is a folder")),
        ({"main_file": " "}, ("main_file", "isn't a path")),
        ({"main_file": "a\0b"}, ("main_file", "isn't a path")),
        ({"main_file": None}, ("main_file", "isn't a path")),
        ({"main_file": "x" * 300}, ("main_file", "can't be read", "too long")),
        ({"requirements": "src"}, ("requirements", "is a folder")),
        ({"requirements": "train.py"}, ("requirements", "same file as main_file")),
        ({"extra_files": ["src", "a", "/etc/passwd"]}, ("extra_files[1]", "'a'")),
        ({"extra_files": ["src", "/etc/passwd"]}, ("extra_files[1]", "outside of base_dir")),
        ({"extra_files": ["src/../../secret"]}, ("extra_files[0]", "outside of base_dir")),
        ({"extra_files": "src"}, ("extra_files", "['src']")),
    ],
    ids=str,
)
def test_bad_paths_are_refused(
    base: Path, arguments: dict[str, object], words: tuple[str, ...]
) -> None:
    (base.parent / "secret").write_text("not yours")
    refused(base, *words, **arguments)


def test_a_base_dir_must_be_a_folder(base: Path) -> None:
    refused(base / "train.py", "base_dir", "train.py", "isn't a folder")


def _link_out(folder: Path) -> None:
    (folder / "bad").symlink_to(folder.parent.parent)


def _link_to_sibling(folder: Path) -> None:
    """The base's name is a prefix of its own."""
    other = folder.parent.with_name(folder.parent.name + "-2")
    other.mkdir()
    (folder / "bad").symlink_to(other)


def _dangling(folder: Path) -> None:
    (folder / "bad").symlink_to("nowhere")


def _to_itself(folder: Path) -> None:
    (folder / "bad").symlink_to("bad")


def _cycle(folder: Path) -> None:
    (folder / "bad").symlink_to(folder)


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "bad")


def _not_utf8(folder: Path) -> None:
    (folder / os.fsdecode(b"bad\xff")).write_text("")


@pytest.mark.parametrize(
    ("spoil", "trouble"),
    [
        (_link_out, "outside of base_dir"),
        (_link_to_sibling, "outside of base_dir"),
        (_dangling, "doesn't exist"),
        (_to_itself, "can't be read"),
        (_cycle, "a link to a folder that it lies in"),
        (_fifo, "neither a file nor a folder"),
        (_not_utf8, "UTF-8"),
    ],
)
def test_what_is_bad_within_a_folder_is_named(
    base: Path, spoil: Callable[[Path], None], trouble: str
) -> None:
    try:
        spoil(base / "src")
    except OSError as error:
        pytest.skip(f"this file system can't: {error}")
    refused(base, "extra_files[0]", "'src'", "src/bad", trouble, extra_files=["src"])


def test_a_socket_is_refused(monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    monkeypatch.chdir(base)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("bad")
        refused(base, "extra_files[0]", "'bad'", "neither", extra_files=["bad"])


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of someone for whom permissions count."""
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    if root:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.parametrize("closed", ["src/net.py", "src"])
def test_what_cannot_be_read_is_refused(unprivileged: Path, closed: str) -> None:
    (unprivileged / "src").mkdir()
    (unprivileged / "train.py").write_text("")
    (unprivileged / "src" / "net.py").write_text("")
    (unprivileged / closed).chmod(0)
    refused(unprivileged, "extra_files[0]", "'src'", "isn't readable", extra_files=["src"])
    refused(unprivileged, "main_file", "isn't readable", main_file="src/net.py")
