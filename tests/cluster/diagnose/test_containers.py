"""Why a container waits, in the kubelet's own words."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.cluster.diagnose.containers import container_trouble
from kaptain_kfp.exceptions import (
    ContainerConfigurationError,
    ImagePullError,
    InitContainerError,
    KaptainError,
    ScriptFailedError,
    WorkloadOutOfMemoryError,
)

from .conftest import container, ended, pod

PULL = 'rpc error: code = NotFound desc = failed to pull and unpack image "me/m@sha256:0": '


def trouble(
    reason: str, message: str = "", *, name: str = "sklearn", init: bool = False, **facts: Any
) -> Any:
    status = container(name, waiting={"reason": reason, "message": message}, **facts)
    found = pod(init=[status]) if init else pod(status)
    return container_trouble(found, status, "sklearn", init=init)


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", ""])
def test_a_container_that_is_being_made(reason: str) -> None:
    assert trouble(reason) is None


@pytest.mark.parametrize(
    ("reason", "message", "name", "words"),
    [
        ("ErrImagePull", PULL + "manifest unknown", "ImageNotFound", "isn't there"),
        ("ErrImagePull", PULL + "me/m@sha256:0: not found", "ImageNotFound", "isn't there"),
        (
            "ErrImagePull",
            "failed to authorize: failed to fetch oauth token: 401 Unauthorized",
            "ImageDenied",
            "doesn't let it be pulled",
        ),
        (
            "ErrImagePull",
            "pull access denied, repository does not exist or may require authorization",
            "ImageDenied",
            "doesn't let it be pulled",
        ),
        (
            "ErrImagePull",
            "no match for platform in manifest: not found",
            "ImagePlatform",
            "no node's processor fits it",
        ),
        (
            "ErrImagePull",
            "429 Too Many Requests - toomanyrequests: You have reached your pull rate limit",
            "ImagePull",
            "no more pulls",
        ),
        ("ErrImagePull", "x509: certificate signed by unknown authority", "ImagePull", "trust"),
        ("ErrImagePull", "dial tcp: lookup reg.local: no such host", "ImagePull", "be reached"),
        ("ErrImagePull", "short read", "ImagePull", "short read"),
        (
            "ImagePullBackOff",
            f'Back-off pulling image "me/m@sha256:0": ErrImagePull: {PULL}manifest unknown',
            "ImageNotFound",
            "isn't there",
        ),
        ("InvalidImageName", "couldn't parse image name", "ImageName", "isn't valid"),
        ("ErrImageNeverPull", "Container image is not present", "ImageNever", "isn't on the node"),
    ],
)
def test_images(reason: str, message: str, name: str, words: str) -> None:
    found = trouble(reason, message)
    assert (found.cause, found.name, found.vague) == ("Image", name, False)
    assert found.short.startswith("image me/m@sha256:0 can't be pulled: ") and words in found.short
    assert type(found.error) is ImagePullError
    assert found.error.reason == reason and found.error.hint
    assert "me/m@sha256:0 (without a registry Secret)" in found.error.message


def test_a_back_off_that_says_nothing_more_is_vague() -> None:
    found = trouble("ImagePullBackOff", 'Back-off pulling image "me/m@sha256:0"')
    assert (found.name, found.vague) == ("ImagePull", True)


def test_the_registry_secret_that_was_used_is_named() -> None:
    status = container(waiting={"reason": "ErrImagePull", "message": "401"})
    found = container_trouble(
        pod(status, spec={"imagePullSecrets": [{"name": "mine"}]}), status, "sklearn", init=False
    )
    assert found is not None and "with the Secret mine" in found.error.message


def test_the_operators_init_image() -> None:
    found = trouble("ErrImagePull", "i/o timeout", name="init-pytorch", init=True)
    assert "mirror it" in found.error.hint


@pytest.mark.parametrize(
    ("reason", "message", "name", "hint"),
    [
        ("CreateContainerConfigError", 'secret "x" not found', "MissingSecret", "Make what"),
        ("CreateContainerConfigError", 'configmap "x" not found', "Configuration", "Make what"),
        (
            "CreateContainerConfigError",
            "couldn't find key k in Secret ns/x",
            "Configuration",
            "Make what",
        ),
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root",
            "Configuration",
            "USER",
        ),
        ("CreateContainerError", "no command specified", "Creation", "See the message"),
        ("CreateContainerError", "context deadline exceeded", "Runtime", "See the message"),
        ("CreateContainerError", 'the name "x" is reserved for "y"', "Runtime", "See the message"),
        (
            "RunContainerError",
            'exec: "python": executable file not found in $PATH',
            "Creation",
            "has the program",
        ),
    ],
)
def test_configuration(reason: str, message: str, name: str, hint: str) -> None:
    found = trouble(reason, message)
    assert (found.cause, found.name) == ("Creation", name)
    assert type(found.error) is ContainerConfigurationError
    assert found.error.reason == reason and message in found.error.message
    assert hint in found.error.hint


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [
        (ended(1), ScriptFailedError, "ended with exit code 1"),
        ({"exitCode": 137, "reason": "OOMKilled"}, WorkloadOutOfMemoryError, "more memory"),
    ],
)
def test_a_container_that_crashes_again_and_again(
    end: dict[str, Any], kind: type[KaptainError], words: str
) -> None:
    found = trouble("CrashLoopBackOff", "back-off 40s", last=end, restarts=3)
    assert (found.name, type(found.error)) == ("CrashLoop", kind)
    assert words in found.error.message and "started 4 times" in found.error.message
    assert found.error.reason == "CrashLoopBackOff"


def test_an_init_container_that_crashes_again_and_again() -> None:
    found = trouble("CrashLoopBackOff", name="prepare", init=True, last=ended(2), restarts=1)
    assert type(found.error) is InitContainerError
    assert "The container prepare of Pod/j-abc ended with exit code 2." in found.error.message
