"""Kubernetes settings of a step as a pod, from what `kfp.kubernetes` really compiles."""

# No postponed annotations here: kfp reads the types of a pipeline's parameters as they are.
from typing import Any

import pytest

from kaptain_kfp.local.podspec import ConfigurationTrouble, launch_of
from kaptain_kfp.runs.step_pod import executors_of, needs_pod, pod_of, with_names


@pytest.fixture
def settings() -> dict[str, Any]:
    from google.protobuf import json_format
    from kfp import dsl, kubernetes

    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def step() -> None: ...

    @dsl.pipeline(name="p")
    def pipeline(secret: str, config: str) -> None:
        task = step()
        kubernetes.use_secret_as_env(
            task, secret_name=secret, secret_key_to_env={"key": "KEY", "other": "OTHER"}
        )
        kubernetes.use_secret_as_volume(
            task, secret_name="fixed", mount_path="/mnt/creds", optional=True
        )
        kubernetes.use_config_map_as_env(
            task, config_map_name=config, config_map_key_to_env={"level": "LEVEL"}
        )
        kubernetes.use_config_map_as_volume(task, config_map_name="cm", mount_path="/mnt/cm")
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit="1Gi")
        kubernetes.use_field_path_as_env(task, "WHERE", "metadata.namespace")
        kubernetes.add_pod_label(task, "team", "a")
        kubernetes.use_field_path_as_env(task, "TEAM", "metadata.labels['team']")

    (found,) = executors_of(json_format.MessageToDict(pipeline.platform_spec)).values()
    return dict(found)


def named(settings: dict[str, Any]) -> dict[str, Any]:
    """Says where the names that are parameters come from, as the launcher gets it."""
    for entries in settings.values():
        for entry in entries if isinstance(entries, list) else ():
            for key in ("secretNameParameter", "configMapNameParameter"):
                source = entry.get(key, {})
                if "componentInputParameter" in source:
                    entry[key] = {"input": source["componentInputParameter"]}
                elif source:
                    entry[key] = {"input": source["runtimeValue"]["constant"]}
    return settings


OBJECTS = {
    ("Secret", "mine"): {"stringData": {"key": "k$(KEY)", "other": "o"}},
    ("Secret", "fixed"): {"stringData": {"token": "t"}},
    ("ConfigMap", "yours"): {"data": {"level": "high"}},
    ("ConfigMap", "cm"): {"data": {"a.txt": "text"}},
}


def test_what_a_step_gets(settings: dict[str, Any], tmp_path: Any) -> None:
    values = {"secret": "mine", "config": "yours", "fixed": "fixed", "cm": "cm"}
    with_own = with_names(named(settings), values)
    command = ["sh", "-c", "cat '/mnt/creds/token' $HOME $(KEY) $$", "--at=/dev/shm"]
    pod = pod_of(with_own, command, "inner.step", "team-a")
    launch = launch_of(
        pod,
        tmp_path,
        lambda kind, name: OBJECTS[kind, name],
        entrypoint=(),
        inherited={},
        image_environment={},
    )
    assert launch.environment == {
        "KEY": "k$(KEY)",
        "OTHER": "o",
        "LEVEL": "high",
        "WHERE": "team-a",
        "TEAM": "a",
    }
    volumes = tmp_path / "volumes"
    assert launch.files == {
        volumes / "volume-0" / "token": b"t",
        volumes / "volume-1" / "a.txt": b"text",
    }
    assert launch.command[2] == f"cat '{volumes}/volume-0/token' $HOME $(KEY) $$"
    assert launch.command[3] == f"--at={volumes}/volume-2"


def test_the_settings_are_left_as_they_are(settings: dict[str, Any]) -> None:
    given = named(settings)
    before = str(given)
    with_names(given, {"secret": "a", "config": "b", "fixed": "c", "cm": "d"})
    assert str(given) == before


def test_a_claim_is_refused(tmp_path: Any) -> None:
    claim = {"pvcMount": [{"mountPath": "/data", "constant": "c"}]}
    assert needs_pod(claim)
    pod = pod_of(claim, ["true"], "s", "default")
    with pytest.raises(ConfigurationTrouble, match="persistentVolumeClaim"):
        launch_of(
            pod,
            tmp_path,
            lambda kind, name: {},
            entrypoint=(),
            inherited={},
            image_environment={},
        )


def test_what_means_nothing_here() -> None:
    assert not needs_pod({"nodeSelector": {"labels": {"gpu": "yes"}}, "imagePullPolicy": "Always"})
    assert executors_of(None) == executors_of({"platforms": {}}) == {}
