"""Images built and pushed by us and by buildah: same code, base, registry and machine.

Arrows point at bytes to the registry, and from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.testing.registry import missing_programs, serve_registry

from .image_bases import debian, push_bases
from .image_builders import Buildah, Built, Ours, Project
from .measure import NotMeasured, Result, not_measured
from .relay import Relay, relay_to

__all__ = ["run"]

_FASTER = 10.0
_GROWTH = 1.5
_MOST_MEGABYTES = 64
"""An interpreter with what it has to import is 40 MB, and chunks of 1 MB are read at a time."""
_OVERHEAD = 16 << 10
"""Bytes of requests, of the configuration and of the manifest."""
_BUDGET = f"≥ {_FASTER:g} × faster"
_NEW_POD = "in a new pod"


@dataclass(frozen=True)
class _Grounds:
    """Where the builds take place.

    Attributes:
        buildah: The peer, or why there is none.
    """

    project: Project
    ours: Ours
    buildah: Buildah | NotMeasured
    relay: Relay
    small: str
    big: str

    def name(self, builder: str, base: str) -> str:
        """Returns the name of the image, in a repository of its own."""
        return f"{self.relay.host}/{builder}/{base.rpartition(':')[2]}:1"

    def we(self, base: str) -> Built:
        """Builds with this package."""
        return self.ours.build(base, self.name("ours", base))

    def they(self, *, new_pod: bool = False) -> list[Built]:
        """Builds on the big base with buildah, if it is there."""
        if isinstance(self.buildah, NotMeasured):
            return []
        if new_pod:
            self.buildah.forget()
        return [self.buildah.build(self.big, self.name("buildah", self.big))]


def run(folder: Path, megabytes: int = 1024, runs: int = 3, peer: bool = True) -> Iterator[Result]:
    """Measures builds and pushes, each by a program that is started for it.

    What may be kept from one build to the next decides: we keep packed requirements, buildah keeps
    the base, unpacked, and layers. So both are measured with it, and as in a new pod, without.

    Args:
        folder: An empty folder to work in.
        megabytes: How much the big base has beside what the small one has.
        runs: How often each is measured.
        peer: Whether to measure buildah, too.
    """
    if missing := missing_programs():
        why = NotMeasured(f"there is no {', '.join(missing)}")
        yield not_measured("images in a registry", _BUDGET, why)
        return
    with serve_registry(folder / "registry") as server, relay_to(server.host) as relay:
        project = Project(folder / "work")
        layout: Path | None = None
        buildah: Buildah | NotMeasured = NotMeasured("left out")
        try:
            if peer:
                layout = debian()
                buildah = Buildah(project, relay, folder / "buildah")
        except NotMeasured as trouble:
            buildah = trouble
        small, big = push_bases(relay.host, layout, megabytes)
        grounds = _Grounds(project, Ours(project, relay), buildah, relay, small, big)
        yield from _measure(grounds, f"base + {megabytes / 1024:.2g} GB", runs)


def _measure(grounds: _Grounds, base: str, runs: int) -> Iterator[Result]:
    first = [grounds.we(grounds.big)]
    yield _compared(grounds, f"image: first build, {base}", first, grounds.they(), of=_NEW_POD)
    small, big = [grounds.we(grounds.small)], []
    fresh, kept, bare = [], [], []
    for _ in range(runs):
        grounds.project.change_code()
        small.append(grounds.we(grounds.small))
        big.append(grounds.we(grounds.big))
        fresh += grounds.they(new_pod=True)
        grounds.project.change_code()
        kept += grounds.they()
        grounds.ours.forget()
        bare.append(grounds.we(grounds.big))
        grounds.we(grounds.small)  # has its requirements again
    code = f"image: code change, {base}"
    yield _compared(grounds, code, bare, fresh, of=_NEW_POD, budget=_BUDGET)
    yield _compared(grounds, "the same, our requirements kept", big, fresh, of=_NEW_POD)
    yield _compared(grounds, "the same, both keeping what they can", big, kept)
    yield from _flat(grounds, small[1:], big)
    required, theirs = [], []
    for _ in range(runs):
        grounds.project.change_requirements()
        required.append(grounds.we(grounds.big))
        theirs += grounds.they()
    yield _compared(grounds, f"image: requirements change, {base}", required, theirs)
    yield _memory([*first, *small, *big, *bare, *required], fresh)


def _compared(
    grounds: _Grounds,
    what: str,
    ours: Sequence[Built],
    theirs: Sequence[Built],
    *,
    of: str = "keeping base and layers",
    budget: str = "",
) -> Result:
    mine = _seconds(ours)
    figures = f"{mine:.2f} s, {_traffic(ours[-1])}"
    if isinstance(grounds.buildah, NotMeasured):
        return Result(what, figures, budget, None, f"buildah: not measured, {grounds.buildah}")
    other = _seconds(theirs)
    return Result(
        what,
        f"{other / mine:.1f} × faster ({figures})",
        budget,
        other / mine >= _FASTER if budget else None,
        f"buildah ({grounds.buildah.driver}) {of}: {other:.2f} s, {_traffic(theirs[-1])}",
    )


def _flat(grounds: _Grounds, small: Sequence[Built], big: Sequence[Built]) -> Iterator[Result]:
    growth = _seconds(big) / _seconds(small)
    yield Result(
        "the same, against a small base",
        f"{growth:.2f} ×",
        f"≤ {_GROWTH:g} ×",
        growth <= _GROWTH,
        f"the small base {_seconds(small):.2f} s",
    )
    layer = _code_bytes(grounds)
    sent = max(built.sent for built in big)
    yield Result(
        "the same, bytes sent",
        f"{sent / 1e3:.0f} kB",
        f"≤ the code layer + {_OVERHEAD >> 10} KiB",
        sent <= layer + _OVERHEAD,
        f"the code layer {layer / 1e3:.0f} kB",
    )


def _code_bytes(grounds: _Grounds) -> int:
    with RegistryClient() as client:
        manifest, _ = client.manifest(image_reference(grounds.name("ours", grounds.big)))
    return manifest.layers[-1].size


def _memory(ours: Sequence[Built], theirs: Sequence[Built]) -> Result:
    mine = max(built.spent.megabytes for built in ours)
    other = max((built.spent.megabytes for built in theirs), default=None)
    return Result(
        "image: memory of the biggest process, all builds",
        f"{mine:.0f} MB",
        f"≤ {_MOST_MEGABYTES} MB",
        mine <= _MOST_MEGABYTES,
        f"buildah {other:.0f} MB" if other else "",
    )


def _seconds(builds: Sequence[Built]) -> float:
    return median(built.spent.seconds for built in builds)


def _traffic(built: Built) -> str:
    return f"↑ {built.sent / 1e6:.2f} MB ↓ {built.received / 1e6:.2f} MB"
