"""The benchmark harness: pairs, rows, child processes, the command line. No test looks at a speed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from benchmarks import child, environment
from benchmarks.__main__ import BENCHMARKS
from benchmarks.child import run_child, serving
from benchmarks.harness import BenchmarkError, Measure, System, compare, interleave
from benchmarks.reading_proto import FIRST_SEQUENCE, NOTE, SERIES, Reading
from benchmarks.table import print_rows

ROOT = Path(__file__).resolve().parents[2]
RATE = Measure("rate", "tell", "messages/s", "higher")


def scripted(name: str, values: list[float], order: list[str]) -> System:
    """A system whose samples are known beforehand; notes in `order` when it is sampled."""
    left: Iterator[float] = iter(values)

    def sample() -> dict[str, float]:
        order.append(name)
        return {"rate": next(left)}

    return System(name, sample)


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which the harness runs its children."""
    monkeypatch.setattr(child, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def write_child(folder: Path, name: str, code: str) -> str:
    (folder / f"{name}.py").write_text(code)
    return name


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


class TestPairs:
    def test_the_systems_take_turns_and_the_first_one_alternates(self) -> None:
        order: list[str] = []
        interleave(scripted("a", [1, 2, 3], order), scripted("b", [4, 5, 6], order), 3)
        assert order == ["a", "b", "b", "a", "a", "b"]

    def test_samples_stay_with_their_pair(self) -> None:
        pairs = interleave(scripted("a", [1, 2], []), scripted("b", [4, 5], []), 2)
        assert pairs == [({"rate": 1}, {"rate": 4}), ({"rate": 2}, {"rate": 5})]

    def test_no_pairs_are_refused(self) -> None:
        with pytest.raises(BenchmarkError, match="at least one pair"):
            interleave(scripted("a", [], []), scripted("b", [], []), 0)


class TestRows:
    def test_the_ratio_is_the_median_of_the_pairs_ratios_not_the_ratio_of_the_medians(self) -> None:
        rows = compare(scripted("a", [10, 20, 90], []), scripted("b", [1, 10, 30], []), [RATE], 3)
        assert [(row.system, row.value, row.unit) for row in rows] == [
            ("a", 20, "messages/s"),
            ("b", 10, "messages/s"),
            ("a / b", 3, "ratio"),
        ]
        assert (rows[2].low, rows[2].high, rows[2].coverage, rows[2].pairs) == (2, 10, 0.75, 3)

    def test_a_figure_that_is_missing_or_zero_is_refused_by_name(self) -> None:
        absent = Measure("latency", "ask", "ms", "lower")
        with pytest.raises(BenchmarkError, match="a gave None for latency"):
            compare(scripted("a", [1], []), scripted("b", [1], []), [absent], 1)
        with pytest.raises(BenchmarkError, match="b gave 0 for rate"):
            compare(scripted("a", [1], []), scripted("b", [0], []), [RATE], 1)

    def test_the_table_shows_every_figure_and_where_it_was_measured(self) -> None:
        rows = compare(scripted("a", [1234.5], []), scripted("b", [617.25], []), [RATE], 1)
        output = io.StringIO()
        print_rows("local", rows, {"python": "3.11.7", "cpus": "2"}, Console(file=output, width=140))
        shown = output.getvalue()
        for text in ("1,234", "617", "a / b", "tell (higher is better)", "python 3.11.7", "cpus 2"):
            assert text in shown

    def test_the_environment_names_python_and_the_peers(self) -> None:
        facts = environment.describe()
        assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
        assert {"date", "cpus", "pykka", "nats-py", "protobuf"} <= facts.keys()


class TestChildren:
    def test_a_sample_comes_back_from_the_last_line(self, children: Path) -> None:
        code = "from benchmarks.child import give_sample\nprint('noise')\ngive_sample(rate=2.5)\n"
        assert run_child(write_child(children, "gives", code), deadline_s=30) == {"rate": 2.5}

    def test_a_failing_child_is_reported_with_its_last_words(self, children: Path) -> None:
        with pytest.raises(BenchmarkError, match="fails exited with status 1: ValueError: no luck"):
            run_child(write_child(children, "fails", "raise ValueError('no luck')"), deadline_s=30)

    def test_a_child_that_prints_no_sample_is_refused(self, children: Path) -> None:
        with pytest.raises(BenchmarkError, match="printed no sample: 'hello'"):
            run_child(write_child(children, "chats", "print('hello')"), deadline_s=30)

    def test_a_child_past_its_deadline_is_ended(self, children: Path) -> None:
        name = write_child(children, "sleeps", "import time\ntime.sleep(60)")
        with pytest.raises(BenchmarkError, match=r"sleeps was not done within 0\.5 s"):
            run_child(name, deadline_s=0.5)
        assert not [p for p in psutil.Process().children() if "sleeps" in p.cmdline()]

    def test_a_server_serves_for_the_block_and_has_ended_after_it(self, children: Path) -> None:
        code = "import os\nfrom benchmarks.child import announce_ready\nannounce_ready(str(os.getpid()))\n"
        with serving(write_child(children, "serves", code)) as pid:
            assert psutil.Process(int(pid)).is_running()
        assert not psutil.pid_exists(int(pid))

    def test_a_server_ends_when_its_parent_is_killed(self, children: Path) -> None:
        code = "import os\nfrom benchmarks.child import announce_ready\nannounce_ready(str(os.getpid()))\n"
        write_child(children, "orphan", code)
        parent = (
            "import time\nfrom benchmarks import child\nfrom pathlib import Path\nchild.ROOT = Path('.')\n"
            "with child.serving('orphan') as pid:\n    print(pid, flush=True)\n    time.sleep(60)\n"
        )
        write_child(children, "parent", parent)
        with subprocess.Popen(
            [sys.executable, "-m", "parent"], cwd=children, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            process.kill()
        deadline = time.monotonic() + 10
        while _alive(pid):
            assert time.monotonic() < deadline, "the server outlived its parent"
            time.sleep(0.02)

    def test_a_server_that_ends_early_is_reported_with_its_last_words(self, children: Path) -> None:
        name = write_child(children, "early", "raise OSError('port taken')")
        with (
            pytest.raises(BenchmarkError, match="ended before it was ready: OSError: port taken"),
            serving(name),
        ):
            pytest.fail("it was never ready")

    def test_a_server_that_never_gets_ready_is_ended(self, children: Path) -> None:
        name = write_child(children, "mute", "import sys\nsys.stdin.read()")
        with (
            pytest.raises(BenchmarkError, match=r"was not ready within 0\.5 s"),
            serving(name, ready_within_s=0.5),
        ):
            pytest.fail("it was never ready")
        assert not [p for p in psutil.Process().children() if "mute" in p.cmdline()]


class TestPeers:
    def test_a_reading_takes_128_bytes_whatever_its_number(self) -> None:
        for number in (0, 1_000, 1_000_000):
            reading = Reading(series=SERIES, sequence=FIRST_SEQUENCE + number, value=0.5, note=NOTE)
            assert reading.ByteSize() == 128

    def test_pykka_gives_every_figure_of_the_local_benchmark(self) -> None:
        messaging = run_child("benchmarks.local_pykka", "messaging", "500", "50", deadline_s=60)
        actors = run_child("benchmarks.local_pykka", "actors", "50", deadline_s=60)
        assert {key for key, value in (messaging | actors).items() if value > 0} == {
            "tells_per_s",
            "ask_us",
            "kib_per_actor",
            "starts_per_s",
        }

    def test_raw_nats_gives_every_figure_and_drops_nothing(self) -> None:
        with (
            serving("benchmarks.nats_server") as url,
            serving("benchmarks.node_raw", "receive", url),
        ):
            sample = run_child("benchmarks.node_raw", "send", url, "2000", "50", deadline_s=60)
        assert {key for key, value in sample.items() if value > 0} == {
            "messages_per_s",
            "ask_p50_ms",
            "ask_p99_ms",
        }


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

    @pytest.mark.parametrize("name", BENCHMARKS)
    def test_every_benchmark_writes_covey_its_peer_and_their_ratio(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "rows.json"
        done = run_command(name, "--quick", "--pairs", "1", "--json", str(path))
        assert done.returncode == 0, done.stderr
        rows = json.loads(path.read_text())
        for row in rows:
            assert {"system", "metric", "value", "unit", "environment"} <= row.keys()
            assert row["value"] > 0
        for metric in {row["metric"] for row in rows}:
            units = [row["unit"] for row in rows if row["metric"] == metric]
            assert len(units) == 3
            assert units[2] == "ratio"


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
