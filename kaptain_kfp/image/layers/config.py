"""The configuration of an image: what the base says, and on top of it what we say."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from packaging.utils import canonicalize_name

from kaptain_kfp.exceptions import ConfigurationError, ImageBuildException
from kaptain_kfp.image.layers.paths import CODE_FOLDER, PYTHON_PATH
from kaptain_kfp.image.layers.tar import MTIME, Layer
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID
from kaptain_kfp.specs import ModelIdentity
from kaptain_kfp.version import __version__

__all__ = [
    "LABEL_BASE_DIGEST",
    "LABEL_BASE_NAME",
    "LABEL_CHECKSUM",
    "LABEL_EXCLUDE",
    "LABEL_FRAMEWORK",
    "LABEL_FRAMEWORK_VERSION",
    "LABEL_MODEL_ID",
    "LABEL_PYTHON",
    "ImageFacts",
    "base_labels",
    "creation_time",
    "environment_of",
    "extended",
    "identity_labels",
    "image_config",
    "option_labels",
    "with_variables",
]

LABEL_CHECKSUM = "checksum"
LABEL_MODEL_ID = ANNOTATION_MODEL_ID
LABEL_FRAMEWORK = "kaptain-kfp/framework"
LABEL_FRAMEWORK_VERSION = "kaptain-kfp/framework-version"
LABEL_EXCLUDE = "kaptain-kfp/exclude"
LABEL_PYTHON = "kaptain-kfp/python-version"
_OCI_LABEL = "org.opencontainers.image"
LABEL_BASE_NAME = f"{_OCI_LABEL}.base.name"
LABEL_BASE_DIGEST = f"{_OCI_LABEL}.base.digest"

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What runtimes take where an image says nothing."""
_LAST_EPOCH = 253_402_300_799
"""The end of the year 9999."""
_OF_THE_LAST_BUILD = (
    "container",
    "container_config",
    "docker_version",
    "id",
    "parent",
    "throwaway",
)
"""What old Dockers wrote about how the base was built."""


@dataclass(frozen=True)
class ImageFacts:
    """What is said of an image in its configuration.

    Attributes:
        main_file: The script that is run, relative to the code folder.
        checksum: 32 hex digits over everything that goes in.
        labels: Those of `identity_labels` and `option_labels`.
        base_name: The base image, as it was asked for.
        base_digest: ``sha256:`` and 64 hex digits: the manifest or index that it stood for.
    """

    main_file: str
    checksum: str
    labels: Mapping[str, str]
    base_name: str
    base_digest: str


