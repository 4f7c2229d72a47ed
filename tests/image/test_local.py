from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.checksum import content_checksum
from kaptain_kfp.image.local import LocalImages
from kaptain_kfp.image.sources import collect, upload_sources
from kaptain_kfp.local.images import clone, image_folder
from kaptain_kfp.specs import ImageSpec, ModelIdentity, ModelSpec, StoreSpec

from .conftest import RecordingStore

NAME = "me/mnist:dev"


@pytest.fixture
def images(tmp_path: Path) -> LocalImages:
    return LocalImages(tmp_path / "home")


def spec(
    base: Path, store: RecordingStore, *, name: str = NAME, requirements: str | None = None
) -> ModelSpec:
    source = upload_sources(collect(base, "train.py", ["src"], requirements), store, "dev/m")
    checksum = content_checksum(
        {entry.path: entry.digest for entry in source.entries},
        main_file=source.main_file,
        requirements=source.requirements,
        base_image="python:3.11",
        framework="sklearn",
        framework_version="1.5",
        helpers="",
    )
    return ModelSpec(
        identity=ModelIdentity(
            id="dev/m",
            name="m",
            description="",
            version="1",
            framework="sklearn",
            framework_version="1.5",
        ),
        source=source,
        image=ImageSpec(name=name, base_image="python:3.11", checksum=checksum),
        store=StoreSpec(uri=store.uri),
    )


def quiet(_line: str) -> None:
    pass


def run(images: LocalImages, reference: str, folder: Path) -> str:
    """Runs the image as a pod does."""
    image = images.resolve(reference)
    clone(image.code, folder)
    return subprocess.check_output(
        image.entrypoint, cwd=folder, env=dict(image.environment), text=True
    )


def leftovers(home: Path) -> list[str]:
    """Returns all that a build left, but for lock files."""
    return [path.name for path in (home / "images").rglob("*") if path.parent.name != "locks"]


