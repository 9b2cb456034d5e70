"""A notebook with a real Jupyter kernel, its cells executed by nbclient one at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.framework.waiting import eventually
from tests.surroundings.programs import environment

CELL_WITHIN_S = 30


class Notebook:
    """Cells in one kernel; each `run` appends one and executes it."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client

    def run(self, code: str) -> list[str]:
        """What the cell printed to stdout, by line. A cell that raises fails the test."""
        outputs = self._execute(code)
        errors = [output["evalue"] for output in outputs if output["output_type"] == "error"]
        assert errors == []
        return "".join(o["text"] for o in outputs if o.get("name") == "stdout").splitlines()

    def error_of(self, code: str) -> tuple[str, str]:
        """Name and text of the error that the cell ends with."""
        error = self._execute(code)[-1]
        assert error["output_type"] == "error"
        return error["ename"], error["evalue"]

    def interrupted(self, code: str, waits: Path) -> tuple[str, str]:
        """As `error_of`; the kernel is interrupted once the cell has made the file `waits`."""

        def interrupt() -> None:
            eventually(waits.exists, CELL_WITHIN_S)
            assert self._client.km is not None
            asyncio.run(self._client.km.interrupt_kernel())

        thread = threading.Thread(target=interrupt, daemon=True)
        thread.start()
        try:
            return self.error_of(code)
        finally:
            thread.join(CELL_WITHIN_S)

    def _execute(self, code: str) -> list[Any]:
        cells = self._client.nb.cells
        cells.append(nbformat.v4.new_code_cell(code))
        executed: Any = self._client.execute_cell(cells[-1], len(cells) - 1)
        nbformat.validate(self._client.nb)
        return list(executed.outputs)


@contextmanager
def opened(folder: Path) -> Iterator[Notebook]:
    """A new notebook whose kernel runs in the folder, until the block ends."""
    client = NotebookClient(
        nbformat.v4.new_notebook(),
        timeout=CELL_WITHIN_S,
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    )
    with client.setup_kernel(env=environment(), cwd=str(folder)):
        yield Notebook(client)
