"""Logging as a service has it: records from INFO on, formatted with a time, go to a file."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["logging_to_file"]


@contextmanager
def logging_to_file() -> Iterator[Path]:
    """Log to a file that is gone after the block; yields its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "service.log"
        logging.basicConfig(
            filename=path, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        try:
            yield path
        finally:
            logging.shutdown()
