"""What a container's process is given, case by case."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ObjectNotFoundError
from kaptain_kfp.local.podspec import (
    HOST_IMAGE,
    INHERITED,
    ConfigurationTrouble,
    Launch,
    launch_of,
    refers_to,
)

FOLDER = Path("/pods/uid 1")
SECRETS: dict[tuple[str, str], dict[str, Any]] = {
    ("Secret", "s"): {
        "data": {"TOKEN": "aHVzaA==", "raw": base64.b64encode(b"\xff\xfe").decode(), "empty": ""}
    },
    ("Secret", "folded"): {"data": {"k": "aHV\nzaA==\n"}},
    ("Secret", "plain"): {"data": {"k": "aHVzaA=="}, "stringData": {"k": "said"}},
    ("Secret", "damaged"): {"data": {"k": "hush!"}},
    ("Secret", "nul"): {"data": {"k": base64.b64encode(b"a\0b").decode()}},
    ("Secret", "names"): {"data": {"a=b": "aHVzaA=="}},
    ("Secret", "nothing"): {},
    ("ConfigMap", "c"): {"data": {"mode": "fast"}, "binaryData": {"blob": "AQI="}},
    ("ConfigMap", "outside"): {"data": {"../../etc": "x"}},
}


def lookup(kind: str, name: str) -> Mapping[str, Any]:
    try:
        return SECRETS[kind, name]
    except KeyError:
        raise ObjectNotFoundError(name) from None


def launch(
    *,
    container: Mapping[str, Any] | None = None,
    volumes: Any = (),
    inherited: Mapping[str, str] | None = None,
    image: Mapping[str, str] | None = None,
    entrypoint: tuple[str, ...] = ("python", "main.py"),
    **metadata: Any,
) -> Launch:
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", **metadata},
        "spec": {
            "nodeName": "host",
            "containers": [{"name": "main", **(container or {})}],
            "volumes": volumes,
        },
    }
    return launch_of(
        pod,
        FOLDER,
        lookup,
        entrypoint=entrypoint,
        inherited=inherited or {},
        image_environment=image or {},
    )


def env(*variables: Any, sources: Any = (), **facts: Any) -> dict[str, str]:
    container = {"env": list(variables), "envFrom": sources}
    return dict(launch(container=container, **facts).environment)


def value(name: str, text: str) -> dict[str, str]:
    return {"name": name, "value": text}


def ref(name: str, source: str, /, **selector: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": {source: selector}}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("<$(A)$(A)>", "<11>"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$(PATH)", "$(PATH)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(A$(A)", "$(A$(A)"),
        ("$()", "$()"),
        ("$(a b)", "$(a b)"),
        ("$(dotted.name-1)", "2"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    variables = [value("A", "1"), value("dotted.name-1", "2")]
    made = launch(
        container={"command": ["run", text], "args": [text], "env": [*variables, value("B", text)]},
        inherited={"PATH": "/bin"},
    )
    assert made.command == ("run", expanded, expanded)
    assert made.environment["B"] == expanded


def test_a_variable_sees_only_those_before_it() -> None:
    told = env(value("A", "$(B)"), value("B", "b"), value("C", "$(A)$(B)"), value("B", "$(B)c"))
    assert told == {"A": "$(B)", "B": "bc", "C": "$(B)b"}


def test_what_was_expanded_is_not_expanded_again() -> None:
    assert env(value("A", "$$(B)"), value("B", "b"), value("C", "$(A)"))["C"] == "$(B)"


@pytest.mark.parametrize(
    ("container", "command"),
    [
        ({}, ("python", "main.py")),
        ({"args": ["--lr", "1"]}, ("python", "main.py", "--lr", "1")),
        ({"command": ["sh"], "args": ["-c"]}, ("sh", "-c")),
        ({"command": [], "args": None}, ("python", "main.py")),
    ],
)
def test_an_own_command_replaces_the_images(
    container: dict[str, Any], command: tuple[str, ...]
) -> None:
    assert launch(container=container).command == command


def test_without_any_command_nothing_can_start() -> None:
    with pytest.raises(ConfigurationTrouble, match="no command specified"):
        launch(entrypoint=())


SOURCES: list[tuple[Any, dict[str, str]]] = [
    (ref("X", "secretKeyRef", name="s", key="TOKEN"), {"X": "hush"}),
    (ref("X", "secretKeyRef", name="s", key="empty"), {"X": ""}),
    (ref("X", "secretKeyRef", name="folded", key="k"), {"X": "hush"}),
    (ref("X", "secretKeyRef", name="plain", key="k"), {"X": "said"}),
    (ref("X", "secretKeyRef", name="s", key="none", optional=True), {}),
    (ref("X", "secretKeyRef", name="none", key="k", optional=True), {}),
    (ref("X", "configMapKeyRef", name="c", key="mode"), {"X": "fast"}),
    (ref("X", "fieldRef", fieldPath="metadata.name"), {"X": "p"}),
    (ref("X", "fieldRef", fieldPath="metadata.namespace"), {"X": "n"}),
    (ref("X", "fieldRef", fieldPath="metadata.uid"), {"X": "u"}),
    (ref("X", "fieldRef", fieldPath="spec.nodeName"), {"X": "host"}),
    (ref("X", "fieldRef", fieldPath="spec.serviceAccountName"), {"X": "default"}),
    (ref("X", "fieldRef", fieldPath="status.podIP"), {"X": "127.0.0.1"}),
    (ref("X", "fieldRef", fieldPath="metadata.labels['a/b.c']"), {"X": "label"}),
    (ref("X", "fieldRef", fieldPath="metadata.annotations['a']"), {"X": "note"}),
    (ref("X", "fieldRef", fieldPath="metadata.labels['none']"), {"X": ""}),
]


@pytest.mark.parametrize(("variable", "expected"), SOURCES)
def test_where_a_value_may_come_from(variable: Any, expected: dict[str, str]) -> None:
    assert env(variable, labels={"a/b.c": "label"}, annotations={"a": "note"}) == expected


def test_whole_objects_become_variables() -> None:
    told = env(
        value("TOKEN", "own"),
        value("SEES", "$(p_mode)"),
        sources=[
            {"secretRef": {"name": "s"}},
            {"prefix": "p_", "configMapRef": {"name": "c"}},
            {"secretRef": {"name": "none", "optional": True}},
            {"secretRef": {"name": "nothing"}},
        ],
    )
    raw = b"\xff\xfe".decode(errors="surrogateescape")
    assert told == {
        "TOKEN": "own",
        "raw": raw,
        "empty": "",
        "p_mode": "fast",
        "p_blob": "\x01\x02",
        "SEES": "fast",
    }


def test_bytes_that_are_no_text_arrive_as_they_are() -> None:
    told = env(ref("X", "secretKeyRef", name="s", key="raw"))
    program = "import os, sys; sys.stdout.buffer.write(os.environb[b'X'])"
    through_the_note = json.loads(json.dumps(told))
    done = subprocess.run(
        [sys.executable, "-c", program], env=through_the_note, capture_output=True, check=True
    )
    assert done.stdout == b"\xff\xfe"


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (ref("X", "secretKeyRef", name="s", key="none"), "couldn't find key none in Secret s"),
        (ref("X", "secretKeyRef", name="none", key="k"), 'secret "none" not found'),
        (ref("X", "configMapKeyRef", name="none", key="k"), 'configmap "none" not found'),
        (ref("X", "secretKeyRef", name="damaged", key="k"), 'key "k" in secret "damaged" is not'),
        (ref("X", "secretKeyRef", name="nul", key="k"), "the variable X has a NUL character"),
        (ref("X", "fieldRef", fieldPath="spec.containers"), "fieldPath 'spec.containers' isn't"),
        (ref("X", "resourceFieldRef", resource="limits.cpu"), "isn't supported on this machine"),
        (value("", "x"), "'' can't be the name of a variable"),
        (value("a=b", "x"), "'a=b' can't be the name of a variable"),
    ],
)
def test_what_can_not_be_given_is_named(variable: Any, message: str) -> None:
    with pytest.raises(ConfigurationTrouble, match=message) as caught:
        env(variable)
    assert "hush" not in str(caught.value)


def test_missing_sources_and_impossible_names() -> None:
    with pytest.raises(ConfigurationTrouble, match='secret "none" not found'):
        env(sources=[{"secretRef": {"name": "none"}}])
    with pytest.raises(ConfigurationTrouble, match="'a=b' can't be the name of a variable"):
        env(sources=[{"secretRef": {"name": "names"}}])
    with pytest.raises(ConfigurationTrouble, match="a word of the command has a NUL character"):
        launch(container={"command": ["a\0b"]})


INHERITED_OR_NOT = {
    True: "PATH HOME USER LOGNAME SHELL LANG LC_ALL LC_CTYPE TZ TMPDIR LD_LIBRARY_PATH "
    "LD_PRELOAD DYLD_LIBRARY_PATH DYLD_INSERT_LIBRARIES XDG_CACHE_HOME SSL_CERT_FILE SSL_CERT_DIR "
    "REQUESTS_CA_BUNDLE CURL_CA_BUNDLE http_proxy HTTPS_PROXY no_proxy ALL_PROXY "
    "CUDA_HOME CUDA_PATH CUDA_PATH_V12 NVIDIA_VISIBLE_DEVICES PIP_INDEX_URL UV_CACHE_DIR "
    "PYTHONDONTWRITEBYTECODE",
    False: "AWS_SECRET_ACCESS_KEY AWS_PROFILE RANK WORLD_SIZE MASTER_ADDR TF_CONFIG PYTHONPATH "
    "PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV KAPTAIN_HOME KAPTAIN_POD KAPTAIN_TARGET "
    "KAPTAIN_SUPERVISOR_IDLE_SECONDS KF_PIPELINES_ENDPOINT S3_ENDPOINT MY_PATH PATHS path "
    "HOMEPAGE OMP_NUM_THREADS MODEL_LIFECYCLE_PHASE DEBUG PWD OLDPWD",
}


@pytest.mark.parametrize(
    ("name", "passes"),
    [(name, passes) for passes, names in INHERITED_OR_NOT.items() for name in names.split()],
)
def test_what_is_inherited(name: str, passes: bool) -> None:
    assert (INHERITED.fullmatch(name) is not None) is passes
    assert (name in env(inherited={name: "x"})) is passes


def test_who_wins() -> None:
    inherited = {"PATH": "machine", "HOME": "machine", "LANG": "machine"}
    image = {"PATH": "image", "HOME": "image", "OMP_NUM_THREADS": "image"}
    own = [value("PATH", "own"), value("MKL_NUM_THREADS", "own")]
    told = launch(
        container={"env": own, "resources": {"limits": {"cpu": 2}}},
        inherited=inherited,
        image=image,
    ).environment
    assert (told["PATH"], told["HOME"], told["LANG"]) == ("own", "image", "machine")
    assert (told["OMP_NUM_THREADS"], told["MKL_NUM_THREADS"]) == ("2", "own")


@pytest.mark.parametrize(
    ("cpu", "threads"),
    [("2", "2"), (2, "2"), ("500m", "1"), (0.5, "1"), ("1500m", "2"), ("1e0", "1"), ("1e1", "10"),
     ("0", "1"), ("2.5", "3"), ("2k", "2000")],
)  # fmt: skip
def test_a_cpu_limit_becomes_thread_counts(cpu: Any, threads: str) -> None:
    made = launch(container={"resources": {"limits": {"cpu": cpu}}})
    assert set(made.environment.values()) == {threads}
    assert len(made.environment) == 5


@pytest.mark.parametrize("resources", [{}, None, {"limits": None}, {"requests": {"cpu": 1}}])
def test_without_a_limit_there_are_no_thread_counts(resources: Any) -> None:
    assert launch(container={"resources": resources}).environment == {}


def test_an_impossible_limit_is_named() -> None:
    with pytest.raises(ConfigurationTrouble, match=r"resources\.limits\.cpu='two'"):
        launch(container={"resources": {"limits": {"cpu": "two"}}})


@pytest.mark.parametrize(
    ("image", "needs"), [(HOST_IMAGE, None), ("a/b@sha256:1", "a/b@sha256:1"), (None, None)]
)
def test_which_image_it_needs(image: str | None, needs: str | None) -> None:
    container = {"name": "main"} if image is None else {"name": "main", "image": image}
    assert refers_to(container) == needs


def test_paths_are_put_in_place_once() -> None:
    """Also where the home itself lies below what is mounted."""
    made = launch(
        container={
            "command": ["run", "--out=$(OUT)/x", "$(OUT)"],
            "env": [value("OUT", "/pods/o")],
            "volumeMounts": [{"name": "scratch", "mountPath": "/pods"}],
        },
        volumes=[{"name": "scratch", "emptyDir": {}}],
    )
    place = str(FOLDER / "volumes" / "scratch")
    assert made.environment["OUT"] == f"{place}/o"
    assert made.command == ("run", f"--out={place}/o/x", f"{place}/o")
    assert made.folders == (Path(place),)
