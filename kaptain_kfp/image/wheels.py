"""Installs requirements for an image that can't be run here, from wheels.

pip resolves for the Python and the platform of the base image; nothing that is installed is run.
What the base has already can't be known here, so that a second copy of a framework may come with
the requirements: that is said before anything is unpacked.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.pip_process import QUIET, Log, failure, mask, missing, python_with_pip, run
from kaptain_kfp.image.requirements import LocalProject, Requirements, read_requirements
from kaptain_kfp.image.resolution import Resolution, parse_report
from kaptain_kfp.image.walk import locate
from kaptain_kfp.image.wheel_target import WheelTarget

__all__ = ["Installed", "frameworks_among", "install_wheels"]

_FRAMEWORKS = frozenset(
    {
        *("torch", "torchvision", "torchaudio", "triton"),
        *("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "jax", "jaxlib"),
        *("paddlepaddle", "paddlepaddle-gpu", "mxnet"),
    }
)
_CLUSTER = "build in the cluster, where the base image itself installs the requirements"

_AS_THE_TARGET = """
import json, sys
sys.path[:1] = []
from pip._vendor.packaging import markers
target, known = json.loads(sys.argv.pop(1)), markers.default_environment
markers.default_environment = lambda: {**known(), **target}
from pip._internal.cli.main import main
from pip._internal.cli.req_command import RequirementCommand as command
resolver = command.make_resolver
command.make_resolver = classmethod(lambda _, **given: resolver(
    **{"py_version_info": given["options"].python_version, **given}))
sys.exit(main())
"""
"""pip with the markers of the target, and in older ones also its Python: their options change the
tags of wheels only, so that what this machine doesn't need would be left out, e.g. everything for
Linux on a Mac."""


@dataclass(frozen=True)
class Installed:
    """What was installed.

    Attributes:
        packages: The folder for `requirements_layer`.
        local: The folder with what the requirements name by a path, for `code_layer`.
        versions: Version of each package by its name.
        excluded: Names of what was left out, with what only they need.
        frameworks: Names of big frameworks among the packages, which hide those of the base.
    """

    packages: Path
    local: Path
    versions: dict[str, str]
    excluded: tuple[str, ...]
    frameworks: tuple[str, ...]


def install_wheels(
    requirements: Path,
    code: Path,
    target: WheelTarget,
    folder: Path,
    log: Log,
    *,
    exclude: Iterable[str] = (),
    python: Path | None = None,
) -> Installed:
    """Installs what a requirements file lists, for an interpreter that isn't here.

    A requirement without a wheel that fits is built from its sources, and taken if that gives one
    that fits everywhere (``py3-none-any``).

    Args:
        requirements: The file.
        code: The code folder, which paths among the requirements are relative to.
        target: The interpreter.
        folder: What is made, on success only; it must not exist.
        log: Gets the lines of pip's output without credentials, and warnings.
        exclude: Names of packages that the base image has already: they, and what only they need,
            are neither downloaded nor installed.
        python: An interpreter that has pip; by default that of `python_with_pip`.

    Raises:
        ImageBuildException: A requirement doesn't exist, has no wheel that fits, can't be had
            without running the base image, or conflicts with another.
        ModelValidationException: A path among the requirements lies outside of the code folder.
    """
    asked = read_requirements(requirements)
    _refuse_clones(asked, requirements.name)
    try:
        return _install_wheels(requirements, asked, code, target, folder, log, exclude, python)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ImageBuildException(
            f"{requirements.name} can't be installed in {folder.parent}: {error}.",
            resource=requirements.name,
            reason="RequirementsFailed",
            hint="Check the space and the permissions there, then build again.",
        ) from error


def frameworks_among(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the big frameworks among the normalised names of packages, sorted."""
    found = (name for name in names if name in _FRAMEWORKS or name.startswith("nvidia-"))
    return tuple(sorted(found))


def _install_wheels(
    requirements: Path,
    asked: Requirements,
    code: Path,
    target: WheelTarget,
    folder: Path,
    log: Log,
    exclude: Iterable[str],
    python: Path | None,
) -> Installed:
    left_out = frozenset(canonicalize_name(name) for name in exclude)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".wheels-", dir=folder.parent) as scratch:
        python = python or python_with_pip(Path(scratch), code)
        work = _Work(Path(scratch), code, requirements.name, target, log, python)
        local = work.build_local(asked.local)
        everything = work.resolve(asked, local)
        for name in sorted(left_out - set(everything.versions)):
            log(f"WARNING: exclude: {name!r} isn't among what the requirements bring.")
        resolution = everything.without(left_out, target.markers)
        frameworks = frameworks_among(resolution.versions)
        if frameworks:
            log(_warning(frameworks))
        done = Path(scratch) / "done"
        work.install(asked, resolution, local, done)
        done.rename(folder)
    return Installed(
        folder / "packages",
        folder / "local",
        resolution.versions,
        resolution.excluded,
        frameworks,
    )


