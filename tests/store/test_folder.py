from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import StoreError, StoreNotFoundError
from kaptain_kfp.store.folder import FolderStore

NOBODY = 65534
CREATE = """
import os, sys
from kaptain_kfp.store.folder import FolderStore
store = FolderStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
data = str(os.getpid()).encode() * 1000
print(*(key for key in range(100) if store.create(f"m/records/{key}.json", data)))
"""


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "models")


def test_uris_are_encoded(store: FolderStore) -> None:
    for key in ("grün #1/模型 %20", "a?b", "new\nline"):
        uri = store.uri_of(key)
        assert uri.isascii()
        assert store.key_of(uri) == key


def test_takes_paths_and_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    here = Path.cwd()
    spaced = here / "mödels %20 #1"
    cases: list[tuple[str | Path, Path]] = [
        ("models", here / "models"),
        (Path("models"), here / "models"),
        ("models/", here / "models"),
        ("a/../models", here / "models"),
        ("~/models", tmp_path / "models"),
        ("with:colon", here / "with:colon"),
        (str(spaced), spaced),
        (spaced, spaced),
        (spaced.as_uri(), spaced),
        (f"{spaced.as_uri()}/", spaced),
        (here.as_uri().replace("file://", "file:"), here),
        (here.as_uri().replace("file://", "FILE://localhost"), here),
        ("file:///tmp/~/a%2fb", Path("/tmp/~/a/b")),
    ]
    for given, path in cases:
        store = FolderStore(given)
        assert store.uri == path.as_uri(), given
        assert FolderStore(store.uri).uri == store.uri
        assert store.key_of(store.uri_of("a b/c")) == "a b/c"


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("", "path of a folder"),
        ("  ", "path of a folder"),
        ("a\0b", "path of a folder"),
        ("file:///a%00b", "path of a folder"),
        ("s3://bucket/models", "s3://"),
        ("https://host/models", "file:///"),
        ("file://models", "Three slashes"),
        ("file://host/models", "Three slashes"),
        ("file:models", "Three slashes"),
        ("file://[host/models", "file:///path"),
        ("file:///a#b", "%23"),
        ("file:///a?b", "%3F"),
        ("~nobody-of-that-name/models", "without ~"),
        (None, "text or a Path"),
    ],
)
def test_refuses_other_places(given: str, remedy: str) -> None:
    with pytest.raises(StoreError) as caught:
        FolderStore(given)
    assert repr(given) in caught.value.message
    assert remedy in (caught.value.hint or "")


def test_knows_its_keys_by_path_too(store: FolderStore, tmp_path: Path) -> None:
    assert store.key_of(str(tmp_path / "models" / "a" / "b")) == "a/b"
    assert store.key_of(f"{store.uri}/a/b/") == "a/b"
    assert FolderStore("/").key_of("file:///a/b") == "a/b"


def test_its_repr_says_where(tmp_path: Path) -> None:
    assert repr(FolderStore(tmp_path)) == f"FolderStore({str(tmp_path)!r})"


def test_asking_makes_no_folder(store: FolderStore, tmp_path: Path) -> None:
    assert list(store.list()) == []
    assert store.size("a") is None
    assert store.delete("a/b") == 0
    with pytest.raises(StoreNotFoundError):
        store.read("a")
    assert list(tmp_path.iterdir()) == []


def test_deleting_removes_empty_folders(store: FolderStore, tmp_path: Path) -> None:
    store.write("a/b/c", b"")
    store.write("a/b/d/e", b"")
    store.write("a/f", b"")
    assert store.delete("a/b/d/e") == 1
    assert sorted(p.name for p in (tmp_path / "models" / "a" / "b").iterdir()) == ["c"]
    store.delete("a/b")
    assert [p.name for p in (tmp_path / "models" / "a").iterdir()] == ["f"]
    store.delete("a")
    assert list((tmp_path / "models").iterdir()) == []


def test_deletes_a_link_and_not_what_it_leads_to(store: FolderStore, tmp_path: Path) -> None:
    store.write("a/kept", b"")
    (tmp_path / "models" / "link").symlink_to(tmp_path / "models" / "a")
    (tmp_path / "models" / "dangling").symlink_to("missing")
    assert store.read("link/kept") == b""
    assert store.delete("link") == 1
    assert store.delete("dangling") == 1
    assert [entry.key for entry in store.list()] == ["a/kept"]


