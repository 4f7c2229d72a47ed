from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.requirements import (
    LocalProject,
    Requirements,
    has_requirements,
    read_requirements,
)


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


def test_all_kinds_of_lines(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "requirements.txt").write_text(
        "\ufeff# comment\n--extra-index-url https://example.com/simple\n"
        "NumPy >= 1.0  # why\n"
        "scipy \\\n  ==1.0 \\\n  --hash=sha256:00\n"
        "-r sub/more.txt\n-c=pins.txt\n"
        "git+https://example.com/x.git@main\n",
        encoding="utf-8",
    )
    (tmp_path / "sub" / "more.txt").write_text("pandas; python_version > '3'\n-r deeper.txt\n")
    (tmp_path / "sub" / "deeper.txt").write_text("x @ https://example.com/x-1-py3-none-any.whl\n")
    (tmp_path / "pins.txt").write_text("numpy<2\n")
    assert read_requirements(tmp_path / "requirements.txt") == Requirements(
        lines=(
            "NumPy >= 1.0",
            "scipy   ==1.0   --hash=sha256:00",
            "pandas; python_version > '3'",
            "x @ https://example.com/x-1-py3-none-any.whl",
        ),
        constraints=("numpy<2",),
        options=("--extra-index-url https://example.com/simple",),
        version_controlled=("git+https://example.com/x.git@main",),
    )


@pytest.mark.parametrize("option", ["-f wheels", "--find-links=wheels", "--find-links wheels"])
def test_folders_beside_a_file_are_found_from_everywhere(tmp_path: Path, option: str) -> None:
    (tmp_path / "sub" / "wheels").mkdir(parents=True)
    (tmp_path / "r.txt").write_text("-r sub/more.txt\n--find-links https://example.com/wheels\n")
    (tmp_path / "sub" / "more.txt").write_text(f"{option}\n-f elsewhere\n")
    assert read_requirements(tmp_path / "r.txt").options == (
        f"--find-links {tmp_path / 'sub' / 'wheels'}",
        "-f elsewhere",
        "--find-links https://example.com/wheels",
    )


@pytest.mark.parametrize(
    ("line", "project"),
    [
        ("./pkg", LocalProject("./pkg")),
        ("./pkg[a,b]", LocalProject("./pkg", "[a,b]")),
        ("-e .", LocalProject(".")),
        ("--editable=./pkg", LocalProject("./pkg")),
        ("libs/pkg", LocalProject("libs/pkg")),
        ("/abs/pkg", LocalProject("/abs/pkg")),
        ("x-1.0-py3-none-any.whl", LocalProject("x-1.0-py3-none-any.whl")),
        ("x-1.0.tar.gz ; python_version > '3'", LocalProject("x-1.0.tar.gz")),
        ("file:///abs/pkg", LocalProject("/abs/pkg")),
        ("file:pkg", LocalProject("pkg")),
        ("x[a] @ file:///abs/pkg", LocalProject("/abs/pkg", "[a]")),
        ("numpy", None),
        ("numpy[a]>=1", None),
        ("numpy==1 ; sys_platform == 'a/b'", None),
        ("x @ https://example.com/x.tar.gz", None),
        ("https://example.com/x.tar.gz", None),
    ],
)
def test_paths_are_told_from_names(tmp_path: Path, line: str, project: LocalProject | None) -> None:
    (tmp_path / "r.txt").write_text(line)
    found = read_requirements(tmp_path / "r.txt")
    assert found.local == ((project,) if project else ())
    assert len(found.lines) == (not project)


@pytest.mark.parametrize(
    "line", ["git+https://a/b", "-e hg+https://a/b", "x @ git+ssh://git@a/b", "git://a/b"]
)
def test_what_has_to_be_cloned_is_told_apart(tmp_path: Path, line: str) -> None:
    (tmp_path / "r.txt").write_text(line)
    found = read_requirements(tmp_path / "r.txt")
    assert len(found.version_controlled) == 1
    assert found.lines == found.local == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-r missing.txt", r"missing\.txt can't be read: No such file"),
        ("-r r.txt", r"r\.txt includes itself"),
        ("-c ./r.txt", r"r\.txt includes itself"),
        ("-r https://example.com/r.txt", r"r\.txt includes the URL"),
        ("-r https://me:s3cret@example.com/r.txt", r"'https://\*\*\*@example.com/r.txt'"),
    ],
)
def test_what_cannot_be_included(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(ImageBuildException, match=message) as caught:
        read_requirements(tmp_path / "r.txt")
    assert caught.value.reason == "RequirementsFailed"
