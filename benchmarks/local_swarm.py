"""The local swarm under which Covey is measured: traces configured and never sampled, or no traces at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from covey import Swarm

__all__ = ["TRACED", "UNTRACED", "local_swarm"]

TRACED = "traced"
UNTRACED = "untraced"
NEARLY_NEVER = 1e-9
"""A ratio of 0 switches tracing off altogether; at one in a billion a sink is there and samples nothing."""


@contextmanager
def local_swarm(tracing: str) -> Iterator[Swarm]:
    """A swarm of this process: `traced` has somewhere to send traces but samples none, `untraced` has not.

    What the caller's environment says of traces does not count. Leaves the process if it is not as asked.
    """
    for name in [name for name in os.environ if name.startswith(("OTEL_", "COVEY_"))]:
        del os.environ[name]
    if tracing == UNTRACED:
        os.environ["OTEL_SDK_DISABLED"] = "true"
    with (
        tempfile.TemporaryDirectory() as folder,
        Swarm.local(trace_ratio=NEARLY_NEVER, trace_directory=Path(folder)) as swarm,
    ):
        if (swarm.traces == "traces: off") != (tracing == UNTRACED):
            sys.exit(f"this swarm should be {tracing}, but says {swarm.traces!r}")
        yield swarm
