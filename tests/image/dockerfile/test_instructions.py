from __future__ import annotations

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.dockerfile.instructions import Instruction, read, substituted

ITEM = Instruction(1, "ENV", "", {})


def test_lines_are_joined_and_comments_left_out() -> None:
    content = """# syntax=docker/dockerfile:1

FROM python:3.11
# a comment
run pip install \\
    # within
    numpy \\

    pandas
COPY --chown=1:2 --link a b /x/
"""
    found = read(content)
    assert [(item.line, item.name) for item in found] == [(3, "FROM"), (5, "RUN"), (10, "COPY")]
    assert found[1].text.split() == ["pip", "install", "numpy", "pandas"]
    assert found[2].flags == {"chown": "1:2", "link": ""}
    assert found[2].text == "a b /x/"


def test_flags_of_one_name_are_all_kept() -> None:
    mounts = "--mount=type=bind,from=b.c/d,target=/d --mount=type=cache,target=/e"
    (_, found) = read(f"FROM a\nRUN {mounts} --network=none true\n")
    given = "type=bind,from=b.c/d,target=/d,type=cache,target=/e"
    assert found.flags == {"mount": given, "network": "none"}
    assert found.text == "true"


def test_another_escape_may_be_chosen() -> None:
    found = read("# escape=`\nFROM a\nENV a=b `\n  c=\\\n")
    assert [item.text.split() for item in found] == [["a"], ["a=b", "c=\\"]]


def test_lines_after_a_heredoc_are_no_instructions() -> None:
    found = read('FROM a\nRUN <<EOF cat <<-"TWO"\nFROM b\nEOF\nrm -rf /\nTWO\nUSER 1\n')
    assert [(item.line, item.name, item.heredoc) for item in found] == [
        (1, "FROM", False),
        (2, "RUN", True),
        (7, "USER", False),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# nothing\n", "no instruction"),
        ("FROM a\n&& b\n", "line 2: '&&' is no instruction"),
        ("FROM a\nRUN <<EOF\nb\n", "line 2: RUN <<EOF: nothing ends"),
    ],
)
def test_what_is_no_dockerfile(content: str, message: str) -> None:
    with pytest.raises(ImageBuildException, match=message):
        read(content)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A-${A}", "1-1"),
        ("$B.", "."),
        ("${A:-x}${B:-y}${E:-z}", "1yz"),
        ("${A:+x}${B:+y}${E:+z}", "x"),
        ("100$", "100$"),
    ],
)
def test_substitution(text: str, result: str) -> None:
    assert substituted(text, {"A": "1", "E": ""}, ITEM) == result


def test_other_substitutions_are_refused() -> None:
    with pytest.raises(ImageBuildException, match=r"\$\{A#x\} can't be read"):
        substituted("${A#x}", {}, ITEM)


def test_values_that_may_be_secrets_are_not_shown() -> None:
    (_, item) = read("FROM a\nENV TOKEN=secret\n")
    assert str(item) == "ENV"
