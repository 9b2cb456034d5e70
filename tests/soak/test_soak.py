"""A soak under mixed load has a flat memory curve, and its books balance: each in a process of its own.

`COVEY_SOAK_S` says for how many seconds after the warm-up (10; `make soak`: 60).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOAK_S = float(os.environ.get("COVEY_SOAK_S", "10"))
AROUND_S = 90.0
"""What the warm-up and the way to quiet may take on a machine under load."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SOAK_S + AROUND_S + 10)]


def soak(seconds: float, *more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVEY_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--seconds", f"{seconds}", *more],
        cwd=ROOT,
        env={**kept, "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=seconds + AROUND_S,
        check=False,
    )
    print(done.stdout)
    return done


def test_memory_stays_flat_under_mixed_load_and_every_message_and_ask_is_accounted_for() -> None:
    done = soak(SOAK_S)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert done.stdout.endswith("flat, and the books balance\n")


def test_a_load_that_keeps_every_reply_is_found_out() -> None:
    done = soak(2.0, "--leak")
    assert (done.returncode, done.stderr) == (1, "")
    wrong = done.stdout.partition("NOT FLAT")[2]
    for what in ("Reply:", "blocks of memory:", "resident memory:"):
        assert f"\n{what}" in wrong
