"""What a Dockerfile makes of its base: files to copy, packages to install, settings to change.

That is all that can be done without running anything in the base. The rest needs a tool that can.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kaptain_kfp.image.digests import ArchiveFile
from kaptain_kfp.image.layers.config import environment_of

from .context import Context
from .instructions import Instruction, invalid, split_words, stood_in, substituted
from .pip_command import pip_requirements, pip_variables

__all__ = ["Copy", "Install", "NeedsTool", "Outcome", "base_of", "interpret", "pulled"]

_PROGRAMS = re.compile(r"/.*|\./.*|python(?:3(?:\.\d+)?)?|sh|bash")
_LITERAL = re.compile(r"'[^']*\$[^']*'|\\\$")
_ARCHIVE = re.compile(r".*\.(?:tar|tar\.\w+|tgz|tbz2?|txz)")
_PORT = re.compile(r"\d+(?:/(?:tcp|udp|sctp))?")
_OTHER_IMAGE = re.compile(r"\bfrom=([^,\s]+)")
_STAND_INS = ("", "pip install a", "python", "3")
"""What a variable may be in a call of pip: nothing, all of it, its program, a version."""
_SHELL = ["/bin/sh", "-c"]
_NOT_PIP = "it does more than pip installing packages that have wheels"


class NeedsTool(Exception):
    """An instruction has to be run in the base, or means something that only a tool knows.

    Args:
        instruction: The instruction.
        why: What about it.
    """

    def __init__(self, instruction: Instruction, why: str) -> None:
        super().__init__(f"line {instruction.line}: {instruction}: {why}")


@dataclass(frozen=True)
class Copy:
    """One layer of copied files.

    Attributes:
        instruction: What asks for it.
        files: Each file or folder by its absolute path in the image.
    """

    instruction: Instruction
    files: Mapping[str, ArchiveFile]


@dataclass(frozen=True)
class Install:
    """What one call of pip installs.

    Attributes:
        instruction: What asks for it.
        lines: Of a requirements file.
    """

    instruction: Instruction
    lines: tuple[str, ...]


@dataclass
class Outcome:
    """What the instructions make.

    Attributes:
        settings: What containers are started with.
        copies: Layers, from the lowest to the topmost.
        installs: What pip installs, in its order.
    """

    settings: dict[str, Any]
    copies: list[Copy] = field(default_factory=list)
    installs: list[Install] = field(default_factory=list)


def base_of(instructions: Sequence[Instruction]) -> str:
    """Returns the image that a Dockerfile begins with.

    Raises:
        NeedsTool: It has several stages, or none that begins with an image, or there is something
            in it that can't be followed here whatever the base says.
        ImageBuildException: There is no FROM, or it is written wrongly.
    """
    known = _global_arguments(instructions)
    stages = [item for item in instructions if item.name == "FROM"]
    if not stages:
        raise invalid(instructions[-1], "there is no FROM")
    if len(stages) > 1:
        raise NeedsTool(stages[1], "there are several stages")
    words = substituted(stages[0].text, known, stages[0]).split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise invalid(stages[0], "after FROM comes one image")
    if words[0] == "scratch" or stages[0].flags:
        raise NeedsTool(stages[0], "the base isn't named by an image's name alone")
    for item in instructions:
        _check(item)
    return words[0]


def pulled(instructions: Sequence[Instruction]) -> list[str]:
    """Returns the images that a tool pulls for a Dockerfile, of all its stages.

    Raises:
        ImageBuildException: One is written in a way that only the tool knows.
    """
    known = _global_arguments(instructions)
    stages: set[str] = set()
    found: list[str] = []
    for item in instructions:
        if item.name == "FROM":
            words = substituted(item.text, known, item).split()
            names = words[:1]
            stages.update(word.lower() for word in words[2:3])
        else:
            names = _OTHER_IMAGE.findall(" ".join(f"{k}={v}" for k, v in item.flags.items()))
        found += [name for name in names if name.lower() not in stages and not name.isdecimal()]
    return [name for name in found if name != "scratch"]


def _global_arguments(instructions: Sequence[Instruction]) -> dict[str, str]:
    """Returns what ARG sets before the first FROM."""
    known: dict[str, str] = {}
    for item in instructions:
        if item.name == "FROM":
            break
        if item.name != "ARG":
            raise invalid(item, "only ARG may stand before FROM")
        name, _, value = item.text.partition("=")
        known[name.strip()] = substituted(value.strip("\"' "), known, item)
    return known


def _check(item: Instruction) -> None:
    if item.name not in _STEPS:
        raise NeedsTool(item, "this instruction isn't among those that can be followed here")
    if item.heredoc or (item.flags and item.name != "FROM"):
        raise NeedsTool(item, "its options or following lines can't be followed here")
    # what a program is called with is the program's own
    called = item.name in ("CMD", "ENTRYPOINT") or (item.name == "RUN" and item.listed is not None)
    if not called and _LITERAL.search(item.text):
        raise NeedsTool(item, "a dollar sign that stands for itself can't be followed here")
    if item.name == "RUN" and not _may_be_pip(item):
        raise NeedsTool(item, _NOT_PIP)
    for pattern in _words(item)[:-1]:
        _check_source(item, pattern)


def _may_be_pip(item: Instruction) -> bool:
    """Tells whether a RUN may be followed on some base, whose variables aren't known."""
    command = _command(item)
    if not isinstance(command, str):  # no shell puts variables in
        return bool(pip_requirements(command, str))
    return any(pip_requirements(stood_in(command, value), str) for value in _STAND_INS)


