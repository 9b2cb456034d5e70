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

from covey.cli.node import DEFAULT_URL

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from covey.framework.supervision.tree import NodeTree
    from covey.swarm import Swarm

__all__ = ["ps"]

EXIT_SILENT = 1
ALL_CHILDREN = 1 << 31
PLAIN_WIDTH = 120


@click.command()
@click.option("--nats", metavar="URL", help=f"The NATS server [default: COVEY_NATS_URL, else {DEFAULT_URL}].")
@click.option("--swarm", "swarm_name", metavar="NAME", default="covey", show_default=True)
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
    nats: str | None,
    swarm_name: str,
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

    url = nats or os.environ.get("COVEY_NATS_URL") or DEFAULT_URL
    most = ALL_CHILDREN if show_all else MOST_CHILDREN
    with _client(url, swarm_name) as swarm:
        if every_s is not None:
            _watch(swarm, url, most, timeout_s, every_s, as_json=as_json)
        trees = _look(swarm, most, timeout_s)
    if not trees:
        _refuse_empty(swarm_name, url)
    if as_json:
        click.echo(_json(swarm_name, trees, indent=2))
    else:
        console = _console()
        console.print(_drawn(swarm_name, url, trees, console))
    if any(tree.problem for tree in trees):
        ctx.exit(EXIT_SILENT)


@contextmanager
def _client(url: str, swarm_name: str) -> Iterator[Swarm]:
    """A node of the swarm that hosts nothing and reports nothing: what matters is in the trees."""
    from covey.framework.errors import TransportError
    from covey.swarm import Swarm

    logging.getLogger("covey").addHandler(logging.NullHandler())
    name = f"ps-{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(2)}"
    swarm = Swarm.connect(url, name=swarm_name, node=name, trace_ratio=0.0)
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


def _watch(swarm: Swarm, url: str, most: int, timeout_s: float, every_s: float, *, as_json: bool) -> NoReturn:
    """Show the trees again and again, until Ctrl-C; a swarm without nodes may get some."""
    from rich.live import Live

    console = _console()
    on_screen = console.is_terminal and not as_json
    with Live(console=console, screen=on_screen, auto_refresh=False) as live:
        while True:
            due = monotonic() + every_s
            trees = _look(swarm, most, timeout_s)
            if as_json:
                click.echo(_json(swarm.name, trees))
            elif on_screen:
                live.update(_drawn(swarm.name, url, trees, console, with_time=True), refresh=True)
            else:
                console.print(_drawn(swarm.name, url, trees, console, with_time=True), "")
            sleep(max(0.0, due - monotonic()))


def _drawn(
    swarm_name: str, url: str, trees: list[NodeTree], console: Console, *, with_time: bool = False
) -> RenderableType:
    from datetime import datetime

    from covey.cli.swarm_view import draw
    from covey.transports.nats_errors import redacted

    at = f" at {datetime.now():%H:%M:%S}" if with_time else ""
    return draw(f"swarm {swarm_name} on {redacted(url)}{at}", trees, console.encoding)


def _refuse_empty(swarm_name: str, url: str) -> NoReturn:
    from covey.framework.errors import ConfigurationError
    from covey.transports.heard_swarms import heard_swarms
    from covey.transports.nats_errors import redacted

    others = [name for name in heard_swarms(url) if name != swarm_name]
    shown = ", ".join(others[:10]) + (f" and {len(others) - 10} more" if len(others) > 10 else "")
    start = f"start a node with `covey node MODULE --swarm {swarm_name}`"
    advice = f"name a swarm that has some with --swarm ({shown}), or {start}" if others else start
    raise ConfigurationError(f"swarm {swarm_name!r} has no nodes on {redacted(url)}: {advice}")


def _json(swarm_name: str, trees: list[NodeTree], indent: int | None = None) -> str:
    import json

    nodes = [dataclasses.asdict(tree) for tree in trees]
    return json.dumps({"swarm": swarm_name, "nodes": nodes}, indent=indent)


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)
