"""The keys that NATS users sign with: seeds, the files that hold them, and new ones.

The packages for it are imported when a key is first read or made: they cost 20 ms.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from covey.framework.errors import ConfigurationError

__all__ = ["UserKey", "new_user_key", "read_credentials", "read_seed", "read_user_key"]

_JWT = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)\s+-+END NATS USER JWT-+")
_SEED = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(\S+)\s+-+END USER NKEY SEED-+")
_MOST_BYTES = 1 << 20


class UserKey(NamedTuple):
    """The nkey of a user."""

    public: str
    """What the server is told: `U...`."""
    seed: str
    """What the user keeps to itself: `SU...`."""

    def __repr__(self) -> str:
        return f"UserKey({self.public})"


def new_user_key() -> UserKey:
    """A key from the operating system's random numbers."""
    import os

    import nkeys

    return _user_key(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode())


def read_user_key(path: Path, name: str) -> UserKey:
    """The key whose seed a file holds; errors as `read_seed`."""
    return _user_key(read_seed(path, name))


def read_seed(path: Path, name: str) -> str:
    """The seed of a user's nkey in a file that holds nothing else.

    Raises:
        ConfigurationError: with `name` (an option or variable) and the path, never with the content.
    """
    seed = _read(path, name).strip()
    if _SEED.search(seed):
        raise ConfigurationError(
            f"{name}: {path} is a credentials file: give it as credentials (--creds, COVEY_NATS_CREDENTIALS)"
        )
    if not _is_user_seed(seed):
        raise ConfigurationError(
            f"{name}: {path} holds no seed of a user's nkey: it is one line that begins with SU, "
            "as `covey auth init` and `nk -gen user` write it"
        )
    return seed


def read_credentials(path: Path, name: str) -> str:
    """A `.creds` file's JWT and seed, as nats-py takes them.

    Raises:
        ConfigurationError: as `read_seed`.
    """
    text = _read(path, name)
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if jwt is None or seed is None or not _is_user_seed(seed[1]):
        raise ConfigurationError(
            f"{name}: {path} is no credentials file: it has a user's JWT and the seed of its nkey, "
            "as `nsc generate creds` writes it"
        )
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt[1]}\n------END NATS USER JWT------\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed[1]}\n------END USER NKEY SEED------\n"
    )


def _user_key(seed: str) -> UserKey:
    import nkeys

    return UserKey(nkeys.from_seed(bytearray(seed.encode())).public_key.decode(), seed)


def _read(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("ascii", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"{name}: {path} cannot be read: {error.strerror or error}") from error


def _is_user_seed(text: str) -> bool:
    import nkeys

    try:
        prefix, raw = nkeys.decode_seed(bytearray(text.encode()))
        # Encoded again, because nkeys leaves the checksum unread: it tells of a letter that is wrong.
        encoded: str = nkeys.encode_seed(bytes(raw), prefix).decode()
        return prefix == nkeys.PREFIX_BYTE_USER and encoded == text
    except (nkeys.NkeysError, ValueError):
        return False
