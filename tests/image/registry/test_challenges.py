from __future__ import annotations

import pytest

from kaptain_kfp.image.registry.challenges import choose_challenge


@pytest.mark.parametrize(
    ("header", "scheme", "parameters"),
    [
        (
            'Bearer realm="https://auth.example/token",service="a, b",'
            'scope="repository:x:pull,push"',
            "bearer",
            {
                "realm": "https://auth.example/token",
                "service": "a, b",
                "scope": "repository:x:pull,push",
            },
        ),
        ('Basic realm="say \\"hi\\""', "basic", {"realm": 'say "hi"'}),
        ("BASIC realm=plain", "basic", {"realm": "plain"}),
        ('Basic realm="a", Bearer realm="b"', "bearer", {"realm": "b"}),
        ('Negotiate, Basic realm="Bearer realm=x"', "basic", {"realm": "Bearer realm=x"}),
        ("Basic", "basic", {}),
    ],
)
def test_reads_a_challenge(header: str, scheme: str, parameters: dict[str, str]) -> None:
    challenge = choose_challenge(header)
    assert challenge is not None
    assert (challenge.scheme, dict(challenge.parameters)) == (scheme, parameters)


@pytest.mark.parametrize("header", ["", "Negotiate", "Digest realm=a, nonce=b"])
def test_what_cannot_be_answered(header: str) -> None:
    assert choose_challenge(header) is None
