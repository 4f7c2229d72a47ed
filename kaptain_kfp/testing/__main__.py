"""Serves the faces of a local world by hand: ``python -m kaptain_kfp.testing``."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import click

from kaptain_kfp.exceptions import KaptainError

from .faults import CONTROL
from .homes import end_home
from .kfp_api import serve_kfp
from .kubernetes_api import serve_kubernetes

__all__ = ["main"]


@click.command()
@click.option("--kubernetes-port", type=int, default=0, help="0: one that is free.")
@click.option("--kfp-port", type=int, default=0, help="Kubeflow Pipelines; 0: one that is free.")
@click.option("--kubelet", type=click.Choice(["real", "off"]), default="real", show_default=True)
@click.option("--operators", type=click.Choice(["on", "off"]), default="on", show_default=True)
@click.option(
    "--crds",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with CustomResourceDefinitions, whose schemas objects are held to.",
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the local world; else a new one, which goes when this ends.",
)
def main(
    kubernetes_port: int,
    kfp_port: int,
    kubelet: str,
    operators: str,
    crds: Path | None,
    home: Path | None,
) -> None:
    """Serve a local world as a cluster until SIGINT or SIGTERM."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _setting(over))
    with _plain_errors(), ExitStack() as stack:
        if home is None:
            home = stack.enter_context(_temporary_world())
        face = stack.enter_context(
            serve_kubernetes(
                home,
                kubelet=kubelet == "real",
                operators=operators == "on",
                crds=crds,
                port=kubernetes_port,
            )
        )
        pipelines = stack.enter_context(serve_kfp(home, kubernetes=face.kubeconfig, port=kfp_port))
        click.echo(f"Kubernetes: {face.url}")
        click.echo(f"KUBECONFIG={face.kubeconfig}")
        click.echo(f"KF_PIPELINES_ENDPOINT={pipelines.url}")
        click.echo(f'faults: curl -d \'{{"do": "drop"}}\' {face.url}{CONTROL}')
        over.wait()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Tells trouble in one sentence."""
    try:
        yield
    except (KaptainError, OSError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _temporary_world() -> Iterator[Path]:
    """Yields the folder of a new world; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="kaptain-") as folder:
        try:
            yield Path(folder)
        finally:
            end_home(Path(folder))


def _setting(event: threading.Event) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        event.set()

    return handle


if __name__ == "__main__":
    main()
