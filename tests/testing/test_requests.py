from __future__ import annotations

from kaptain_kfp.testing.requests import Asked, Requests


def test_counts_by_method_template_and_verb() -> None:
    requests = Requests()
    for asked in (
        Asked("GET", "/pods", "list"),
        Asked("GET", "/pods", "watch"),
        Asked("GET", "/pods", "list"),
        Asked("POST", "/pods", "create"),
    ):
        requests.note(asked)
    assert requests.count() == 4
    assert requests.count(method="GET") == 3
    assert requests.count(verb="list") == 2
    assert requests.count(template="/pods", verb="watch") == 1
    assert requests.count(template="/jobs") == 0
    assert requests.by_kind()[Asked("GET", "/pods", "list")] == 2
    requests.reset()
    assert requests.count() == 0
