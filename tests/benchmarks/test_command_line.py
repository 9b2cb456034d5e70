"""The benchmarks as they are run: their peers and the command line. No test looks at a speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import ask, local, peer, supervision
from benchmarks.__main__ import BENCHMARKS
from benchmarks.child import run_child, serving
from benchmarks.harness import Options
from benchmarks.peer import PEERS, Peer, peer_systems
from benchmarks.reading_proto import FIRST_SEQUENCE, NOTE, SERIES, Reading

ROOT = Path(__file__).resolve().parents[2]


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


class TestPeers:
    def test_a_reading_takes_128_bytes_whatever_its_number(self) -> None:
        for number in (0, 1_000, 1_000_000):
            reading = Reading(series=SERIES, sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE)
            assert reading.ByteSize() == 128

    def test_pykka_gives_every_figure_that_is_expected_of_it(self) -> None:
        samples = [
            run_child(f"benchmarks.{module}", *arguments, deadline_s=60)
            for module, *arguments in (
                ("local_pykka", "messaging", "500", "500", "50"),
                ("local_pykka", "actors", "50"),
                ("ask_pykka", "50"),
                ("agents_pykka", "live", "10", "200"),
                ("agents_pykka", "stop", "20"),
                ("supervision_pykka", "crash", "20"),
                ("supervision_pykka", "storm", "20", "2"),
                ("supervision_pykka", "group", "20"),
            )
        ]
        given = {key for sample in samples for key, value in sample.items() if value > 0}
        assert given == {
            *local.ALL_BUT_RING,
            *local.ACTOR_KEYS,
            *ask.PLAIN,
            "us_1",
            "us_10",
            "stop_s",
            "stop_us",
            *supervision.BY_THREAD,
            "restarts_per_s",
            "group_us",
        }

    def test_a_peer_that_was_not_asked_for_takes_no_part(self) -> None:
        peers = [Peer(name, "", frozenset(), "", ()) for name in PEERS]
        chosen = peer_systems(peers, Options(peers=frozenset({"ray", "xoscar"})))
        assert [system.name for system in chosen] == ["xoscar", "ray"]

    @pytest.mark.parametrize("name", PEERS)
    def test_a_peer_says_what_to_do_where_it_is_not_installed(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(peer, "peer_versions", dict)
        system = peer_systems([Peer(name, "", frozenset(), "", ())], Options())[0]
        assert system.absent == "not installed: make bench-peers"

    def test_raw_nats_gives_every_figure_and_drops_nothing(self) -> None:
        with (
            serving("benchmarks.nats_server") as url,
            serving("benchmarks.node_raw", "receive", url),
        ):
            sample = run_child("benchmarks.node_raw", "send", url, "2000", deadline_s=60)
        assert {key for key, value in sample.items() if value > 0} == {"messages_per_s", "cpu_us"}


class TestCommandLine:
    def test_list_says_what_there_is(self) -> None:
        done = run_command("--list")
        assert done.returncode == 0
        assert [line.split()[0] for line in done.stdout.splitlines()] == list(BENCHMARKS)

    def test_an_unknown_name_is_answered_with_the_known_ones(self) -> None:
        done = run_command("warp-speed")
        assert done.returncode == 2
        assert "warp-speed" in done.stderr
        assert "node-to-node" in done.stderr
        assert "Traceback" not in done.stderr

    def test_an_unknown_peer_is_answered_with_the_known_ones(self) -> None:
        done = run_command("local", "--peers", "abacus")
        assert done.returncode == 2
        assert "abacus" in done.stderr
        assert "autogen, xoscar, thespian, ray" in done.stderr

    def test_a_plot_is_refused_where_there_is_none(self, tmp_path: Path) -> None:
        done = run_command("local", "--plot", str(tmp_path / "local.svg"))
        assert done.returncode == 2
        assert "only of agents" in done.stderr

    @pytest.mark.parametrize("name", BENCHMARKS)
    def test_every_benchmark_writes_covey_its_peers_and_their_ratios(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "rows.json"
        done = run_command(name, "--quick", "--pairs", "1", "--peers", "none", "--json", str(path))
        assert done.returncode == 0, done.stderr
        rows = json.loads(path.read_text())
        for row in rows:
            assert {"system", "metric", "value", "unit", "note", "environment"} <= row.keys()
            assert row["value"] is not None
        for metric in {row["metric"] for row in rows}:
            units = {row["system"]: row["unit"] for row in rows if row["metric"] == metric}
            for ratio in [system for system in units if " / " in system]:
                assert set(ratio.split(" / ")) <= units.keys()
                assert units[ratio] == "ratio"
        assert [row for row in rows if row["system"].startswith("covey / ")]
