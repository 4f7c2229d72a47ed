"""What all tests share, and the table of injected faults (``--faults``, see ``make faults``)."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.testing.debian import debian_layout
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, proxy_to
from kaptain_kfp.testing.registry import RegistryServer, serve_registry

from .leaking import LEAKS, left_in
from .needs import (
    REGISTRY,
    ROOT,
    SHARED,
    SHARED_FOLDER,
    lack,
    need_programs,
    need_registry,
    required,
)

pytest_plugins = ["kaptain_kfp.testing.plugin"]

# Before anybody imports them.
pytest.register_assert_rewrite(
    *(f"kaptain_kfp.testing.{name}_contract" for name in ("cluster", "runner", "store"))
)

FAULTS = (
    "notebook killed",
    "supervisor killed",
    "executor of a run killed",
    "component killed",
    "shim killed",
    "worker killed",
    "reboot: all processes gone at once, pids reused",
    "SIGTERM of a component, the run goes on",
    "SIGTERM of a component, the run is cancelled",
    "run retried after its job failed",
    "two tasks of one component",
    "one component in a loop",
    "one model trained by two processes at once",
    "disk full",
    "home read-only",
    "home with blanks, unicode, read-only parent",
    "database corrupt",
    "newer version meets older supervisor",
    "clock set back an hour",
    "/tmp full",
    "script leaves background processes",
    "script closes its stdout",
    "50 jobs at once",
)
"""The rows of the table; the argument of the marker `fault` is one of them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="run the faults only; print the table")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(row): injects faults of that row of the table")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("fault"):
            assert mark.args[0] in FAULTS, f"{item.nodeid}: no such row: {mark.args[0]!r}"
    if config.getoption("--faults"):
        chosen = [item for item in items if item.get_closest_marker("fault")]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_left_by_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[Path]]:
    """Searches the folders of what several tests share, once all are over."""
    of_tests: set[Path] = set()
    yield of_tests
    shared = [path for path in tmp_path_factory.getbasetemp().iterdir() if path not in of_tests]
    told = left_in(*(path for path in shared if not path.is_symlink()))
    assert not told, f"a secret is in {', '.join(told)}"


@pytest.fixture(autouse=True)
def no_secret_is_left(
    request: pytest.FixtureRequest, no_secret_is_left_by_servers: set[Path]
) -> Iterator[None]:
    """Searches a test's folder, and its world in there, for secrets, once the test is over."""
    if "tmp_path" not in request.fixturenames:
        yield
        return
    place: Path = request.getfixturevalue("tmp_path")
    no_secret_is_left_by_servers.add(place)
    if "kaptain_home" in request.fixturenames:
        request.getfixturevalue("kaptain_home")  # its pods shall be there still
    yield
    told = left_in(place)
    assert not told, f"a secret is in {', '.join(told)}"


