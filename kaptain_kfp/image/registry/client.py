"""The client: images, manifests and blobs of any registry, over the OCI distribution protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeAlias

from kaptain_kfp.exceptions import ImageNotFoundError, RegistryError
from kaptain_kfp.image.oci import (
    MANIFEST_TYPES,
    Descriptor,
    Family,
    Manifest,
    Platform,
    sha256_digest,
)
from kaptain_kfp.image.registry.blobs import Source
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.errors import BLOB_MISSING, Task
from kaptain_kfp.image.registry.images import (
    RemoteImage,
    media_type_of,
    parse_manifest,
    parse_object,
    wrong_digest,
)
from kaptain_kfp.image.registry.names import ImageReference
from kaptain_kfp.image.registry.patience import Patience
from kaptain_kfp.image.registry.platforms import check_platform, choose_platform
from kaptain_kfp.image.registry.sessions import Sessions
from kaptain_kfp.image.registry.tokens import Scopes
from kaptain_kfp.image.registry.uploads import Upload, upload_path

__all__ = ["Progress", "RegistryClient"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Gets a blob's digest, its bytes sent so far, and all of them. A blob that is lost on the way
begins anew; one that is there already is told of once, as sent."""

_PART_BYTES = 64 << 20
"""Below what proxies before registries mostly let through (100 MB)."""
_CHUNK = 1 << 18


