"""Builds on real registries; what comes out is judged by skopeo and umoci."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from kaptain_kfp.exceptions import (
    ImageBuildException,
    ImageNotFoundError,
    ModelValidationException,
    RegistryAuthError,
    RegistryError,
    RegistryUnavailableError,
)
from kaptain_kfp.image.builder import Recipe, build_image
from kaptain_kfp.image.current import find_image
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan
from kaptain_kfp.image.oci import Descriptor, Family, Platform
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.image.registry.patience import Patience
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelIdentity
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, proxy_to
from kaptain_kfp.testing.registry import RegistryServer, serve_registry
from kaptain_kfp.testing.token_server import serve_tokens

from ..needs import need_registry
from .registry.conftest import QUICK, fresh, host_of, push_image

IDENTITY = ModelIdentity(
    id="dev/mnist",
    name="MNIST",
    description="",
    version="1.0",
    framework="pytorch",
    framework_version="2.4",
)
BASE = {"Env": ["PATH=/usr/bin", "PYTHON_VERSION=3.11"], "User": "1000", "Entrypoint": ["/own"]}


def plan(path: str, content: bytes) -> LayerPlan:
    return LayerPlan(f"test {path}", (LayerEntry(path, 0o644, content),))


def recipe(
    target: ImageReference | str,
    base: ImageReference | str,
    *,
    code: bytes = b"print(1)",
    more: Sequence[LayerPlan] = (),
    **options: Any,
) -> Recipe:
    image = ImageSpec(name=str(target), base_image=str(base), checksum=code.hex())
    layers = (*more, plan("kaptain/main.py", code))
    return Recipe(image, IDENTITY, "main.py", lambda _, __: layers, **options)


class Builds:
    """Builds images, and keeps what was said."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.said: list[str] = []
        self.client = RegistryClient(patience=QUICK)

    def __call__(self, recipe: Recipe, **options: Any) -> BuiltImage:
        options.setdefault("client", self.client)
        return build_image(recipe, scratch=self.scratch, log=self.said.append, **options)


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Builds]:
    builds = Builds(tmp_path / "scratch")
    yield builds
    builds.client.close()
    assert list(builds.scratch.glob("*")) == []


@pytest.fixture
def base(registry: RegistryServer, build: Builds) -> ImageReference:
    ref = fresh(registry.host, "library/base")
    push_image(build.client, ref, content=b"base" * 1000, config=BASE)
    return ref


@pytest.fixture
def target(registry: RegistryServer) -> ImageReference:
    return fresh(registry.host)


def through(proxy: FaultyProxy, ref: ImageReference) -> ImageReference:
    return replace(ref, registry=host_of(proxy))


def sent(proxy: FaultyProxy) -> int:
    return sum(request.length for request in proxy.requests)


@pytest.mark.parametrize("family", list(Family))
def test_what_is_built_is_the_base_and_more(
    build: Builds,
    registry: RegistryServer,
    target: ImageReference,
    skopeo: Callable[..., Any],
    family: Family,
) -> None:
    base = fresh(registry.host, "library/base")
    below = push_image(build.client, base, family=family, config=BASE)
    built = build(recipe(target, base, environment={"A": "b"}))

    told = skopeo(target)
    assert built == BuiltImage(
        name=str(target),
        reference=f"{target.name}@{told['Digest']}",
        checksum=b"print(1)".hex(),
        built=True,
        base=f"{base}@{skopeo(base)['Digest']}",
    )
    assert told["Layers"][0] == below.layers[0].digest
    assert len(told["Layers"]) == 2
    assert told["Labels"]["checksum"] == built.checksum
    assert told["Labels"]["org.opencontainers.image.base.name"] == str(base)
    assert told["Labels"]["org.opencontainers.image.base.digest"] == skopeo(base)["Digest"]
    config = skopeo(target, "--config")
    assert config["config"]["Entrypoint"] == ["python", "-u", "main.py"]
    assert config["config"]["User"] == "1000"
    assert {"PYTHON_VERSION=3.11", "A=b"} <= set(config["config"]["Env"])
    layers = [entry for entry in config["history"] if not entry.get("empty_layer")]
    assert len(layers) == len(config["rootfs"]["diff_ids"]) == 2
    manifest = skopeo(target, "--raw")
    assert manifest["mediaType"] == family.manifest
    assert {layer["mediaType"] for layer in manifest["layers"]} == {family.layer}
    assert manifest["config"]["mediaType"] == family.config


