"""What every source of credentials has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from kaptain_kfp.exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ConfigurationProvider",
    "EnvironmentVariableConfigurationProvider",
    "FileBasedConfigurationProvider",
    "line_of",
    "read_text",
]


class ConfigurationProvider(ABC):
    """Credentials of a user, and the Kubernetes Secret that carries them to where work runs."""

    @abstractmethod
    def get_secret_body(self) -> dict[str, str]:
        """Returns the entries of the Secret: secret text, never to be logged or recorded."""


class FileBasedConfigurationProvider(ConfigurationProvider):
    """A provider that can be read from a file."""

    DEFAULT_FILE: ClassVar[str]
    """Where `default` looks, below the home folder."""

    @classmethod
    def default(cls) -> Self:
        """Returns the provider of the usual file in the home folder.

        Raises:
            ConfigurationError: The file is missing or can't be used.
        """
        return cls.from_file(Path.home() / cls.DEFAULT_FILE)

    @classmethod
    @abstractmethod
    def from_file(cls, path: str | Path) -> Self:
        """Returns the provider of a file.

        Args:
            path: The file; ``~`` is the home folder.

        Raises:
            ConfigurationError: The file is missing or can't be used.
        """


class EnvironmentVariableConfigurationProvider(ConfigurationProvider):
    """A provider that can be read from environment variables."""

    @classmethod
    @abstractmethod
    def from_env(cls) -> Self:
        """Returns the provider of this process's environment.

        Raises:
            ConfigurationError: A variable is missing or can't be used.
        """


def read_text(path: Path, what: str, remedy: str) -> str:
    """Returns the text of a configuration file.

    Args:
        path: The file.
        what: What it is, for the error.
        remedy: What to do if it can't be read, for the error.

    Raises:
        ConfigurationError: It is missing, unreadable, or no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problem = "doesn't exist"
    except OSError as error:
        problem = f"can't be read ({error.strerror})"
    except UnicodeDecodeError:
        problem = "isn't UTF-8 text"
    raise ConfigurationError(f"{what} {path} {problem}.", hint=remedy)


def line_of(text: str, needle: str) -> int | None:
    """Returns the number of the first line with `needle`, from 1, or None without one."""
    position = text.find(needle)
    return None if position < 0 else text.count("\n", 0, position) + 1
