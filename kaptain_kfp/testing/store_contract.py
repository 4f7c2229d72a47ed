"""What every store must do, as tests: for the stores of this package and for yours.

Subclass `StoreContract` in a test module and give it a fixture `store`, an empty store for each
test::

    pytest.register_assert_rewrite("kaptain_kfp.testing.store_contract")  # in conftest.py

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            return MyStore(...)
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from kaptain_kfp.exceptions import StoreError, StoreNotFoundError
from kaptain_kfp.store.base import Entry, Store
from kaptain_kfp.store.staging import STAGING_PREFIX

__all__ = ["StoreContract"]

_NAMES = (
    "plain",
    "dev/mnist/trained/0001/saved_model.pb",
    "with blank/and more.txt",
    "grün/模型/🚀",
    "percent%20%2F/a+b&c=d?e#f",
    "dots.../..hidden/.x",
    "back\\slash 'quote\" *[a-z]",
    "new\nline",
)
_BAD_KEYS = (
    "",
    "/",
    "/absolute",
    "a/",
    "a//b",
    ".",
    "..",
    "./a",
    "a/../b",
    "a/.",
    "nul\0",
    "half \ud800",
    f"a/{STAGING_PREFIX}b",
)
_WRITERS = 8


def _fill(store: Store, *keys: str) -> None:
    for key in keys:
        store.write(key, key.encode())


def _keys(store: Store, prefix: str = "", *, recursive: bool = True) -> list[str]:
    return [entry.key for entry in store.list(prefix, recursive=recursive)]


def _tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class StoreContract:
    """The tests; each gets a new, empty `store`."""

    @pytest.mark.parametrize("key", _NAMES)
    def test_keeps_objects_under_any_name(self, store: Store, key: str) -> None:
        """What is written is read, sized, listed and found by its URI."""
        store.write(key, b"\0data\xff")
        assert store.read(key) == b"\0data\xff"
        assert store.size(key) == 6
        assert list(store.list()) == [Entry(key, 6)]
        uri = store.uri_of(key)
        assert uri.startswith(f"{store.uri}/")
        assert store.key_of(uri) == key

    @pytest.mark.parametrize("key", _BAD_KEYS)
    def test_refuses_bad_keys(self, store: Store, tmp_path: Path, key: str) -> None:
        """Whatever would be asked of them."""
        source = tmp_path / "source"
        source.write_bytes(b"")
        tries: list[Callable[[], object]] = [
            lambda: store.read(key),
            lambda: store.write(key, b""),
            lambda: store.create(key, b""),
            lambda: store.size(key),
            lambda: store.upload(source, key),
            lambda: store.copy("a", key),
            lambda: store.delete(key),
        ]
        if key:  # an empty prefix is everything
            tries += [
                lambda: store.uri_of(key),
                lambda: store.list(key),
                lambda: store.copy(key, "a"),
                lambda: store.download(key, tmp_path / "target"),
            ]
        for attempt in tries:
            with pytest.raises(StoreError) as caught:
                attempt()
            assert repr(key) in caught.value.message
            assert caught.value.hint
        assert _keys(store) == []

    def test_refuses_uris_of_others(self, store: Store) -> None:
        """Its own base isn't below the base either."""
        for uri in (f"{store.uri}-more/a", store.uri, f"{store.uri}/a/../../b", "http://a/b", "a"):
            with pytest.raises(StoreError) as caught:
                store.key_of(uri)
            assert caught.value.hint

    def test_says_what_is_missing(self, store: Store, tmp_path: Path) -> None:
        """Reading raises, asking and deleting don't."""
        _fill(store, "a/b/c", "a/bc")
        for key in ("x", "a", "a/b", "a/b/c/d", "a/b/x"):
            with pytest.raises(StoreNotFoundError, match=key):
                store.read(key)
            assert store.size(key) is None
        for prefix in ("x", "a/b/c/d", "a/b/x"):
            with pytest.raises(StoreNotFoundError, match=prefix):
                store.download(prefix, tmp_path / "target")
            with pytest.raises(StoreNotFoundError, match=prefix):
                store.copy(prefix, "target")
            assert store.delete(prefix) == 0
            assert _keys(store, prefix) == []
        assert not (tmp_path / "target").exists()
        assert _keys(store) == ["a/b/c", "a/bc"]

    def test_write_replaces(self, store: Store) -> None:
        """With less, more, or nothing."""
        for data in (b"first", b"the second, which is longer", b""):
            store.write("a/b", data)
            assert store.read("a/b") == data
            assert list(store.list()) == [Entry("a/b", len(data))]

    def test_create_writes_only_once(self, store: Store) -> None:
        """What is there stays."""
        assert store.create("a/b", b"") is True
        assert store.create("a/b", b"second") is False
        assert store.read("a/b") == b""
        store.write("a/c", b"written")
        assert store.create("a/c", b"created") is False
        assert store.read("a/c") == b"written"
        store.delete("a/b")
        assert store.create("a/b", b"third") is True
        assert store.read("a/b") == b"third"

    def test_one_of_many_creates(self, store: Store) -> None:
        """All the others learn that they didn't, and the object is that of the one."""
        barrier = Barrier(_WRITERS)

        def create(number: int) -> bool:
            barrier.wait(timeout=30)
            return store.create("a/b", bytes([number]) * 100_000)

        with ThreadPoolExecutor(_WRITERS) as pool:
            won = list(pool.map(create, range(_WRITERS)))
        assert won.count(True) == 1
        assert store.read("a/b") == bytes([won.index(True)]) * 100_000
        assert _keys(store) == ["a/b"]

    def test_readers_see_old_or_new(self, store: Store) -> None:
        """Never a mixture, never a part, whatever is written meanwhile."""
        versions = [bytes([number]) * 200_000 for number in range(20)]
        store.write("a", versions[0])

        def write() -> None:
            for version in versions:
                store.write("a", version)

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            seen = [store.read("a")]
            while not writing.done():
                seen.append(store.read("a"))
                assert _keys(store) == ["a"]
            writing.result()
        assert set(seen) <= set(versions)

    def test_lists_by_prefix_in_order(self, store: Store) -> None:
        """A prefix is a whole name; the order is that of the keys as text."""
        keys = ["a/b/c", "a-b", "a/b.c/d", "a0", "Z", "a/é", "a/b c"]
        _fill(store, *keys)
        assert _keys(store) == sorted(keys)
        assert _keys(store, "a") == ["a/b c", "a/b.c/d", "a/b/c", "a/é"]
        assert _keys(store, "a/b") == ["a/b/c"]
        assert _keys(store, "a0") == ["a0"]
        assert _keys(store, "a/b.c/d") == ["a/b.c/d"]

    def test_lists_one_level(self, store: Store) -> None:
        """Without recursion only what lies directly there."""
        _fill(store, "a/b/c", "a/d", "e", "a/b.c")
        assert _keys(store, recursive=False) == ["e"]
        assert _keys(store, "a", recursive=False) == ["a/b.c", "a/d"]
        assert _keys(store, "a/d", recursive=False) == ["a/d"]

    def test_names_the_folders(self, store: Store) -> None:
        """Those directly there, in the order of the keys below them; objects are none."""
        _fill(store, "a b/c", "a/b/c", "a/b/d/e", "a/b.c/d", "a/d", "e", "a/é/x")
        assert list(store.folders()) == ["a b", "a"]
        assert list(store.folders("a")) == ["b.c", "b", "é"]
        assert list(store.folders("a/b")) == ["d"]
        for empty in ("e", "a/d", "nowhere", "e/below"):
            assert list(store.folders(empty)) == []
        store.delete("a/b.c")
        assert list(store.folders("a")) == ["b", "é"]

    def test_uploads_a_file(self, store: Store, tmp_path: Path) -> None:
        """Also over an object."""
        source = tmp_path / "a file"
        for data in (b"data", b"other data"):
            source.write_bytes(data)
            assert store.upload(source, "x/y") == 1
            assert store.read("x/y") == data
        assert _keys(store) == ["x/y"]

    def test_uploads_a_folder(self, store: Store, tmp_path: Path) -> None:
        """Its content, without the folder's own name and without empty folders."""
        source = tmp_path / "source"
        (source / "deep/er").mkdir(parents=True)
        (source / "empty").mkdir()
        (source / "deep/er/ä b").write_bytes(b"1")
        (source / ".hidden").write_bytes(b"")
        assert store.upload(source, "x/y") == 2
        assert list(store.list()) == [Entry("x/y/.hidden", 0), Entry("x/y/deep/er/ä b", 1)]

    def test_upload_leaves_other_objects(self, store: Store, tmp_path: Path) -> None:
        """It replaces what it brings, and nothing else."""
        _fill(store, "x/deep/old", "x/deep/both", "x/top")
        source = tmp_path / "source"
        (source / "deep").mkdir(parents=True)
        (source / "deep/both").write_bytes(b"new")
        (source / "deep/fresh").write_bytes(b"fresh")
        assert store.upload(source, "x") == 2
        assert _keys(store) == ["x/deep/both", "x/deep/fresh", "x/deep/old", "x/top"]
        assert store.read("x/deep/both") == b"new"
        assert store.read("x/deep/old") == b"x/deep/old"

    def test_uploads_nothing_from_an_empty_folder(self, store: Store, tmp_path: Path) -> None:
        """It leaves no object."""
        assert store.upload(tmp_path, "x") == 0
        assert _keys(store) == []

    def test_refuses_a_missing_source(self, store: Store, tmp_path: Path) -> None:
        """And names it."""
        with pytest.raises(StoreError, match="nowhere") as caught:
            store.upload(tmp_path / "nowhere", "x")
        assert caught.value.hint
        assert _keys(store) == []

    def test_downloads_an_object(self, store: Store, tmp_path: Path) -> None:
        """To a file in a folder that may be missing, or over a file."""
        store.write("a/b", b"data")
        target = tmp_path / "new folder" / "file"
        for _ in range(2):
            assert store.download("a/b", target) == 1
            assert _tree(target.parent) == {"file": b"data"}
            target.write_bytes(b"changed")

    def test_downloads_a_prefix(self, store: Store, tmp_path: Path) -> None:
        """Into a folder, beside what is there."""
        _fill(store, "a/b/c", "a/b/d/ä e", "a/bc")
        target = tmp_path / "target"
        assert store.download("a/b", target) == 2
        wanted = {"c": b"a/b/c", "d/ä e": "a/b/d/ä e".encode()}
        assert _tree(target) == wanted
        (target / "c").write_bytes(b"changed")
        (target / "mine").write_bytes(b"stays")
        assert store.download("a/b", target) == 2
        assert _tree(target) == {**wanted, "mine": b"stays"}

    def test_downloads_everything(self, store: Store, tmp_path: Path) -> None:
        """With an empty prefix."""
        _fill(store, "a/b", "c")
        assert store.download("", tmp_path / "target") == 2
        assert _tree(tmp_path / "target") == {"a/b": b"a/b", "c": b"c"}

    def test_uploads_what_it_downloads(self, store: Store, tmp_path: Path) -> None:
        """Large and binary content comes back as it was."""
        source, target = tmp_path / "source", tmp_path / "target"
        (source / "deep").mkdir(parents=True)
        (source / "large").write_bytes(bytes(range(256)) * 20_000)
        (source / "deep" / "text").write_bytes(b"line\r\nline\n")
        store.upload(source, "m")
        store.download("m", target)
        assert _tree(target) == _tree(source)

    def test_copies(self, store: Store) -> None:
        """An object, or everything below a prefix; the source stays."""
        _fill(store, "a/b/c", "a/b/d/e", "a/bc", "x/old")
        assert store.copy("a/b", "x") == 2
        assert store.copy("a/bc", "y/z") == 1
        assert store.copy("a/b/c", "x/old") == 1
        copies = {key: store.read(key) for key in _keys(store) if not key.startswith("a")}
        assert copies == {"x/c": b"a/b/c", "x/d/e": b"a/b/d/e", "x/old": b"a/b/c", "y/z": b"a/bc"}
        assert _keys(store, "a") == ["a/b/c", "a/b/d/e", "a/bc"]

    def test_copies_into_itself(self, store: Store) -> None:
        """Once, not for ever."""
        _fill(store, "a/b", "a/c")
        assert store.copy("a", "a/copy") == 2
        assert store.copy("a/b", "a/b") == 1
        assert _keys(store) == ["a/b", "a/c", "a/copy/b", "a/copy/c"]
        assert store.read("a/b") == b"a/b"

    def test_deletes(self, store: Store) -> None:
        """An object, or everything below a prefix, and nothing beside it."""
        _fill(store, "a/b/c", "a/b/d/e", "a/bc", "a-b", "f")
        assert store.delete("a/b") == 2
        assert _keys(store) == ["a-b", "a/bc", "f"]
        assert store.delete("f") == 1
        assert store.delete("f") == 0
        assert store.delete("a") == 1
        assert _keys(store) == ["a-b"]
        store.write("a", b"where a folder was")
        assert _keys(store) == ["a", "a-b"]

    def test_survives_writing_while_deleting(self, store: Store) -> None:
        """A writer never fails since someone deletes what lies around it."""
        rounds = 60

        def write(number: int) -> None:
            for _ in range(rounds):
                store.write(f"a/b/{number}", b"data")

        def delete(_: int) -> None:
            for _ in range(rounds):
                store.delete("a/b/0")
                store.delete("a/b/1")

        with ThreadPoolExecutor(4) as pool:
            working = [*(pool.submit(write, n) for n in (0, 1)), pool.submit(delete, 0)]
            for work in working:
                work.result()
        _fill(store, "a/b/0", "a/b/1")
        assert _keys(store) == ["a/b/0", "a/b/1"]