def test_uploading_folders_with_links_out_leaves_nothing(
    store: FolderStore, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "fine").write_bytes(b"")
    (source / "out").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="leaves the folder"):
        store.upload(source, "a")
    assert not (tmp_path / "models").exists()


def test_uploading_a_link_to_itself_is_refused(store: FolderStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "bad").symlink_to("bad")
    with pytest.raises(StoreError) as caught:
        store.upload(source, "a")
    assert "source" in caught.value.message
    assert caught.value.hint


def test_uploading_a_pipe_does_not_wait(store: FolderStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="neither a file nor a folder"):
        store.upload(tmp_path / "pipe", "a")
    (tmp_path / "models").mkdir()
    os.mkfifo(tmp_path / "models" / "pipe")
    with pytest.raises(StoreNotFoundError):
        store.read("pipe")
    assert store.size("pipe") is None
    assert list(store.list("pipe")) == []


def test_a_base_that_is_a_file(tmp_path: Path) -> None:
    base = tmp_path / "models"
    base.write_bytes(b"mine")
    store = FolderStore(base)
    for attempt in (
        lambda: store.write("a/b", b""),
        lambda: store.create("a", b""),
        lambda: store.read("a"),
        lambda: store.size("a/b"),
        lambda: list(store.list()),
        lambda: store.upload(base, "a"),
        lambda: store.delete("a"),
    ):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert not isinstance(caught.value, StoreNotFoundError)
        assert str(base) in caught.value.message
        assert caught.value.reason == "PathTaken"
    assert base.read_bytes() == b"mine"


def test_files_and_folders_in_each_others_way(store: FolderStore, tmp_path: Path) -> None:
    store.write("file", b"file")
    store.write("folder/a", b"a")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_bytes(b"")
    for attempt in (
        lambda: store.write("file/a", b""),
        lambda: store.write("folder", b""),
        lambda: store.upload(tmp_path / "source", "file"),
        lambda: store.copy("file", "folder"),
        lambda: store.copy("folder", "file"),
        lambda: store.download("file", tmp_path / "source"),
        lambda: store.download("folder", tmp_path / "source" / "a"),
    ):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert caught.value.reason == "PathTaken"
    assert store.create("folder", b"") is False
    assert {entry.key: store.read(entry.key) for entry in store.list()} == {
        "file": b"file",
        "folder/a": b"a",
    }


def test_a_full_disk(store: FolderStore, tmp_path: Path) -> None:
    store.write("a", b"old")
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    caught = []
    for attempt in (
        lambda: store.write("a", b"x" * 100_000),
        lambda: store.create("b", b"x" * 100_000),
        lambda: store.upload(source, "c"),
    ):
        # the quota that any process can give itself: nothing may be longer than that
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            attempt()
        except StoreError as error:
            caught.append((error.reason, str(tmp_path / "models") in error.message))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught == [("NoSpace", True)] * 3
    assert store.read("a") == b"old"
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["a"]


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder in which this process has no rights, even if it is root's."""
    with tempfile.TemporaryDirectory(prefix="kaptain-locked-") as name:
        folder = Path(name)
        (folder / "file").write_bytes(b"data")
        (folder / "file").chmod(0)
        root = os.geteuid() == 0
        folder.chmod(0o555)
        if root:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_missing_rights(locked: Path) -> None:
    store = FolderStore(locked)
    for attempt in (
        lambda: store.write("a", b""),
        lambda: store.write("a/b", b""),
        lambda: store.create("a", b""),
        lambda: store.read("file"),
        lambda: store.delete("file"),
        lambda: store.copy("file", "copy"),
    ):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert str(locked) in caught.value.message
        assert caught.value.reason == "PermissionDenied"


def test_a_name_that_is_too_long(store: FolderStore) -> None:
    with pytest.raises(StoreError) as caught:
        store.write("a" * 300, b"")
    assert caught.value.reason == "NameTooLong"


def test_one_of_many_processes_creates(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    won = {process.pid: process.communicate(timeout=60)[0].split() for process in processes}
    assert sorted(int(key) for keys in won.values() for key in keys) == list(range(100))
    store = FolderStore(tmp_path)
    for pid, keys in won.items():
        for key in keys:
            assert store.read(f"m/records/{key}.json") == str(pid).encode() * 1000
    assert len(list((tmp_path / "m" / "records").iterdir())) == 100
