from __future__ import annotations

import pytest

from kaptain_kfp.image.dockerfile.pip_command import pip_requirements, pip_variables


def nowhere(_: str) -> None:
    return None


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("pip install numpy", [["numpy"]]),
        ("pip3 install --no-cache-dir -U 'numpy>=1.26' six==1.16", [["numpy>=1.26", "six==1.16"]]),
        ("python3 -m pip install numpy && pip install six", [["numpy"], ["six"]]),
        (
            "/usr/bin/python3.11 -m pip install 'a[x]; python_version>\"3\"'",
            [['a[x]; python_version>"3"']],
        ),
        (
            "pip install -i https://a/simple --extra-index-url=https://b x",
            [["-i https://a/simple", "--extra-index-url https://b", "x"]],
        ),
        (["pip", "install", "a>1"], [["a>1"]]),
        ("pip install six==1.16 # pin for py2 compat", [["six==1.16"]]),
        ("pip install six #'s old && ls", [["six"]]),
        ("pip install six &&# more\tof it\npip install numpy", [["six"], ["numpy"]]),
        ("pip install 'a @ https://b/a.tar#egg=a' \"c # d\"", None),
        ("pip install 'six # not a comment'", [["six # not a comment"]]),
        ("pip install six#1 'a#2'", [["six#1", "a#2"]]),
        (["pip", "install", "six", "#"], [["six", "#"]]),
        ("pip install six && # nothing", None),
        ("# pip install six", None),
        ("pip install # six", None),
        ("pip install six 'unclosed # six", None),
        ("pip install numpy>=1.26", None),
        ("pip install numpy; ls", None),
        ("pip install numpy || true", None),
        ("pip install $(cat list)", None),
        ("pip install `cat list`", None),
        ("apt-get update && pip install numpy", None),
        ("PIP_NO_CACHE_DIR=1 pip install numpy", None),
        ("pip install .", None),
        ("pip install ./wheels/a.whl", None),
        ("pip install -e src", None),
        ("pip install --target /x numpy", None),
        ("pip install git+https://example.com/a.git", None),
        ("pip install 'a @ git+https://example.com/a.git'", None),
        ("pip install -r missing.txt", None),
        ("pip install 'unclosed", None),
        ("pip uninstall numpy", None),
        ("pip install", None),
    ],
)
def test_what_pip_installs(command: str | list[str], lines: list[list[str]] | None) -> None:
    assert pip_requirements(command, nowhere) == lines


def test_files_are_those_of_this_machine() -> None:
    places = {"r.txt": "/here/r.txt", "/c.txt": "/here/c.txt"}
    found = pip_requirements("pip install -r r.txt --constraint=/c.txt", places.get)
    assert found == [["-r /here/r.txt", "-c /here/c.txt"]]


@pytest.mark.parametrize(
    ("name", "value", "lines"),
    [
        ("PIP_INDEX_URL", "https://a/simple", ["-i https://a/simple"]),
        ("PIP_EXTRA_INDEX_URL", "b c", ["--extra-index-url b", "--extra-index-url c"]),
        ("PIP_TRUSTED_HOST", "a", ["--trusted-host a"]),
        ("PIP_CONSTRAINT", "/c.txt", ["-c /here/c.txt"]),
        ("PIP_CONSTRAINT", "/c.txt /lost.txt", None),
        ("PIP_TARGET", "/x", None),
        ("PIP_NO_INDEX", "1", None),
    ],
)
def test_what_variables_say(name: str, value: str, lines: list[str] | None) -> None:
    assert pip_variables({name: value}, {"/c.txt": "/here/c.txt"}.get) == {name: lines}


def test_variables_that_make_no_difference() -> None:
    known = {
        "PIP_NO_CACHE_DIR": "1",
        "PIP_TARGET": "",
        "PIPX_HOME": "/x",
        "PYTHON_PIP_VERSION": "9",
    }
    assert pip_variables(known, nowhere) == {}
