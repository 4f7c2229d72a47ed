"""From an HTTP request to a plain function and back, apart from what the request is about."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kaptain_kfp.exceptions import ClusterError

from .errors import ApiError, invalid, refusal

__all__ = ["Call", "Handler", "endpoint", "part_of"]


@dataclass(frozen=True)
class Call:
    """What was asked.

    Attributes:
        path: What stands in the place of the path's placeholders.
        query: The parameters after the question mark.
        body: The JSON object that came along; empty where none did.
        file: The content of the uploaded file; None where none was.
        filename: What it is called.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any] = field(default_factory=dict)
    file: bytes | None = None
    filename: str = ""


Handler = Callable[[Call], Mapping[str, Any]]
"""Answers a call with a JSON object; raises `ApiError`."""


def part_of(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns an object within another one; an empty one where there is none.

    Raises:
        ApiError: It is no object (400).
    """
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise invalid(f"{name} is no object: {found!r}")
    return dict(found)


def endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Returns the endpoint that has a handler answer, in a thread of its own."""

    async def answer(request: Request) -> Response:
        try:
            call = await _call(request)
            return JSONResponse(await run_in_threadpool(handler, call))
        except ApiError as error:
            return refusal(error.status, error.message)
        except ClusterError as error:  # of the engine's database
            return refusal(error.code or 500, error.message)

    return answer


async def _call(request: Request) -> Call:
    path = {name: str(value) for name, value in request.path_params.items()}
    query = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with request.form() as form:
            upload = form.get("uploadfile")
            if not isinstance(upload, UploadFile):
                raise invalid("the form has no file 'uploadfile'")
            return Call(path, query, file=await upload.read(), filename=upload.filename or "")
    return Call(path, query, _object(await request.body()))


def _object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
    except ValueError as error:
        raise invalid(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise invalid("the body is no JSON object")
    return {name: value for name, value in found.items() if value is not None}
