"""Programs in processes of their own, as users start them: with a deadline and nothing set up around."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
END_WITHIN_S = 30.0

ECHO = """
from covey import Agent, Swarm, handles

class Echo(Agent):
    @handles
    def echo(self, text: str) -> str:
        return text
"""


def environment() -> dict[str, str]:
    """What a program sees: this checkout's package, and none of the tester's settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COVEY_", "OTEL_"))}
    return {**kept, "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": str(ROOT)}


def run_script(code: str, folder: Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the code as a script of its own in the folder; it has to end within `END_WITHIN_S`."""
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    return run_python(script.name, folder=folder, given=given)


def run_python(*arguments: str, folder: Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with the arguments; `given` is what stands on its standard input."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        input=given,
        capture_output=True,
        text=True,
        timeout=END_WITHIN_S,
        check=False,
    )


def ended_well(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines that it printed; it ended with 0 and wrote nothing to stderr."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
