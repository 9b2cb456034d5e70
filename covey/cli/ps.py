"""`covey ps`: the supervision trees of a running swarm, as its nodes tell of them."""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, NoReturn

import click

from covey.cli.console import open_console
from covey.cli.empty_swarm import empty_swarm
from covey.cli.nats_options import NatsServer, nats_options

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from covey.framework.supervision.tree import NodeTree
    from covey.swarm import Swarm

__all__ = ["ps"]

EXIT_SILENT = 1
ALL_CHILDREN = 1 << 31


@click.command()
@nats_options
@click.option("--swarm", "swarm_name", metavar="NAME", default="covey", show_default=True)
@click.option(
    "--name", metavar="NODE", help="As which node to look, where the server has permissions for each."
)
@click.option("--all", "show_all", is_flag=True, help="Show all children of a parent, not 20 at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one document a line.")
@click.option(
    "--watch", "every_s", metavar="SECONDS", type=click.FloatRange(0.1), help="Look again and again."
)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    help="How long nodes may take to answer.",
)
@click.pass_context
def ps(
    ctx: click.Context,
    server: NatsServer,
    swarm_name: str,
    name: str | None,
    show_all: bool,
    as_json: bool,
    every_s: float | None,
    timeout_s: float,
) -> None:
    """Show the supervision trees of a running swarm.

    Every node is asked for its supervisors, their children, and its other agents: state, restarts, how many
    messages wait, the last error. Of the children of one parent 20 are shown, those in trouble first, and
    the rest is counted.

    Exit status: 0 when all nodes have answered, 1 when one has not, 2 when there is no server or no node.
    """
    from covey.framework.supervision.snapshot import MOST_CHILDREN

    most = ALL_CHILDREN if show_all else MOST_CHILDREN
    with _client(server, swarm_name, name) as swarm:
        if every_s is not None:
            _watch(swarm, server, most, timeout_s, every_s, as_json=as_json)
        trees = _look(swarm, most, timeout_s)
    if not trees:
        raise empty_swarm(server, swarm_name)
    if as_json:
        click.echo(_json(swarm_name, trees, indent=2))
    else:
        console = open_console()
        console.print(_drawn(swarm_name, server, trees, console))
    if any(tree.problem for tree in trees):
        ctx.exit(EXIT_SILENT)


@contextmanager
def _client(server: NatsServer, swarm_name: str, name: str | None) -> Iterator[Swarm]:
    """A node of the swarm that hosts nothing and reports nothing: what matters is in the trees."""
    from covey.framework.errors import TransportError
    from covey.swarm import Swarm

    logging.getLogger("covey").addHandler(logging.NullHandler())
    name = name or f"ps-{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(2)}"
    swarm = Swarm.connect(server.url, name=swarm_name, node=name, trace_ratio=0.0, **server.login)
    try:
        swarm.start()
    except TransportError as error:
        raise TransportError(f"{error}; or name another server with --nats or COVEY_NATS_URL") from error
    try:
        yield swarm
    finally:
        swarm.stop()


def _look(swarm: Swarm, most: int, timeout_s: float) -> list[NodeTree]:
    """The trees of all other nodes."""
    trees = swarm.trees(timeout_s, most).get()
    return [tree for tree in trees if tree.node != swarm.node_name]


def _watch(
    swarm: Swarm, server: NatsServer, most: int, timeout_s: float, every_s: float, *, as_json: bool
) -> NoReturn:
    """Show the trees again and again, until Ctrl-C; a swarm without nodes may get some."""
    from rich.live import Live

    console = open_console()
    on_screen = console.is_terminal and not as_json
    with Live(console=console, screen=on_screen, auto_refresh=False) as live:
        while True:
            due = monotonic() + every_s
            trees = _look(swarm, most, timeout_s)
            if as_json:
                click.echo(_json(swarm.name, trees))
            elif on_screen:
                live.update(_drawn(swarm.name, server, trees, console, with_time=True), refresh=True)
            else:
                console.print(_drawn(swarm.name, server, trees, console, with_time=True), "")
            sleep(max(0.0, due - monotonic()))


def _drawn(
    swarm_name: str, server: NatsServer, trees: list[NodeTree], console: Console, *, with_time: bool = False
) -> RenderableType:
    from datetime import datetime

    from covey.cli.swarm_view import draw

    at = f" at {datetime.now():%H:%M:%S}" if with_time else ""
    return draw(f"swarm {swarm_name} on {server.shown}{at}", trees, console.encoding)


def _json(swarm_name: str, trees: list[NodeTree], indent: int | None = None) -> str:
    import json

    nodes = [dataclasses.asdict(tree) for tree in trees]
    return json.dumps({"swarm": swarm_name, "nodes": nodes}, indent=indent)