def _check_source(item: Instruction, pattern: str) -> None:
    if item.name != "ADD":
        return
    if "://" in pattern or pattern.startswith("git@"):
        raise NeedsTool(item, "what it adds isn't among the files that were given")
    if _ARCHIVE.fullmatch(pattern):
        raise NeedsTool(item, "archives that are added are unpacked")


def _words(item: Instruction) -> list[str]:
    return item.text.split() if item.listed is None else item.listed


def _program(item: Instruction) -> list[str]:
    # [] is a list, too: nothing is run, whatever the base runs
    return [*_SHELL, item.text] if item.listed is None else item.listed


def _command(item: Instruction) -> str | list[str]:
    return item.text if item.listed is None else item.listed


def interpret(
    instructions: Sequence[Instruction], settings: Mapping[str, Any], context: Context
) -> Outcome:
    """Returns what the instructions make of a base.

    Args:
        instructions: Of the Dockerfile, for which `base_of` has named the base.
        settings: What containers of the base are started with.
        context: The files that may be copied.

    Raises:
        NeedsTool: An instruction can't be followed without running the base.
        ImageBuildException: An instruction is written wrongly, or names a file that wasn't given.
    """
    reader = _Interpreter(settings, context)
    for item in instructions:
        _STEPS[item.name](reader, item)
    reader.check_programs(instructions)
    return reader.outcome


