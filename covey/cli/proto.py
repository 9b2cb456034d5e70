"""`covey proto`: the `.proto` files of message classes."""

from __future__ import annotations

from pathlib import Path

import click

from covey.framework.errors import ConfigurationError

__all__ = ["proto"]


@click.group()
def proto() -> None:
    """Work with the protobuf side of messages."""


@proto.command()
@click.argument("module")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, not to the terminal.",
)
def export(module: str, output: Path | None) -> None:
    """Print the .proto file of the messages that MODULE defines.

    MODULE is what `import` takes, such as shop.messages. The messages that a module only imports are exported
    if it defines none.
    """
    from covey.framework.messages.proto_export import export as export_types

    text = export_types(_messages_of(module))
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
