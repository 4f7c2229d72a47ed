"""What S3 and the way to it refuse, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, NamedTuple

from kaptain_kfp.exceptions import StoreError

__all__ = ["Place", "code_of"]


class _Trouble(NamedTuple):
    """One kind of failure: a word for programs, what happened, what to do.

    ``{bucket}``, ``{endpoint}``, ``{keys}`` (names of variables), ``{action}`` (of IAM) and
    ``{clocks}`` are filled in.
    """

    reason: str
    what: str
    hint: str


_WRONG_KEY = _Trouble(
    "InvalidAccessKeyId",
    "{endpoint} doesn't know the access key",
    "Check {keys} (the storage_config_provider), and that the key is of this very server.",
)
_WRONG_SECRET = _Trouble(
    "SignatureDoesNotMatch",
    "{endpoint} refuses the signature: the secret key doesn't belong to the access key",
    "Check {keys} (the storage_config_provider) for a wrong or cut-off value, then "
    "S3_SIGNATURE_VERSION and AWS_REGION.",
)
_DENIED = _Trouble(
    "AccessDenied",
    "the key may not do it ({action} on {bucket})",
    "Have {action} granted to the key of {keys}, beside s3:ListBucket, s3:GetObject, s3:PutObject "
    "and s3:DeleteObject; without s3:ListBucket, S3 denies access to what isn't there, too.",
)
_NO_BUCKET = _Trouble(
    "NoSuchBucket",
    "there is no bucket {bucket} at {endpoint}",
    "Correct base_model_storage_uri, or make the bucket: aws s3 mb s3://{bucket}, "
    "mc mb <alias>/{bucket}.",
)
_SKEWED = _Trouble(
    "RequestTimeTooSkewed",
    "the clock of this machine is wrong for {endpoint} ({clocks})",
    "Set this machine's clock (NTP), then try again.",
)
_EXPIRED = _Trouble(
    "ExpiredToken",
    "the session of the temporary credentials is over, or its token is wrong",
    "Get new temporary credentials and give them anew ({keys}).",
)
_THROTTLED = _Trouble(
    "SlowDown",
    "{endpoint} asks for fewer requests, after several tries still",
    "Try again later, or with fewer jobs at a time; AWS_MAX_ATTEMPTS lets it try for longer.",
)
_ELSEWHERE = _Trouble(
    "WrongRegion",
    "the bucket {bucket} lies in another region than the requests were signed for",
    "Set AWS_REGION (region_name) to the bucket's region; for servers other than AWS, S3_ENDPOINT.",
)
_FULL = _Trouble(
    "NoSpace",
    "{endpoint} has no space for it, or a quota is used up",
    "Have space freed or the quota raised, or choose another base_model_storage_uri.",
)
_TOO_LONG = _Trouble(
    "NameTooLong", "the key is too long (1024 bytes at most)", "Choose a shorter name or prefix."
)
_BROKEN = _Trouble(
    "ServerError",
    "{endpoint} had trouble of its own, after several tries still",
    "Look at that server's log, or try again later.",
)
_NO_KEYS = _Trouble(
    "NoCredentials",
    "there are no credentials for {endpoint}",
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give a storage_config_provider.",
)
_NO_TRUST = _Trouble(
    "TlsError",
    "{endpoint} can't be trusted, or doesn't speak TLS",
    "Point AWS_CA_BUNDLE to the PEM file of its certificate authority, or give the provider "
    "s3_ca_certificates; or correct the scheme of S3_ENDPOINT.",
)
_UNREACHABLE = _Trouble(
    "EndpointUnreachable",
    "{endpoint} can't be reached",
    "Check S3_ENDPOINT (host, port, http or https), the network, and the proxies (NO_PROXY).",
)
_LATE = _Trouble(
    "Timeout",
    "{endpoint} didn't answer in time, after several tries still",
    "Check the network and that server's load, then try again.",
)
_LOST = _Trouble(
    "ConnectionLost",
    "the connection to {endpoint} broke",
    "Try again: nothing incomplete is visible there.",
)
_SETTINGS = _Trouble(
    "InvalidSettings",
    "the settings of the client can't be used",
    "Correct S3_SIGNATURE_VERSION, AWS_REGION, AWS_PROFILE or ~/.aws/config, as it says.",
)
_OTHERS = _Trouble(
    "StorageTrouble",
    "{endpoint} refuses it",
    "Look up what it says in the documents of that server.",
)

_BY_CODE: Mapping[str, _Trouble] = {
    "InvalidAccessKeyId": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "403", "Forbidden"), _DENIED),
    "NoSuchBucket": _NO_BUCKET,
    "RequestTimeTooSkewed": _SKEWED,
    **dict.fromkeys(("ExpiredToken", "InvalidToken", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(
        ("SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "RequestLimitExceeded"),
        _THROTTLED,
    ),
    **dict.fromkeys(("ServiceUnavailable", "TooManyRequests", "429", "503"), _THROTTLED),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
        _ELSEWHERE,
    ),
    "301": _ELSEWHERE,
    **dict.fromkeys(
        ("QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"), _FULL
    ),
    "KeyTooLongError": _TOO_LONG,
    **dict.fromkeys(("InternalError", "500", "502", "504"), _BROKEN),
}

# by name: the classes come with packages that are imported only when a store is used
_BY_CLASS: Mapping[str, _Trouble] = {
    **dict.fromkeys(
        ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"), _NO_KEYS
    ),
    "SSLError": _NO_TRUST,
    **dict.fromkeys(("ConnectTimeoutError", "EndpointConnectionError"), _UNREACHABLE),
    "ProxyConnectionError": _UNREACHABLE,
    "ReadTimeoutError": _LATE,
    **dict.fromkeys(
        ("ConnectionClosedError", "IncompleteReadError", "ResponseStreamingError"), _LOST
    ),
    "HTTPClientError": _LOST,
    **dict.fromkeys(
        ("ProfileNotFound", "ConfigParseError", "UnsupportedSignatureVersionError"), _SETTINGS
    ),
    **dict.fromkeys(("UnknownSignatureVersionError", "InvalidRegionError"), _SETTINGS),
    **dict.fromkeys(("InvalidRetryModeError", "InvalidRetryConfigurationError"), _SETTINGS),
    **dict.fromkeys(("BotoCoreError", "Boto3Error"), _OTHERS),
}

_ACTIONS: Mapping[str, str] = {
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "CopyObject": "s3:GetObject and s3:PutObject",
    "UploadPartCopy": "s3:GetObject and s3:PutObject",
    "DeleteObjects": "s3:DeleteObject",
}
"""What IAM calls the right to an operation; all others need ``s3:PutObject``."""


def code_of(error: Exception) -> str:
    """Returns the code of S3 in a client's error, e.g. ``NoSuchKey``; else its class's name."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and "Error" in response:
        return str(response["Error"].get("Code", ""))
    return type(error).__name__


