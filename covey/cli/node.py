"""`covey node`: one process of a swarm, hosting the agents of a module, until it is told to stop."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

import click

from covey.cli.nats_options import NatsServer, nats_options

if TYPE_CHECKING:
    from covey.framework.agent import Agent
    from covey.swarm import Swarm

__all__ = ["node"]

EXIT_GAVE_UP = 1
POLL_S = 0.2


@click.command()
@click.argument("agents", metavar="MODULE[:CLASS,...]")
@nats_options
@click.option("--embedded", is_flag=True, help="Start a private nats-server and print its address.")
@click.option("--swarm", "swarm_name", metavar="NAME", default="covey", show_default=True)
@click.option("--name", metavar="NODE", help="This node's name [default: host, process id and a number].")
@click.option("--weight", type=click.IntRange(1, 1000), default=1, show_default=True, help="Share of agents.")
@click.option("--trace-ratio", type=click.FloatRange(0, 1), help="Which part of the conversations to trace.")
@click.option("--uvloop", is_flag=True, default=None, help="Run on uvloop, where it is installed.")
@click.pass_context
def node(
    ctx: click.Context,
    agents: str,
    server: NatsServer,
    embedded: bool,
    swarm_name: str,
    name: str | None,
    weight: int,
    trace_ratio: float | None,
    uvloop: bool | None,
) -> None:
    """Run a node that hosts the agents of a module.

    Without class names it hosts every agent that the module defines and that constructs without arguments.
    If the module has a function supervisor() that returns a Supervisor, that is started too.

    SIGTERM and Ctrl-C let agents finish what they have, up to 5 seconds. Exit status: 0 after that, 1 when
    the root supervisor gave up, 2 for an error in what was asked for.
    """
    from covey.framework.errors import SwarmFailedError
    from covey.swarm import Swarm

    if embedded and (server.is_given or server.login):
        raise click.UsageError("give --nats URL and how to log in, or --embedded, not both")
    _log_to_stderr()
    module, classes = _agents_of(agents)
    supervise = _supervisor_of(module)
    if not classes and supervise is None:
        raise click.UsageError(
            f"{module.__name__} defines no agent that constructs without arguments, and no supervisor()"
        )
    options: dict[str, Any] = {"node": name, "weight": weight, "trace_ratio": trace_ratio, "uvloop": uvloop}
    if embedded:
        swarm = Swarm.embedded(name=swarm_name, hosts=classes, **options)
    else:
        swarm = Swarm.connect(server.url, name=swarm_name, hosts=classes, **options, **server.login)
    with _told_to_stop() as told:
        try:
            with swarm:
                if supervise is not None:
                    swarm.supervise(supervise())
                _announce(swarm, swarm.url if embedded else server.shown, classes)
                while not told.is_set() and not swarm.wait(POLL_S):
                    pass
        except SwarmFailedError as error:
            click.secho(f"node {swarm.node_name} gave up: {error}", fg="red", err=True)
            ctx.exit(EXIT_GAVE_UP)


def _agents_of(text: str) -> tuple[ModuleType, list[type[Agent]]]:
    """The module and the agent classes that `MODULE[:CLASS,...]` names."""
    from covey.framework.agent import Agent
    from covey.framework.errors import ConfigurationError

    module_name, colon, names = text.partition(":")
    module = _import(module_name)
    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Agent) and value.__module__ == module.__name__
    }
    if not colon:
        return module, [cls for cls in found.values() if _constructs_without_arguments(cls)]
    classes = []
    for name in names.split(","):
        cls = getattr(module, name.strip(), None)
        if not (isinstance(cls, type) and issubclass(cls, Agent)):
            known = ", ".join(sorted(found)) or "none"
            raise ConfigurationError(f"{module_name} has no agent class {name!r}; those it defines: {known}")
        classes.append(cls)
    return module, classes


def _import(name: str) -> ModuleType:
    from covey.framework.errors import ConfigurationError

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(f"{name} cannot be imported: {error}") from error
        raise ConfigurationError(
            f"there is no module {name!r}: name one that Python can import from here, such as shop.agents"
        ) from error
    except Exception as error:  # a module may raise anything while it is imported
        raise ConfigurationError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def _constructs_without_arguments(cls: type[Agent]) -> bool:
    try:
        inspect.signature(cls).bind()
    except TypeError:
        return False
    return not inspect.isabstract(cls)


def _supervisor_of(module: ModuleType) -> Callable[[], Any] | None:
    """The module's function supervisor(), checked when it is called."""
    from covey.framework.errors import ConfigurationError
    from covey.framework.supervision.supervisor import Supervisor

    function = getattr(module, "supervisor", None)
    if not inspect.isfunction(function):
        return None

    def make() -> Supervisor:
        try:
            made = function()
        except Exception as error:
            raise ConfigurationError(
                f"{module.__name__}.supervisor() raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, Supervisor):
            raise ConfigurationError(f"{module.__name__}.supervisor() returned {made!r}: return a Supervisor")
        return made

    return make


def _announce(swarm: Swarm, url: str, classes: list[type[Agent]]) -> None:
    hosted = ", ".join(sorted(cls.kind for cls in classes)) or "nothing"
    click.echo(f"node {swarm.node_name} of swarm {swarm.name} on {url} hosts {hosted}; {swarm.traces}")


def _log_to_stderr() -> None:
    level = os.environ.get("COVEY_LOG_LEVEL", "INFO").upper()
    if not isinstance(logging.getLevelName(level), int):
        raise click.UsageError(f"COVEY_LOG_LEVEL={level.lower()}: choose DEBUG, INFO, WARNING or ERROR")
    logging.basicConfig(
        level=level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that the first SIGTERM or SIGINT sets; a second one ends the process as usual."""
    told = threading.Event()
    previous: dict[int, Any] = {}

    def restore() -> None:
        while previous:
            number, handler = previous.popitem()
            signal.signal(number, handler)

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.set()
        restore()

    for number in (signal.SIGTERM, signal.SIGINT):
        previous[number] = signal.signal(number, tell)
    try:
        yield told
    finally:
        restore()