@pytest.fixture
def capsys(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> pytest.CaptureFixture[str]:
    return _reported(capsys, request.node)


@pytest.fixture
def capfd(
    capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> pytest.CaptureFixture[str]:
    return _reported(capfd, request.node)


def _reported(
    captured: pytest.CaptureFixture[str], item: pytest.Item
) -> pytest.CaptureFixture[str]:
    """Puts what a test reads of its output into its report, where it is searched."""
    read = captured.readouterr

    def readouterr() -> Any:
        said = read()
        for stream, text in zip(("stdout", "stderr"), said, strict=True):
            if text:
                item.add_report_section("call", f"{stream} that was read", text)
        return said

    captured.readouterr = readouterr  # type: ignore[method-assign]
    return captured


@pytest.fixture
def injected(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Counts a fault, once it has happened; without it a marked test counts as one.

    A test that takes it and passes without counting any fails: it showed nothing.
    """
    counted: list[tuple[str, object]] = request.node.user_properties

    def count() -> None:
        counted.append(("fault", 1))

    return count


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that anybody may use."""
    need_registry()
    with serve_registry(tmp_path_factory.mktemp("registry") / "images") as server:
        yield server


@pytest.fixture
def proxy(registry: RegistryServer) -> Iterator[FaultyProxy]:
    """What stands before the registry, and has bad days."""
    with proxy_to(registry.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def layout() -> Path:
    """A Debian with a Python, as an OCI layout; kept from one session to the next."""
    need_registry("debootstrap", "umoci", "skopeo", "chroot")
    if os.geteuid():
        lack(REGISTRY, "debootstrap and chroot need the superuser", "run it as root")
    try:
        return debian_layout()
    except subprocess.CalledProcessError as error:
        if required(REGISTRY):
            raise
        pytest.skip(f"debootstrap failed: {error.stderr[-300:]}")


@pytest.fixture
def buildah(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has ``buildah`` work here, and keep what it keeps in a folder of the test."""
    need_programs("buildah")
    if os.geteuid():
        lack(ROOT, "buildah needs user namespaces that many machines lack", "run it as root")
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")
    monkeypatch.setenv("STORAGE_DRIVER", "vfs")
    settings = tmp_path / "storage.conf"
    settings.write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path / "run"}"\n'
        f'graphroot = "{tmp_path / "graph"}"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(settings))


@pytest.fixture
def skopeo() -> Callable[..., Any]:
    """Runs ``skopeo inspect`` on an image, and returns what it says."""
    need_programs("skopeo")

    def inspect(ref: object, *options: str) -> Any:
        done = subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", *options, f"docker://{ref}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return inspect


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the package logs, whether another test has set up its logger or not."""
    logger = logging.getLogger("kaptain-log")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield caplog
    logger.propagate = propagate
    logger.setLevel(level)
    logger.removeHandler(caplog.handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: Any = yield
    mark = item.get_closest_marker("fault")
    if mark is not None and report.when == "call":
        report.user_properties.append(("fault row", mark.args[0]))
        if "injected" not in getattr(item, "fixturenames", ()):
            report.user_properties.append(("fault", 1))
        elif report.passed and not _count(report):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: no fault was injected"
    # by then the sections hold what was printed and logged in all three phases
    if report.when == "teardown":
        told = [name for name, text in report.sections if LEAKS.tells(text)]
        if told and report.passed:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: a secret is in its {', '.join(told)}"
    return report


def _count(report: Any) -> int:
    return sum(1 for name, _ in report.user_properties if name == "fault")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not SHARED_FOLDER.exists():
        terminalreporter.section("less was tested than could be", red=True)
        terminalreporter.write_line(
            f"../{SHARED_FOLDER.name} isn't beside this checkout: nothing was held to the schemas "
            "of the real operators, to recorded answers of a real API server, or to the reference "
            f"of the Kaptain SDK. With {SHARED}=true that is an error."
        )
    if config.getoption("--faults"):
        _print_table(terminalreporter)


def _print_table(terminalreporter: Any) -> None:
    table = _counted(terminalreporter)
    terminalreporter.section("faults")
    width = max(map(len, FAULTS))
    terminalreporter.write_line(f"{'fault':{width}}  injected  survived")
    for row, (count, survived) in table.items():
        short = "" if count and survived == count else "  SHORT"
        terminalreporter.write_line(f"{row:{width}}  {count:8}  {survived:8}{short}")
    total = [sum(column) for column in zip(*table.values(), strict=True)]
    terminalreporter.write_line(f"{'all':{width}}  {total[0]:8}  {total[1]:8}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A row without any fault makes the command fail, as one that wasn't survived does."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    asked = session.config.getoption("--faults") and reporter is not None
    if asked and session.exitstatus == 0 and [0, 0] in _counted(reporter).values():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _counted(reporter: Any) -> dict[str, list[int]]:
    """Returns how many faults of each row were injected, and how many of them survived."""
    table = {row: [0, 0] for row in FAULTS}
    for reports in reporter.stats.values():
        for report in reports:
            row = dict(getattr(report, "user_properties", ())).get("fault row")
            if row is not None and report.when == "call":
                table[row][0] += _count(report)
                table[row][1] += _count(report) if report.passed else 0
    return table
