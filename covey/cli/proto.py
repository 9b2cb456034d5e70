"""`covey proto`: the `.proto` files of message classes, and of the wire itself."""

from __future__ import annotations

from pathlib import Path

import click

from covey.framework.errors import ConfigurationError

__all__ = ["proto"]


@click.group()
def proto() -> None:
    """Work with the protobuf side of messages."""


_output = click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, not to the terminal.",
)


@proto.command()
@click.argument("module")
@_output
def export(module: str, output: Path | None) -> None:
    """Print the .proto file of the messages that MODULE defines.

    MODULE is what `import` takes, such as shop.messages. The messages that a module only imports are exported
    if it defines none.
    """
    from covey.framework.messages.proto_export import export as export_types

    _give(export_types(_messages_of(module)), output)


@proto.command()
@_output
def envelope(output: Path | None) -> None:
    """Print envelope.proto: what travels between nodes, and between them and other NATS clients.

    With it and the messages of `covey proto export` a program in any language can talk to agents; the page
    docs/wire.md of Covey says how.
    """
    from importlib.resources import files

    _give(files("covey.framework.proto").joinpath("envelope.proto").read_text(encoding="utf-8"), output)


def _give(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {output}: {error.strerror}: choose another --output"
        ) from error


def _messages_of(module: str) -> list[type]:
    import importlib
    import sys

    from covey.framework.messages.message_registry import message_classes

    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does; an installed script leaves the current folder out
    try:
        imported = importlib.import_module(module)
    except Exception as error:
        raise ConfigurationError(
            f"cannot import {module!r}: {type(error).__name__}: {error}: "
            "give the name of a module, such as shop.messages, and run this where it can be imported"
        ) from error
    known = message_classes()
    defined = [cls for cls in known if cls.__module__ == module]
    if defined:
        return defined
    imported_there = {id(value) for value in vars(imported).values()}
    found = [cls for cls in known if id(cls) in imported_there]
    if not found:
        raise ConfigurationError(f"{module} defines no message: decorate a class in it with @message")
    return found
