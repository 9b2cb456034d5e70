"""`covey auth`: keys for the nodes and clients of a swarm, and the server's configuration that knows them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["auth"]

CONFIGURATION = "nats-server.conf"
STREAMS = "jetstream"
MOST_NAME_BYTES = 200
"""Of a file name that comes of a node's name, well below what file systems take."""


@click.group()
def auth() -> None:
    """Set up who may do what on the NATS server."""


@auth.command()
@click.option("--swarm", metavar="NAME", default="covey", show_default=True)
@click.option("--node", "nodes", metavar="NAME", multiple=True, help="A node's name; again for each node.")
@click.option(
    "--client",
    "clients",
    metavar="NAME",
    multiple=True,
    help="A program that asks agents and uses topics, and is no node; again for each.",
)
@click.option(
    "--out",
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("covey-auth"),
    show_default=True,
    help="Where to write it.",
)
@click.option("--keep", is_flag=True, help="Keep the keys that are there; write the configuration anew.")
@click.option("--force", is_flag=True, help="Replace what is there, keys included.")
def init(
    swarm: str, nodes: Sequence[str], clients: Sequence[str], directory: Path, keep: bool, force: bool
) -> None:
    """Write a nats-server configuration with least privilege, and a key for each node and client.

    Each key is a file NAME.nk that only its owner needs; the configuration holds the public halves. To add a
    node later, name all of them again with --keep, and tell the server to reload.
    """
    from covey.transports.nats_keys import new_user_key, read_user_key
    from covey.transports.server_auth import server_configuration

    if not nodes:
        raise click.UsageError("name the nodes of the swarm: --node n1 --node n2")
    if keep and force:
        raise click.UsageError("give --keep or --force, not both")
    seed_files = _seed_files(directory, [*nodes, *clients])
    if not (keep or force):
        _refuse_what_is_there(directory, list(seed_files.values()))
    keys = {
        name: read_user_key(path, "--keep") if keep and path.exists() else new_user_key()
        for name, path in seed_files.items()
    }
    public = {name: key.public for name, key in keys.items()}
    text = server_configuration(
        swarm, {name: public[name] for name in nodes}, {name: public[name] for name in clients}
    )
    files = {seed_files[name]: f"{key.seed}\n" for name, key in keys.items()}
    _write(directory, {**files, directory / CONFIGURATION: text})
    click.echo(_next_steps(swarm, nodes, clients, directory, seed_files))


def _seed_files(directory: Path, names: Sequence[str]) -> dict[str, Path]:
    from covey.framework.address import check_key, escape_token
    from covey.framework.errors import ConfigurationError

    tokens = {name: escape_token(check_key(name, "the name of a node or client")) for name in names}
    if len({token.lower() for token in tokens.values()}) < len(names):
        raise ConfigurationError(
            "two of the nodes and clients have the same name, capitals aside: give each its own, "
            "for its inbox and its file"
        )
    for name, token in tokens.items():
        if len(token) > MOST_NAME_BYTES:
            raise ConfigurationError(
                f"the name {name[:40]!r}... is too long for a file: choose a shorter one"
            )
    return {name: directory / f"{token}.nk" for name, token in tokens.items()}


def _refuse_what_is_there(directory: Path, seed_files: Sequence[Path]) -> None:
    from covey.framework.errors import ConfigurationError

    there = [path.name for path in (directory / CONFIGURATION, *seed_files) if path.exists()]
    if there:
        raise ConfigurationError(
            f"{directory} has {', '.join(there)} already: keep its keys with --keep, "
            "replace them with --force, or choose another --out"
        )


def _write(directory: Path, files: dict[Path, str]) -> None:
    """For the owner's eyes only, from the first byte on."""
    from covey.framework.errors import ConfigurationError

    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, text in files.items():
            new = path.with_name(f"{path.name}.new")
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            new.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {error.filename or directory}: {error.strerror}: choose another --out"
        ) from error


def _next_steps(
    swarm: str, nodes: Sequence[str], clients: Sequence[str], directory: Path, seed_files: dict[str, Path]
) -> str:
    from covey.transports.nats_arrivals import inbox_prefix

    def login(name: str) -> str:
        return shlex.join(["--swarm", swarm, "--name", name, "--nkey", str(seed_files[name])])

    server = ["nats-server", "-c", str(directory / CONFIGURATION), "-js", "-sd", str(directory / STREAMS)]
    lines = [
        f"{directory}: {CONFIGURATION} and {len(seed_files)} keys; give each machine its own key, no other",
        f"  {shlex.join(server)}",
        *(f"  covey node MODULE {login(name)}" for name in nodes),
        *(f"  covey send KIND/KEY TYPE JSON {login(name)}" for name in clients),
        *(f"{name} with another NATS client: inbox prefix {inbox_prefix(name)}" for name in clients),
    ]
    return "\n".join(lines)
