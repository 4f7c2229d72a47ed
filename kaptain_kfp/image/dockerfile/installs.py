"""What several calls of pip install, at once: where that gives the same as one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.requirements import Requirements, read_requirements

from .interpreter import Install, NeedsTool

__all__ = ["check_failure", "merged"]

_CONFLICT = "ResolutionImpossible"
"""What pip says of requirements that don't fit together."""


def merged(installs: Sequence[Install], folder: Path) -> Path:
    """Returns a requirements file that asks for what all calls of pip do.

    Args:
        installs: The calls.
        folder: Where it is written.

    Raises:
        NeedsTool: A call asks other indexes than the first, keeps to other constraints, or asks for
            another version than one before it.
        ImageBuildException: A file of requirements can't be read, or names a path.
    """
    known: dict[str, tuple[Install, set[str]]] = {}
    first = Requirements()
    for number, install in enumerate(installs):
        part = folder / f"dockerfile-requirements-{number}.txt"
        part.write_text("\n".join(install.lines) + "\n", encoding="utf-8")
        asked = read_requirements(part)
        _refuse_paths(asked)
        first = first if number else asked
        if (asked.options, asked.constraints) != (first.options, first.constraints):
            line = installs[0].instruction.line
            what = "options" if asked.options != first.options else "constraints"
            why = f"its pip has other {what} than that of line {line}"
            raise NeedsTool(install.instruction, why)
        for name, wanted in _named(asked).items():
            before, others = known.setdefault(name, (install, wanted))
            if wanted != others:
                line = before.instruction.line
                raise NeedsTool(
                    install.instruction, f"{name} is asked for in another way in line {line}"
                )
    file = folder / "dockerfile-requirements.txt"
    lines = dict.fromkeys(line for install in installs for line in install.lines)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def check_failure(installs: Sequence[Install], error: ImageBuildException) -> None:
    """Raises NeedsTool where calls of pip fail together that may work one after the other.

    Args:
        installs: The calls.
        error: How they failed.
    """
    if len(installs) > 1 and _CONFLICT in (error.log_tail or ""):
        why = "what it installs may not fit together with what is installed before it"
        raise NeedsTool(installs[-1].instruction, why) from error


def _named(asked: Requirements) -> Mapping[str, set[str]]:
    """Returns how each package is asked for, by its name."""
    found: dict[str, set[str]] = {}
    for line in asked.lines:
        try:
            parsed = Requirement(line.split(" --")[0])
        except InvalidRequirement:  # pip will tell
            continue
        name = canonicalize_name(parsed.name)
        parsed.name = name
        found.setdefault(name, set()).add(str(parsed))
    return found


def _refuse_paths(asked: Requirements) -> None:
    for project in asked.local:
        raise ImageBuildException(
            f"The requirement {project.path} is a path, which is another one in the image.",
            resource=project.path,
            reason="RequirementsFailed",
            hint="Name a released version in the requirements file.",
        )
