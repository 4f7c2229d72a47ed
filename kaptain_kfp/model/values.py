"""Hyperparameters and arguments as text, the way they stand on a command line, and back."""

from __future__ import annotations

import math
import re
import reprlib
from typing import Any

from kaptain_kfp.exceptions import ModelValidationException

__all__ = ["check_flag", "from_text", "to_text"]

# what only looks like a number (007, 1_000, +5) stays text
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")


def check_flag(name: str) -> None:
    """Checks the name of a command line flag, e.g. ``--lr``.

    Raises:
        ModelValidationException: It isn't text, doesn't begin with a dash, is nothing but dashes,
            or holds blanks, ``=`` or a NUL character.
    """
    if not isinstance(name, str):
        raise _refused(f"The flag {reprlib.repr(name)} isn't text.", 'Write it as "--name".')
    bare = name.lstrip("-")
    if bare == name or not bare:
        raise _refused(f"The flag {name!r} doesn't have a dash and a name.", 'Write "--name".')
    if "=" in name or any(letter.isspace() or letter == "\0" for letter in name):
        raise _refused(
            f"The flag {name!r} holds a blank, '=' or NUL character.",
            'Give name and value apart: {"--name": value}.',
        )
    _check_encodable(name, name)


def to_text(flag: str, value: object) -> str:
    """Returns a value as it stands on the command line: ``--flag=<text>``.

    Args:
        flag: What the value is for; named in the error.
        value: Text, which stays as it is, or an int, float or bool, which are written as Python
            does: ``1e-05``, ``True``. NumPy's scalars count as what they hold.

    Raises:
        ModelValidationException: It is something else, or text that no command line can hold.
    """
    plain = _plain(value)
    if isinstance(plain, str):
        text = str.__str__(plain)  # of an enumeration's member: its value
        if "\0" in text:
            raise _refused(
                f"The value of {flag}, {reprlib.repr(text)}, holds a NUL character.",
                "A command line can't hold one: pass the name of a file.",
            )
        return _check_encodable(flag, text)
    if isinstance(plain, bool):
        return str(plain)
    if isinstance(plain, int):
        return _integer_text(flag, int(plain))
    if isinstance(plain, float):
        return repr(float(plain))
    raise _refused(
        f"The value of {flag} is {reprlib.repr(value)} ({type(value).__name__}).",
        "Give text, a number, True or False; write anything else as the text that the script "
        "reads, e.g. with json.dumps.",
    )


def from_text(text: str) -> Any:
    """Returns the number that a text is the plain form of, or else the text.

    ``"5"`` becomes 5 and ``"1e-05"`` 0.00001; ``"007"``, ``"True"``, ``"nan"`` and ``"1e999"``
    stay text.
    """
    try:
        if _INTEGER.fullmatch(text):
            return int(text)
    except ValueError:  # more digits than Python converts
        return text
    if _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _plain(value: object) -> object:
    item = getattr(value, "item", None)
    if not callable(item) or isinstance(value, type):
        return value
    try:
        return item()
    except (TypeError, ValueError, RuntimeError):  # an array or tensor of several elements
        return value


def _integer_text(flag: str, value: int) -> str:
    try:
        return str(value)
    except ValueError as error:
        raise _refused(f"The value of {flag} is too long: {error}.", "Give it as text.") from error


def _check_encodable(flag: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused(
            f"The value of {flag}, {reprlib.repr(text)}, holds half of a surrogate pair.",
            "Decode the text with its right encoding first.",
        ) from None
    return text


def _refused(message: str, remedy: str) -> ModelValidationException:
    return ModelValidationException(message, hint=remedy)
