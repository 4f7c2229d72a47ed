from __future__ import annotations

from kaptain_kfp.manifests.names import ANNOTATION_SPEC_HASH
from kaptain_kfp.model.standins import StandIns


def test_what_was_made_up_is_shown_as_placeholders() -> None:
    made = StandIns()
    identity = made.identity
    assert made.builder.suffix != identity.suffix
    shown = made.shown(
        {
            "name": f"m-job-{identity.suffix}",
            "labels": {"revision": identity.revision, "run": made.run_id},
            "image": f"registry.example:5000/me/m@sha256:{made.digest}",
            "list": [{"uri": f"s3://b/m/trained/{identity.revision}"}, 1, None],
            "builder": f"m-build-{made.builder.suffix} of {made.builder.revision}: {made.size}",
            ANNOTATION_SPEC_HASH: "0123456789abcdef",
        }
    )
    assert shown == {
        "name": "m-job-<suffix>",
        "labels": {"revision": "<revision>", "run": "<run>"},
        "image": "registry.example:5000/me/m@sha256:<digest>",
        "list": [{"uri": "s3://b/m/trained/<revision>"}, 1, None],
        "builder": "m-build-<suffix> of <revision>: <size>",
        ANNOTATION_SPEC_HASH: "<spec-hash>",
    }


def test_they_are_made_up_anew_each_time() -> None:
    one, other = StandIns(), StandIns()
    assert one.identity == one.identity
    assert {one.run_id, one.digest, one.identity.suffix}.isdisjoint(
        {other.run_id, other.digest, other.identity.suffix}
    )
