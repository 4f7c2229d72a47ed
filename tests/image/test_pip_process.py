from __future__ import annotations

import pytest

from kaptain_kfp.image.pip_process import mask


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Looking in https://me:s3cret@pypi.example.com/simple", "https://***@pypi.example.com"),
        ("git+ssh://git:p@ss@example.com/x", "git+ssh://***@example.com/x"),
        ("https://token@a.example.com https://u:p@b.example.com", "https://***@a"),
        ("mail me@example.com, https://example.com/a@1", "me@example.com, https://example.com/a@1"),
    ],
)
def test_credentials_are_masked(text: str, expected: str) -> None:
    masked = mask(text)
    assert expected in masked
    assert not any(secret in masked for secret in ("s3cret", "p@ss", "token", "u:p"))