def test_others_can_unpack_it(
    build: Builds, base: ImageReference, target: ImageReference, tmp_path: Path
) -> None:
    need_registry("skopeo", "umoci")
    build(recipe(target, base, more=[plan("opt/kaptain/site-packages/a.py", b"A = 1")]))
    layout = tmp_path / "layout"
    run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{target}", f"oci:{layout}:x")
    run("umoci", "unpack", "--rootless", "--image", f"{layout}:x", str(tmp_path / "bundle"))
    root = tmp_path / "bundle" / "rootfs"
    assert (root / "file").read_bytes() == b"base" * 1000
    assert (root / "kaptain/main.py").read_bytes() == b"print(1)"
    assert (root / "opt/kaptain/site-packages/a.py").read_bytes() == b"A = 1"
    process = json.loads((tmp_path / "bundle" / "config.json").read_text())["process"]
    assert process["args"] == ["python", "-u", "main.py"]
    assert process["cwd"] == "/kaptain"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_same_content_has_the_same_digest(
    build: Builds, base: ImageReference, registry: RegistryServer
) -> None:
    first, second = (build(recipe(fresh(registry.host), base)) for _ in range(2))
    assert first.reference.partition("@")[2] == second.reference.partition("@")[2]


def test_an_unchanged_image_costs_two_requests(
    build: Builds, base: ImageReference, target: ImageReference, proxy: FaultyProxy
) -> None:
    first = build(recipe(target, base))
    name = through(proxy, target)
    again = build(recipe(name, through(proxy, base), code=b"print(1)"))
    assert (again.built, again.reference.partition("@")[2]) == (
        False,
        first.reference.partition("@")[2],
    )
    assert [request.method for request in proxy.requests] == ["GET", "GET"]
    found = find_image(recipe(name, base).image, build.client)
    assert found == again


def test_an_unchanged_image_costs_four_requests_with_a_token(build: Builds, tmp_path: Path) -> None:
    need_registry()
    with (
        serve_tokens(tmp_path, {"ann": "word"}) as tokens,
        serve_registry(tmp_path / "images", token=tokens.auth) as server,
        proxy_to(server.endpoint) as proxy,
    ):
        login = {"auths": {host_of(proxy): {"username": "ann", "password": "word"}}}
        base, target = fresh(host_of(proxy)), fresh(host_of(proxy))
        with RegistryClient(Credentials(login), patience=QUICK) as client:
            push_image(client, base, config=BASE)
            assert build(recipe(target, base), client=client).built
        proxy.requests.clear()
        tokens.requests.clear()
        with RegistryClient(Credentials(login), patience=QUICK) as client:
            assert not build(recipe(target, base), client=client).built
        assert len(proxy.requests) + len(tokens.requests) == 4


def test_changed_code_sends_the_code_only(
    build: Builds, base: ImageReference, target: ImageReference, proxy: FaultyProxy
) -> None:
    requirements = plan("opt/kaptain/site-packages/a.py", bytes(range(256)) * 4000)
    target, base = through(proxy, target), through(proxy, base)
    build(recipe(target, base, more=[requirements]))
    proxy.requests.clear()
    assert build(recipe(target, base, code=b"print(2)", more=[requirements])).built
    assert sent(proxy) < 5000
    # neither the base nor the requirements are asked for
    assert not any("mount=" in request.path for request in proxy.requests)
    assert len(proxy.requests) <= 12
    assert any("is there already" in line for line in build.said)


