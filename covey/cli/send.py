"""`covey send`: one message to one agent, in JSON, and what it answers."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from covey.cli.nats_options import NatsServer, nats_options

if TYPE_CHECKING:
    from covey.transports.json_client import JsonClient

__all__ = ["send"]

EXIT_FAILURE = 1
EXCERPT_CHARS = 24


@click.command()
@click.argument("address", metavar="KIND/KEY")
@click.argument("type_name", metavar="TYPE")
@click.argument("body", metavar="[JSON|-]", required=False)
@nats_options
@click.option("--swarm", "swarm_name", metavar="NAME", default="covey", show_default=True)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(0.001, 86_400),
    default=5.0,
    show_default=True,
    help="How long the agent may take to answer.",
)
@click.option("--tell", "is_tell", is_flag=True, help="Want no answer.")
@click.option("--name", "name", metavar="CLIENT", help="Our name in `covey auth init`.")
@click.pass_context
def send(
    ctx: click.Context,
    address: str,
    type_name: str,
    body: str | None,
    server: NatsServer,
    swarm_name: str,
    timeout_s: float,
    is_tell: bool,
    name: str | None,
) -> None:
    """Send an agent a message in JSON, and print its answer.

    TYPE is the message's protobuf name, such as shop.Order, or the last part of it where only one message
    that the nodes know ends so. Without JSON the message is empty; `-` reads it from the standard input.

    \b
        covey send pricer/eu Order '{"sku": "tea", "amount": 3}' --swarm shop

    The answer goes to the standard output, on one line unless that is a terminal, its type to the standard
    error. Exit status: 0 with an answer, 1 when there is none but an error, 2 when nobody could be asked.
    """
    from covey.cli.empty_swarm import empty_swarm
    from covey.framework.address import Address
    from covey.framework.errors import AskTimeoutError, NoHostError, PermissionDeniedError, TransportError
    from covey.transports.json_client import JsonAnswer, JsonClient
    from covey.transports.nats_arrivals import inbox_prefix

    to, data, login = Address.parse(address), _checked(body), server.checked_login()
    login.check_url(server.url)
    client = JsonClient(server.url, swarm_name, login, **({"name": name} if name else {}))
    try:
        if is_tell:
            client.tell(to, type_name, data)
            _warn_if_silent(client, server)
            return
        answer = client.ask(to, type_name, data, timeout_s)
    except AskTimeoutError:
        text = f"nothing came within {timeout_s:g} s, not even from a node: see how they are with `covey ps`"
        answer = JsonAnswer("AskTimeoutError", text, 408)
    except NoHostError as error:
        raise empty_swarm(server, swarm_name, "nodes that host agents") from error
    except PermissionDeniedError as error:
        if not error.subject.lower().startswith("_inbox"):
            raise
        raise PermissionDeniedError(
            f"{inbox_prefix(client.name)}.>",
            "answers could not come there; say with --name what `covey auth init` calls this client",
        ) from error
    except TransportError as error:
        raise TransportError(f"{error}; or name another server with --nats or COVEY_NATS_URL") from error
    if answer.failure_code:
        text = " ".join(f"{answer.type_name}: {answer.text}".split())
        click.secho(text, fg="red", err=True)
        ctx.exit(EXIT_FAILURE)
    click.secho(answer.type_name, dim=True, err=True)
    click.echo(_shown(answer.text))


def _warn_if_silent(client: JsonClient, server: NatsServer) -> None:
    """NATS does not say that nobody listens to what wants no answer; but a swarm with nodes is heard."""
    if not client.hears_swarm():
        doubt = f"no node of swarm {client.swarm!r} was heard on {server.shown}: the message may be lost"
        click.secho(f"warning: {doubt}", fg="yellow", err=True)


def _checked(body: str | None) -> bytes:
    """The body as bytes, once it is known to be JSON."""
    from covey.framework.errors import ConfigurationError

    data = b"{}" if body is None else body.encode(errors="surrogateescape")
    if body == "-":
        data = sys.stdin.buffer.read()
    try:
        text = data.decode()
        json.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"the body is no JSON: {_where(error)}") from error
    except RecursionError as error:
        raise ConfigurationError("the body is nested too deep") from error
    return data


def _where(error: json.JSONDecodeError) -> str:
    before = error.doc[max(0, error.pos - EXCERPT_CHARS) : error.pos]
    after = error.doc[error.pos : error.pos + EXCERPT_CHARS]
    return f"{error.msg} at line {error.lineno}, column {error.colno}: {before}<here>{after}"


def _shown(text: str) -> str:
    """JSON for people on a terminal, for programs elsewhere; only ASCII where the encoding has no more."""
    only_ascii = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    indent = 2 if sys.stdout.isatty() else None
    return json.dumps(json.loads(text), indent=indent, ensure_ascii=only_ascii)