class _Work:
    """The steps of one installation, in a folder for what they leave behind."""

    def __init__(
        self, scratch: Path, code: Path, name: str, target: WheelTarget, log: Log, python: Path
    ) -> None:
        self._scratch = scratch
        self._code = code
        self._name = name
        self._target = target
        self._log = log
        self._built = scratch / "built"
        self._built.mkdir()
        self._python = python

    def build_local(self, projects: Sequence[LocalProject]) -> list[str]:
        """Returns lines that ask for the wheels of what lies at these paths."""
        lines = []
        for number, project in enumerate(projects):
            _, location = locate(self._code, self._name, project.path)
            place = self._scratch / f"local-{number}"
            place.mkdir()
            file = self._build(project.path, location, place)
            name, *_ = parse_wheel_filename(file.name)
            lines.append(f"{name}{project.extras} @ {file.as_uri()}")
        return lines

    def resolve(self, asked: Requirements, local: Sequence[str]) -> Resolution:
        """Finds out what is to be installed, and builds what has no wheel."""
        if not asked.lines and not local:
            return Resolution()
        file = self._list(Path(self._name).stem, asked.options, [*asked.lines, *local])
        constraints = self._list("constraints", (), asked.constraints)
        report = self._scratch / "report.json"
        options = ["--dry-run", "--ignore-installed", f"--report={report}", "-r", str(file)]
        tried: set[str] = set()
        while True:
            returned, said = self._install(
                [*options, "-c", str(constraints)], self._scratch / "none"
            )
            if not returned:
                return parse_report(json.loads(report.read_bytes()))
            untried = [line for line in missing(said) if _name(line) not in tried]
            tried.update(map(_name, untried))
            # Of several, one may be what keeps another from being needed.
            if not any(self._build_missing(line, asked.options) for line in untried):
                raise failure(self._name, said)

    def install(
        self, asked: Requirements, resolution: Resolution, local: Sequence[str], done: Path
    ) -> None:
        """Installs what was found out, and nothing else."""
        ours = {canonicalize_name(Requirement(line).name) for line in local}
        parts = {"packages": resolution.pins(leave_out=ours), "local": local}
        for part, lines in parts.items():
            (done / part).mkdir(parents=True)
            if lines:
                file = self._list(f"pinned-{part}", asked.options, lines)
                options = ["--no-deps", "--no-compile", "-r", str(file)]
                returned, said = self._install(options, done / part)
                if returned:
                    raise failure(self._name, said)

    def _install(self, options: Sequence[str], place: Path) -> tuple[int, list[str]]:
        """Runs pip for the target; returns its exit code and all that it said."""
        said: list[str] = []

        def log(line: str) -> None:
            said.append(line)
            self._log(line)

        markers = json.dumps(self._target.markers)
        pip = [str(self._python), "-c", _AS_THE_TARGET, markers, "install", *QUIET]
        found = ["--find-links", str(self._built), "--target", str(place)]
        returned, _ = run([*pip, *self._target.options, *found, *options], self._code, log)
        return returned, said

    def _list(self, name: str, options: Sequence[str], lines: Sequence[str]) -> Path:
        # Options of the file win over those of the command line, among them these two.
        kept = (line for line in options if not line.startswith(("--only-binary", "--no-binary")))
        file = self._scratch / f"{name}.txt"
        file.write_text("\n".join([*kept, *lines]) + "\n", encoding="utf-8")
        return file

    def _build_missing(self, requirement: str, options: Sequence[str]) -> bool:
        """Builds a requirement for which pip found no wheel; False if there are no sources."""
        name = _name(requirement)
        self._log(f"{requirement} has no wheel that fits; building it from its sources.")
        index = self._list(f"build-{name}", options, [requirement])
        pip = [str(self._python), "-m", "pip", "wheel", "--use-pep517", *QUIET, "--no-deps"]
        place = [f"--no-binary={name}", "-w", str(self._built), "-r", str(index)]
        returned, tail = run([*pip, *place], self._code, self._log)
        if returned and any("No matching distribution found" in line for line in tail):
            return False
        if returned:
            raise self._no_wheel(requirement, "building one from its sources fails", tail)
        for file in self._built.iterdir():
            self._check_pure(requirement, file)
        return True

    def _build(self, requirement: str, what: Path, place: Path) -> Path:
        """Builds the wheel of a project or an archive; returns it, or a copy of what is one."""
        if what.suffix == ".whl" and what.is_file():
            return Path(shutil.copy(what, place))
        pip = [
            str(self._python),
            "-m",
            "pip",
            "wheel",
            "--use-pep517",
            *QUIET,
            "--no-deps",
            "-w",
            str(place),
        ]
        returned, tail = run([*pip, str(what)], self._code, self._log)
        if returned:
            raise self._no_wheel(requirement, "building one fails", tail)
        (file,) = place.iterdir()
        self._check_pure(requirement, file)
        return file

    def _check_pure(self, requirement: str, file: Path) -> None:
        if not _is_pure(file.name):
            trouble = f"the one that is built here ({file.name}) fits this machine only"
            raise self._no_wheel(requirement, trouble, ())

    def _no_wheel(self, requirement: str, trouble: str, tail: Sequence[str]) -> ImageBuildException:
        python = f"Python {self._target.minor} on linux {self._target.machine}"
        return ImageBuildException(
            f"The requirement {requirement} in {self._name} has no wheel for {python}: {trouble}.",
            resource=requirement,
            reason="NoWheel",
            hint=f"Ask for a version that has one, or {_CLUSTER}.",
            log_tail="\n".join(tail) or None,
        )


def _refuse_clones(asked: Requirements, name: str) -> None:
    for wanted in asked.version_controlled:
        raise ImageBuildException(
            f"The requirement {mask(wanted)} in {name} would have to be cloned and built for the "
            "base image, which can't be run here.",
            resource=name,
            reason="NoWheel",
            hint=f"Name a released version, put its code beside yours, or {_CLUSTER}.",
        )


def _warning(frameworks: Sequence[str]) -> str:
    names = ", ".join(frameworks)
    example = ", ".join(repr(name) for name in frameworks)
    return (
        f"WARNING: the requirements bring {names}. If the base image has them already, they are "
        f"hidden by the new ones, and the image grows: then build with exclude=[{example}]."
    )


def _name(requirement: str) -> str:
    try:
        return canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        return requirement


def _is_pure(name: str) -> bool:
    try:
        *_, tags = parse_wheel_filename(name)
    except InvalidWheelFilename:
        return False
    return "py3-none-any" in map(str, tags)