def test_layers_of_the_last_build_that_are_gone(
    build: Builds, base: ImageReference, target: ImageReference, registry: RegistryServer
) -> None:
    requirements = plan("opt/kaptain/site-packages/a.py", b"A = 1")
    build(recipe(target, base, more=[requirements]))
    lost = build.client.image(target).manifest.layers[1]
    lose(registry, target, lost.digest)
    assert build(recipe(target, base, code=b"print(2)", more=[requirements])).built
    assert any("has lost layers of the last build" in line for line in build.said)
    assert build.client.has_blob(target, lost.digest)


def lose(registry: RegistryServer, ref: ImageReference, digest: str) -> None:
    path = f"{registry.endpoint}/v2/{ref.repository}/blobs/{digest}"
    answer = urllib3.PoolManager().request("DELETE", path, headers={"Connection": "close"})
    assert answer.status == 202


def test_an_image_whose_configuration_is_gone_is_built_anew(
    build: Builds, base: ImageReference, target: ImageReference, registry: RegistryServer
) -> None:
    build(recipe(target, base))
    lost = build.client.image(target).manifest.config
    lose(registry, target, lost.digest)
    assert build.client.find(target) is None
    assert build(recipe(target, base)).built
    assert build.client.image(target).manifest.config == lost


def test_the_base_is_mounted(
    build: Builds, base: ImageReference, target: ImageReference, proxy: FaultyProxy
) -> None:
    build(recipe(through(proxy, target), through(proxy, base)))
    assert [r.method for r in proxy.requests if "mount=" in r.path] == ["POST"]
    assert not any(f"{base.repository}/blobs/sha256" in r.path for r in layer_gets(proxy))


def layer_gets(proxy: FaultyProxy) -> list[Any]:
    # one is of the base's configuration
    return [r for r in proxy.requests if r.method == "GET" and "/blobs/" in r.path][1:]


def test_a_base_elsewhere_is_copied(
    build: Builds, base: ImageReference, tmp_path: Path, skopeo: Callable[..., Any]
) -> None:
    with serve_registry(tmp_path / "images") as other:
        target = fresh(other.host)
        assert build(recipe(target, base)).built
        assert skopeo(target)["Layers"][0] == skopeo(base)["Layers"][0]
        assert any(f"bytes copied from {base.registry}" in line for line in build.said)


def test_the_base_stays_until_it_is_refreshed(
    build: Builds, base: ImageReference, target: ImageReference, skopeo: Callable[..., Any]
) -> None:
    build(recipe(target, base))
    first = skopeo(base)["Digest"]
    push_image(build.client, base, content=b"new base", config=BASE)
    second = skopeo(base)["Digest"]
    assert first != second

    def base_of() -> str:
        return str(skopeo(target)["Labels"]["org.opencontainers.image.base.digest"])

    assert not build(recipe(target, base)).built
    assert build(recipe(target, base, code=b"print(2)")).built
    assert base_of() == first
    assert build(recipe(target, base, code=b"print(2)"), refresh_base=True).built
    assert base_of() == second
    assert skopeo(target)["Layers"][0] == skopeo(base)["Layers"][0]
    assert not build(recipe(target, base, code=b"print(2)"), refresh_base=True).built


def test_a_base_that_is_gone_is_looked_up_anew(
    build: Builds, base: ImageReference, target: ImageReference, registry: RegistryServer
) -> None:
    build(recipe(target, base))
    first = build.client.manifest(base)[1].digest
    push_image(build.client, base, content=b"new base", config=BASE)
    path = f"{registry.endpoint}/v2/{base.repository}/manifests/{first}"
    answer = urllib3.PoolManager().request("DELETE", path, headers={"Connection": "close"})
    assert answer.status == 202
    assert build(recipe(target, base, code=b"print(2)")).built
    assert any("isn't there any more" in line for line in build.said)


