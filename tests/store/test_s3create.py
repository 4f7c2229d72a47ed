from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, Request, proxy_to
from kaptain_kfp.testing.s3 import s3_error

KEYS = 20
CREATE = f"""
import os, sys
from kaptain_kfp.store.s3 import S3Store
store = S3Store(sys.argv[1], os.environ)
print("ready", flush=True)
sys.stdin.readline()
data = str(os.getpid()).encode() * 1000
print(*(key for key in range({KEYS}) if store.create(f"m/records/{{key}}.json", data)))
"""


@pytest.fixture
def before_moto(moto: S3ConfigurationProvider) -> Iterator[FaultyProxy]:
    with proxy_to(moto.s3_endpoint or "") as proxy:
        yield proxy


@pytest.fixture
def lossy(moto: S3ConfigurationProvider, uri: str, before_moto: FaultyProxy) -> S3Store:
    """A store on a server that minds conditions, behind a proxy."""
    return S3Store(uri, {**moto.get_secret_body(), "S3_ENDPOINT": before_moto.url})


def is_creation(request: Request) -> bool:
    return request.method == "PUT" and request.headers.get("if-none-match") == "*"


def test_it_is_found_out_which_kind_the_server_is(
    lossy: S3Store, before_moto: FaultyProxy, faulty: S3Store, proxy: FaultyProxy
) -> None:
    for store, seen, requests in (
        (lossy, before_moto, ["PUT"]),
        (faulty, proxy, ["HEAD", "PUT", "GET"]),
    ):
        assert store.create("first", b"1")
        seen.requests.clear()
        assert store.create("second", b"2")
        assert [request.method for request in seen.requests] == requests
        assert not store.create("second", b"3")
        assert store.read("second") == b"2"
    assert (lossy._link.conditional, faulty._link.conditional) == (True, False)


def test_of_many_processes_one_creates(
    conditional: S3Store, moto: S3ConfigurationProvider, uri: str
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, uri],
            env=moto.get_secret_body(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    won: dict[str, str] = {}
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        for key in process.communicate()[0].split():
            assert key not in won
            won[key] = str(process.pid)
    assert len(won) == KEYS
    for key, pid in won.items():
        assert conditional.read(f"m/records/{key}.json") == pid.encode() * 1000


def test_an_answer_that_was_lost(lossy: S3Store, before_moto: FaultyProxy) -> None:
    """The repeated request meets its own object."""
    assert lossy.create("known", b"")
    before_moto.lose_answer(when=is_creation)
    assert lossy.create("a", b"ours")
    before_moto.lose_answer(when=is_creation)
    assert not lossy.create("a", b"others")
    assert lossy.read("a") == b"ours"


def test_an_answer_that_was_lost_at_the_very_first(
    lossy: S3Store, before_moto: FaultyProxy
) -> None:
    before_moto.lose_answer(when=is_creation)
    assert lossy.create("a", b"ours")
    assert lossy._link.conditional is True
    before_moto.heal()
    assert not lossy.create("a", b"ours")


def test_writes_that_meet_are_repeated(lossy: S3Store, before_moto: FaultyProxy) -> None:
    before_moto.answer(409, s3_error("ConditionalRequestConflict"), when=is_creation, times=3)
    assert lossy.create("a", b"1")
    before_moto.answer(409, s3_error("ConditionalRequestConflict"), when=is_creation, times=None)
    with pytest.raises(StoreError, match="ConditionalRequestConflict"):
        lossy.create("b", b"1")
    assert lossy.size("b") is None


def test_a_server_that_knows_no_conditions(faulty: S3Store, proxy: FaultyProxy) -> None:
    proxy.answer(501, s3_error("NotImplemented"), when=is_creation, times=None)
    assert faulty.create("a", b"1")
    assert not faulty.create("a", b"2")
    assert faulty.read("a") == b"1"


def test_without_conditions_who_is_overwritten_learns_it(
    store: S3Store, faulty: S3Store, proxy: FaultyProxy
) -> None:
    """Another process writes between our write and our reading back."""
    assert faulty.create("known", b"")

    def overwrite(request: Request) -> bool:
        if request.method == "GET" and request.path.endswith("/a"):
            store.write("a", b"others")
        return False

    proxy.delay(0, when=overwrite, times=None)
    assert not faulty.create("a", b"ours")
    assert faulty.read("a") == b"others"


def test_without_conditions_what_is_deleted_at_once_was_created(
    store: S3Store, faulty: S3Store, proxy: FaultyProxy
) -> None:
    assert faulty.create("known", b"")

    def remove(request: Request) -> bool:
        if request.method == "GET" and request.path.endswith("/a"):
            store.delete("a")
        return False

    proxy.delay(0, when=remove, times=None)
    assert faulty.create("a", b"ours")
