from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.image.requirements import has_requirements


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("\n  \n\t\n", False),
        ("# numpy\n   # scipy\n", False),
        ("\ufeff# numpy\n", False),
        ("numpy", True),
        ("# numpy\n\n  ./pkg  # ours\n", True),
        ("-r more.txt\n", True),
    ],
)
def test_only_more_than_comments_counts(tmp_path: Path, text: str, expected: bool) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(text, encoding="utf-8")
    assert has_requirements(file) is expected