def test_another_base_replaces_the_first(
    build: Builds, base: ImageReference, target: ImageReference, registry: RegistryServer
) -> None:
    build(recipe(target, base))
    other = fresh(registry.host, "library/base")
    push_image(build.client, other, content=b"other", config=BASE)
    assert build(recipe(target, other, code=b"print(2)")).built
    labels = build.client.image(target).labels
    assert labels["org.opencontainers.image.base.name"] == str(other)


def test_what_others_pushed_under_the_name_is_replaced(
    build: Builds, base: ImageReference, target: ImageReference
) -> None:
    push_image(build.client, target, content=b"theirs")
    assert build(recipe(target, base)).built


def test_the_registry_of_the_configuration(
    build: Builds, base: ImageReference, registry: RegistryServer
) -> None:
    target = fresh(registry.host)
    built = build(recipe(f"{target.repository}:1", base), registry_url=f"http://{registry.host}/")
    assert built.name == f"{target.repository}:1"
    assert built.reference.startswith(f"{target.name}@sha256:")
    assert build.client.find(target) is not None


def test_the_same_code_for_another_platform(
    build: Builds, registry: RegistryServer, target: ImageReference
) -> None:
    arm = Platform("linux", "arm64")
    bases = {}
    for platform in (Platform(), arm):
        bases[platform] = fresh(registry.host, "library/base")
        push_image(build.client, bases[platform], platform=platform, config=BASE)
    first = recipe(target, bases[Platform()])
    build(first)
    assert find_image(first.image, build.client, platform=arm) is None
    with pytest.raises(ImageNotFoundError, match="isn't there for linux/arm64"):
        build(replace(first, platform=arm))
    assert build(recipe(target, bases[arm], platform=arm)).built
    assert build.client.image(target, arm).platform == arm


def test_layers_that_are_not_to_be_pushed(
    build: Builds, base: ImageReference, target: ImageReference, skopeo: Callable[..., Any]
) -> None:
    manifest, _ = build.client.manifest(base)
    elsewhere = Descriptor(
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        f"sha256:{7:064x}",
        7,
        urls=("https://elsewhere.example/layer",),
    )
    layers = (*manifest.layers, elsewhere)
    build.client.push_manifest(base, replace(manifest, layers=layers))
    build(recipe(target, base))
    assert skopeo(target, "--raw")["layers"][1] == elsewhere.to_json()


def test_zstd(build: Builds, base: ImageReference, target: ImageReference, tmp_path: Path) -> None:
    need_registry("skopeo")
    build(recipe(target, base, compression=Compression.ZSTD))
    layout = tmp_path / "layout"
    run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{target}", f"oci:{layout}:x")
    manifest, _ = build.client.manifest(target)
    assert manifest.layers[1].media_type == Family.OCI.zstd_layer


def test_several_builders_of_one_image(
    build: Builds, base: ImageReference, target: ImageReference, tmp_path: Path
) -> None:
    """Whoever comes last wins, and what is there is whole."""
    need_registry("skopeo")
    errors: list[BaseException] = []
    results: list[BuiltImage] = []
    together = threading.Barrier(4)

    def work(number: int) -> None:
        code = b"print(%d)" % (number % 2)
        try:
            together.wait(30)
            more = [plan("opt/kaptain/a", b"%d" % (number % 2) * 300_000)]
            results.append(build(recipe(target, base, code=code, more=more)))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    digest = build.client.manifest(target)[1].digest
    assert digest in {result.reference.partition("@")[2] for result in results}
    layout = tmp_path / "layout"
    run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{target}", f"oci:{layout}:x")


def old_and_new(build: Builds, base: ImageReference, target: ImageReference) -> str:
    """Builds an image, and returns its digest: what must stay."""
    return build(recipe(target, base)).reference.partition("@")[2]


def test_a_missing_base(build: Builds, registry: RegistryServer, base: ImageReference) -> None:
    target = fresh(registry.host)
    old = old_and_new(build, base, target)
    missing = fresh(registry.host, "library/missing")
    with pytest.raises(ImageNotFoundError, match=f"{missing} isn't there"):
        build(recipe(target, missing, code=b"print(2)"))
    assert build.client.manifest(target)[1].digest == old