def test_what_was_built_runs(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    model = spec(base, store)
    log: list[str] = []
    built = images.build(model, store, log.append)
    assert built.built
    assert built.reference.startswith("me/mnist@sha256:")
    assert (built.name, built.checksum) == (NAME, model.image.checksum)
    assert sys.executable in log[0]
    assert run(images, built.reference, tmp_path / "by-digest") == "training\n"
    assert run(images, NAME, tmp_path / "by-name") == "training\n"


def test_a_second_build_does_nothing(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    model = spec(base, store)
    assert images.find(NAME, model.image.checksum) is None
    first = images.build(model, store, quiet)
    before = {path: path.stat() for path in (tmp_path / "home").rglob("*")}
    second = images.build(model, store, quiet)
    assert second == first.model_copy(update={"built": False})
    assert second == images.find(NAME, model.image.checksum)
    assert {path: path.stat() for path in (tmp_path / "home").rglob("*")} == before


def test_there_is_no_base_to_look_at(
    images: LocalImages, base: Path, store: RecordingStore
) -> None:
    log: list[str] = []
    built = images.build(spec(base, store), store, log.append, refresh_base=True)
    assert log[0] == "Images of this machine have no base: python:3.11 isn't looked at."
    assert built.base is None


def test_a_name_moves_and_the_old_image_stays(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    old_model = spec(base, store)
    old = images.build(old_model, store, quiet)
    (base / "train.py").write_text("print('better')\n")
    new = images.build(spec(base, store), store, quiet)
    assert new.reference != old.reference
    assert run(images, NAME, tmp_path / "new") == "better\n"
    assert run(images, old.reference, tmp_path / "old") == "training\n"
    assert images.find(NAME, old_model.image.checksum) is None


def test_two_names_share_one_image(images: LocalImages, base: Path, store: RecordingStore) -> None:
    first = images.build(spec(base, store), store, quiet)
    second = images.build(spec(base, store, name="me/other"), store, quiet)
    assert not second.built
    assert images.resolve("me/other") == images.resolve(first.reference)


@pytest.mark.parametrize("damage", ["image.json", "code"])
def test_an_incomplete_image_is_built_again(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path, damage: str
) -> None:
    model = spec(base, store)
    folder = images.resolve(images.build(model, store, quiet).reference).code.parent
    (folder / "image.json").unlink()
    if damage == "code":
        (folder / "code" / "stale.py").write_text("")
    assert images.find(NAME, model.image.checksum) is None
    assert images.build(model, store, quiet).built
    assert not (folder / "code" / "stale.py").exists()
    assert run(images, NAME, tmp_path / "again") == "training\n"


def test_an_image_belongs_to_the_interpreter_that_built_it(
    images: LocalImages,
    base: Path,
    store: RecordingStore,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model = spec(base, store)
    first = images.build(model, store, quiet)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "another"))
    assert images.find(NAME, model.image.checksum) is None
    second = images.build(model, store, quiet)
    assert second.built
    assert second.reference != first.reference
    assert images.resolve(first.reference).checksum == images.resolve(NAME).checksum


def test_comments_need_no_venv(images: LocalImages, base: Path, store: RecordingStore) -> None:
    (base / "requirements.txt").write_text("# nothing yet\n")
    built = images.build(spec(base, store, requirements="requirements.txt"), store, quiet)
    assert images.resolve(built.reference).python == Path(sys.executable)


def wheel(file: Path) -> None:
    """Makes a newer `iniconfig`, which the tests' own environment has, too."""
    file.parent.mkdir(parents=True)
    info = "iniconfig-99.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("iniconfig.py", "WHO = 'the requirements'\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: iniconfig\nVersion: 99.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_requirements_come_before_the_interpreters_packages(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    wheel(base / "src" / "wheels" / "iniconfig-99.0-py3-none-any.whl")
    (base / "requirements.txt").write_text(
        "--no-index\n./src/wheels/iniconfig-99.0-py3-none-any.whl\npydantic\n"
    )
    (base / "train.py").write_text(
        "import sys, iniconfig, pydantic\n"
        "print(iniconfig.WHO, sys.prefix, pydantic.__file__.startswith(sys.prefix))\n"
    )
    model = spec(base, store, requirements="requirements.txt")
    built = images.build(model, store, quiet)
    image = images.resolve(built.reference)
    venv = image.code.parent / "venv"
    assert run(images, NAME, tmp_path / "pod") == f"the requirements {venv} False\n"
    assert image.environment["VIRTUAL_ENV"] == str(venv)
    assert image.environment["PATH"].startswith(f"{venv / 'bin'}:")

    image.python.unlink()
    assert images.find(NAME, model.image.checksum) is None
    with pytest.raises(ImageBuildException, match=r"interpreter of the image .* is gone"):
        images.resolve(NAME)


def test_requirements_that_fail_leave_nothing(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    (base / "requirements.txt").write_text("--no-index\nnone-such-package==1.0\n")
    model = spec(base, store, requirements="requirements.txt")
    with pytest.raises(ImageBuildException, match=r"requirement none-such-package==1\.0"):
        images.build(model, store, quiet)
    assert leftovers(tmp_path / "home") == ["locks"]
    assert images.find(NAME, model.image.checksum) is None


def test_damaged_sources_leave_nothing(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    model = spec(base, store)
    for file in (store.base / "dev/m/sources").iterdir():
        file.write_bytes(b"damaged")
    with pytest.raises(ImageBuildException, match="isn't used"):
        images.build(model, store, quiet)
    assert leftovers(tmp_path / "home") == ["locks"]


class GatedStore(RecordingStore):
    """Says when a download begins, and waits to be let through."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.begun = threading.Event()
        self.opened = threading.Event()

    def download(self, prefix: str, target: Path) -> int:
        self.begun.set()
        assert self.opened.wait(60)
        return super().download(prefix, target)


def test_of_two_builders_one_does_the_work(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    model = spec(base, store)
    gated = GatedStore(store.base)
    results: dict[str, bool] = {}

    def first() -> None:
        results["first"] = images.build(model, gated, quiet).built

    def second() -> None:
        def let_through(line: str) -> None:
            if "waiting" in line:
                gated.opened.set()

        unused = RecordingStore(tmp_path / "nothing")
        results["second"] = LocalImages(tmp_path / "home").build(model, unused, let_through).built

    builders = [threading.Thread(target=first), threading.Thread(target=second)]
    builders[0].start()
    assert gated.begun.wait(60)
    builders[1].start()
    for builder in builders:
        builder.join(60)
    assert results == {"first": True, "second": False}


KILLED = """
import sys, time
from pathlib import Path
from kaptain_kfp.image import local
from kaptain_kfp.specs import ModelSpec

def stuck(*_):
    print("unpacking", flush=True)
    time.sleep(600)

class Store:
    download = stuck

spec = ModelSpec.model_validate_json(sys.argv[2])
local.LocalImages(Path(sys.argv[1])).build(spec, Store(), lambda line: None)
"""


def test_a_build_that_was_killed_is_swept_away(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    model = spec(base, store)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "home"), model.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout
        assert builder.stdout.readline() == "unpacking\n"
        (base / "train.py").write_text("print('better')\n")
        images.build(spec(base, store), store, quiet)
        assert len([*(tmp_path / "home/images").glob("*/code")]) == 2, "it is still being built"
        builder.send_signal(signal.SIGKILL)
    assert images.find(NAME, model.image.checksum) is None
    (base / "train.py").write_text("print('best')\n")
    images.build(spec(base, store), store, quiet)
    complete = [path.parent for path in (tmp_path / "home/images").glob("*/image.json")]
    assert sorted(complete) == sorted(
        path.parent for path in (tmp_path / "home/images").glob("*/code")
    )
    assert len(complete) == 2


def test_removing_a_name_keeps_the_image_for_others(
    images: LocalImages, base: Path, store: RecordingStore, tmp_path: Path
) -> None:
    built = images.build(spec(base, store), store, quiet)
    images.build(spec(base, store, name="me/other"), store, quiet)
    assert images.remove("me/other")
    assert images.resolve(built.reference) == images.resolve(NAME)
    assert images.remove(NAME)
    assert not images.remove(NAME)
    assert not images.remove(built.reference)
    assert not image_folder(tmp_path / "home", built.reference.split(":")[-1]).exists()


def test_removing_a_digest_removes_its_names(
    images: LocalImages, base: Path, store: RecordingStore
) -> None:
    built = images.build(spec(base, store), store, quiet)
    assert images.remove(built.reference)
    for reference in (NAME, built.reference):
        with pytest.raises(ImageBuildException, match="not built here"):
            images.resolve(reference)


def test_the_card_says_what_was_built(
    images: LocalImages, base: Path, store: RecordingStore
) -> None:
    model = spec(base, store)
    built = images.build(model, store, quiet)
    card = json.loads((images.resolve(NAME).code.parent / "image.json").read_text())
    assert card["checksum"] == model.image.checksum
    assert card["digest"] == built.reference.split(":")[-1]
    assert card["interpreter"]["executable"] == sys.executable
    assert (card["base_image"], card["main_file"]) == ("python:3.11", "train.py")


def test_a_home_that_cannot_be_written_to_is_named(base: Path, store: RecordingStore) -> None:
    images = LocalImages(base / "train.py")
    with pytest.raises(ImageBuildException, match=r"train\.py"):
        images.build(spec(base, store), store, quiet)
