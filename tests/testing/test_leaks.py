from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import pytest

from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.leaks import Leaks

SECRET = "corr3ct/horse+battery"


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "robot:"])
@pytest.mark.parametrize("after", ["", "1", "22", "333"])
def test_a_secret_is_recognised_in_every_form(before: str, after: str) -> None:
    leaks = Leaks("another-secret", SECRET)
    whole = f"{before}{SECRET}{after}"
    once = base64.b64encode(whole.encode()).decode()
    config = json.dumps({"auths": {"host": {"auth": once}}})
    twice = base64.b64encode(config.encode()).decode()
    url = "https://host/?key=corr3ct%2Fhorse%2Bbattery"
    for text in (whole, once, config, twice, url):
        assert leaks.tells(text) and leaks.tells(f"before {text} after".encode())


def test_what_is_none_is_none() -> None:
    leaks = Leaks(SECRET)
    for text in ("", "corr3ct/horse", base64.b64encode(b"correct/horse+battery").decode()):
        assert not leaks.tells(text)


def test_files_and_objects(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    for kind, text in (("Secret", SECRET), ("ConfigMap", "nothing")):
        objects.create(
            {
                "apiVersion": "v1",
                "kind": kind,
                "metadata": {"name": "a", "namespace": "default", "annotations": {"a": text}},
            }
        )
    leaks = Leaks(SECRET)
    assert leaks.kinds(tmp_path) == {"Secret"}
    assert leaks.files(tmp_path) == []
    large = tmp_path / "folder" / "log"
    large.parent.mkdir()
    # across the border of two pieces that are read
    large.write_bytes(b"x" * ((1 << 20) - 5) + SECRET.encode())
    (tmp_path / "empty").touch()
    assert leaks.files(tmp_path, tmp_path / "none") == [large]


def test_homes_below_a_folder(tmp_path: Path) -> None:
    leaks = Leaks(SECRET)
    for home, text in (("a", SECRET), ("b/c", "nothing")):
        metadata = {"name": "a", "namespace": "default", "annotations": {"a": text}}
        Objects(tmp_path / home).create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        )
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "kaptain.db").write_bytes(b"no database at all, and long enough" * 99)
    assert leaks.homes(tmp_path) == {tmp_path / "a": {"ConfigMap"}, tmp_path / "b" / "c": set()}


@pytest.mark.parametrize("cut", [0, 1])
def test_what_is_packed_is_unpacked(tmp_path: Path, cut: int) -> None:
    packed = gzip.compress(b"x" * 99 + SECRET.encode(), mtime=0)
    (tmp_path / "layer").write_bytes(packed[: len(packed) - cut])
    (tmp_path / "cut-off").write_bytes(packed[:12])
    (tmp_path / "none").write_bytes(b"\x1f\x8b which isn't packed")
    assert leaks_of(tmp_path) == ["layer"]


@pytest.mark.parametrize("before", [0, (40 << 20) - len(SECRET)])
def test_both_ends_of_large_files_are_read(tmp_path: Path, before: int) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.seek(before)
        file.write(SECRET.encode())
        file.truncate(40 << 20)
    assert leaks_of(tmp_path) == ["large"]


def leaks_of(folder: Path) -> list[str]:
    return [path.name for path in Leaks(SECRET).files(folder)]


def test_short_secrets_are_refused() -> None:
    for secrets in ((), ("short",)):
        with pytest.raises(ValueError, match="eight or more"):
            Leaks(*secrets)
