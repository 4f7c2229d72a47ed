from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ImageBuildException, ModelValidationException
from kaptain_kfp.image.dockerfile.context import Context
from kaptain_kfp.image.dockerfile.instructions import read
from kaptain_kfp.image.dockerfile.interpreter import (
    NeedsTool,
    Outcome,
    base_of,
    interpret,
    pulled,
)

BASE = {
    "Env": ["PATH=/usr/bin", "KEPT=yes"],
    "WorkingDir": "/srv",
    "Entrypoint": ["/own"],
    "Cmd": ["own"],
    "Labels": {"theirs": "1"},
}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    for path in ("app.py", "requirements.txt", "src/net.py", "src/deep/layers.py", "data.tar.gz"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path, encoding="utf-8")
    return Context.of(tmp_path, ["app.py", "requirements.txt", "src", "data.tar.gz"])


def made(context: Context, *lines: str, base: dict[str, Any] | None = None) -> Outcome:
    instructions = read("\n".join(["FROM a", *lines]))
    assert base_of(instructions) == "a"
    return interpret(instructions, BASE if base is None else base, context)


def places(outcome: Outcome) -> list[dict[str, str]]:
    """Returns of each copy where files go, and which ones."""
    return [
        {path: file.path for path, file in copy.files.items() if not file.folder}
        for copy in outcome.copies
    ]


def test_settings(context: Context) -> None:
    outcome = made(
        context,
        "ARG VERSION=2",
        'ENV PATH=/app/bin:$PATH NAME="a b" V=${VERSION}',
        "ENV OLD form of it",
        "LABEL a=$NAME b=2",
        "WORKDIR /app",
        "WORKDIR sub",
        "USER 1000:1000",
        "EXPOSE 80 53/udp",
        'CMD ["x", "$NAME"]',
    )
    assert outcome.settings == {
        "Env": ["PATH=/app/bin:/usr/bin", "KEPT=yes", "NAME=a b", "V=2", "OLD=form of it"],
        "WorkingDir": "/app/sub",
        "Entrypoint": ["/own"],
        "Cmd": ["x", "$NAME"],
        "Labels": {"theirs": "1", "a": "a b", "b": "2"},
        "User": "1000:1000",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    }
    assert BASE["Env"] == ["PATH=/usr/bin", "KEPT=yes"]


@pytest.mark.parametrize(
    ("lines", "entrypoint", "command"),
    [
        (["ENTRYPOINT python app.py"], ["/bin/sh", "-c", "python app.py"], None),
        (['CMD ["x"]', 'ENTRYPOINT ["y"]'], ["y"], ["x"]),
        (["CMD x > y"], ["/own"], ["/bin/sh", "-c", "x > y"]),
        (["CMD []"], ["/own"], []),
        (["ENTRYPOINT []"], [], None),
        (['CMD ["x"]', "ENTRYPOINT []"], [], ["x"]),
        (["RUN pip install a", "ENTRYPOINT []", "CMD []"], [], []),
    ],
)
def test_what_is_run(
    context: Context, lines: list[str], entrypoint: list[str], command: list[str] | None
) -> None:
    settings = made(context, *lines).settings
    assert (settings["Entrypoint"], settings.get("Cmd")) == (entrypoint, command)


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("COPY app.py .", {"/srv/app.py": "app.py"}),
        ("COPY app.py /x/", {"/x/app.py": "app.py"}),
        ("COPY app.py /x/main.py", {"/x/main.py": "app.py"}),
        ("COPY app.py other.py", {"/srv/other.py": "app.py"}),
        ("COPY ./app.py /srv", {"/srv/app.py": "app.py"}),
        (
            'COPY ["app.py", "requirements.txt", "/x"]',
            {
                "/x/app.py": "app.py",
                "/x/requirements.txt": "requirements.txt",
            },
        ),
        ("ADD src /x", {"/x/net.py": "src/net.py", "/x/deep/layers.py": "src/deep/layers.py"}),
        ("COPY src/*.py /x/", {"/x/net.py": "src/net.py"}),
        (
            "COPY *.py *.txt /x/",
            {
                "/x/app.py": "app.py",
                "/x/requirements.txt": "requirements.txt",
            },
        ),
        ("COPY data.tar.gz /x/", {"/x/data.tar.gz": "data.tar.gz"}),
        (
            "COPY . .",
            {
                "/srv/app.py": "app.py",
                "/srv/requirements.txt": "requirements.txt",
                "/srv/src/net.py": "src/net.py",
                "/srv/src/deep/layers.py": "src/deep/layers.py",
                "/srv/data.tar.gz": "data.tar.gz",
            },
        ),
    ],
)
def test_copies(context: Context, line: str, files: dict[str, str]) -> None:
    assert places(made(context, line)) == [files]


def test_requirements_come_from_where_they_were_copied(context: Context) -> None:
    outcome = made(
        context,
        "WORKDIR /app",
        "COPY requirements.txt ./reqs.txt",
        "ARG SIX=1.16",
        "RUN pip install -r reqs.txt six==$SIX",
        'CMD ["python", "-m", "app"]',
    )
    assert asked(outcome) == [[f"-r {context.base / 'requirements.txt'}", "six==1.16"]]


def asked(outcome: Outcome) -> list[list[str]]:
    return [list(install.lines) for install in outcome.installs]