def test_a_layer_that_cannot_be_made(
    build: Builds, base: ImageReference, target: ImageReference
) -> None:
    old = old_and_new(build, base, target)

    def changed(_: object) -> None:
        raise ImageBuildException("main.py changed while it was read.")

    broken = replace(plan("kaptain/main.py", b"x"), check=changed)
    with pytest.raises(ImageBuildException, match=r"main\.py changed"):
        build(recipe(target, base, code=b"print(2)", more=[broken]))
    assert build.client.manifest(target)[1].digest == old


def test_a_registry_that_breaks_off(
    build: Builds, base: ImageReference, target: ImageReference, proxy: FaultyProxy
) -> None:
    target, base = through(proxy, target), through(proxy, base)
    old = old_and_new(build, base, target)
    for method in ("PUT", "POST"):
        proxy.cut(when=lambda request, method=method: request.method == method, times=None)
        with pytest.raises(RegistryUnavailableError, match=target.registry):
            build(recipe(target, base, code=b"print(2)"))
        proxy.heal()
        assert build.client.manifest(target)[1].digest == old
    assert build(recipe(target, base, code=b"print(2)")).built


def test_a_registry_that_breaks_off_for_a_moment(
    build: Builds, base: ImageReference, target: ImageReference, proxy: FaultyProxy
) -> None:
    proxy.cut(when=lambda request: request.method == "PUT")
    proxy.lose_answer(when=lambda request: "/manifests/" in request.path)
    assert build(recipe(through(proxy, target), through(proxy, base))).built


def test_a_read_only_registry(build: Builds, base: ImageReference, tmp_path: Path) -> None:
    with (
        serve_registry(tmp_path / "images", read_only=True) as server,
        pytest.raises(RegistryError, match="doesn't let anybody push") as caught,
    ):
        build(recipe(fresh(server.host), base))
    assert caught.value.reason == "RegistryReadOnly"


def test_a_registry_that_knows_us_not(build: Builds, base: ImageReference, tmp_path: Path) -> None:
    with serve_registry(tmp_path / "images", htpasswd={"ann": "word"}) as server:
        login = {"auths": {server.host: {"username": "ann", "password": "wrong-word"}}}
        with (
            RegistryClient(Credentials(login), patience=Patience(tries=1)) as client,
            pytest.raises(
                RegistryAuthError, match=f"{server.host} doesn't let user 'ann'"
            ) as caught,
        ):
            build(recipe(fresh(server.host), base), client=client)
    assert "wrong-word" not in str(caught.value)


def test_a_scratch_folder_that_is_none(
    base: ImageReference, target: ImageReference, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with (
        RegistryClient(patience=QUICK) as client,
        pytest.raises(ImageBuildException, match="can't be written to") as caught,
    ):
        build_image(
            recipe(target, base), client, scratch=tmp_path / "file" / "x", log=lambda _: None
        )
    assert caught.value.reason == "ScratchUnusable"


def test_a_base_by_digest(build: Builds, base: ImageReference, target: ImageReference) -> None:
    digest = build.client.manifest(base)[1].digest
    named = image_reference(f"{base}@{digest}")
    assert build(recipe(target, named)).built
    assert not build(recipe(target, named), refresh_base=True).built


def test_an_image_that_would_replace_its_base(build: Builds, base: ImageReference) -> None:
    with pytest.raises(ModelValidationException, match="is the base image itself"):
        build(recipe(base, base))
    # by its digest it stays
    digest = build.client.manifest(base)[1].digest
    assert build(recipe(base, base.at(digest))).built


@pytest.mark.parametrize("name", ["127.0.0.1:1/a:-", "127.0.0.1:1/A:1"])
def test_names_that_are_not_allowed(build: Builds, base: ImageReference, name: str) -> None:
    with pytest.raises(ModelValidationException, match="image_name"):
        build(recipe(name, base))
    with pytest.raises(ModelValidationException, match="base_image"):
        build(recipe("127.0.0.1:1/a:1", name))
