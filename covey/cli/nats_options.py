"""The options by which a command finds its NATS server and logs in there; one decorator for all of them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from covey.transports.nats_login import NatsLogin

__all__ = ["DEFAULT_URL", "NatsServer", "nats_options"]

DEFAULT_URL = "nats://127.0.0.1:4222"

Result = TypeVar("Result")

_SEEN = "others on this machine can read it off the command line, so rather set"
_OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("--user", "user", {"metavar": "NAME", "help": "Log in with this user name and its password."}),
    ("--password", "password", {"metavar": "WORD", "help": f"Its password: {_SEEN} COVEY_NATS_PASSWORD."}),
    ("--token", "token", {"metavar": "TOKEN", "help": f"Log in with a token: {_SEEN} COVEY_NATS_TOKEN."}),
    ("--nkey", "nkey", {"metavar": "FILE", "help": "Log in with the nkey whose seed is in this file."}),
    ("--creds", "credentials", {"metavar": "FILE", "help": "Log in with this credentials file (JWT, nkey)."}),
    ("--tls", "tls", {"is_flag": True, "default": None, "help": "Insist on TLS."}),
    ("--tls-ca", "tls_ca", {"metavar": "FILE", "help": "TLS with a server that these CAs vouch for (PEM)."}),
    ("--tls-cert", "tls_cert", {"metavar": "FILE", "help": "Our own certificate, for mutual TLS (PEM)."}),
    ("--tls-key", "tls_key", {"metavar": "FILE", "help": "Its private key, without a password (PEM)."}),
    (
        "--tls-hostname",
        "tls_hostname",
        {"metavar": "NAME", "help": "The name on the server's certificate, if it is not the URL's."},
    ),
)


@dataclass(frozen=True, slots=True)
class NatsServer:
    """Which NATS server a command talks to, and how it logs in there."""

    url: str = field(repr=False)
    """With what user info it has; show `shown`."""
    login: dict[str, Any] = field(repr=False)
    """What was given of `--user` ... `--tls-hostname`, as `Swarm.connect(url, **login)` takes it."""
    is_given: bool
    """Whether `--nats` was on the command line; the environment does not count."""

    @property
    def shown(self) -> str:
        """The URL without user, password or token."""
        from covey.transports.nats_errors import redacted

        return redacted(self.url)

    def checked_login(self) -> NatsLogin:
        """The login with what the environment adds, for what connects without a `Swarm`.

        Raises:
            ConfigurationError: names the option or variable that makes no sense.
        """
        from covey.transports.nats_login import NatsLogin

        return NatsLogin.checked(self.login)


def nats_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Add `--nats`, `--user` and the rest to a click command; it gets them as one argument, `server`.

    Stands below `@click.command()`. Makes no check: `Swarm.connect` does, or `NatsServer.checked_login`.
    """

    @functools.wraps(command)
    def with_server(*args: Any, nats: str | None, **given: Any) -> Result:
        found = {name: given.pop(name) for _, name, _ in _OPTIONS}
        login = {name: value for name, value in found.items() if value is not None}
        url = nats or os.environ.get("COVEY_NATS_URL") or DEFAULT_URL
        return command(*args, server=NatsServer(url, login, is_given=nats is not None), **given)

    for flag, name, settings in reversed(_OPTIONS):
        with_server = click.option(flag, name, **settings)(with_server)
    where = f"The NATS server [default: COVEY_NATS_URL, else {DEFAULT_URL}]."
    return click.option("--nats", metavar="URL", help=where)(with_server)
