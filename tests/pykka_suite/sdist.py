"""Pykka's source distribution: fetched once with pip, checked against the installed Pykka, unpacked."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pykka

__all__ = ["NotAvailableError", "sdist", "unpack"]

DOWNLOAD_S = 60.0


class NotAvailableError(Exception):
    """The archive is not in the cache and could not be downloaded."""


def sdist(cache: Path) -> Path:
    """The archive of the installed version, from the cache folder or the package index.

    Raises:
        NotAvailableError: it is not there and pip could not get it; the message is pip's last line.
    """
    version = metadata.version("pykka")
    archive = cache / f"pykka-{version}.tar.gz"
    if archive.exists():
        return archive
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    command += ["--no-deps", "--no-binary", ":all:", "--retries", "1", "--timeout", "10"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(cache), f"pykka=={version}"],
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotAvailableError(
            f"pip took longer than {DOWNLOAD_S:g} s to download pykka {version}"
        ) from None
    if done.returncode != 0 or not archive.exists():
        lines = done.stderr.strip().splitlines() or [f"pip left no {archive.name}"]
        raise NotAvailableError(lines[-1])
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack it into the folder; returns the project's root there.

    Raises:
        AssertionError: its package is not, byte for byte, the installed one that its tests will import.
    """
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
        else:
            tar.extractall(folder)
    root = folder / archive.name.removesuffix(".tar.gz")
    installed = Path(pykka.__file__).parent
    for source in (root / "src" / "pykka").glob("*.py"):
        same = source.read_bytes() == (installed / source.name).read_bytes()
        assert same, f"{source.name} of {archive.name} is not what is installed in {installed}"
    return root
