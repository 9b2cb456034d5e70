"""Addresses: which agent, wherever it lives.

An address is `kind/key`. The kind is an identifier, so the first `/` splits the two; the key is any text
of 1 to 256 bytes of UTF-8, taken as it is (no normalisation). Where only a token is allowed (a NATS
subject, a file name) every byte outside `[A-Za-z0-9_-]` travels as `%XX`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from covey.framework.errors import ConfigurationError

__all__ = [
    "MAX_KEY_BYTES",
    "Address",
    "check_key",
    "check_kind",
    "escape_token",
    "snake_case",
    "unescape_token",
]

MAX_KEY_BYTES = 256

_KIND = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


class Address(NamedTuple):
    """Kind and key of an agent; `str()` gives `kind/key`."""

    kind: str
    key: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Split `kind/key` at its first `/`.

        Raises:
            ConfigurationError: there is no `/`, or kind or key is not allowed.
        """
        kind, slash, key = text.partition("/")
        if not slash:
            raise ConfigurationError(f"{text!r} is no address: write kind/key, for example pricer/eu-1")
        return cls(check_kind(kind), check_key(key))


def check_kind(kind: str) -> str:
    """Return the kind if it is a plain identifier of at most 64 characters, else raise."""
    if not _KIND.match(kind):
        raise ConfigurationError(
            f"{kind!r} is no agent kind: use up to 64 letters, digits, '_' or '-', starting with a letter"
        )
    return kind


def check_key(key: str, what: str = "the key") -> str:
    """Return the key if it has 1 to 256 bytes of UTF-8, else raise; `what` names it in the error."""
    if not isinstance(key, str):
        raise ConfigurationError(f"{what} must be text, not {type(key).__name__}: {key!r}; use str(...)")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"{what} {key!r} is not valid unicode: it cannot be encoded as UTF-8"
        ) from error
    if not 1 <= size <= MAX_KEY_BYTES:
        raise ConfigurationError(
            f"{what} {key[:40]!r} takes {size} bytes of UTF-8: 1 to {MAX_KEY_BYTES} are allowed"
        )
    return key


@lru_cache(maxsize=4096)
def escape_token(text: str) -> str:
    """Write any text as one token of `[A-Za-z0-9_-]` and `%XX`."""
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in text.encode())


def unescape_token(token: str) -> str:
    """The inverse of `escape_token`.

    Raises:
        ConfigurationError: the token was not made by `escape_token`.
    """
    out = bytearray()
    position = 0
    while position < len(token):
        char = token[position]
        if char == "%":
            try:
                out.append(int(token[position + 1 : position + 3], 16))
            except ValueError as error:
                raise ConfigurationError(f"{token!r} is no escaped token") from error
            position += 3
        else:
            out.append(ord(char) & 0xFF)
            position += 1
    try:
        text = out.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{token!r} is no escaped token") from error
    if escape_token(text) != token:
        raise ConfigurationError(f"{token!r} is no escaped token")
    return text


@lru_cache(maxsize=4096)
def snake_case(name: str) -> str:
    """`HTTPMonitor` -> `http_monitor`: the default kind of a class."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
