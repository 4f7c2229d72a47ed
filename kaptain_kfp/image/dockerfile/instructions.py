"""The instructions of a Dockerfile, each with the line that it begins in."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.pip_process import mask

__all__ = ["Instruction", "invalid", "read", "split_words", "stood_in", "substituted"]

_DIRECTIVE = re.compile(r"#\s*(?P<name>[A-Za-z]+)\s*=\s*(?P<value>\S+)\s*")
_COMMENT = re.compile(r"\s*#")
_HEREDOC = re.compile(r"<<-?[\"']?(?P<end>[A-Za-z_]\w*)[\"']?")
_VARIABLE = re.compile(
    r"\$(?P<plain>[A-Za-z_]\w*)"
    r"|\$\{(?P<name>[A-Za-z_]\w*)(?::(?P<mark>[-+])(?P<other>[^}]*))?\}"
    r"|(?P<unknown>\$\{[^}]*\}?)"
)
_FLAG = re.compile(r"--(?P<name>[a-z][a-z-]*)(?:=(?P<value>\S*))?(?:\s+|$)")


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        line: Number of the line that it begins in, from 1.
        name: In upper case, e.g. ``COPY``.
        text: What follows the name and its flags, lines joined.
        flags: Its options by name, e.g. ``chown``; what several of one name say, with commas.
        heredoc: Whether files or commands follow it in lines of their own.
    """

    line: int
    name: str
    text: str
    flags: Mapping[str, str]
    heredoc: bool = False

    def __str__(self) -> str:
        if self.name in ("ARG", "ENV", "LABEL"):
            return self.name  # their values may be secrets
        flags = "".join(
            f" --{name}={value}" if value else f" --{name}" for name, value in self.flags.items()
        )
        return mask(f"{self.name}{flags} {self.text}")

    @property
    def listed(self) -> list[str] | None:
        """The words of the form ``["a", "b"]``, None where it has another one."""
        if not self.text.startswith("["):
            return None
        try:
            words = json.loads(self.text)
        except ValueError:
            return None
        fits = isinstance(words, list) and all(isinstance(word, str) for word in words)
        return words if fits else None


def read(content: str) -> tuple[Instruction, ...]:
    """Reads a Dockerfile.

    Raises:
        ImageBuildException: It has no instruction, or something that is none.
    """
    escape, lines = "\\", content.lstrip("\ufeff").splitlines()
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        if directive["name"].lower() == "escape":
            escape = directive["value"]
    found = tuple(_instructions(lines, escape))
    if not found:
        raise ImageBuildException(
            "dockerfile_content: there is no instruction in it.",
            reason="InvalidDockerfile",
            hint="Begin with FROM and the image that it is built on.",
        )
    return found


def _instructions(lines: list[str], escape: str) -> Iterator[Instruction]:
    number = 0
    while number < len(lines):
        begin = number + 1
        if not lines[number].strip() or _COMMENT.match(lines[number]):
            number += 1
            continue
        text, number = _joined(lines, number, escape)
        instruction = _instruction(begin, text)
        if instruction.heredoc:
            number = _after_heredocs(lines, number, instruction)
        yield instruction


def _joined(lines: list[str], number: int, escape: str) -> tuple[str, int]:
    """Returns an instruction with its continuation lines, and the number of the next line."""
    parts: list[str] = []
    while number < len(lines):
        line = lines[number]
        number += 1
        if parts and (_COMMENT.match(line) or not line.strip()):
            continue  # comments and blank lines may stand between
        stripped = line.rstrip()
        if not stripped.endswith(escape):
            parts.append(line)
            break
        parts.append(stripped[: -len(escape)])
    return "".join(parts).strip(), number


def _instruction(line: int, text: str) -> Instruction:
    name, _, rest = text.replace("\t", " ").partition(" ")
    rest = rest.strip()
    flags: dict[str, str] = {}
    if not name.isalpha():
        raise ImageBuildException(
            f"dockerfile_content, line {line}: {name!r} is no instruction.",
            reason="InvalidDockerfile",
            hint="A line that goes on in the next one ends with a backslash.",
        )
    while flag := _FLAG.match(rest):
        option, value = flag["name"], flag["value"] or ""
        flags[option] = f"{flags[option]},{value}" if option in flags else value
        rest = rest[flag.end() :]
    heredoc = name.upper() in ("RUN", "COPY", "ADD") and _HEREDOC.search(rest) is not None
    return Instruction(line, name.upper(), rest, flags, heredoc)


def _after_heredocs(lines: list[str], number: int, instruction: Instruction) -> int:
    for end in [match["end"] for match in _HEREDOC.finditer(instruction.text)]:
        while number < len(lines) and lines[number].strip() != end:
            number += 1
        if number == len(lines):
            raise invalid(instruction, f"nothing ends the lines that begin with <<{end}")
        number += 1
    return number


def substituted(text: str, variables: Mapping[str, str], instruction: Instruction) -> str:
    """Returns text with variables replaced: ``$a``, ``${a}``, ``${a:-b}`` and ``${a:+b}``.

    Args:
        text: The text.
        variables: Those of ARG and ENV; others are empty, as for Docker.
        instruction: Where the text stands, for the error.

    Raises:
        ImageBuildException: It has another form of substitution.
    """

    def value(match: re.Match[str]) -> str:
        if match["unknown"]:
            raise invalid(instruction, f"{match['unknown']} can't be read")
        known = variables.get(match["plain"] or match["name"], "")
        other = match["other"] or ""
        if match["mark"] == "-":
            return known or other
        if match["mark"] == "+":
            return other if known else ""
        return known

    return _VARIABLE.sub(value, text)


def stood_in(text: str, value: str) -> str:
    """Returns text with one value in place of each of its variables, which nobody knows yet."""
    return _VARIABLE.sub(lambda _: value, text)


def split_words(text: str, instruction: Instruction) -> list[str]:
    """Returns the words of a text, without quotes.

    Raises:
        ImageBuildException: A quote isn't closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise invalid(instruction, str(error)) from None


def invalid(instruction: Instruction, trouble: str, hint: str | None = None) -> ImageBuildException:
    """Returns the error of an instruction that can't be what it is."""
    return ImageBuildException(
        f"dockerfile_content, line {instruction.line}: {instruction}: {trouble}.",
        reason="InvalidDockerfile",
        hint=hint or "Correct the line; Docker's reference of Dockerfiles tells what it may be.",
    )