@dataclass(frozen=True)
class Place:
    """Where requests go, as errors tell of it.

    Attributes:
        bucket: The bucket.
        endpoint: URL of the server.
        variables: Names of the credential variables in play.
        secrets: Their values, which no error may show.
    """

    bucket: str
    endpoint: str
    variables: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False, default=())

    @contextmanager
    def explained(self, doing: str, key: str = "") -> Iterator[None]:
        """Turns what the client raises within into a `StoreError` with the remedy.

        Args:
            doing: What is tried: ``Writing``.
            key: To what: the whole key in the bucket.
        """
        try:
            yield
        except Exception as error:
            cause = getattr(error, "last_exception", error)  # tried several times
            trouble = _trouble_of(cause)
            if trouble is None:
                raise
            raise self._error(doing, key, cause, trouble) from error

    def undeleted(self, key: str, code: str, message: str) -> StoreError:
        """Returns the error of one object among those that a request was to delete."""
        trouble = _BY_CODE.get(code, _OTHERS)
        action = _ACTIONS["DeleteObjects"]
        return self._made("Deleting", key, trouble, f"{code}: {message}", action=action)

    def _error(self, doing: str, key: str, error: Exception, trouble: _Trouble) -> StoreError:
        told = str(error)
        if trouble is _OTHERS:
            trouble = trouble._replace(reason=code_of(error) or trouble.reason)
        action = _ACTIONS.get(getattr(error, "operation_name", ""), "s3:PutObject")
        return self._made(doing, key, trouble, told, action=action, clocks=_clocks(error))

    def _made(
        self, doing: str, key: str, trouble: _Trouble, told: str, *, action: str, clocks: str = ""
    ) -> StoreError:
        uri = f"s3://{self.bucket}/{key}".rstrip("/")
        facts = {
            "bucket": self.bucket,
            "endpoint": self.endpoint,
            "keys": " and ".join(self.variables) or "the default credentials",
            "action": action,
            "clocks": clocks,
        }
        for secret in self.secrets:
            told = told.replace(secret, "********")
        return StoreError(
            f"{doing} {uri} failed: {trouble.what.format(**facts)} ({told.rstrip('.')}).",
            resource=uri,
            reason=trouble.reason,
            hint=trouble.hint.format(**facts),
        )


def _trouble_of(error: Exception) -> _Trouble | None:
    if getattr(error, "response", None) is not None:
        return _BY_CODE.get(code_of(error), _OTHERS)
    for kind in type(error).__mro__:
        if kind.__name__ in _BY_CLASS:
            return _BY_CLASS[kind.__name__]
    return None


def _clocks(error: Any) -> str:
    headers = (getattr(error, "response", None) or {}).get("ResponseMetadata", {})
    there = headers.get("HTTPHeaders", {}).get("date", "unknown")
    return f"here it is {formatdate(usegmt=True)}, there {there}"
