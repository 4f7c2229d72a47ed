"""Images built and pushed by us and by buildah: same code, base, registry and machine.

Arrows point at bytes to the registry, and from it; megabytes at the end are the memory of the
biggest process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
"""Where nothing is kept of builds before, neither by us nor by the peer."""
_KEEPING = "keeping base and layers"


@dataclass(frozen=True)
class _Grounds:
    """Where the builds take place.

    Attributes:
        buildah: The peer, or why there is none.
        ours: This package.
        mine: What our builds took so far.
        other: What those of the peer took.
    """

    project: Project
    ours: Ours
    buildah: Buildah | NotMeasured
    relay: Relay
    small: str
    big: str
    mine: list[Built] = field(default_factory=list)
    other: list[Built] = field(default_factory=list)

    def name(self, builder: str, base: str) -> str:
        """Returns the name of the image, in a repository of its own."""
        return f"{self.relay.host}/{builder}/{base.rpartition(':')[2]}:1"

    def we(self, base: str, *, new_pod: bool = False) -> Built:
        """Builds with this package."""
        if new_pod:
            self.ours.forget()
        self.mine.append(self.ours.build(base, self.name("ours", base)))
        return self.mine[-1]

    def they(self, *, new_pod: bool = False) -> list[Built]:
        """Builds on the big base with buildah, if it is there."""
        if isinstance(self.buildah, NotMeasured):
            return []
        if new_pod:
            self.buildah.forget()
        self.other.append(self.buildah.build(self.big, self.name("buildah", self.big)))
        return self.other[-1:]


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
    yield _compared(grounds, f"image: first build {_NEW_POD}, {base}", first, grounds.they())
    yield from _code(grounds, base, runs)
    yield from _requirements(grounds, base, runs)
    yield _memory(grounds)


def _code(grounds: _Grounds, base: str, runs: int) -> Iterator[Result]:
    grounds.we(grounds.small)  # has its requirements
    small, big, bare = [], [], []
    fresh, kept = [], []
    for _ in range(runs):
        grounds.project.change_code()
        small.append(grounds.we(grounds.small))
        big.append(grounds.we(grounds.big))
        fresh += grounds.they(new_pod=True)
        grounds.project.change_code()
        kept += grounds.they()
        bare.append(grounds.we(grounds.big, new_pod=True))
        grounds.we(grounds.small)  # has its requirements again
    what = f"image: code change {_NEW_POD}, {base}"
    yield _compared(grounds, what, bare, fresh, budget=_BUDGET)
    yield _compared(grounds, "the same, our requirements kept", big, fresh)
    yield _compared(grounds, "the same, both keeping what they can", big, kept, of=_KEEPING)
    yield from _flat(grounds, small, big)


def _requirements(grounds: _Grounds, base: str, runs: int) -> Iterator[Result]:
    bare, big = [], []
    fresh, kept = [], []
    for _ in range(runs):
        grounds.project.change_requirements()
        bare.append(grounds.we(grounds.big, new_pod=True))
        fresh += grounds.they(new_pod=True)
        grounds.project.change_requirements()
        big.append(grounds.we(grounds.big))
        kept += grounds.they()
    yield _compared(grounds, f"image: requirements change {_NEW_POD}, {base}", bare, fresh)
    yield _compared(grounds, "the same, both keeping what they can", big, kept, of=_KEEPING)


def _compared(
    grounds: _Grounds,
    what: str,
    ours: Sequence[Built],
    theirs: Sequence[Built],
    *,
    of: str = _NEW_POD,
    budget: str = "",
) -> Result:
    if isinstance(grounds.buildah, NotMeasured):
        why = f"buildah: not measured, {grounds.buildah}"
        return Result(what, _figures(ours), budget, None, why)
    faster = _seconds(theirs) / _seconds(ours)
    return Result(
        what,
        f"{faster:.1f} × faster ({_figures(ours)})",
        budget,
        faster >= _FASTER if budget else None,
        f"buildah ({grounds.buildah.driver}) {of}: {_figures(theirs)}",
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


def _memory(grounds: _Grounds) -> Result:
    mine = _megabytes(grounds.mine)
    return Result(
        "image: memory of the biggest process, all builds",
        f"{mine:.0f} MB",
        f"≤ {_MOST_MEGABYTES} MB",
        mine <= _MOST_MEGABYTES,
        f"buildah {_megabytes(grounds.other):.0f} MB" if grounds.other else "",
    )


def _seconds(builds: Sequence[Built]) -> float:
    return median(built.spent.seconds for built in builds)


def _megabytes(builds: Sequence[Built]) -> float:
    return max(built.spent.megabytes for built in builds)


def _figures(builds: Sequence[Built]) -> str:
    sent, received = builds[-1].sent / 1e6, builds[-1].received / 1e6
    traffic = f"↑ {sent:.2f} MB ↓ {received:.2f} MB"
    return f"{_seconds(builds):.2f} s, {traffic}, {_megabytes(builds):.0f} MB"
