"""What a RUN instruction installs, where pip installing is all that it does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence

__all__ = ["pip_requirements"]

_PIP = re.compile(r"(?:\S*/)?pip(?:3(?:\.\d+)?)?")
_PYTHON = re.compile(r"(?:\S*/)?python(?:3(?:\.\d+)?)?")
_NO_MATTER = (
    *("--no-cache-dir", "--no-cache", "-U", "--upgrade", "-q", "--quiet", "--no-input"),
    *("--disable-pip-version-check", "--no-warn-script-location", "--no-compile"),
    *("--root-user-action=ignore", "--prefer-binary"),
)
_INDEXES = ("-i", "--index-url", "--extra-index-url", "--trusted-host")
_FILES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
_PATH = re.compile(r"\.{1,2}(?:[/\[].*)?|.*/.*|.*\.(?:whl|zip|tar\.gz)")
_CLONED = re.compile(r"(?:.*@\s*)?(?:git|hg|svn|bzr)\+.*")


def pip_requirements(
    words: Sequence[str] | str, file: Callable[[str], str | None]
) -> list[str] | None:
    """Returns the lines of a requirements file that asks for the same.

    Args:
        words: The command: text for the shell, or the words of a program's call.
        file: Returns where the file lies here that a path names in the image; None for nowhere.

    Returns:
        None where the command does anything else than pip install what has wheels.
    """
    commands = [list(words)] if not isinstance(words, str) else _commands(words)
    if commands is None:
        return None
    lines: list[str] = []
    for command in commands:
        arguments = _arguments(command)
        found = None if arguments is None else _lines(iter(arguments), file)
        if not found:
            return None
        lines += found
    return lines


def _commands(text: str) -> list[list[str]] | None:
    """Splits what the shell would run at ``&&``; None where there is more to it than that."""
    if re.search(r"[`\\]|\$\(", text):
        return None
    reader = shlex.shlex(text, posix=False, punctuation_chars=True)
    reader.whitespace_split = True
    reader.commenters = ""
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
