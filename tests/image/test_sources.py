from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageBuildException, StoreNotFoundError
from kaptain_kfp.image.sources import (
    collect,
    digest_sources,
    stored_sources,
    unpack,
    upload_sources,
)

from .conftest import RecordingStore


def listed(base: Path, *extra_files: str, requirements: str | None = None) -> list[str]:
    return [e.path for e in collect(base, "train.py", extra_files, requirements).entries]


def tree(folder: Path) -> dict[str, str]:
    """Returns what lies in a folder: permissions of all, content of files."""
    return {
        path.relative_to(folder).as_posix(): f"{path.stat().st_mode & 0o777:o} "
        + (path.read_text() if path.is_file() else "")
        for path in folder.rglob("*")
    }


def test_entries_keep_their_paths_and_places(base: Path) -> None:
    sources = collect(base, "./train.py", ["src/"], "requirements.txt")
    assert (sources.main_file, sources.requirements) == ("train.py", "requirements.txt")
    assert [(e.path, e.location) for e in sources.entries] == [
        ("requirements.txt", base / "requirements.txt"),
        ("src", base / "src"),
        ("train.py", base / "train.py"),
    ]


@pytest.mark.parametrize(
    ("extra_files", "expected"),
    [
        ((), ["train.py"]),
        (("train.py", "src", "src/", "./src"), ["src", "train.py"]),
        (("src", "src/net.py"), ["src", "train.py"]),
        (("src/outputs/../net.py",), ["src/net.py", "train.py"]),
        ((".",), ["."]),
        (("src", "src/__pycache__/net.pyc"), ["src", "src/__pycache__/net.pyc", "train.py"]),
        (("srcs", "src"), ["src", "srcs", "train.py"]),
    ],
    ids=str,
)
def test_nothing_is_taken_twice(
    base: Path, extra_files: tuple[str, ...], expected: list[str]
) -> None:
    (base / "srcs").mkdir()
    assert listed(base, *extra_files) == expected


def test_requirements_may_be_listed_as_extra_file(base: Path) -> None:
    assert listed(base, "requirements.txt", requirements="requirements.txt") == [
        "requirements.txt",
        "train.py",
    ]


def test_absolute_paths_within_the_base_are_fine_by_either_name(base: Path) -> None:
    alias = base.with_name("alias")
    alias.symlink_to(base)
    for root in (alias, base):
        sources = collect(alias, str(root / "train.py"), [str(root / "src")])
        assert [entry.path for entry in sources.entries] == ["src", "train.py"]


def test_a_relative_base_is_one_below_the_working_directory(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base.parent)
    assert collect("project", "train.py").entries[0].location == base / "train.py"


def test_sources_arrive_as_they_were(base: Path, store: RecordingStore, tmp_path: Path) -> None:
    (base / "src" / "linked").symlink_to("../data")
    (base / "data" / ".git").mkdir(parents=True)
    (base / "data" / ".git" / "HEAD").write_text("ref")
    (base / "data" / "n\nÄ").write_text("odd name")
    spec = upload_sources(collect(base, "train.py", ["src"], "requirements.txt"), store, "dev/m")
    unpack(store, "dev/m", spec, tmp_path / "code")
    assert tree(tmp_path / "code") == {
        "train.py": "644 print('training')\n",
        "requirements.txt": "644 numpy\n",
        "src": "755 ",
        "src/net.py": "644 LAYERS = 3\n",
        "src/run.sh": "755 #!/bin/sh\n",
        "src/outputs": "755 ",
        "src/linked": "755 ",
        "src/linked/n\nÄ": "644 odd name",
    }
    assert not any(path.name.startswith(".unpack") for path in tmp_path.iterdir())


def test_the_whole_base_can_be_sent(base: Path, store: RecordingStore, tmp_path: Path) -> None:
    (base / "-first").write_text("sorts before the dot")
    spec = upload_sources(collect(base, "train.py", ["."]), store, "m")
    unpack(store, "m", spec, tmp_path / "code")
    assert [entry.path for entry in spec.entries] == ["."]
    assert {"-first", "train.py", "src/net.py"} < set(tree(tmp_path / "code"))


def test_the_spec_says_what_is_stored(base: Path, store: RecordingStore) -> None:
    spec = upload_sources(collect(base, "train.py", ["src"]), store, "dev/m")
    assert [entry.path for entry in spec.entries] == ["src", "train.py"]
    for entry in spec.entries:
        file = store.base / "dev/m/sources" / f"{entry.digest}.tar.gz"
        assert file.stat().st_size == entry.size


def test_only_what_changed_is_sent_again(base: Path, store: RecordingStore) -> None:
    first = upload_sources(collect(base, "train.py", ["src"]), store, "m")
    store.sent.clear()
    (base / "train.py").write_text("print('better')\n")
    second = upload_sources(collect(base, "train.py", ["src"]), store, "m")
    assert store.sent == [f"m/sources/{second.entries[1].digest}.tar.gz"]
    assert second.entries[0] == first.entries[0]


def test_a_source_that_changes_before_it_is_sent_is_named(
    base: Path, store: RecordingStore
) -> None:
    sources = collect(base, "train.py")
    digests = digest_sources(sources)
    (base / "train.py").write_text("print('other')\n")
    with pytest.raises(ImageBuildException, match=r"train\.py changed"):
        upload_sources(sources, store, "m", digests=digests)
    assert store.sent == []


def test_a_source_that_vanishes_is_named(base: Path, store: RecordingStore) -> None:
    sources = collect(base, "train.py", ["src"])
    (base / "src" / "net.py").unlink()
    with pytest.raises(ImageBuildException, match=r"src/net\.py can't be read"):
        upload_sources(sources, store, "m")


def test_digests_are_the_same_with_a_cache(base: Path, tmp_path: Path) -> None:
    sources = collect(base, "train.py", ["src"])
    assert digest_sources(sources, tmp_path / "cache") == digest_sources(sources)


def test_a_missing_archive_is_a_store_error(
    base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    spec = upload_sources(collect(base, "train.py"), store, "m")
    with pytest.raises(StoreNotFoundError):
        unpack(store, "other", spec, tmp_path / "code")


def test_an_archive_under_a_wrong_digest_is_refused(
    base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    spec = upload_sources(collect(base, "train.py", ["src"]), store, "m")
    folder = store.base / "m/sources"
    first, second = (folder / f"{entry.digest}.tar.gz" for entry in spec.entries)
    second.replace(first)
    with pytest.raises(ImageBuildException, match="src isn't used"):
        unpack(store, "m", spec, tmp_path / "code")


def test_what_would_be_sent_is_known_before(base: Path, store: RecordingStore) -> None:
    sources = collect(base, "train.py", ["src"])
    digests = digest_sources(sources)
    before = stored_sources(sources, store, "m", digests)
    assert store.sent == []
    assert [(entry.path, entry.size) for entry in before.entries] == [
        ("src", None),
        ("train.py", None),
    ]
    sent = upload_sources(sources, store, "m", digests=digests)
    assert stored_sources(sources, store, "m", digests) == sent
    assert stored_sources(sources, None, "m", digests) == before, "a store that can't be asked"
