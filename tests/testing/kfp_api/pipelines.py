"""Pipelines that tests submit."""

# No postponed annotations here: kfp reads the types of a pipeline's parameters as they are.
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl, kubernetes

IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tell(run_id: str, dag: str, task: str, n: int) -> str:
    import json
    import os

    own = ("GREETING", "KF_PIPELINES_ENDPOINT", "KUBECONFIG")
    seen = {name: v for name, v in os.environ.items() if name in own or "KAPTAIN_" in name}
    seen.pop("KAPTAIN_POD")  # the mark of all processes of a pod
    return json.dumps({"run": run_id, "dag": dag, "task": task, "n": n, "seen": seen})


WHO: dict[str, Any] = {
    "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    "dag": dsl.PIPELINE_TASK_ID_PLACEHOLDER,
    "task": dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
}


@dsl.pipeline(name="telling")
def telling(n: int = 3) -> str:
    return tell(n=n, **WHO).output  # type: ignore[no-any-return]


@dsl.pipeline(name="inner")
def inner(n: int):  # type: ignore[no-untyped-def]
    tell(n=n, **WHO)
    tell(n=n, **WHO)


@dsl.pipeline(name="everywhere")
def everywhere(n: int = 1):  # type: ignore[no-untyped-def]
    first = tell(n=n, **WHO)
    inner(n=n).after(first)
    with dsl.ParallelFor([10, 20]) as number:
        tell(n=number, **WHO)
    with dsl.If(n == 2):
        tell(n=n, **WHO)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def count(place: str, gate: str) -> str:
    import pathlib
    import signal
    import sys
    import time

    def leave(number, frame):  # type: ignore[no-untyped-def]
        pathlib.Path(place, "told").touch()
        sys.exit(143)

    signal.signal(signal.SIGTERM, leave)
    with pathlib.Path(place, "starts").open("a") as file:
        file.write("x")
    while gate and not pathlib.Path(place, gate).exists():
        time.sleep(0.02)
    return "counted"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def need(place: str, what: str, who: str) -> str:
    import pathlib

    with pathlib.Path(place, "tries").open("a") as file:
        file.write(who + "\n")
    if not pathlib.Path(place, what).exists():
        raise FileNotFoundError(what)
    return f"{what} for {who}"


@dsl.pipeline(name="counting")
def counting(place: str, gate: str = ""):  # type: ignore[no-untyped-def]
    count(place=place, gate=gate)


@dsl.pipeline(name="two-steps")
def two_steps(place: str):  # type: ignore[no-untyped-def]
    counted = count(place=place, gate="")
    who = f"{dsl.PIPELINE_JOB_ID_PLACEHOLDER}/{dsl.PIPELINE_TASK_ID_PLACEHOLDER}"
    need(place=place, what=counted.output, who=who)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def reveal() -> str:
    import os
    import pathlib
    import stat

    path = pathlib.Path("/mnt/creds/token")
    there = path.exists()
    mode = oct(stat.S_IMODE(path.stat().st_mode)) if there else ""
    return " ".join([os.environ.get("TOKEN", "none"), path.read_text() if there else "none", mode])


@dsl.pipeline(name="secretive")
def secretive(secret: str = "creds"):  # type: ignore[no-untyped-def]
    told = reveal()
    kubernetes.use_secret_as_env(told, secret_name=secret, secret_key_to_env={"token": "TOKEN"})
    kubernetes.use_secret_as_volume(told, secret_name=secret, mount_path="/mnt/creds")


@dsl.pipeline(name="discreet")
def discreet(secret: str = "creds"):  # type: ignore[no-untyped-def]
    told = reveal()
    kubernetes.use_secret_as_env(
        told, secret_name=secret, secret_key_to_env={"token": "TOKEN"}, optional=True
    )
    kubernetes.use_secret_as_volume(
        told, secret_name=secret, mount_path="/mnt/creds", optional=True
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def model_at(uri: str, model: dsl.Output[dsl.Model]):  # type: ignore[no-untyped-def]
    model.uri = uri


@dsl.pipeline(name="placing")
def placing(uri: str):  # type: ignore[no-untyped-def]
    model_at(uri=uri)


def package(pipeline: Any, folder: Path) -> str:
    """Compiles a pipeline; returns the file."""
    path = folder / f"{pipeline.name}.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return str(path)


def documents(pipeline: Any) -> list[Any]:
    """Returns the documents that a pipeline compiles to."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(package(pipeline, Path(folder))).read_text("utf-8")
    return list(yaml.safe_load_all(text))
