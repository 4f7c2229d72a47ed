from __future__ import annotations

import base64
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


def test_short_secrets_are_refused() -> None:
    for secrets in ((), ("short",)):
        with pytest.raises(ValueError, match="eight or more"):
            Leaks(*secrets)
