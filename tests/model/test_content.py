"""What makes an image another one, beside the files of its model."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import kaptain_kfp

PROGRAM = """
import kaptain_kfp
from kaptain_kfp.config import Config
from kaptain_kfp.model.content import Content
from kaptain_kfp.specs import Definition, ModelIdentity

told = dict(name="Digits", description="", version="1", framework="sklearn")
identity = ModelIdentity(id="dev/digits", framework_version="1.5", **told)
places = dict(main_file="train.py", image_name="team/digits", base_image="python:3.11")
content = Content.of(
    Definition(identity=identity, **places), Config.local(home="home", base_dir="project")
)
print(kaptain_kfp.__version__, kaptain_kfp.__file__, content.image.checksum)
"""


def test_other_helpers_make_another_image_and_another_version_alone_none(tmp_path: Path) -> None:
    """Each release puts its helpers into images: those of old hold what it mended."""
    package = tmp_path / "kaptain_kfp"
    own = Path(kaptain_kfp.__file__).parent
    shutil.copytree(own, package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "train.py").write_text("print('training')\n", encoding="utf-8")

    def checksum() -> str:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        version, place, told = done.stdout.rsplit(maxsplit=2)
        assert Path(place).parent == package
        versions.append(version)
        return told

    versions: list[str] = []
    first = checksum()
    released = f'__version__ = "{versions[0]}.post1"\n'
    (package / "version.py").write_text(released, encoding="utf-8")
    assert checksum() == first
    assert versions[1] == f"{versions[0]}.post1"
    with (package / "platform" / "metrics.py").open("a", encoding="utf-8") as file:
        file.write("MENDED = True\n")
    assert checksum() != first
