"""Certificate authorities of an object store, as steps and workloads get them from its Secret."""

from __future__ import annotations

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform._trust import certificates, public_authorities, usual_authorities

from .certificates import check_certificates

__all__ = ["authorities_here", "checked_authorities"]

_NAME = "s3_ca_certificates (S3_CA_CERTIFICATES)"
# Linux starts no process with a variable of 128 KiB
_MOST = 100_000
_REMEDY = "Give the PEM text of the authority that signed the server's certificate, and no others."


def checked_authorities(given: str) -> str:
    """Returns the certificates of a PEM text, without what is around them.

    Raises:
        ConfigurationError: There are none, they are damaged or too many, or a private key is there.
    """
    check_certificates(given, _NAME, _REMEDY)
    return _bounded(list(certificates(given).values()), _NAME)


def authorities_here() -> str | None:
    """Returns what AWS_CA_BUNDLE and the like add to the public authorities, or None: nothing.

    Public ones are left out: bundles of whole systems are too large for a variable.

    Raises:
        ConfigurationError: There are too many.
    """
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    try:
        file = usual_authorities(get_session())
        found = certificates(file.read_bytes().decode("latin-1"))
    except (OSError, BotoCoreError):
        return None  # whoever connects from here says it
    public = public_authorities()
    if file == public:
        return None
    known = certificates(public.read_bytes().decode("latin-1"))
    added = [pem for content, pem in found.items() if content not in known]
    return _bounded(added, str(file)) if added else None


def _bounded(found: list[str], source: str) -> str:
    text = "\n".join((*found, ""))
    if len(text) > _MOST:
        raise ConfigurationError(
            f"{source} holds {len(found)} certificates, {len(text)} characters: more than steps "
            f"can get ({_MOST}).",
            hint=_REMEDY + " AWS_CA_BUNDLE names the file with them.",
        )
    return text
