"""A private certificate authority, given as text to a process that knows nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from kaptain_kfp.platform._s3 import s3_client
from kaptain_kfp.platform._trust import certificates, public_authorities
from kaptain_kfp.testing.s3 import S3Server, isolate_aws, serve_s3

AUTHORITY = trustme.CA()
PEM = AUTHORITY.cert_pem.bytes().decode()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    isolate_aws(monkeypatch)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    issued = AUTHORITY.issue_cert("127.0.0.1")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    with serve_s3(tmp_path / "s3", "models", certificate=(certificate, key)) as server:
        yield server


def settings(server: S3Server, authorities: str) -> dict[str, str]:
    body = server.provider().get_secret_body()
    return {**body, "S3_CA_CERTIFICATES": authorities}


def buckets(server: S3Server, authorities: str = PEM) -> list[str]:
    found = s3_client(settings(server, authorities)).list_buckets()["Buckets"]
    return [bucket["Name"] for bucket in found]


def file_of(server: S3Server) -> str:
    """Returns the file with the authorities of a client that is given one more."""
    file: str = s3_client(settings(server, PEM))._endpoint.http_session._verify
    return file


def trusted(server: S3Server) -> set[str]:
    return {*certificates(Path(file_of(server)).read_text("latin-1"))}


def test_the_given_authority_is_trusted_beside_the_public_ones(server: S3Server) -> None:
    assert buckets(server) == ["models"]
    public = certificates(public_authorities().read_text("latin-1"))
    assert trusted(server) == {*public, *certificates(PEM)}


def test_another_authority_is_not(server: S3Server) -> None:
    for other in ("", trustme.CA().cert_pem.bytes().decode()):
        with pytest.raises(Exception, match="certificate verify failed"):
            buckets(server, other)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An authority that the process trusts, and that isn't the store's."""
    path = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    return path


def test_a_python_that_has_no_files_in_memory(
    server: S3Server, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert buckets(server) == ["models"]
    assert file_of(server).startswith(tempfile.gettempdir())


def test_beside_that_of_the_process(server: S3Server, other: Path) -> None:
    assert buckets(server) == ["models"]
    assert trusted(server) == {*certificates(other.read_text()), *certificates(PEM)}


def test_what_the_process_trusts_already_stays_its_own_file(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.pem"
    mine.write_text(f"what it is\n{PEM}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(mine))
    assert file_of(server) == str(mine)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is a temporary file")
def test_nothing_is_written_to_any_disk(server: S3Server, tmp_path: Path) -> None:
    """Several processes, forked ones among them, none of which has a folder to write to."""
    program = (
        "import os, sys; from kaptain_kfp.platform._s3 import s3_client\n"
        "client = s3_client(os.environ)\n"
        "pid = os.fork()\n"
        "assert len(client.list_buckets()['Buckets']) == 1\n"
        "if pid: sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    environment = {**os.environ, **settings(server, PEM), "TMPDIR": str(tmp_path / "none")}
    processes = [
        subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(2)
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert file_of(server).startswith("/proc/self/fd/")
