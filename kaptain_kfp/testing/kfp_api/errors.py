"""What the API answers when it refuses: gRPC codes in JSON, as KFP's gateway has them."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

__all__ = ["ApiError", "conflict", "invalid", "not_found", "refusal"]

_GRPC = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}
_INTERNAL = 13


class ApiError(Exception):
    """A request that is refused.

    Args:
        status: The HTTP status.
        message: What is wrong.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def invalid(message: str) -> ApiError:
    """The request breaks a rule."""
    return ApiError(400, f"Invalid input error: {message}")


def not_found(what: str, name: str) -> ApiError:
    """There is no such thing.

    Args:
        what: E.g. ``Run``.
        name: Its id, or how else it was asked for.
    """
    return ApiError(404, f"ResourceNotFoundError: {what} {name} not found.")


def conflict(what: str, name: str) -> ApiError:
    """The name is taken."""
    return ApiError(
        409,
        f"Already exist error: Failed to create a new {what}. The name {name} already exists. "
        "Please specify a new name.",
    )


def refusal(status: int, message: str) -> Response:
    """Returns the answer for an HTTP status and a message."""
    code = _GRPC.get(status, _INTERNAL)
    told: dict[str, Any] = {"code": code, "message": message}
    detail = {"@type": "type.googleapis.com/google.rpc.Status", **told}
    return JSONResponse({"error": message, **told, "details": [detail]}, status)
