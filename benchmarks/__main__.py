"""The command line: `python -m benchmarks NAME [--json PATH] [--plot PATH] [--quick] [--pairs N]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import (
    agents,
    ask,
    clients,
    environment,
    failover,
    local,
    node_to_node,
    reconnect,
    remote_ask,
    supervision,
)
from benchmarks.harness import DEFAULT_PAIRS, BenchmarkError, Options, Row
from benchmarks.peer import PEERS
from benchmarks.table import print_rows

BENCHMARKS = {
    "local": local,
    "ask": ask,
    "agents": agents,
    "node-to-node": node_to_node,
    "remote-ask": remote_ask,
    "clients": clients,
    "reconnect": reconnect,
    "failover": failover,
    "supervision": supervision,
}
PLOTS = {"agents": agents.plot}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; the exit status is 1 if it could not be run, 2 if the arguments make no sense."""
    asked = _parse(arguments)
    if asked.list or asked.names:
        for name, module in BENCHMARKS.items():
            print(name if asked.names else f"{name:14}{module.SUMMARY}")
        return 0
    module = BENCHMARKS[asked.name]
    pairs = asked.pairs if asked.pairs is not None else 3 if asked.quick else DEFAULT_PAIRS
    try:
        rows = module.run(Options(pairs=pairs, quick=asked.quick, peers=asked.peers))
        if asked.plot:
            PLOTS[asked.name](rows, asked.plot)
    except BenchmarkError as error:
        print(f"{asked.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    facts = environment.describe()
    print_rows(f"{asked.name}: {module.SUMMARY}", rows, facts, Console())
    if asked.json:
        _write(asked.json, rows, facts)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Covey against its peers.")
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="which benchmark to run")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the rows there, as a JSON list")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="draw there, as .svg and .png (agents)")
    parser.add_argument("--quick", action="store_true", help="fewer messages and 3 rounds: rougher figures")
    parser.add_argument("--pairs", type=int, metavar="N", help=f"how many rounds (default {DEFAULT_PAIRS})")
    parser.add_argument(
        "--peers",
        type=_peers,
        metavar="NAMES",
        help=f"which of {', '.join(PEERS)} to measure too: a list with commas, or none (default: all)",
    )
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--names", action="store_true", help="only the names, for scripts")
    asked = parser.parse_args(arguments)
    if not (asked.name or asked.list or asked.names):
        parser.error(f"name a benchmark ({', '.join(BENCHMARKS)}) or give --list")
    if asked.plot and asked.name not in PLOTS:
        parser.error(f"there is no plot of {asked.name}: only of {', '.join(PLOTS)}")
    return asked


def _peers(text: str) -> frozenset[str]:
    names = frozenset(text.split(",")) - {"none"}
    if unknown := sorted(names - PEERS.keys()):
        raise argparse.ArgumentTypeError(
            f"no peer is called {', '.join(unknown)}: choose from {', '.join(PEERS)}, or none"
        )
    return names


def _write(path: Path, rows: Sequence[Row], facts: Mapping[str, str]) -> None:
    """A flat list: each row carries where it was measured, so that it can be copied elsewhere alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{**row.as_json(), "environment": facts} for row in rows]
    path.write_text(json.dumps(listed, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
