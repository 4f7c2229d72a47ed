from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ImageBuildException, ModelValidationException
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.layers.tar import write_layer
from kaptain_kfp.image.wheel_target import WheelTarget
from kaptain_kfp.image.wheels import Installed, frameworks_among, install_wheels

TARGET = WheelTarget("3.12.4", "x86_64")

BACKEND = '''
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "{name}-{version}-{tag}.whl", "{name}-{version}.dist-info"
    with zipfile.ZipFile(folder + "/" + name, "w") as archive:
        archive.writestr("{name}/__init__.py", "BUILT = True\\n")
        archive.writestr(info + "/METADATA", """{metadata}""")
        text = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {tag}\\n"
        archive.writestr(info + "/WHEEL", text)
        archive.writestr(info + "/RECORD", "")
    return name
'''
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


class World:
    """An index of wheels and sdists, a code folder, and what is installed from them."""

    def __init__(self, folder: Path, make_wheel: Callable[..., Path]) -> None:
        self.folder = folder
        self.index = folder / "index"
        self.code = folder / "code"
        self.code.mkdir()
        self.index.mkdir()
        self.log: list[str] = []
        self._make_wheel = make_wheel

    def wheel(self, name: str, version: str = "1.0", **options: Any) -> Path:
        return self._make_wheel(self.index, name, version, **options)

    def project(
        self, folder: Path, name: str, requires: Sequence[str] = (), tag: str = "py3-none-any"
    ) -> Path:
        needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        needs += "Provides-Extra: all\n"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}"
        values = {"name": name, "version": "1.0", "tag": tag, "metadata": metadata}
        folder.mkdir(parents=True)
        (folder / "backend.py").write_text(BACKEND.format(**values))
        (folder / "pyproject.toml").write_text(PROJECT)
        (folder / "PKG-INFO").write_text(metadata)
        return folder

    def sdist(self, name: str, tag: str = "py3-none-any", broken: bool = False) -> None:
        source = self.project(self.folder / "sources" / f"{name}-1.0", name, tag=tag)
        if broken:
            (source / "backend.py").write_text("raise SystemExit('no compiler')\n")
        with tarfile.open(self.index / f"{name}-1.0.tar.gz", "w:gz") as archive:
            archive.add(source, source.name)

    def install(self, *lines: str, target: WheelTarget = TARGET, **options: Any) -> Installed:
        text = "\n".join(["--no-index", f"--find-links {self.index}", *lines, ""])
        (self.code / "requirements.txt").write_text(text)
        return install_wheels(
            self.code / "requirements.txt",
            self.code,
            target,
            self.folder / "out" / "installed",
            self.log.append,
            **options,
        )

    def refuses(self, *lines: str, **options: Any) -> ImageBuildException:
        """Returns the error, after which nothing may be left behind."""
        with pytest.raises(ImageBuildException) as caught:
            self.install(*lines, **options)
        assert not (self.folder / "out").exists() or not list((self.folder / "out").iterdir())
        return caught.value


