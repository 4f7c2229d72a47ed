"""A model's image, published by the process that asks for it: no run, but a record of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kaptain_kfp import envs
from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import KaptainError, ModelValidationException
from kaptain_kfp.logs import get_logger
from kaptain_kfp.specs import BuiltImage, ErrorSpec, Outcome, Submission
from kaptain_kfp.store.records import Records

from .content import Content

if TYPE_CHECKING:
    from kaptain_kfp.image.publish import PublishOptions

__all__ = ["publish_here", "publish_options"]

_TASK = "publish"


def publish_options(
    publish: bool,
    wait: bool,
    platform: str | None,
    python_version: str | None,
    exclude: Sequence[str] | None,
) -> PublishOptions | None:
    """Returns how to publish from here, None where that isn't asked for.

    Raises:
        ModelValidationException: An argument can't be, or means nothing without `publish`.
    """
    from kaptain_kfp.image.publish import PublishOptions, parse_platform

    given = {"platform": platform, "python_version": python_version, "exclude": exclude}
    if not publish:
        _refuse_without_publish(given)
        return None
    if not wait:
        raise ModelValidationException(
            "publish=True goes neither with wait=False nor with dry_run=True: there is no run.",
            hint="Leave out either; without publish=True a run builds the image.",
        )
    if isinstance(exclude, str):
        raise ModelValidationException(
            f"exclude: {exclude!r} is text, not a list.", hint=f"Write exclude=[{exclude!r}]."
        )
    return PublishOptions(
        platform=None if platform is None else parse_platform(platform),
        python_version=python_version,
        exclude=None if exclude is None else tuple(exclude),
    )


def publish_here(
    content: Content,
    config: Config,
    records: Records,
    options: PublishOptions,
    *,
    refresh_base: bool,
    verbose: bool | None,
) -> BuiltImage:
    """Builds a model's image and pushes it, unless it is there, and leaves a record of it.

    Args:
        content: What goes in.
        config: Where the files and the registry are.
        records: The model's.
        options: How.
        refresh_base: Whether to look what the name of the base stands for by now.
        verbose: Show each step; by default `envs.VERBOSE`.

    Raises:
        ImageBuildException: It can't be built; that is on record.
    """
    from kaptain_kfp.image.progress import screen
    from kaptain_kfp.image.publish import publish

    what = content.publication()
    show = envs.VERBOSE if verbose is None else verbose
    given: dict[str, Any] = {"publish": True, **({"refresh_base": True} if refresh_base else {})}
    submission = Submission(definition=content.definition, parameters=given)
    key = (uuid.uuid4().hex, _TASK)
    try:
        with screen(lines=show) as shown:
            built = publish(what, config, shown, options, refresh_base=refresh_base)
    except KaptainError as error:
        told = ErrorSpec.of(error)
        records.append(records.new(*key, "error", "build", submission=submission, error=told))
        raise
    if built.built:
        outcome = Outcome(image=built)
        records.append(
            records.new(*key, "outcome", "build", submission=submission, outcome=outcome)
        )
    what_happened = "is pushed" if built.built else "with the same contents is there already"
    get_logger().info("build: %s %s: %s", built.name, what_happened, built.reference)
    return built


def _refuse_without_publish(given: dict[str, Any]) -> None:
    for name, value in given.items():
        if value is not None:
            raise ModelValidationException(
                f"{name}={value!r} means nothing without publish=True.",
                hint="In the cluster the base image, and the image that is there, say it: "
                "leave it out.",
            )
