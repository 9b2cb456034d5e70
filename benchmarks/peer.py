"""The peers that cannot live beside Covey: each runs in `.venv-peers`, made by `make bench-peers`.

autogen-core needs protobuf 5 and Covey 6.31 or newer, so these have a virtual environment of their own. A
peer is one script, `benchmarks/peers/<name>_peer.py BENCHMARK ARGUMENTS`, that imports only the peer, the
standard library and psutil, and prints one sample.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.child import ROOT, run_script
from benchmarks.harness import BenchmarkError, Options, System

__all__ = ["PEERS", "Peer", "peer_systems", "peer_versions"]

VENV = ROOT / ".venv-peers"
SCRIPTS = Path(__file__).resolve().parent / "peers"
NOT_INSTALLED = "not installed: make bench-peers"
DEADLINE_S = 180.0

PEERS = {
    "autogen": "autogen-core",
    "xoscar": "xoscar",
    "thespian": "thespian",
    "ray": "ray",
    "faststream": "faststream",
}
"""Name of the script, and the package that it measures."""

_ASK_VERSIONS = """
import json, sys
from importlib import metadata
found = {}
for package in sys.argv[1:]:
    try:
        found[package] = metadata.version(package)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """How one peer takes part in a benchmark."""

    script: str
    label: str
    """The row's name, after the package's: which form of it was measured."""
    gives: frozenset[str]
    note: str
    arguments: tuple[str, ...]


def peer_systems(peers: Sequence[Peer], options: Options) -> list[System]:
    """The peers that were asked for, as systems; one that is not installed says so in its rows."""
    return [_system(peer) for peer in peers if options.peers is None or peer.script in options.peers]


@cache
def peer_versions() -> dict[str, str]:
    """The peers that are installed, by package."""
    interpreter = VENV / "bin" / "python"
    if not interpreter.exists():
        return {}
    try:
        done = subprocess.run(
            [str(interpreter), "-c", _ASK_VERSIONS, *PEERS.values()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise BenchmarkError(f"{VENV.name} does not run: remove it and call `make bench-peers`") from error
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _system(peer: Peer) -> System:
    package = PEERS[peer.script]
    script = SCRIPTS / f"{peer.script}_peer.py"
    return System(
        name=f"{package} {peer.label}".strip(),
        sample=lambda: run_script(VENV / "bin" / "python", script, *peer.arguments, deadline_s=DEADLINE_S),
        gives=peer.gives,
        note=peer.note,
        absent="" if package in peer_versions() else NOT_INSTALLED,
        required=False,
    )