@pytest.fixture
def world(
    tmp_path: Path, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    for name in ("PIP_FIND_LINKS", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    yield World(tmp_path, make_wheel)


def test_the_wheel_for_the_target_is_taken_the_newest_first(world: World) -> None:
    for tag in (
        *("cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_28_x86_64"),
        *("cp312-cp312-manylinux_2_28_aarch64", "cp311-cp311-manylinux_2_28_x86_64"),
        *("cp312-cp312-manylinux_2_39_x86_64", "cp312-cp312-macosx_14_0_arm64"),
    ):
        world.wheel("fast", tag=tag, files={"fast.py": f"TAG = {tag!r}\n"})
    installed = world.install("fast")
    assert (installed.packages / "fast.py").read_text() == (
        "TAG = 'cp312-cp312-manylinux_2_28_x86_64'\n"
    )
    assert installed.versions == {"fast": "1.0"}
    assert installed.excluded == installed.frameworks == ()
    assert [path.name for path in (world.folder / "out").iterdir()] == ["installed"]


def test_markers_are_those_of_the_target(world: World) -> None:
    needed = {
        "linux": "sys_platform == 'linux' and platform_system == 'Linux'",
        "arm": "platform_machine == 'aarch64'",
        "old": "python_version < '3.10'",
        "exact": "python_full_version == '3.9.18'",
    }
    skipped = {"mac": "sys_platform == 'darwin'", "new": "python_version >= '3.10'"}
    for name in (*needed, *skipped):
        world.wheel(name)
    requires = [f"{name} ; {marker}" for name, marker in (needed | skipped).items()]
    world.wheel("app", requires=requires)
    installed = world.install(
        "app", "mac; sys_platform == 'darwin'", target=WheelTarget("3.9.18", "aarch64")
    )
    assert set(installed.versions) == {"app", *needed}
    assert {path.name for path in installed.packages.iterdir()} >= set(needed)


@pytest.fixture(params=["this one", "one with an old pip"])
def interpreter(request: pytest.FixtureRequest, world: World) -> str:
    if request.param == "this one":
        return sys.executable
    found = sorted(Path.home().glob(".pyenv/versions/3.10.*/bin/python"))
    python = found[0] if found else shutil.which("python3.10")
    if python is None:
        pytest.skip("python3.10: not found")
    subprocess.run([python, "-m", "venv", world.folder / "old"], check=True, timeout=120)
    return str(world.folder / "old" / "bin" / "python")


def test_the_python_that_is_required_is_that_of_the_target(
    world: World, interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    world.wheel("app", "1.0", python=">=3.8")
    world.wheel("app", "2.0", python=">=3.12.3")
    world.wheel("app", "3.0", python=">=3.12.5")
    world.sdist("slow")
    world.wheel("needy", "1.0", requires=["slow<3", "app ; python_version == '3.12'"])
    world.wheel("needy", "1.1", requires=["slow<3,>=1", "app ; python_version == '3.12'"])
    assert world.install("needy").versions == {"app": "2.0", "needy": "1.1", "slow": "1.0"}


def test_what_has_no_wheel_is_built_if_it_then_fits_everywhere(world: World) -> None:
    world.sdist("slow")
    world.wheel("app", requires=["slow>=1"])
    installed = world.install("app")
    assert (installed.packages / "slow" / "__init__.py").read_text() == "BUILT = True\n"
    assert installed.versions == {"app": "1.0", "slow": "1.0"}
    assert "slow>=1 has no wheel that fits; building it from its sources." in world.log


def test_what_many_versions_need_is_built(world: World) -> None:
    """pip then speaks of a conflict between those versions."""
    world.sdist("slow")
    world.wheel("app", "1.0", requires=["slow<3,>=0.1"])
    world.wheel("app", "1.1", requires=["slow<3,>=1"])
    assert world.install("app").versions == {"app": "1.1", "slow": "1.0"}


def test_what_is_built_for_this_machine_only_is_refused(world: World) -> None:
    world.sdist("native", tag="cp311-cp311-linux_x86_64")
    error = world.refuses("native==1.0")
    assert error.message == (
        "The requirement native==1.0 in requirements.txt has no wheel for Python 3.12 on linux "
        "x86_64: the one that is built here (native-1.0-cp311-cp311-linux_x86_64.whl) fits this "
        "machine only."
    )
    assert (error.reason, error.resource) == ("NoWheel", "native==1.0")
    assert "in the cluster" in (error.hint or "")


def test_what_cannot_be_built_says_why(world: World) -> None:
    world.sdist("native", broken=True)
    error = world.refuses("native")
    assert "The requirement native in requirements.txt has no wheel" in error.message
    assert "no compiler" in (error.log_tail or "")


def test_what_does_not_exist_is_told_in_pips_own_words(world: World) -> None:
    error = world.refuses("numpyy==99")
    assert error.message == "The requirement numpyy==99 in requirements.txt can't be installed."
    assert "No matching distribution found for numpyy==99" in (error.log_tail or "")


def test_a_version_that_does_not_exist(world: World) -> None:
    world.wheel("app")
    error = world.refuses("app==2")
    assert "app==2" in error.message
    assert "1.0" in (error.log_tail or "")


def test_conflicts_are_told(world: World) -> None:
    world.wheel("low", "1.0")
    world.wheel("low", "2.0")
    world.wheel("a", requires=["low==1.0"])
    world.wheel("b", requires=["low==2.0"])
    error = world.refuses("a", "b")
    assert "a" in error.message and "b" in error.message
    assert "conflict" in (error.log_tail or "")


@pytest.mark.parametrize(
    "line",
    [
        "git+https://me:s3cret@example.com/x.git",
        "x @ git+ssh://git@example.com/x",
        "-e git+https://me:s3cret@example.com/x.git#egg=x",
    ],
)
def test_what_has_to_be_cloned_is_refused(world: World, line: str) -> None:
    error = world.refuses(line)
    assert "example.com/x" in str(error)
    assert "s3cret" not in str(error)
    assert "in the cluster" in (error.hint or "")


@pytest.mark.parametrize(
    "line",
    [
        "./mine",
        "-e ./mine",
        "mine @ file:{code}/mine",
        "./mine[all]",
        "mine[all] @ file://{code}/mine",
    ],
)
def test_paths_go_with_the_code_and_what_they_need_does_not(world: World, line: str) -> None:
    world.project(world.code / "mine", "mine", requires=["low", "high ; extra == 'all'"])
    world.wheel("high")
    world.wheel("low")
    installed = world.install(line.format(code=world.code))
    assert (installed.local / "mine" / "__init__.py").exists()
    assert not (installed.packages / "mine").exists()
    assert (installed.packages / "low").exists()
    extras = {"high": "1.0"} if "[all]" in line else {}
    assert installed.versions == {"low": "1.0", "mine": "1.0", **extras}


def test_a_wheel_among_the_code(world: World, make_wheel: Callable[..., Path]) -> None:
    make_wheel(world.code / "wheels", "fast", tag="cp312-cp312-manylinux_2_28_x86_64")
    installed = world.install("wheels/fast-1.0-cp312-cp312-manylinux_2_28_x86_64.whl")
    assert (installed.local / "fast").exists()


def test_paths_stay_within_the_code(world: World) -> None:
    world.project(world.folder / "theirs", "theirs")
    with pytest.raises(ModelValidationException, match=r"'\.\./theirs' lies outside"):
        world.install("../theirs")


def test_frameworks_are_named_before_they_hide_those_of_the_base(world: World) -> None:
    world.wheel("torch", requires=["nvidia-cublas-cu12", "sympy"])
    world.wheel("nvidia_cublas_cu12")
    world.wheel("sympy")
    world.wheel("transformers", requires=["torch"])
    installed = world.install("transformers")
    assert installed.frameworks == ("nvidia-cublas-cu12", "torch")
    (warning,) = (line for line in world.log if line.startswith("WARNING"))
    assert "exclude=['nvidia-cublas-cu12', 'torch']" in warning
    first_unpacked = next(n for n, line in enumerate(world.log) if "Successfully" in line)
    assert world.log.index(warning) < first_unpacked


def test_what_is_excluded_takes_with_it_what_only_it_needs(world: World) -> None:
    world.wheel("torch", requires=["nvidia-cublas-cu12", "sympy", "numpy"])
    world.wheel("nvidia_cublas_cu12")
    world.wheel("sympy")
    world.wheel("numpy")
    world.wheel("transformers", requires=["torch", "numpy"])
    installed = world.install("transformers", exclude=["Torch", "typo"])
    assert installed.versions == {"numpy": "1.0", "transformers": "1.0"}
    assert installed.excluded == ("nvidia-cublas-cu12", "sympy", "torch")
    assert installed.frameworks == ()
    assert not (installed.packages / "torch").exists()
    (warning,) = (line for line in world.log if line.startswith("WARNING"))
    assert "'typo'" in warning


def test_extras_of_extras_are_kept(world: World) -> None:
    world.wheel("low")
    world.wheel("middle", requires=["low ; extra == 'deep'"])
    world.wheel("app", requires=["middle[deep] ; extra == 'more'"])
    world.wheel("torch")
    installed = world.install("app[more]", "torch", exclude=["torch"])
    assert set(installed.versions) == {"app", "middle", "low"}


def test_digests_are_checked(world: World) -> None:
    good = hashlib.sha256(world.wheel("app").read_bytes()).hexdigest()
    error = world.refuses(f"app==1.0 --hash=sha256:{'0' * 64}")
    assert "sha256" in (error.log_tail or "")
    assert world.install(f"app==1.0 --hash=sha256:{good}").versions == {"app": "1.0"}


def test_constraints_are_kept_to(world: World) -> None:
    world.wheel("low", "1.0")
    world.wheel("low", "2.0")
    world.wheel("app", requires=["low"])
    (world.code / "more").mkdir()
    (world.code / "more" / "base.txt").write_text("app\n-c pins.txt\n")
    (world.code / "more" / "pins.txt").write_text("low<2\nunused==7\n")
    assert world.install("-r more/base.txt").versions == {"app": "1.0", "low": "1.0"}


def test_nothing_to_install(world: World) -> None:
    installed = world.install("# nothing")
    assert installed.versions == {}
    assert list(installed.packages.iterdir()) == list(installed.local.iterdir()) == []


def test_an_interpreter_without_pip_is_helped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.EnvBuilder(with_pip=False, symlinks=True).create(world.folder / "bare")
    monkeypatch.setattr(sys, "executable", str(world.folder / "bare" / "bin" / "python"))
    world.wheel("app")
    assert world.install("app").versions == {"app": "1.0"}


def test_a_place_that_cannot_be_written_to(world: World) -> None:
    world.wheel("app")
    (world.folder / "out").write_text("a file")
    with pytest.raises(ImageBuildException, match=r"can't be installed in .*out: ") as caught:
        world.install("app")
    assert "space" in (caught.value.hint or "")


def test_frameworks() -> None:
    names = ["torch", "numpy", "nvidia-nccl-cu12", "jax", "torchmetrics", "tensorflow"]
    assert frameworks_among(names) == ("jax", "nvidia-nccl-cu12", "tensorflow", "torch")


def test_what_is_installed_becomes_layers(world: World) -> None:
    world.wheel("app", scripts="[console_scripts]\napp = app:main\n")
    installed = world.install("app")
    stream = io.BytesIO()
    write_layer(requirements_layer(installed.packages), stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        names = archive.getnames()
    assert "opt/kaptain/site-packages/app/__init__.py" in names
    assert "opt/kaptain/site-packages/bin" not in names
