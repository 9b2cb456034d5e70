"""Runs the Python blocks of one page as one program: `python run_page.py PAGE FOLDER`.

In a process of its own, so that a page that hangs or dies takes nothing with it; the checkout is on
PYTHONPATH. Errors name the line of the Markdown file.
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

from tests.docs.markdown import blocks_of


def main(page: Path, folder: Path) -> None:
    """Write the page's files, then run its other blocks in order in one module."""
    os.chdir(folder)
    sys.path[0] = str(folder)
    module = types.ModuleType("page")
    sys.modules["page"] = module
    for block in blocks_of(page):
        if block.language != "python" or block.marker == "not run":
            continue
        if block.marker == "file":
            (folder / block.argument).write_text(block.code, encoding="utf-8")
            continue
        padded = "\n" * (block.line - 1) + block.code  # so that tracebacks give the page's own lines
        exec(compile(padded, str(page), "exec"), vars(module))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
