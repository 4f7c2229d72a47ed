from __future__ import annotations

import pytest

from kaptain_kfp.image.pip_process import culprit, mask, missing


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


CONFLICT = """
ERROR: Cannot install -r /tmp/r.txt (line 1) because these package versions have conflicts.

The conflict is caused by:
    app 2.1 depends on low[x]
    app 2.1 depends on kfp-server-api<3 and >=2.17.3; python_version > "3"
    app 2.0 depends on kfp-server-api<3 and >=2.17.0

Additionally, some packages in these conflicts have \
no matching distributions available for your environment:
    kfp-server-api

To fix this you could try to:
""".splitlines()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (CONFLICT, ["kfp-server-api<3,>=2.17.3"]),
        (CONFLICT[:7], ["low", "kfp-server-api<3,>=2.17.3"]),
        (["    a 1 depends on low<3 and >=1", "    a 2 depends on low<3 and >=2"], ["low<3,>=1"]),
        (["    a 1 depends on low==1", "    b 1 depends on low==2"], []),
        (["    The user requested low==1", "    b 1 depends on low==2"], []),
        (["ERROR: No matching distribution found for a<2,>=1 (from b)"], ["a<2,>=1"]),
        (["ERROR: No matching distribution found for a==1"], ["a==1"]),
        (CONFLICT[8:], ["kfp-server-api"]),
        (["all is well"], []),
        ([], []),
    ],
)
def test_what_nothing_fits_is_found(lines: list[str], expected: list[str]) -> None:
    assert missing(lines) == expected


def test_a_place_in_a_file_is_no_culprit() -> None:
    assert culprit(CONFLICT) is None
    assert culprit([*CONFLICT, "ERROR: Invalid requirement: 'a b'"]) == "'a b'"
