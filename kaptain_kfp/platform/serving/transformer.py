"""A container in front of a model that changes what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.platform.constants import CONFIG_MAP_KIND, SECRET_KIND

__all__ = ["Transformer"]

_KINDS = (CONFIG_MAP_KIND, SECRET_KIND)


@dataclass(frozen=True, init=False)
class Transformer:
    """Describes a transformer: an image whose program extends `kserve.Model`.

    The program is started with ``--predictor_host`` and ``--model_name`` beside `args`.

    Args:
        image_name: The image.
        args: Further arguments of its program.
        volumes: ConfigMaps and Secrets to mount, each with `name`, `type`
            (`constants.CONFIG_MAP_KIND` or `constants.SECRET_KIND`) and the absolute `path`.
        env_from: The ConfigMap or Secret whose entries become variables: `name` and `type`.

    Raises:
        ModelValidationException: Something is missing, of another kind, or unknown.
    """

    image_name: str
    args: tuple[str, ...]
    volumes: tuple[Mapping[str, str], ...]
    env_from: Mapping[str, str] | None

    def __init__(
        self,
        image_name: str,
        args: Sequence[str] | None = None,
        volumes: Sequence[Mapping[str, str]] | None = None,
        env_from: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(image_name, str) or not image_name.strip():
            raise _invalid("image_name", image_name, "Give the transformer's image.")
        if isinstance(args, str):
            raise _invalid("args", args, f"Give a list: args=[{args!r}].")
        checked = [_source(f"volumes[{n}]", given, "path") for n, given in enumerate(volumes or ())]
        for number, volume in enumerate(checked):
            if not PurePosixPath(volume["path"]).is_absolute():
                raise _invalid(f"volumes[{number}].path", volume["path"], "Give an absolute path.")
        object.__setattr__(self, "image_name", image_name)
        object.__setattr__(self, "args", tuple(str(word) for word in args or ()))
        object.__setattr__(self, "volumes", tuple(checked))
        source = None if env_from is None else _source("env_from", env_from)
        object.__setattr__(self, "env_from", source)


def _source(field: str, given: object, *more: str) -> Mapping[str, str]:
    """Returns a reference to a ConfigMap or Secret that has just the fields that it needs."""
    wanted = ("name", "type", *more)
    if not isinstance(given, Mapping) or set(given) != set(wanted):
        example = ", ".join(f'"{name}": ...' for name in wanted)
        raise _invalid(field, given, f"Give a dictionary {{{example}}}.")
    for name in wanted:
        if not isinstance(given[name], str) or not given[name].strip():
            raise _invalid(f"{field}.{name}", given[name], "Give text.")
    if given["type"] not in _KINDS:
        raise _invalid(
            f"{field}.type", given["type"], "Use constants.CONFIG_MAP_KIND or SECRET_KIND."
        )
    return dict(given)


def _invalid(field: str, value: object, hint: str) -> ModelValidationException:
    return ModelValidationException(f"Transformer: {field} can't be {value!r}.", hint=hint)
