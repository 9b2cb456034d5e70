"""Children of a benchmark: each sample in a process of its own, and every process ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import child
from benchmarks.child import run_child, run_script, serving
from benchmarks.harness import BenchmarkError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which the harness runs its children."""
    monkeypatch.setattr(child, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def write_child(folder: Path, name: str, code: str) -> str:
    (folder / f"{name}.py").write_text(code)
    return name


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


class TestScripts:
    def test_a_script_runs_under_the_interpreter_that_it_is_given(self, tmp_path: Path) -> None:
        interpreter = tmp_path / "python"
        interpreter.symlink_to(sys.executable)
        script = tmp_path / "gives.py"
        script.write_text("import sys\nprint('{\"rate\": ' + sys.argv[1] + '}')\n")
        assert run_script(interpreter, script, "2.5", deadline_s=30) == {"rate": 2.5}

    def test_it_does_not_see_this_checkout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        script = tmp_path / "looks.py"
        script.write_text("import os\nprint('{\"seen\": %d}' % ('PYTHONPATH' in os.environ))\n")
        assert run_script(Path(sys.executable), script, deadline_s=30) == {"seen": 0}

    @pytest.mark.parametrize("ending", ["", "time.sleep(60)"], ids=["done", "past its deadline"])
    def test_what_it_started_has_ended_with_it(self, tmp_path: Path, ending: str) -> None:
        note, script = tmp_path / "pid", tmp_path / "starts.py"
        script.write_text(
            "import pathlib, subprocess, sys, time\n"
            "command = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
            "left = subprocess.Popen(command, start_new_session=True)\n"
            f"pathlib.Path({str(note)!r}).write_text(str(left.pid))\n"
            f"{ending}\nprint('{{}}')\n"
        )
        if ending:
            with pytest.raises(BenchmarkError, match=r"starts\.py was not done within 1 s"):
                run_script(Path(sys.executable), script, deadline_s=1)
        else:
            assert run_script(Path(sys.executable), script, deadline_s=30) == {}
        assert not _alive(int(note.read_text()))

    def test_a_failing_script_is_reported_with_its_last_words(self, tmp_path: Path) -> None:
        script = tmp_path / "fails.py"
        script.write_text("raise ValueError('no luck')")
        with pytest.raises(BenchmarkError, match=r"fails\.py exited with status 1: ValueError: no luck"):
            run_script(Path(sys.executable), script, deadline_s=30)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
