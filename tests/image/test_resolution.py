from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.image.resolution import Package, Resolution, parse_report

MARKERS = {"sys_platform": "linux", "python_version": "3.12"}

NAMES = "abcdefgh"
graphs = st.dictionaries(
    st.sampled_from(NAMES), st.tuples(st.sets(st.sampled_from(NAMES)), st.booleans()), min_size=1
)


def resolution(graph: dict[str, tuple[set[str], bool]]) -> Resolution:
    return Resolution(
        tuple(
            Package(name, "1", tuple(sorted(needs)), () if asked else None)
            for name, (needs, asked) in sorted(graph.items())
        )
    )


@settings(deadline=None)
@given(graphs, st.sets(st.sampled_from(NAMES)))
def test_what_is_kept_is_needed_and_what_is_needed_is_kept(
    graph: dict[str, tuple[set[str], bool]], names: set[str]
) -> None:
    found = resolution(graph).without(names, MARKERS)
    kept = set(found.versions)
    assert not kept & names
    assert kept | set(found.excluded) == set(graph)
    for name, (_, asked) in graph.items():
        needed = asked or any(name in graph[other][0] for other in kept - {name})
        if name not in names and not needed:
            assert name not in kept
        if name not in names and needed:
            assert name in kept


def test_markers_and_extras_decide_what_is_needed() -> None:
    packages = (
        Package("app", "1", ("middle[deep,wide]", "mac ; sys_platform == 'darwin'"), ()),
        Package("middle", "1", ("low ; extra == 'deep'", "other ; extra == 'unasked'")),
        *(Package(name, "1") for name in ("low", "mac", "other")),
    )
    found = Resolution(packages).without((), MARKERS)
    assert set(found.versions) == {"app", "middle", "low"}
    assert found.excluded == ("mac", "other")


def test_pins_have_digests_all_or_none() -> None:
    one, two = Package("a", "1", sha256="00"), Package("b", "2", url="https://example.com/b.whl")
    assert Resolution((one,)).pins() == ["a==1 --hash=sha256:00"]
    assert Resolution((one, two)).pins() == ["a==1", "b @ https://example.com/b.whl"]
    assert Resolution((one, two)).pins(leave_out={"b"}) == ["a==1 --hash=sha256:00"]


def test_a_report_is_read() -> None:
    report = {
        "install": [
            {
                "download_info": {
                    "url": "https://example.com/App-1-py3-none-any.whl",
                    "archive_info": {"hashes": {"sha256": "00"}},
                },
                "is_direct": True,
                "requested": True,
                "requested_extras": ["more"],
                "metadata": {"name": "My.App", "version": "1", "requires_dist": ["low>1"]},
            },
            {
                "download_info": {"url": "https://example.com/low-2-py3-none-any.whl"},
                "is_direct": False,
                "requested": False,
                "metadata": {"name": "low", "version": "2"},
            },
        ]
    }
    url = "https://example.com/App-1-py3-none-any.whl"
    assert parse_report(report).packages == (
        Package("my-app", "1", ("low>1",), ("more",), url, "00"),
        Package("low", "2"),
    )
