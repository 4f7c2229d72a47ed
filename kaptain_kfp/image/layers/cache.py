"""When installed requirements can be used again."""

from __future__ import annotations

import ast
import hashlib
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from kaptain_kfp.image.oci import Platform, canonical_json
from kaptain_kfp.image.requirements import LocalProject, Requirements

__all__ = [
    "constraint_settings",
    "index_settings",
    "index_variables",
    "local_digests",
    "movable",
    "requirements_key",
]

_FORMAT = 1
"""Goes up when the same requirements give another layer, so that none of old is taken."""
_INDEX_OPTIONS = frozenset(
    {"index-url", "extra-index-url", "find-links", "no-index", "pre", "prefer-binary"}
)
_SETTING = re.compile(r"(?P<section>[\w:-]+)\.(?P<name>[\w-]+)=(?P<value>'.*'|\".*\")")
_CONSTRAINED = frozenset({"global", "install", "wheel", ":env:"})
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_FOLDER = "--find-links /"


def requirements_key(
    base_digest: str,
    platform: Platform,
    python_version: str | None,
    requirements: Requirements,
    index: Mapping[str, str],
    *,
    local_digests: Mapping[str, str] | None = None,
    exclude: Iterable[str] = (),
) -> str:
    """Returns 64 hex digits that are the same where the same requirements get installed.

    Spelling, order and comments of the requirements don't count, nor do user and password of an
    index.

    Args:
        base_digest: Of the base image's manifest.
        platform: Of the image.
        python_version: The Python that they are installed for; None where the base itself installs
            them.
        requirements: What is asked for.
        index: What `index_settings` returned.
        local_digests: The digest of what lies at each path among the requirements.
        exclude: Names that are left out.
    """
    content = {
        "format": _FORMAT,
        "base": base_digest,
        "platform": str(platform),
        "python": python_version,
        "lines": sorted({_normalised(line) for line in requirements.lines}),
        "constraints": sorted({_normalised(line) for line in requirements.constraints}),
        "options": [_CREDENTIALS.sub("", line) for line in requirements.options],
        "local": sorted(
            [project.path, project.extras, (local_digests or {}).get(project.path, "")]
            for project in requirements.local
        ),
        "clones": sorted(_CREDENTIALS.sub("", line) for line in requirements.version_controlled),
        "index": {name: _CREDENTIALS.sub("", value) for name, value in index.items()},
        "exclude": sorted({canonicalize_name(name) for name in exclude}),
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


def index_settings(listed: Iterable[str]) -> dict[str, str]:
    """Returns which indexes pip asks, without users and passwords.

    Args:
        listed: The lines that ``pip config list`` prints.
    """
    return {
        f"{section}.{name}": _CREDENTIALS.sub("", value)
        for section, name, value in _settings(listed)
        if name in _INDEX_OPTIONS
    }


def constraint_settings(listed: Iterable[str]) -> list[str]:
    """Returns the files and URLs that pip keeps versions to, whoever installs.

    Args:
        listed: The lines that ``pip config list`` prints.
    """
    return [
        place
        for section, name, value in _settings(listed)
        if name == "constraint" and section in _CONSTRAINED
        for place in value.split()
    ]


def _settings(listed: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yields section, name and value of each setting of pip."""
    for line in listed:
        if match := _SETTING.fullmatch(line.strip()):
            yield match["section"], match["name"], str(ast.literal_eval(match["value"]))


def index_variables(environment: Mapping[str, str], log: Callable[[str], None]) -> dict[str, str]:
    """Returns the variables that tell pip which indexes to ask, as far as everybody may read them.

    Args:
        environment: Where they are looked for.
        log: Is told which of them are left out.
    """
    found = {}
    for name in sorted({*_INDEX_OPTIONS, "trusted-host"}):
        variable = f"PIP_{name.upper().replace('-', '_')}"
        value = environment.get(variable, "")
        if _CREDENTIALS.search(value):
            log(f"WARNING: {variable} holds a password, and isn't shown to the base image's pip.")
        elif value:
            found[variable] = value
    return found


def movable(requirements: Requirements, code: Path) -> Requirements:
    """Names folders of wheels by their paths in the code folder, which is another one each time.

    What lies in them decides what is installed, as it does for projects that are named by a path:
    they are among those, too.

    Args:
        requirements: What is asked for.
        code: The code folder.
    """
    options, folders = [], []
    for line in requirements.options:
        if line.startswith(_FOLDER):
            place = Path(line.removeprefix(_FOLDER[:-1]))
            inside = place.is_relative_to(code.absolute())
            folders.append(str(place.relative_to(code.absolute()) if inside else place))
            options.append(f"{_FOLDER[:-1]}{folders[-1]}")
        else:
            options.append(line)
    return replace(
        requirements,
        options=tuple(options),
        local=(*requirements.local, *map(LocalProject, folders)),
    )


def local_digests(requirements: Requirements, digests: Mapping[str, str]) -> dict[str, str]:
    """Returns a digest for each path among the requirements: of the entries that it lies in.

    A path that lies in none has no digest, as nobody knows what is there.

    Args:
        requirements: What is asked for.
        digests: Of each entry of the training code, by its path.
    """
    found = {}
    for project in requirements.local:
        path = posixpath.normpath(project.path)
        parts = sorted(digest for entry, digest in digests.items() if _overlap(entry, path))
        if parts:
            found[project.path] = hashlib.sha256(" ".join(parts).encode()).hexdigest()
    return found


def _overlap(one: str, other: str) -> bool:
    first, second = f"{one}/", f"{other}/"
    return "./" in (first, second) or first.startswith(second) or second.startswith(first)


def _normalised(line: str) -> str:
    """Returns a requirement as everybody would write it."""
    wanted, *options = re.split(r"\s(?=--)", line, maxsplit=1)
    try:
        parsed = Requirement(wanted)
    except InvalidRequirement:
        return _CREDENTIALS.sub("", " ".join(line.split()))
    parsed.name = canonicalize_name(parsed.name)
    if parsed.url:
        parsed.url = _CREDENTIALS.sub("", parsed.url)
    return " ".join([str(parsed), *sorted(" ".join(options).split())])
