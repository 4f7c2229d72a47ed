"""What a builder's end means to whoever builds."""

from __future__ import annotations

import platform
from typing import Any

import pytest

from kaptain_kfp.cluster.diagnose import Phase, Verdict, failure
from kaptain_kfp.components.builder_job import user_of
from kaptain_kfp.components.cluster_builder import (
    COMPONENT_IMAGE_VARIABLE,
    check_platform,
    error_of_builder,
    image_of_step,
    pull_secrets_of,
)
from kaptain_kfp.exceptions import ConfigurationError, ImageBuildException
from kaptain_kfp.image.cluster_install import InstallRequest
from kaptain_kfp.image.in_base import KILLED
from kaptain_kfp.manifests.build import FETCH, INSTALL, PUSH
from kaptain_kfp.specs import ResourcesSpec

OTHER = "arm64" if platform.machine() in ("x86_64", "AMD64") else "amd64"
RESOURCES = ResourcesSpec(memory_limit="1G")
JOB = {
    "kind": "Job",
    "metadata": {"name": "mnist-build-1"},
    "spec": {"template": {"spec": {"containers": [{"name": PUSH}]}}},
}


def ended(container: str, code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    """Returns a builder's pod of which one container ended badly."""
    terminated = {"exitCode": code, "reason": reason, "message": message}
    status = [{"name": container, "state": {"terminated": terminated}}]
    where = "containerStatuses" if container == PUSH else "initContainerStatuses"
    return {
        "metadata": {"name": "mnist-build-1-x"},
        "spec": {},
        "status": {"phase": "Failed", where: status},
    }


def test_a_base_that_does_not_run_where_the_steps_do() -> None:
    request = InstallRequest(
        base="base@sha256:0",
        target="team/mnist:1",
        key="k",
        requirements="r.txt",
        family="OCI",
        platform=f"linux/{OTHER}",
        index={},
    )
    with pytest.raises(ImageBuildException, match=f"base@sha256:0 is for linux/{OTHER}") as caught:
        check_platform(request, "steps:1")
    assert "steps:1" in caught.value.message and "component_image" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("pod", "log", "message", "words"),
    [
        (
            ended(INSTALL, 1),
            "ERROR: No matching distribution found for nope==3",
            "The requirement nope==3 in r.txt can't be installed.",
            "package index",
        ),
        (
            ended(INSTALL, 1),
            "ERROR: something else",
            "Something in r.txt can't be installed.",
            "something else",
        ),
        (
            ended(INSTALL, 64),
            "error: The base image has no python in its PATH.",
            "The builder in the cluster failed: The base image has no python in its PATH.",
            "needs python with pip",
        ),
        (
            ended(INSTALL, 128, "StartError", 'exec: "sh": not found'),
            "",
            "The builder in the cluster failed: Pod mnist-build-1-x never came to its script: its "
            'init container install-requirements ended with exit code 128: exec: "sh": not found',
            "needs sh, and python",
        ),
        (
            ended(INSTALL, 137, "OOMKilled"),
            "Collecting torch",
            "Installing r.txt takes more memory than the builder has (1G).",
            "envs.DOCKER_BUILDER_MEM_LIMIT",
        ),
        (
            ended(INSTALL, 137),
            KILLED,
            "Installing r.txt takes more memory than the builder has (1G).",
            "envs.DOCKER_BUILDER_MEM_LIMIT",
        ),
        (
            ended(PUSH, 137, "OOMKilled"),
            "",
            "Installing r.txt takes more memory than the builder has (1G).",
            "envs.DOCKER_BUILDER_MEM_LIMIT",
        ),
        (
            ended(PUSH, 1),
            "Successfully installed x\nerror: the registry refused",
            "The builder in the cluster failed: the registry refused",
            "image registry",
        ),
        (
            ended(FETCH, 1),
            "error: the bucket is gone",
            "The builder in the cluster failed: the bucket is gone",
            "store",
        ),
    ],
)
def test_what_is_said(pod: dict[str, Any], log: str, message: str, words: str) -> None:
    told = failure(JOB, Verdict(Phase.FAILED), [pod], log, "")
    error = error_of_builder(told, "r.txt", RESOURCES)
    assert error.message == message
    assert words in str(error)
    assert error.resource == "r.txt"


def test_one_that_takes_too_long() -> None:
    told = failure(JOB, Verdict(Phase.FAILED, "DeadlineExceeded"), [], "Building wheel", "")
    error = error_of_builder(told, "r.txt", RESOURCES)
    assert "ran longer than its timeout" in error.message
    assert "wheels" in (error.hint or "")


def test_it_runs_as_the_step_does_but_never_as_the_superuser() -> None:
    assert (user_of(0), user_of(1_000_680_000)) == (1000, 1_000_680_000)


def test_which_image_the_step_runs_in() -> None:
    pod = {
        "spec": {
            "containers": [{"name": "istio-proxy", "image": "p"}, {"name": "main", "image": "m:1"}],
            "imagePullSecrets": [{"name": "of-the-account"}],
        }
    }
    assert image_of_step({}, pod) == "m:1"
    assert image_of_step({COMPONENT_IMAGE_VARIABLE: "n:1"}, pod) == "n:1"
    assert image_of_step({COMPONENT_IMAGE_VARIABLE: "n:1"}, {}) == "n:1"
    assert (pull_secrets_of(pod), pull_secrets_of({})) == (("of-the-account",), ())
    with pytest.raises(ConfigurationError) as caught:
        image_of_step({}, {})
    assert COMPONENT_IMAGE_VARIABLE in (caught.value.hint or "")