def test_variables_are_told_to_pip_from_where_they_are_set(context: Context) -> None:
    outcome = made(
        context,
        "RUN pip install before",
        "ARG PIP_INDEX_URL=https://a/simple",
        "ENV PIP_NO_CACHE_DIR=1 PIP_TRUSTED_HOST=a",
        "COPY requirements.txt /c.txt",
        "ARG PIP_CONSTRAINT=/c.txt",
        "RUN pip install one && pip install two",
        base={"Env": ["PIP_EXTRA_INDEX_URL=https://b"]},
    )
    told = [
        "-i https://a/simple",
        f"-c {context.base / 'requirements.txt'}",
        "--extra-index-url https://b",
        "--trusted-host a",
    ]
    assert asked(outcome) == [
        ["--extra-index-url https://b", "before"],
        [*told, "one"],
        [*told, "two"],
    ]


def test_a_variable_that_nothing_stands_for(context: Context) -> None:
    with pytest.raises(NeedsTool, match="line 3: RUN pip install a: PIP_TARGET, which is set"):
        made(context, "ENV PIP_TARGET=/opt/mine", "RUN pip install a")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("RUN apt-get update", "line 2: RUN apt-get update: it does more than pip"),
        ("RUN pip install -r requirements.txt", "line 2: RUN .*it does more than pip"),
        ("RUN <<EOF\nx\nEOF", "following lines"),
        ("COPY --chown=1 app.py /x/", "its options"),
        ("ADD data.tar.gz /x/", "archives"),
        ("ADD https://example.com/a /x/", "isn't among the files"),
        ("COPY app.py /opt", "/opt may be a folder of the base"),
        ("HEALTHCHECK CMD x", "isn't among those"),
        ("EXPOSE 80-90", "ranges of ports"),
        ("RUN curl https://ann:secret@a.b", r"RUN curl https://\*\*\*@a\.b: it does more"),
        ('SHELL ["bash"]', "isn't among those"),
        ("ENV A='$B'", "dollar sign"),
        ("ENV A=\\$B", "dollar sign"),
        ("RUN pip install a\nCMD gunicorn app", "line 3: CMD gunicorn app: 'gunicorn' may be"),
    ],
)
def test_what_needs_a_tool(context: Context, line: str, why: str) -> None:
    with pytest.raises(NeedsTool, match=why):
        made(context, line)


@pytest.mark.parametrize(
    ("line", "trouble"),
    [
        ("COPY lost.py /x/", "line 2: COPY lost.py /x/: 'lost.py' is not among the files"),
        ("COPY ../app.py /x/", "is not among the files"),
        ("COPY app.py", "what is copied, and where to"),
        ("ENV A=b C", "name=value"),
        ("EXPOSE http", "'http' is no port"),
        ("WORKDIR", "it takes 1 words"),
        ('LABEL a="b', "No closing quotation"),
    ],
)
def test_what_is_wrong(context: Context, line: str, trouble: str) -> None:
    with pytest.raises(ImageBuildException, match=trouble):
        made(context, line)


def test_the_base_is_named() -> None:
    assert base_of(read("FROM python:3.11-slim AS base\nUSER 1")) == "python:3.11-slim"
    assert base_of(read("ARG TAG=3.11\nFROM python:${TAG}")) == "python:3.11"


@pytest.mark.parametrize(
    "content",
    ["FROM a\nFROM b", "FROM scratch", "FROM --platform=linux/arm64 a"],
)
def test_bases_that_need_a_tool(content: str) -> None:
    with pytest.raises(NeedsTool):
        base_of(read(content))


@pytest.mark.parametrize(
    "line",
    [
        "RUN true",
        'RUN ["true"]',
        "RUN apt-get install b=$V",
        "RUN pip install $A && apt-get install ${B:-c} ${D#e}",
        'RUN ["apt-get", "install", "$a"]',
        "RUN pip install $(cat $A)",
        "ADD a.tgz /x",
        "ADD a http://b /x",
        "SHELL a",
        "ENV A='$B'",
    ],
)
def test_no_base_is_asked_for_what_needs_a_tool_on_any(line: str) -> None:
    with pytest.raises(NeedsTool, match="line 2"):
        base_of(read(f"FROM a\n{line}"))


@pytest.mark.parametrize(
    "line",
    [
        "RUN $A install b",
        "RUN $A",
        "RUN $A python -m pip install b",
        "RUN ${A} -m pip install b",
        "RUN python3.$A -m pip install -r $B/c.txt d==${E:-1} && pip install $F",
        'RUN ["pip", "install", "$a"]',
        "ADD a /b.tgz",
        "COPY a.tgz /b",
    ],
)
def test_what_may_be_followed_on_some_base(line: str) -> None:
    assert base_of(read(f"FROM a\n{line}")) == "a"


def test_images_of_all_mounts_are_pulled() -> None:
    mounts = "--mount=type=bind,from=b.c/d,target=/d --mount=type=cache,target=/e"
    assert pulled(read(f"FROM a\nRUN {mounts} true")) == ["a", "b.c/d"]


@pytest.mark.parametrize("content", ["USER 1\nFROM a", "ARG A=1", "FROM a b"])
def test_bases_that_are_wrong(content: str) -> None:
    with pytest.raises(ImageBuildException, match="FROM"):
        base_of(read(content))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelValidationException, match=r"files\[0\]: 'lost'"):
        Context.of(tmp_path, ["lost"])
    with pytest.raises(ModelValidationException, match="outside"):
        Context.of(tmp_path, ["/etc/passwd"])
