"""How a node logs in to its NATS server: who it says it is, and whom it trusts."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from covey.framework.errors import ConfigurationError
from covey.transports.nats_keys import read_credentials, read_seed
from covey.transports.nats_tls import settle_tls, tls_context

__all__ = ["NatsLogin"]

_WAYS = (("user", "password"), ("token",), ("nkey",), ("credentials",))
"""The ways to say who one is: one of them is enough, and allowed."""
_TLS = ("tls", "tls_ca", "tls_cert", "tls_key", "tls_hostname")
_FILES = ("nkey", "credentials", "tls_ca", "tls_cert", "tls_key")
_PAIRS = (("user", "password"), ("tls_cert", "tls_key"))
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsLogin:
    """One way to log in, or none, and TLS or none. Make it with `checked`; no secret is in its repr."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    nkey: Path | None = None
    """A file with the seed of a user's nkey, nothing else."""
    credentials: Path | None = None
    """A `.creds` file: a user's JWT and the seed of its nkey."""
    tls_ca: Path | None = None
    """Who may vouch for the server, in PEM; without it the system's CAs."""
    tls_cert: Path | None = None
    """Our own certificate with its chain, in PEM, for a server that asks for one."""
    tls_key: Path | None = None
    tls_hostname: str | None = None
    """The name that the server's certificate must bear, where it is not the URL's."""
    tls: bool = False
    """Refuse a server that offers no TLS. Each of the other `tls_` options does so too."""

    @classmethod
    def checked(cls, given: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Self:
        """The login from arguments, then from `COVEY_NATS_USER`, `COVEY_NATS_PASSWORD` and so on.

        Where an argument says how to log in, the variables of the other ways do not count. The files are
        read once here, so that what is wrong with them is known before anything connects.

        Raises:
            ConfigurationError: names the options or variables that contradict each other or lack another,
                or the file that is not what it should be; never a secret.
        """
        values = {name: value for name, value in given.items() if value is not None}
        source = {name: name for name in values}
        for name in _left_to_the_environment(values):
            variable = f"COVEY_NATS_{name.upper()}"
            if environ.get(variable):
                values[name], source[name] = environ[variable], variable
        _check_together(source)
        login = cls(**{name: _parsed(name, value, source[name]) for name, value in values.items()})
        login._read_files(source)
        return login

    @classmethod
    def taken_from(cls, options: MutableMapping[str, Any], environ: Mapping[str, str] = os.environ) -> Self:
        """As `checked`, with the arguments taken out of options of which others are for somebody else."""
        names = [known.name for known in fields(cls) if known.name in options]
        return cls.checked({name: options.pop(name) for name in names}, environ)

    def check_url(self, url: str) -> None:
        """See that user info in the URL and this login do not contradict each other.

        Raises:
            ConfigurationError: they do.
        """
        way = next((way[0] for way in _WAYS if getattr(self, way[0]) is not None), None)
        if way is not None and "@" in url:
            raise ConfigurationError(
                f"the NATS URL carries a user or a token, and there is a {way} as well (an argument, or "
                f"COVEY_NATS_{way.upper()}): leave one of them out"
            )

    def settle_tls(self, info: dict[str, Any], scheme: str) -> None:
        """See that nats-py goes on with TLS after the server's INFO, or not at all, where TLS is a must.

        Changes `info`, which tells nats-py to: before it sends the password.

        Raises:
            TransportError: the server offers no TLS, or asks for a certificate that we have not.
        """
        settle_tls(info, scheme, must=self._has_tls, certified=self.tls_cert is not None)

    def connect_options(self) -> dict[str, Any]:
        """Keyword arguments for nats-py's `connect`. Reads the files again: they may have been renewed.

        Raises:
            ConfigurationError: a file has gone, or is no longer what it should be.
        """
        options: dict[str, Any] = {}
        if self.user is not None:
            options |= {"user": self.user, "password": self.password}
        if self.token is not None:
            options |= {"token": self.token}
        if self.nkey is not None:
            options |= {"nkeys_seed_str": read_seed(self.nkey, "nkey")}
        if self.credentials is not None:
            from nats.aio.client import RawCredentials

            # Its text, not its path: nats-py reads for ever in a file that it finds half written.
            options |= {"user_credentials": RawCredentials(read_credentials(self.credentials, "credentials"))}
        if self._has_tls:
            context = tls_context(self.tls_ca, self.tls_cert, self.tls_key)
            options |= {"tls": context, "tls_hostname": self.tls_hostname}
        return options

    @property
    def _has_tls(self) -> bool:
        return self.tls or any((self.tls_ca, self.tls_cert, self.tls_hostname))

    def _read_files(self, source: Mapping[str, str]) -> None:
        if self.nkey is not None:
            read_seed(self.nkey, source["nkey"])
        if self.credentials is not None:
            read_credentials(self.credentials, source["credentials"])
        if self._has_tls:
            tls_context(self.tls_ca, self.tls_cert, self.tls_key)


def _left_to_the_environment(values: Mapping[str, Any]) -> list[str]:
    chosen = [way for way in _WAYS if any(name in values for name in way)]
    names = [name for way in chosen or _WAYS for name in way]
    return [name for name in (*names, *_TLS) if name not in values]


def _check_together(source: Mapping[str, str]) -> None:
    """What is there must be one way to log in, and complete; `source` says where each option comes from."""
    firsts = [next((source[name] for name in way if name in source), "") for way in _WAYS]
    ways = [first for first in firsts if first]
    if len(ways) > 1:
        raise ConfigurationError(f"{' and '.join(ways)} are different ways to log in to NATS: give only one")
    for pair in _PAIRS:
        for here, missing in (pair, pair[::-1]):
            if here in source and missing not in source:
                raise ConfigurationError(
                    f"{source[here]} without {missing}: give {missing} (or COVEY_NATS_{missing.upper()}) too"
                )


def _parsed(name: str, value: Any, source: str) -> Any:
    if name == "tls":
        switch = value if isinstance(value, bool) else _SWITCH.get(str(value).strip().lower())
        if switch is None:
            raise ConfigurationError(f"{source} is {value!r}: give 1 or 0, or leave it out")
        return switch
    if name in _FILES and isinstance(value, str | os.PathLike) and str(value):
        return Path(value).expanduser()
    if name not in _FILES and isinstance(value, str) and value:
        return value
    what = "the path of a file" if name in _FILES else "text that is not empty"
    raise ConfigurationError(f"{source} is a {type(value).__name__}: give {what}")
