"""Bases and files that a model's image can't be made of, or that are too big to be held."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageNotFoundError
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.testing.registry import RegistryServer

from .registry.conftest import fresh, push_image
from .test_publisher import Model, Publisher
from .test_publisher import client as client
from .test_publisher import images as images
from .test_publisher import model as model

GIGABYTE = 1 << 30
MOST_MEMORY = 100 << 20
# What /proc tells is the process' own peak; others begin with that of their parent.
PUBLISH = """
import sys
from pathlib import Path

from kaptain_kfp.image import sources
from kaptain_kfp.image.publisher import Publication, Publisher
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.specs import ImageSpec, ModelIdentity, ModelSpec, StoreSpec
from kaptain_kfp.store.folder import FolderStore

folder, name, base, way = Path(sys.argv[1]), *sys.argv[2:]
store = FolderStore(folder / "store")
found = sources.collect(folder / "project", "train.py", ["weights.bin"])
words = ("name", "description", "version", "framework", "framework_version")
identity = ModelIdentity(id="dev/big", **{word: "1" for word in words})
image = ImageSpec(name=name, base_image=base, checksum="1" * 32)
told = []
with RegistryClient(progress=lambda *seen: told.append(seen)) as client:
    publisher = Publisher(client, folder / "home")
    if way == "from here":
        digests = sources.digest_sources(found)
        what = Publication(image, identity, folder / "project", found, digests)
        publisher.publish(what, print)
    else:
        source = sources.upload_sources(found, store, identity.id)
        spec = StoreSpec(uri=store.uri)
        model = ModelSpec(identity=identity, source=source, image=image, store=spec)
        publisher.build(model, store, print)
sent, whole = max((done, size) for _, done, size in told)
assert sent == whole, told
assert len(told) > 3, told
print(whole)
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def test_a_base_for_another_platform(
    images: Publisher, model: Model, client: RegistryClient
) -> None:
    images.build(model.spec(), model.store, lambda _: None)
    old = images.find(model.spec().image)
    other = fresh(model.base.registry, "library/base")
    push_image(client, other, platform=Platform("linux", "arm64"))
    spec = model.spec()
    model.base = other
    with pytest.raises(ImageNotFoundError, match=f"{other} isn't there for linux/amd64") as caught:
        images.build(model.spec(), model.store, lambda _: None)
    assert caught.value.reason == "PlatformMissing"
    assert images.find(spec.image) == old


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
@pytest.mark.parametrize(
    ("way", "size"),
    # more than 32 bits hold; the store's way is the slower one: it is written twice there
    [("from here", 5 * GIGABYTE), ("from the store", GIGABYTE)],
)
def test_gigabytes_among_the_code(
    client: RegistryClient, registry: RegistryServer, tmp_path: Path, way: str, size: int
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("print('training')\n")
    with (project / "weights.bin").open("wb") as stream:
        stream.truncate(size)
    base, target = fresh(registry.host, "library/base"), fresh(registry.host)
    push_image(client, base)
    done = subprocess.run(
        [sys.executable, "-c", PUBLISH, str(tmp_path), str(target), str(base), way],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told, peak = map(int, done.stdout.split()[-2:])
    assert peak << 10 < MOST_MEMORY
    found = client.find(target)
    assert found is not None
    layer = found.manifest.layers[-1]
    # a million zeros are a thousand bytes
    assert size // 2000 < layer.size < size // 500
    assert told == layer.size, "how much there is to send was told"
    blob = io.BytesIO(b"".join(client.open_blob(target, layer)))
    with tarfile.open(fileobj=blob, mode="r|gz") as archive:
        sizes = (member.size for member in archive if member.name.endswith("weights.bin"))
        assert next(sizes) == size
    (count,) = struct.unpack("<L", blob.getvalue()[-4:])
    assert 0 < count - size % (1 << 32) < 1 << 20, "what a reader compares at the end"
