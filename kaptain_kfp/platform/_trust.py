"""The certificate authorities that an object store's client trusts, beside the usual ones.

Standard library only, botocore once it is needed: this module goes into training images.
"""

from __future__ import annotations

import atexit
import os
import re
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["certificates", "public_authorities", "trusted", "usual_authorities"]

_CERTIFICATE = re.compile(
    "-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----"  # comments may be around them
)


def certificates(text: str) -> dict[str, str]:
    """Returns the PEM certificates of a text, without what is around them: content → PEM."""
    return {"".join(found[1].split()): found[0] for found in _CERTIFICATE.finditer(text)}


def public_authorities() -> Path:
    """Returns the file with the authorities that botocore trusts where nothing is configured."""
    from botocore.httpsession import get_cert_path

    return Path(str(get_cert_path(True)))


def usual_authorities(session: Any) -> Path:
    """Returns the file with the authorities that clients of a session trust by themselves.

    Args:
        session: Of botocore.
    """
    named = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return Path(named) if named else public_authorities()


def trusted(session: Any, added: str) -> str | None:
    """Returns a file with a session's authorities and further ones; None: it has them already.

    The file is there as long as this process.

    Args:
        session: Of botocore.
        added: PEM certificates.
    """
    try:
        usual = usual_authorities(session).read_bytes().decode("latin-1")
    except OSError:
        return None  # the client says so in its own words
    known = certificates(usual)
    missing = [pem for content, pem in certificates(added).items() if content not in known]
    return _kept("\n".join((usual, *missing, ""))) if missing else None


# older bases have no functools.cache
@lru_cache(maxsize=16)
def _kept(text: str) -> str:
    """Returns the path of a file for this process only; a pod may have no disk to write to."""
    content = text.encode("latin-1")
    if hasattr(os, "memfd_create"):  # some Pythons for Linux are built without it
        memory = os.memfd_create("kaptain-authorities")
        with open(os.dup(memory), "wb") as unnamed:  # noqa: PTH123 - it has no path yet
            unnamed.write(content)
        # forked processes have it, too
        return f"/proc/self/fd/{memory}"
    else:
        with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
            file.write(content)
        atexit.register(Path(file.name).unlink, missing_ok=True)
        return file.name