def image_config(
    base: Mapping[str, Any],
    layers: Sequence[Layer],
    facts: ImageFacts,
    *,
    created: str,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Returns the configuration of the image that has `layers` on top of those of the base.

    Everything that the base says is kept (user, volumes, variables, labels ...), but for what is
    run and where: its own entry point and command would get in the script's way.

    Args:
        base: The base's configuration, in the format of OCI or Docker; they are alike.
        layers: The new layers, from the lowest to the topmost.
        facts: What to say of the image.
        created: See `creation_time`.
        environment: Further variables, which win over all others.

    Raises:
        ImageBuildException: The base isn't an image of Linux whose layers are known.
    """
    config = copy.deepcopy(base.get("config") or {})
    script = facts.main_file if not facts.main_file.startswith("-") else f"./{facts.main_file}"
    config |= {
        "Env": with_variables(config.get("Env"), {"HOME": "/tmp", **(environment or {})}),
        "WorkingDir": CODE_FOLDER,
        "Entrypoint": ["python", "-u", script],
        "Cmd": [],
        "Labels": _labels(config.get("Labels") or {}, facts, created),
    }
    config.pop("ArgsEscaped", None)
    entry_point = json.dumps(config["Entrypoint"])
    return extended(
        base,
        layers,
        config,
        base_name=facts.base_name,
        created=created,
        instructions=[f"ENTRYPOINT {entry_point}"],
    )


def extended(
    base: Mapping[str, Any],
    layers: Sequence[Layer],
    config: Mapping[str, Any],
    *,
    base_name: str,
    created: str,
    instructions: Sequence[str],
) -> dict[str, Any]:
    """Returns the configuration of an image that has `layers` on top of those of the base.

    Args:
        base: The base's configuration.
        layers: The new layers, from the lowest to the topmost.
        config: What containers are started with.
        base_name: The base image, as it was asked for.
        created: See `creation_time`.
        instructions: What the history tells beside the layers.

    Raises:
        ImageBuildException: The base isn't an image of Linux whose layers are known.
    """
    made = {key: copy.deepcopy(base[key]) for key in base if key not in _OF_THE_LAST_BUILD}
    diff_ids = _diff_ids(made, base_name)
    made |= {
        "created": created,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": diff_ids + [layer.diff_id for layer in layers]},
        "history": [
            *_history(made.get("history"), len(diff_ids), created),
            *(_said(created, layer.created_by) for layer in layers),
            *({**_said(created, line), "empty_layer": True} for line in instructions),
        ],
    }
    return made


def creation_time(base: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """Returns when an image is said to be created: the same for the same content.

    It is ``SOURCE_DATE_EPOCH`` where that is set, else when the base was created: a time that can
    be told from the content, and that no registry takes for older than what it cleans up.

    Args:
        base: The base's configuration.
        environment: Variables of this process.

    Raises:
        ConfigurationError: ``SOURCE_DATE_EPOCH`` isn't a number of seconds.
    """
    epoch = environment.get("SOURCE_DATE_EPOCH", "").strip()
    if not epoch:
        return str(base.get("created") or _time(MTIME))
    if not (epoch.isascii() and epoch.isdigit() and int(epoch) <= _LAST_EPOCH):
        raise ConfigurationError(
            f"SOURCE_DATE_EPOCH: {epoch!r} isn't a number of seconds since 1970.",
            hint="Set it to the output of `date +%s`, or unset it.",
        )
    return _time(int(epoch))


def environment_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the variables that an image's configuration sets."""
    pairs = (text.partition("=") for text in (config.get("config") or {}).get("Env") or ())
    return {name: value for name, _, value in pairs}


def with_variables(base: Sequence[str] | None, further: Mapping[str, str]) -> list[str]:
    """Returns the variables of a base, and ours, as an image's configuration lists them.

    Args:
        base: Those of the base, ``NAME=value``.
        further: Others, which win over those of the base; HOME, because the user of a job often
            has none there, or none to write in.
    """
    found = environment_of({"config": {"Env": base}})
    theirs = filter(None, found.get("PYTHONPATH", "").split(":"))
    path = ":".join(dict.fromkeys((*PYTHON_PATH, *theirs)))
    found.setdefault("PATH", _DEFAULT_PATH)
    found |= {"PYTHONPATH": path, **further}
    return [f"{name}={value}" for name, value in found.items()]


def base_labels(checksum: str, base_name: str, base_digest: str, created: str) -> dict[str, str]:
    """Returns the labels that all of our images have: by them they are found again."""
    return {
        LABEL_CHECKSUM: checksum,
        f"{_OCI_LABEL}.created": created,
        LABEL_BASE_NAME: base_name,
        LABEL_BASE_DIGEST: base_digest,
    }


def identity_labels(identity: ModelIdentity) -> dict[str, str]:
    """Returns the labels that say which model an image is for."""
    return {
        LABEL_MODEL_ID: identity.id,
        LABEL_FRAMEWORK: identity.framework,
        LABEL_FRAMEWORK_VERSION: identity.framework_version,
        f"{_OCI_LABEL}.title": identity.name,
        f"{_OCI_LABEL}.version": identity.version,
    }


def option_labels(python_version: str | None, exclude: Iterable[str] | None) -> dict[str, str]:
    """Returns the labels that say how requirements were chosen; what isn't given has none.

    Args:
        python_version: The Python that they are for.
        exclude: Names of packages that are left out.
    """
    labels = {} if python_version is None else {LABEL_PYTHON: python_version}
    if exclude is not None:
        labels[LABEL_EXCLUDE] = ",".join(sorted({canonicalize_name(name) for name in exclude}))
    return labels


def _labels(base: Mapping[str, str], facts: ImageFacts, created: str) -> dict[str, str]:
    # a base of ours had options of its own
    theirs = {name: base[name] for name in base if name not in (LABEL_PYTHON, LABEL_EXCLUDE)}
    ours = base_labels(facts.checksum, facts.base_name, facts.base_digest, created)
    return theirs | ours | {name: value for name, value in facts.labels.items() if value}


def _diff_ids(base: Mapping[str, Any], name: str) -> list[str]:
    """Returns the identities of the base's layers."""
    if base.get("os", "linux") != "linux":
        raise ImageBuildException(
            f"base_image: {name!r} is an image for {base['os']}.",
            resource=name,
            reason="UnsupportedBaseImage",
            hint="Choose one for linux, with a Python in it.",
        )
    found = (base.get("rootfs") or {}).get("diff_ids")
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ImageBuildException(
            f"base_image: {name!r} has a configuration that doesn't name its layers.",
            resource=name,
            reason="UnsupportedBaseImage",
            hint="Choose the name of a container image; other artifacts can't be built on.",
        )
    return list(found)


def _history(base: Sequence[Mapping[str, Any]] | None, count: int, created: str) -> list[Any]:
    """Returns the base's history, which has an entry for each of its layers.

    Some tools write none; then runtimes would refuse the image once it has entries for ours.
    """
    known = list(base or ())
    if sum(not entry.get("empty_layer") for entry in known) == count:
        return known
    return [_said(created, "layer of the base image")] * count


def _said(created: str, created_by: str) -> dict[str, Any]:
    comment = f"kaptain_kfp {__version__}"
    return {"created": created, "created_by": created_by, "comment": comment}


def _time(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
