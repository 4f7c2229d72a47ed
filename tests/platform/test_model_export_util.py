from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kaptain_kfp.platform.model_export_util import ModelExportUtil
from kaptain_kfp.store.folder import FolderStore

from .conftest import Bucket

LIMIT = 1024 * 1024
SAVED_MODEL = {"saved_model.pb": b"graph", "variables/variables.index": b"v"}
UNDER_0001 = {f"0001/{name}": content for name, content in SAVED_MODEL.items()}


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside_of_jobs: None) -> Path:
    """The folder that the script stands in; its job's target is beside it."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "grün #1 100%" / "trained"
    monkeypatch.setenv("TRAINED_MODEL_UPLOAD_PATH", folder.as_uri())
    return folder


def write(files: dict[str, bytes], folder: str | Path = ".") -> None:
    for name, content in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_file_keeps_its_name(target: Path) -> None:
    write({"out/model.joblib": b"model"})
    ModelExportUtil().upload_model("out/model.joblib")
    assert files(target) == {"model.joblib": b"model"}


def test_of_a_folder_the_content_is_stored(target: Path) -> None:
    write({"a": b"1", "deep/b": b"2", ".hidden": b"3"}, "model")
    ModelExportUtil().upload_model(Path("model"))
    assert files(target) == {"a": b"1", "deep/b": b"2", ".hidden": b"3"}


@pytest.mark.parametrize("content", [SAVED_MODEL, {"other": b"1"}])
def test_a_folder_of_tensorflow_gets_a_version(
    target: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, bytes]
) -> None:
    monkeypatch.setenv("KAPTAIN_FRAMEWORK", "tensorflow")
    write(content, "mnist")
    ModelExportUtil().upload_model("mnist")
    assert files(target) == {f"0001/{name}": value for name, value in content.items()}


def test_a_saved_model_is_known_by_its_content(target: Path) -> None:
    write(SAVED_MODEL, "mnist")
    ModelExportUtil().upload_model("mnist")
    assert files(target) == UNDER_0001


def test_a_file_of_tensorflow_gets_no_version(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTAIN_FRAMEWORK", "tensorflow")
    write({"model.h5": b"1"})
    ModelExportUtil().upload_model("model.h5")
    assert files(target) == {"model.h5": b"1"}


def test_extra_files_lie_beside_it(target: Path) -> None:
    write({"model.pt": b"1", "code/net.py": b"2", "assets/deep/words": b"3"})
    ModelExportUtil().upload_model("model.pt", ["code/net.py", Path("assets")])
    assert files(target) == {"model.pt": b"1", "net.py": b"2", "assets/deep/words": b"3"}


@pytest.mark.parametrize(("extra", "name"), [(".", "here"), ("..", "work")])
def test_a_folder_without_a_name_of_its_own_stays_inside(
    target: Path, work: Path, monkeypatch: pytest.MonkeyPatch, extra: str, name: str
) -> None:
    write({"here/notes": b"2"})
    write({"model.pt": b"1"}, work.parent)
    monkeypatch.chdir(work / "here")
    ModelExportUtil().upload_model(work.parent / "model.pt", [extra])
    assert "model.pt" in files(target)
    assert {found.partition("/")[0] for found in files(target)} == {"model.pt", name}


def test_a_second_upload_replaces_the_first(target: Path) -> None:
    for content in (b"first, longer", b"second"):
        write({"model.pt": content})
        ModelExportUtil().upload_model("model.pt")
    assert files(target) == {"model.pt": b"second"}


@pytest.mark.parametrize(
    ("handler", "drafts"),
    [("SIG_IGN", 0), ("SIG_DFL", 1)],
    ids=["no space", "killed"],
)
def test_what_isnt_complete_is_never_seen(target: Path, handler: str, drafts: int) -> None:
    write({"model.pt": b"old"}, target)
    write({"model.pt": bytes(2 * LIMIT)})
    program = (
        "import resource, signal\n"
        "from kaptain_kfp.platform.model_export_util import ModelExportUtil\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, {LIMIT}))\n"
        f"signal.signal(signal.SIGXFSZ, signal.{handler})\n"
        "ModelExportUtil().upload_model('model.pt')\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == (-signal.SIGXFSZ if drafts else 1)
    assert (target / "model.pt").read_bytes() == b"old"
    assert [entry.key for entry in FolderStore(target.as_uri()).list()] == ["model.pt"]
    assert len(files(target)) == 1 + drafts


@pytest.mark.parametrize("value", ["out/model", "/{tmp}/out/model/"])
def test_a_plain_path_is_a_target(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    absolute = value.replace("/{tmp}", str(tmp_path))
    monkeypatch.setenv("TRAINED_MODEL_UPLOAD_PATH", absolute)
    write({"model.pt": b"1"})
    ModelExportUtil().upload_model("model.pt")
    assert files(work / absolute) == {"model.pt": b"1"}


def test_objects_of_a_bucket(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINED_MODEL_UPLOAD_PATH", "s3://models/dev/mnist/trained/1a")
    write(SAVED_MODEL, "mnist")
    ModelExportUtil().upload_model("mnist")
    assert bucket.objects == {
        f"dev/mnist/trained/1a/{name}": content for name, content in UNDER_0001.items()
    }


@pytest.mark.parametrize("variable", ["RANK", "PET_NODE_RANK", "JOB_COMPLETION_INDEX"])
def test_other_replicas_store_nothing_and_need_no_files(
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, "1")
    ModelExportUtil().upload_model("model.pt", ["net.py"])
    assert not target.exists()
    assert "isn't the first" in log.text


def test_outside_of_jobs_nothing_happens(work: Path, log: pytest.LogCaptureFixture) -> None:
    write({"model.pt": b"1"})
    ModelExportUtil().upload_model("model.pt")
    assert files(work) == {"model.pt": b"1"}
    assert "TRAINED_MODEL_UPLOAD_PATH isn't set" in log.text


@pytest.mark.parametrize("extra", [[], ["there"]])
def test_a_missing_file_is_named_with_the_folder(
    target: Path, work: Path, extra: list[str]
) -> None:
    write({"there": b"1"})
    given = ["there", "missing.pt"] if extra else ["missing.pt"]
    with pytest.raises(FileNotFoundError) as caught:
        ModelExportUtil().upload_model(given[0], given[1:])
    assert "'missing.pt'" in str(caught.value) and str(work) in str(caught.value)
    assert not target.exists()


def test_a_folder_without_files_is_no_model(target: Path) -> None:
    Path("model/deep").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="no files in 'model'"):
        ModelExportUtil().upload_model("model")
    assert not target.exists()


def test_extra_files_are_a_list(target: Path) -> None:
    write({"model.pt": b"1", "n": b"2"})
    with pytest.raises(TypeError, match=r"give a list, \['n'\]"):
        ModelExportUtil().upload_model("model.pt", "n")
    assert not target.exists()


def test_an_unknown_scheme_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINED_MODEL_UPLOAD_PATH", "gs://bucket/model")
    write({"model.pt": b"1"})
    with pytest.raises(ValueError, match="'gs://bucket/model'"):
        ModelExportUtil().upload_model("model.pt")


def test_a_training_image_needs_no_other_package() -> None:
    program = (
        "import sys, kaptain_kfp.platform.model_export_util, kaptain_kfp.platform.metadata_util; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}"
        " - sys.stdlib_module_names - {'__main__', 'kaptain_kfp'}))"
    )
    package = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        # -S: what site-packages put into every process isn't ours
        [sys.executable, "-S", "-c", program],
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_importing_the_helpers_costs_next_to_nothing() -> None:
    program = (
        "import time; started = time.process_time()\n"
        "import kaptain_kfp.platform.model_export_util, kaptain_kfp.platform.metadata_util\n"
        "print(time.process_time() - started)"
    )
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", program], timeout=60))
        for _ in range(3)
    ]
    assert min(seconds) < 0.05
