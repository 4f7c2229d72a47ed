from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from datetime import datetime, timedelta, timezone

import pytest

from kaptain_kfp.display import age_text, fact_text, print_facts, print_rows, to_html, to_text

ROWS = [
    {"name": "a", "state": "Succeeded", "message": ""},
    {"name": "longer", "state": "Failed", "message": "x" * 300},
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    return Terminal()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0s"),
        (0, "0s"),
        (45.9, "45s"),
        (119, "119s"),
        (180, "3m"),
        (7199, "119m"),
        (7200, "2h"),
        (2 * 86_400 - 1, "47h"),
        (12 * 86_400, "12d"),
    ],
)
def test_ages(seconds: float, expected: str) -> None:
    assert age_text(timedelta(seconds=seconds)) == expected


def test_plain_text_is_aligned_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, title="Jobs")
    assert capsys.readouterr().out.splitlines() == [
        "Jobs",
        "NAME    STATE      MESSAGE",
        "a       Succeeded",
        "longer  Failed     " + "x" * 300,
    ]


def test_wide_characters_keep_the_columns_aligned() -> None:
    rows = [{"name": "模型", "state": "Ready"}, {"name": "abcd", "state": "Ready"}]
    assert to_text(rows).splitlines() == ["NAME  STATE", "模型  Ready", "abcd  Ready"]


def test_a_cell_stays_in_its_line_and_gives_the_terminal_no_orders() -> None:
    rows = [{"message": "one\ntwo\t\x1b[31mred\x07", "state": "x"}]
    assert to_text(rows).splitlines()[1] == "one two [31mred  x"


@pytest.mark.parametrize(("empty", "expected"), [("Nothing.", "Nothing.\n"), ("", "")])
def test_no_rows(capsys: pytest.CaptureFixture[str], empty: str, expected: str) -> None:
    print_rows([], title="Jobs", empty=empty)
    assert capsys.readouterr().out == expected
    assert to_text([]) == ""


def test_states_are_coloured_on_a_terminal_and_long_cells_folded(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        print_rows(ROWS, title="Jobs")
    shown = terminal.getvalue()
    assert "\x1b[32mSucceeded" in shown
    assert "\x1b[31mFailed" in shown
    assert shown.count("x") == 300
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines())) <= 60


def test_only_the_last_column_is_folded(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        print_rows([{"id": "i" * 70, "state": "Ready", "message": "m" * 70}])
    assert "i" * 70 + "  " in terminal.getvalue()
    assert "m" * 20 + "\n" in terminal.getvalue()


def test_only_the_state_is_coloured_and_no_markup_is_obeyed(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        print_rows([{"name": "failed [bold]x[/bold]", "state": "odd"}])
    body = terminal.getvalue().splitlines()[1]
    assert body.rstrip() == "failed [bold]x[/bold]  odd"


def test_html_escapes_everything() -> None:
    made = to_html([{"<na&me>": "<script>alert('x')</script>", "state": '"q"'}])
    assert made == (
        "<table><thead><tr><th>&lt;na&amp;me&gt;</th><th>state</th></tr></thead><tbody><tr>"
        "<td>&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;</td><td>&quot;q&quot;</td>"
        "</tr></tbody></table>"
    )
    assert to_html([]) == "<table></table>"


def test_facts_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"loss": {"latest": 0.5, "min": 0.1}, "acc": {"latest": 1}}
    print_facts({"id": "m", "model_uri": None, "metrics": metrics, "labels": ["a", "b"]})
    assert capsys.readouterr().out.splitlines() == [
        "Id:       m",
        "Metrics:  loss = latest 0.5, min 0.1",
        "          acc = latest 1",
        "Labels:   a, b",
    ]


def test_no_facts(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"error": None})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "expected"), [(None, ""), (True, "yes"), (False, "no"), (0, "0"), ("x", "x")]
)
def test_fact_texts(value: object, expected: str) -> None:
    assert fact_text(value) == expected


def test_times_are_told_in_the_zone_of_this_machine() -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert datetime.fromisoformat(fact_text(moment)).astimezone() == moment
