"""`covey doctor`: what is wrong with a NATS server for a swarm, and what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from covey.cli.nats_options import NatsServer, nats_options

if TYPE_CHECKING:
    from covey.transports.diagnosis import Finding, ServerFacts

__all__ = ["doctor"]

EXIT_FAILURE = 1


@click.command()
@nats_options
@click.option("--swarm", "swarm_name", metavar="NAME", default="covey", show_default=True)
@click.option(
    "--name",
    metavar="NODE",
    envvar="COVEY_NODE_NAME",
    help="As which node, or client, to look; where the server knows users, whose login this is.",
)
@click.option(
    "--client",
    "clients",
    metavar="NAME",
    multiple=True,
    help="A client that the node should answer; again for each.",
)
@click.option("--monitor", metavar="URL", default="", help="Its monitoring too, as http://host:8222.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the findings, and all that was measured.")
@click.pass_context
def doctor(
    ctx: click.Context,
    server: NatsServer,
    swarm_name: str,
    name: str | None,
    clients: Sequence[str],
    monitor: str,
    as_json: bool,
) -> None:
    """Examine a NATS server in the name of a node, and say what to mend.

    Version, encryption, login, limits, latency, clock, JetStream, the nodes that are heard, and whether the
    node may publish and subscribe whatever it needs: each is tried, and no node or client notices.

    Exit status: 0 when all is well, or with warnings; 1 when something fails; 2 when nothing could be
    examined, because the server cannot be reached or does not let us in.
    """
    from covey.framework.errors import TransportError
    from covey.transports.diagnosis import Verdict, examine, findings_of

    login = server.checked_login()
    try:
        facts = examine(server.url, swarm_name, name=name, login=login, monitor=monitor, clients=clients)
    except TransportError as error:
        raise TransportError(f"{error}; or name another server with --nats or COVEY_NATS_URL") from error
    findings = findings_of(facts)
    if as_json:
        click.echo(_json(server, facts, findings))
    else:
        _draw(server, facts, findings)
    if any(finding.verdict is Verdict.FAILURE for finding in findings):
        ctx.exit(EXIT_FAILURE)


def _draw(server: NatsServer, facts: ServerFacts, findings: Sequence[Finding]) -> None:
    from covey.cli.console import open_console
    from covey.cli.findings_view import draw

    console = open_console()
    who = f" as {facts.name}" if facts.is_named else ""
    title = f"swarm {facts.swarm} on {server.shown}{who}"
    with console.capture() as captured:
        console.print(draw(title, findings, console.encoding))
    text = captured.get()
    click.echo(text if console.is_terminal else _trimmed(text), nl=False)


def _trimmed(text: str) -> str:
    """Without the blanks by which rich fills its columns."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _json(server: NatsServer, facts: ServerFacts, findings: Sequence[Finding]) -> str:
    import json

    found = [dataclasses.asdict(finding) for finding in findings]
    return json.dumps(
        {"server": server.shown, "findings": found, "facts": dataclasses.asdict(facts)}, indent=2
    )