class RegistryClient:
    """Reads and writes images in registries; may be used by several threads.

    Args:
        credentials: Who we are; by default nobody.
        ca: Certificates as PEM text that are trusted besides the system's, by registry.
        insecure_hosts: Registries that speak HTTP without TLS. Those on this machine do unless
            `ca` names them.
        patience: How long to try what failed for a while.
        part_bytes: The size of the parts that big blobs are sent in.
        progress: Is told of the bytes that are sent.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        ca: Mapping[str, str] | None = None,
        insecure_hosts: Collection[str] = (),
        patience: Patience | None = None,
        part_bytes: int = _PART_BYTES,
        progress: Progress = lambda *_: None,
    ) -> None:
        self._patience = patience or Patience()
        self._sessions = Sessions(
            credentials or Credentials(),
            ca=ca or {},
            insecure_hosts=insecure_hosts,
            patience=self._patience,
        )
        self._part_bytes = part_bytes
        self._progress = progress

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections."""
        self._sessions.close()

    def ping(self, ref: ImageReference) -> None:
        """Asks a registry whether it lets us in; raises `RegistryError` where it doesn't."""
        task = _task(ref, "let us in")
        self._sessions.of(ref).request("GET", "/v2/", task, scopes=frozenset(), accept=(200,))

    def manifest(
        self, ref: ImageReference, platform: Platform | None = None
    ) -> tuple[Manifest, Descriptor]:
        """Returns the manifest of an image on one platform, and its descriptor.

        Args:
            ref: The image.
            platform: What is chosen from an index; linux/amd64 by default. A single manifest is
                returned whatever its platform, which only its configuration tells.

        Raises:
            ImageNotFoundError: There is no such image, or none for that platform.
            RegistryError: The registry refused, or can't be reached.
        """
        manifest, descriptor, _ = self._find_manifest(ref, platform or Platform(), _pull(ref))
        return manifest, descriptor

    def image(self, ref: ImageReference, platform: Platform | None = None) -> RemoteImage:
        """Returns an image with its configuration.

        Args:
            ref: The image.
            platform: What it is to run on; linux/amd64 by default.

        Raises:
            ImageNotFoundError: There is no such image, or none for that platform.
            RegistryError: The registry refused, or can't be reached.
        """
        wanted = platform or Platform()
        manifest, descriptor, resolved = self._find_manifest(ref, wanted, _pull(ref))
        config = self._config(ref, manifest, _pull(ref))
        check_platform(ref, Platform.from_json(config), wanted)
        return RemoteImage(ref.at(descriptor.digest), resolved, manifest, config)

    def find(self, ref: ImageReference) -> RemoteImage | None:
        """Returns the single image under a name that we may push to, None where there is none.

        It costs two requests, one more for a password and two more for a token, which the push
        that may follow needs as well. What is there for several platforms isn't ours: None. Nor is
        an image there whose configuration was cleaned up under its manifest.

        Raises:
            RegistryError: The registry refused, or can't be reached.
        """
        scopes = _push(ref)
        try:
            content, descriptor = self._raw_manifest(ref, scopes)
            if descriptor.media_type not in [family.manifest for family in Family]:
                return None
            manifest = parse_manifest(ref, content, descriptor)
            config = self._config(ref, manifest, scopes)
        except ImageNotFoundError:
            return None
        return RemoteImage(ref.at(descriptor.digest), descriptor.digest, manifest, config)

    def has_blob(self, ref: ImageReference, digest: str, size: int | None = None) -> bool:
        """Tells whether a repository has a blob.

        Args:
            ref: The repository.
            digest: The blob's digest.
            size: Its bytes; a registry that tells of another number doesn't have it.

        Raises:
            RegistryError: The registry refused, or can't be reached.
        """
        task = _task(ref, f"look for the blob {digest}")
        path = f"/v2/{ref.repository}/blobs/{digest}"
        answer = self._sessions.of(ref).request(
            "HEAD", path, task, scopes=_push(ref), accept=(200, 404)
        )
        told = answer.headers.get("content-length")
        return answer.status == 200 and (size is None or told in (None, str(size)))

    def open_blob(
        self, ref: ImageReference, descriptor: Descriptor, offset: int = 0
    ) -> Iterator[bytes]:
        """Yields the bytes of a blob from an offset on; nobody compares its digest.

        Raises:
            ImageNotFoundError: The repository has no such blob.
            RegistryError: The registry refused, broke off, or can't be reached.
        """
        task = _task(ref, f"read the blob {descriptor.digest}")
        path = f"/v2/{ref.repository}/blobs/{descriptor.digest}"
        headers = {"Range": f"bytes={offset}-"} if offset else None
        with self._sessions.of(ref).stream(
            path, task, scopes=_pull(ref), headers=headers
        ) as response:
            # who minds no range sends it all
            skip = offset if response.status == 200 else 0
            while chunk := response.read(_CHUNK):
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(0, skip - len(chunk))

    def push_blob(self, ref: ImageReference, descriptor: Descriptor, source: Source) -> bool:
        """Puts a blob into a repository, unless it is there.

        Args:
            ref: The repository.
            descriptor: The blob.
            source: Yields its bytes.

        Returns:
            True if it was sent.

        Raises:
            RegistryError: The registry refused.
            RegistryUnavailableError: It broke off again and again, or can't be reached.
            ImageBuildException: The source can't be read, or is too short.
        """
        upload = self._upload(ref, descriptor, source)
        if upload.is_there():
            self._progress(descriptor.digest, descriptor.size, descriptor.size)
            return False
        upload.run()
        return True

    def copy_blob(
        self, source: ImageReference, target: ImageReference, descriptor: Descriptor
    ) -> bool:
        """Puts a blob of one repository into another, in the same registry or between two.

        Within a registry it is mounted, if that can be done; else its bytes pass through here, and
        nothing is kept of them.

        Returns:
            True if bytes were sent.

        Raises:
            ImageNotFoundError: The source has no such blob.
            RegistryError: A registry refused, broke off again and again, or can't be reached.
        """
        opened = ""
        if source.registry == target.registry:
            mounted = self._open_mount(descriptor, source, target)
            if mounted is None:
                self._progress(descriptor.digest, descriptor.size, descriptor.size)
                return False
            opened = mounted
        upload = self._upload(
            target, descriptor, lambda offset: self.open_blob(source, descriptor, offset)
        )
        if upload.is_there():
            if opened:
                upload.drop(opened)
            self._progress(descriptor.digest, descriptor.size, descriptor.size)
            return False
        upload.run(opened or None)
        return True

    def push_manifest(self, ref: ImageReference, manifest: Manifest) -> str:
        """Puts a manifest under a tag or its digest; a tag moves at once or not at all.

        Returns:
            The manifest's digest.

        Raises:
            RegistryError: The registry refused, e.g. for a blob that isn't there; or it can't be
                reached.
        """
        for pause in self._patience.pauses():
            try:
                return self._put_manifest(ref, manifest)
            except RegistryError as error:
                # some registries don't see a blob for a moment while somebody else pushes it, too
                if error.reason != BLOB_MISSING:
                    raise
            time.sleep(pause)
        return self._put_manifest(ref, manifest)

    def _put_manifest(self, ref: ImageReference, manifest: Manifest) -> str:
        content = manifest.to_bytes()
        digest = sha256_digest(content)
        headers = {"Content-Type": manifest.family.manifest, "Content-Length": str(len(content))}
        answer = self._sessions.of(ref).request(
            *("PUT", f"/v2/{ref.repository}/manifests/{ref.selector}"),
            _task(ref, "push the manifest", pushing=True),
            scopes=_push(ref),
            accept=(200, 201, 202, 204),
            headers=headers,
            body=lambda: [content],
        )
        told = answer.headers.get("docker-content-digest", digest)
        if told != digest:
            raise wrong_digest(ref, told, digest)
        return digest

    def _open_mount(
        self, descriptor: Descriptor, source: ImageReference, target: ImageReference
    ) -> str | None:
        """Mounts a blob: None if that is done, else where an upload was opened, '' for nowhere."""
        path = upload_path(
            target.repository, mount=descriptor.digest, **{"from": source.repository}
        )
        answer = self._sessions.of(target).request(
            *("POST", path, _task(target, f"mount {descriptor.digest}", pushing=True)),
            scopes=_push(target) | _pull(source),
            # who may not read the source there may push all the same
            accept=(201, 202, 400, 401, 403, 404, 405),
            headers={"Content-Length": "0"},
        )
        if answer.status == 201:
            return None
        return answer.headers.get("location", "") if answer.status == 202 else ""

    def _upload(self, ref: ImageReference, descriptor: Descriptor, source: Source) -> Upload:
        return Upload(
            self._sessions.of(ref),
            ref.repository,
            _push(ref),
            _task(ref, f"push the blob {descriptor.digest}", pushing=True),
            digest=descriptor.digest,
            size=descriptor.size,
            source=source,
            part_bytes=self._part_bytes,
            progress=lambda sent: self._progress(descriptor.digest, sent, descriptor.size),
        )

    def _find_manifest(
        self, ref: ImageReference, platform: Platform, scopes: Scopes
    ) -> tuple[Manifest, Descriptor, str]:
        content, descriptor = self._raw_manifest(ref, scopes)
        resolved = descriptor.digest
        if descriptor.media_type in [family.index for family in Family]:
            chosen = choose_platform(ref, parse_object(ref, content), platform)
            content, descriptor = self._raw_manifest(ref.at(chosen.digest), scopes)
        return parse_manifest(ref, content, descriptor), descriptor, resolved

    def _raw_manifest(self, ref: ImageReference, scopes: Scopes) -> tuple[bytes, Descriptor]:
        answer = self._sessions.of(ref).request(
            *("GET", f"/v2/{ref.repository}/manifests/{ref.selector}"),
            _task(ref, "read the manifest"),
            scopes=scopes,
            accept=(200,),
            headers={"Accept": ", ".join(MANIFEST_TYPES)},
        )
        digest = sha256_digest(answer.body)
        if ref.digest and ref.digest != digest:
            raise wrong_digest(ref, digest, ref.digest)
        return answer.body, Descriptor(media_type_of(answer), digest, len(answer.body))

    def _config(self, ref: ImageReference, manifest: Manifest, scopes: Scopes) -> dict[str, Any]:
        path = f"/v2/{ref.repository}/blobs/{manifest.config.digest}"
        answer = self._sessions.of(ref).request(
            *("GET", path, _task(ref, "read the configuration")), scopes=scopes, accept=(200,)
        )
        digest = sha256_digest(answer.body)
        if digest != manifest.config.digest:
            raise wrong_digest(ref, digest, manifest.config.digest)
        return parse_object(ref, answer.body)


def _task(ref: ImageReference, doing: str, *, pushing: bool = False) -> Task:
    return Task(ref.registry, str(ref), doing, pushing)


def _pull(ref: ImageReference) -> Scopes:
    return frozenset({f"repository:{ref.repository}:pull"})


def _push(ref: ImageReference) -> Scopes:
    return frozenset({f"repository:{ref.repository}:pull,push"})
