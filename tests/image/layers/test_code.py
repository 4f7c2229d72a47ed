from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ImageBuildException, ModelValidationException
from kaptain_kfp.image.layers.code import code_layer
from kaptain_kfp.image.sources import collect, digest_sources, unpack, upload_sources
from kaptain_kfp.store.folder import FolderStore


def test_every_user_may_write_beside_the_script(base: Path, write: Callable[..., Any]) -> None:
    (base / "src" / "net.py").chmod(0o400)
    written = write(code_layer(collect(base, "train.py", ["src"], "requirements.txt")))
    assert {name: member.mode for name, member in written.members.items()} == {
        "kaptain": 0o777,
        "kaptain/requirements.txt": 0o666,
        "kaptain/src": 0o777,
        "kaptain/src/net.py": 0o666,
        "kaptain/src/outputs": 0o777,
        "kaptain/src/run.sh": 0o777,
        "kaptain/train.py": 0o666,
    }
    assert written.content("kaptain/train.py") == b"print('training')\n"


def test_the_whole_base_dir(base: Path, write: Callable[..., Any]) -> None:
    everything = write(code_layer(collect(base, "train.py", ["."])))
    some = write(code_layer(collect(base, "train.py", ["src"], "requirements.txt")))
    assert everything.blob == some.blob


def test_folders_above_a_single_file_are_open_too(base: Path, write: Callable[..., Any]) -> None:
    (base / "a" / "b").mkdir(parents=True)
    (base / "a" / "b" / "c.py").write_text("")
    written = write(code_layer(collect(base, "a/b/c.py")))
    assert [(name, member.mode) for name, member in written.members.items()] == [
        ("kaptain", 0o777),
        ("kaptain/a", 0o777),
        ("kaptain/a/b", 0o777),
        ("kaptain/a/b/c.py", 0o666),
    ]


def test_from_here_and_from_the_store_it_is_the_same(
    base: Path, tmp_path: Path, write: Callable[..., Any]
) -> None:
    here = collect(base, "train.py", ["src"], "requirements.txt")
    store = FolderStore(tmp_path / "store")
    spec = upload_sources(here, store, "dev/mnist")
    unpack(store, "dev/mnist", spec, tmp_path / "code")
    entries = [entry.path for entry in spec.entries]
    there = collect(tmp_path / "code", "train.py", entries, "requirements.txt")
    digests = {entry.path: entry.digest for entry in spec.entries}
    assert write(code_layer(there, digests)).blob == write(code_layer(here, digests)).blob


def test_owner_times_and_links_do_not_count(base: Path, write: Callable[..., Any]) -> None:
    first = write(code_layer(collect(base, "train.py", ["src"])))
    for path in [*(base / "src").rglob("*")]:
        os.utime(path, (7, 7))
    (base / "src" / "net.py").rename(base / "elsewhere.py")
    (base / "src" / "net.py").symlink_to("../elsewhere.py")
    assert write(code_layer(collect(base, "train.py", ["src"]))).blob == first.blob


@pytest.mark.parametrize("link", ["/etc/passwd", "../../outside", "../.."])
def test_links_that_leave_base_dir_are_refused(base: Path, link: str) -> None:
    (base.parent / "outside").write_text("secret")
    (base / "src" / "link").symlink_to(link)
    with pytest.raises(ModelValidationException, match=r"'src/link' lies outside of base_dir"):
        code_layer(collect(base, "train.py", ["src"]))


@pytest.mark.parametrize("path", ["../outside", "src/../../outside", "/etc/passwd"])
def test_paths_that_leave_base_dir_are_refused(base: Path, path: str) -> None:
    (base.parent / "outside").write_text("secret")
    with pytest.raises(ModelValidationException, match="lies outside of base_dir"):
        code_layer(collect(base, "train.py", [path]))


def test_a_name_that_would_delete_files_of_the_base_is_refused(base: Path) -> None:
    (base / "src" / ".wh.net.py").write_text("")
    with pytest.raises(ImageBuildException, match=r"/kaptain/src/\.wh\.net\.py"):
        code_layer(collect(base, "train.py", ["src"]))


def test_what_is_packed_is_what_was_digested(base: Path, write: Callable[..., Any]) -> None:
    sources = collect(base, "train.py", ["src"])
    digests = digest_sources(sources)
    write(code_layer(sources, digests))
    (base / "src" / "net.py").write_text("LAYERS = 4\n")
    with pytest.raises(ImageBuildException) as caught:
        write(code_layer(sources, digests))
    assert (caught.value.reason, caught.value.resource) == ("SourceChanged", "src")


def test_a_link_that_turns_away_between_is_noticed(base: Path, write: Callable[..., Any]) -> None:
    sources = collect(base, "train.py", ["src"])
    digests = digest_sources(sources)
    (base.parent / "outside").write_text("secret")
    (base / "src" / "net.py").unlink()
    (base / "src" / "net.py").symlink_to(base.parent / "outside")
    with pytest.raises(ImageBuildException):
        write(code_layer(sources, digests))


def test_packages_named_by_a_path_go_with_the_code(
    base: Path, tmp_path: Path, write: Callable[..., Any]
) -> None:
    packages = tmp_path / "local"
    (packages / "mine").mkdir(parents=True)
    (packages / "mine" / "__init__.py").write_text("X = 1\n")
    written = write(code_layer(collect(base, "train.py"), packages=packages))
    assert written.content("opt/kaptain/code-packages/mine/__init__.py") == b"X = 1\n"
    assert written.members["opt/kaptain/code-packages"].mode == 0o755
    assert "opt" not in written.members


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.dictionaries(
        st.from_regex(r"[a-z0-9. -]{1,12}", fullmatch=True), st.binary(), max_size=5
    )
)
def test_the_same_content_has_the_same_digest(
    tmp_path: Path, write: Callable[..., Any], content: dict[str, bytes]
) -> None:
    content = {f"x{name}": data for name, data in content.items()}
    blobs = []
    for order in (1, -1):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        (folder / "src").mkdir(parents=True)
        (folder / "train.py").write_text("")
        for name in [*content][::order]:
            (folder / "src" / name).write_bytes(content[name])
        blobs.append(write(code_layer(collect(folder, "train.py", ["src"]))).blob)
    assert blobs[0] == blobs[1]
