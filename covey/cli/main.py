"""The `covey` command: finds its subcommands by name and imports one only when it is used."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NamedTuple

import click

__all__ = ["EXIT_ERROR", "EXIT_INTERRUPTED", "LazyGroup", "Subcommand", "covey", "main"]

EXIT_ERROR = 2
"""A `CoveyError` ended the command: the user can do something about it."""

EXIT_INTERRUPTED = 130
"""Ctrl-C, as shells report it."""


class Subcommand(NamedTuple):
    """Where a subcommand lives, and its line in `covey --help`; the module's attribute bears its name."""

    module: str
    summary: str


SUBCOMMANDS = {
    "demo": Subcommand("covey.cli.demo", "Run an example swarm: `covey demo aiops`."),
    "node": Subcommand("covey.cli.node", "Run a node that hosts agents."),
    "ps": Subcommand("covey.cli.ps", "Show the supervision trees of a running swarm."),
    "send": Subcommand("covey.cli.send", "Send an agent a message in JSON, and print its answer."),
    "doctor": Subcommand("covey.cli.doctor", "Examine a NATS server, and say what to mend."),
    "auth": Subcommand("covey.cli.auth", "Make the keys and the server's permissions for a swarm."),
    "trace": Subcommand("covey.cli.trace", "List the latest traces, or draw one as a waterfall."),
    "proto": Subcommand("covey.cli.proto", "Export the .proto of a module's messages, or of the wire."),
}


class LazyGroup(click.Group):
    """A group that knows its subcommands by name and loads none of them to show its help.

    A `CoveyError` in a subcommand ends as one line on stderr and exit status 2, Ctrl-C as status 130.
    """

    def __init__(self, *args: Any, subcommands: dict[str, Subcommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [name for name, sub in self._subcommands.items() if _exists(sub.module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        subcommand = self._subcommands.get(cmd_name)
        if subcommand is None or not _exists(subcommand.module):
            return None
        command = getattr(importlib.import_module(subcommand.module), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{subcommand.module}.{cmd_name} is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._subcommands[name].summary) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        except Exception as error:
            if not _is_covey_error(error):
                raise
            click.secho(f"error: {' '.join(str(error).split())}", fg="red", err=True)
            ctx.exit(EXIT_ERROR)


def _exists(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _is_covey_error(error: Exception) -> bool:
    from covey.framework.errors import CoveyError

    return isinstance(error, CoveyError)


@click.group(cls=LazyGroup, subcommands=SUBCOMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="covey", message="covey %(version)s")
def covey() -> None:
    """Actor-model agents over NATS: supervised, placed on nodes, traced."""


def main() -> None:
    """The console script."""
    covey(prog_name="covey")


if __name__ == "__main__":
    main()