class _Interpreter:
    def __init__(self, settings: Mapping[str, Any], context: Context) -> None:
        self.outcome = Outcome(dict(settings))
        self._context = context
        self._environment = environment_of({"config": settings})
        self._arguments: dict[str, str] = {}
        self._global: dict[str, str] = {}
        self._has_command = False
        self._folder = str(settings.get("WorkingDir") or "/")
        self._placed: dict[str, ArchiveFile] = {}

    def check_programs(self, instructions: Sequence[Instruction]) -> None:
        """Refuses what may start a console script: pip's aren't in the image."""
        if not self.outcome.installs:
            return
        for item in instructions:
            if item.name in ("CMD", "ENTRYPOINT"):
                words = _words(item)
                if words and not words[0].startswith("-") and not _PROGRAMS.fullmatch(words[0]):
                    raise NeedsTool(item, f"{words[0]!r} may be a script that pip installs")

    def _from(self, item: Instruction) -> None:
        self._global, self._arguments = self._arguments, {}

    def _arg(self, item: Instruction) -> None:
        for word in split_words(item.text, item):
            name, equals, value = word.partition("=")
            given = self._text(value, item) if equals else self._global.get(name)
            if given is not None:
                self._arguments[name] = given

    def _env(self, item: Instruction) -> None:
        self._environment |= self._pairs(item)
        listed = [f"{name}={value}" for name, value in self._environment.items()]
        self.outcome.settings["Env"] = listed

    def _label(self, item: Instruction) -> None:
        labels = self.outcome.settings.get("Labels") or {}
        self.outcome.settings["Labels"] = {**labels, **self._pairs(item)}

    def _pairs(self, item: Instruction) -> dict[str, str]:
        words = split_words(item.text, item)
        if words and "=" not in words[0]:
            # the old form: one name, and all that follows
            name, _, value = item.text.partition(" ")
            return {name: self._text(value.strip(), item)}
        if not words or not all(word.partition("=")[1] for word in words):
            raise invalid(item, "names and values are written as name=value")
        pairs = (self._text(word, item).partition("=") for word in words)
        return {name: value for name, _, value in pairs}

    def _workdir(self, item: Instruction) -> None:
        (folder,) = self._words(item, 1)
        self._folder = self._absolute(folder)
        self.outcome.settings["WorkingDir"] = self._folder

    def _user(self, item: Instruction) -> None:
        (self.outcome.settings["User"],) = self._words(item, 1)

    def _expose(self, item: Instruction) -> None:
        ports = dict(self.outcome.settings.get("ExposedPorts") or {})
        for port in self._words(item):
            if "-" in port:
                raise NeedsTool(item, "ranges of ports can't be followed here")
            if not _PORT.fullmatch(port):
                raise invalid(item, f"{port!r} is no port")
            ports[port if "/" in port else f"{port}/tcp"] = {}
        self.outcome.settings["ExposedPorts"] = ports

    def _entrypoint(self, item: Instruction) -> None:
        self.outcome.settings["Entrypoint"] = _program(item)
        if not self._has_command:
            self.outcome.settings.pop("Cmd", None)  # it was for the base's own

    def _cmd(self, item: Instruction) -> None:
        self._has_command = True
        self.outcome.settings["Cmd"] = _program(item)

    def _run(self, item: Instruction) -> None:
        command = _command(item)
        if isinstance(command, str):
            command = self._text(command, item)
        calls = pip_requirements(command, self._place_of)
        if not calls:
            raise NeedsTool(item, _NOT_PIP)
        told = self._told_to_pip(item)
        self.outcome.installs += [Install(item, (*told, *lines)) for lines in calls]

    def _told_to_pip(self, item: Instruction) -> list[str]:
        """Returns what variables say to pip, which a command may change."""
        told: list[str] = []
        for name, lines in pip_variables(self._variables(), self._place_of).items():
            if lines is None:
                raise NeedsTool(item, f"{name}, which is set for it, can't be followed here")
            told += lines
        return told

    def _place_of(self, path: str) -> str | None:
        file = self._placed.get(self._absolute(path))
        return None if file is None or file.folder else str(file.location)

    def _copy(self, item: Instruction) -> None:
        given = item.listed
        words = self._words(item) if given is None else [self._text(w, item) for w in given]
        if len(words) < 2:
            raise invalid(item, "it names what is copied, and where to")
        *patterns, target = words
        found: list[ArchiveFile] = []
        for pattern in patterns:
            _check_source(item, pattern)
            matching = self._context.matching(pattern)
            if not matching:
                hint = "Give it in files=[...], by its path below base_dir."
                raise invalid(item, f"{pattern!r} is not among the files that were given", hint)
            found += matching
        into = self._into(item, found, target)
        files = self._targets(found, self._absolute(target), into)
        self._placed |= files
        self.outcome.copies.append(Copy(item, files))

    def _into(self, item: Instruction, found: Sequence[ArchiveFile], target: str) -> bool:
        """Tells whether files go into the target, which is a folder then."""
        place = self._absolute(target)
        if len(found) > 1 or found[0].folder or target.endswith(("/", "/.")) or target == ".":
            return True
        if place in (self._folder, "/") or any(p.startswith(f"{place}/") for p in self._placed):
            return True
        name = posixpath.basename(place)
        if name == posixpath.basename(found[0].path) or "." in name:
            return False
        raise NeedsTool(item, f"{place} may be a folder of the base, for which {place}/ is written")

    def _targets(
        self, found: Sequence[ArchiveFile], place: str, into: bool
    ) -> dict[str, ArchiveFile]:
        files: dict[str, ArchiveFile] = {}
        for file in found:
            if file.folder:
                below = self._context.below(file.path)
                files |= {posixpath.join(place, path): inner for path, inner in below}
            else:
                name = posixpath.basename(file.path)
                files[posixpath.join(place, name) if into else place] = file
        return files

    def _absolute(self, path: str) -> str:
        return "/" + posixpath.normpath(posixpath.join(self._folder, path)).lstrip("/")

    def _words(self, item: Instruction, count: int | None = None) -> list[str]:
        words = split_words(self._text(item.text, item), item)
        if not words or (count is not None and len(words) != count):
            raise invalid(item, f"it takes {count or 'some'} words")
        return words

    def _text(self, text: str, item: Instruction) -> str:
        return substituted(text, self._variables(), item)

    def _variables(self) -> dict[str, str]:
        return {**self._arguments, **self._environment}


_STEPS: Mapping[str, Callable[[_Interpreter, Instruction], None]] = {
    **{"FROM": _Interpreter._from, "ARG": _Interpreter._arg, "ENV": _Interpreter._env},
    **{"LABEL": _Interpreter._label, "WORKDIR": _Interpreter._workdir, "USER": _Interpreter._user},
    **{"EXPOSE": _Interpreter._expose, "ENTRYPOINT": _Interpreter._entrypoint},
    **{"CMD": _Interpreter._cmd, "COPY": _Interpreter._copy, "ADD": _Interpreter._copy},
    "RUN": _Interpreter._run,
}
"""What can be followed, and how."""
