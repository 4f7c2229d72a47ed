from __future__ import annotations

from collections.abc import Callable

import pytest

from . import needs

MISSING = pytest.mark.parametrize(
    ("variable", "need", "named"),
    [
        (needs.REGISTRY, lambda: needs.need_registry("no-such-program"), "no-such-program"),
        (needs.FRAMEWORKS, lambda: needs.need_modules("json", "no_module"), "no_module"),
        (needs.SHARED, lambda: needs.need_shared("a", "b"), "../shared/a/b"),
    ],
)


@MISSING
@pytest.mark.parametrize("value", [None, "", "0", "false"])
def test_who_lacks_something_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    need: Callable[[], object],
    named: str,
    value: str | None,
) -> None:
    monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)
    with pytest.raises(pytest.skip.Exception, match=named):
        need()


@MISSING
def test_who_lacks_what_is_required_fails(
    monkeypatch: pytest.MonkeyPatch, variable: str, need: Callable[[], object], named: str
) -> None:
    monkeypatch.setenv(variable, "true")
    with pytest.raises(pytest.fail.Exception, match=f"{variable} is set, but .*{named}"):
        need()


def test_what_is_wanted_only_if_there_is_required_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(needs.SHARED, raising=False)
    assert needs.shared_if_there("a") is None
    monkeypatch.setenv(needs.SHARED, "true")
    with pytest.raises(pytest.fail.Exception, match="a isn't beside this checkout"):
        needs.shared_if_there("a")
