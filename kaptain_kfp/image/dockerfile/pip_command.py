"""What a RUN instruction installs, where pip installing is all that it does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["pip_requirements", "pip_variables"]

_PIP = re.compile(r"(?:\S*/)?pip(?:3(?:\.\d+)?)?")
_PYTHON = re.compile(r"(?:\S*/)?python(?:3(?:\.\d+)?)?")
_NO_MATTER = (
    *("--no-cache-dir", "--no-cache", "-U", "--upgrade", "-q", "--quiet", "--no-input"),
    *("--disable-pip-version-check", "--no-warn-script-location", "--no-compile"),
    *("--root-user-action=ignore", "--prefer-binary"),
)
_INDEXES = ("-i", "--index-url", "--extra-index-url", "--trusted-host")
_VARIABLES = {
    "PIP_INDEX_URL": "-i",
    "PIP_EXTRA_INDEX_URL": "--extra-index-url",
    "PIP_TRUSTED_HOST": "--trusted-host",
    "PIP_CONSTRAINT": "-c",
}
_VARIABLES_NO_MATTER = frozenset(
    f"PIP_{name}"
    for name in (
        *("NO_CACHE_DIR", "CACHE_DIR", "UPGRADE", "QUIET", "VERBOSE", "NO_INPUT", "NO_COLOR"),
        *("PROGRESS_BAR", "DISABLE_PIP_VERSION_CHECK", "NO_PYTHON_VERSION_WARNING"),
        *("NO_WARN_SCRIPT_LOCATION", "NO_COMPILE", "ROOT_USER_ACTION", "PREFER_BINARY"),
        *("BREAK_SYSTEM_PACKAGES", "DEFAULT_TIMEOUT", "TIMEOUT", "RETRIES"),
    )
)
_FILES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
_PATH = re.compile(r"\.{1,2}(?:[/\[].*)?|.*/.*|.*\.(?:whl|zip|tar\.gz)")
_CLONED = re.compile(r"(?:.*@\s*)?(?:git|hg|svn|bzr)\+.*")
_COMMENT = re.compile(r"""('[^']*'|"[^"]*")|(?:(?<=[\s;&|()<>])|^)#.*""")
"""What the shell leaves out: from a ``#`` on that begins a word. Within quotes there is none."""


def pip_requirements(
    words: Sequence[str] | str, file: Callable[[str], str | None]
) -> list[list[str]] | None:
    """Returns the lines of requirements files that ask for the same, one file for each pip.

    Args:
        words: The command: text for the shell, or the words of a program's call.
        file: Returns where the file lies here that a path names in the image; None for nowhere.

    Returns:
        None where the command does anything else than pip install what has wheels.
    """
    commands = [list(words)] if not isinstance(words, str) else _commands(words)
    if commands is None:
        return None
    files: list[list[str]] = []
    for command in commands:
        arguments = _arguments(command)
        found = None if arguments is None else _lines(iter(arguments), file)
        if not found:
            return None
        files.append(found)
    return files


def pip_variables(
    variables: Mapping[str, str], file: Callable[[str], str | None]
) -> dict[str, list[str] | None]:
    """Returns the lines of a requirements file that say what variables say to pip.

    Args:
        variables: All that pip would see.
        file: As for `pip_requirements`.

    Returns:
        The lines by the name of the variable; None where no line says the same.
    """
    return {
        name: _told(name, value.split(), file)
        for name, value in variables.items()
        if name.startswith("PIP_") and value and name not in _VARIABLES_NO_MATTER
    }


def _told(name: str, values: list[str], file: Callable[[str], str | None]) -> list[str] | None:
    if name not in _VARIABLES:
        return None
    lines = [_option(_VARIABLES[name], value, file) for value in values]
    found = [line for line in lines if line is not None]
    return found if len(found) == len(lines) else None


def _commands(text: str) -> list[list[str]] | None:
    """Splits what the shell would run at ``&&``; None where there is more to it than that."""
    if re.search(r"[`\\]|\$\(", text):
        return None
    said = _COMMENT.sub(lambda found: found[1] or "", text)
    reader = shlex.shlex(said, posix=False, punctuation_chars=True)
    reader.whitespace_split = True
    reader.commenters = ""  # its own begin within words as well
    commands: list[list[str]] = [[]]
    try:
        for token in reader:
            if token == "&&":
                commands.append([])
            elif set(token) <= set("();<>|&"):
                return None
            else:
                commands[-1] += shlex.split(token)
    except ValueError:
        return None
    return commands


def _arguments(command: Sequence[str]) -> list[str] | None:
    """Returns what follows ``pip install``."""
    words = list(command)
    if len(words) > 2 and _PYTHON.fullmatch(words[0]) and words[1:3] == ["-m", "pip"]:
        words = ["pip", *words[3:]]
    if len(words) > 2 and _PIP.fullmatch(words[0]) and words[1] == "install":
        return words[2:]
    return None


def _lines(words: Iterator[str], file: Callable[[str], str | None]) -> list[str] | None:
    lines = []
    for word in words:
        name, equals, value = word.partition("=")
        if word in _NO_MATTER:
            continue
        if name in _FILES or name in _INDEXES:
            given = value if equals else next(words, "")
            line = _option(name, given, file)
        elif word.startswith("-") or _PATH.fullmatch(word) or _CLONED.fullmatch(word):
            return None
        else:
            line = word
        if line is None:
            return None
        lines.append(line)
    return lines


def _option(name: str, value: str, file: Callable[[str], str | None]) -> str | None:
    if name in _INDEXES:
        return f"{name} {value}"
    place = file(value)
    return None if place is None else f"{_FILES[name]} {place}"
