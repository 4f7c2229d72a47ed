"""What the documents say is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"^```python(?: file=(?P<file>\S+))?(?: (?P<world>kubeflow|s3))?\n(?P<code>.*?)^```$",
    re.M | re.S,
)


def blocks(document: Path) -> list[re.Match[str]]:
    return list(BLOCK.finditer(document.read_text("utf-8")))


def test_the_readme_can_be_followed(tmp_path: Path, kaptain_home: Path) -> None:
    code = []
    for block in blocks(ROOT / "README.md"):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["code"])
        elif not block["world"]:
            code.append(block["code"])
    assert len(code) >= 3
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "trained {'--slope': 1.5} 0.25"
    assert lines[1].startswith(f"{(kaptain_home / 'models').as_uri()}/dev/line/trained/")
    assert lines[2].startswith("{'--slope': 2.0} ['submitted', 'outcome'")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_a_document_names_is_there(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), f"{name} links to {target}"
    if name == "CONTRIBUTING.md":
        for path in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", text):
            places = (ROOT / path, ROOT / "kaptain_kfp" / path)
            assert any(place.exists() for place in places), f"{name} names {path}"


def test_generated_files_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kaptain_kfp.compiler.export", "--check"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, f"run `make generated`: {done.stdout}{done.stderr}"


def test_the_project_speaks_only_of_itself() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")
    for path in listed:
        if path.startswith("tests/"):
            continue
        text = (ROOT / path).read_text("utf-8", errors="replace") if (ROOT / path).exists() else ""
        assert not re.search(r"/root/|/work/|\bTODO\b|\bFIXME\b", text), path
