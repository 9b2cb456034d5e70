"""What docs/surroundings.md shows: its FastAPI application as a module, its notebook as cells."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from tests.docs.markdown import ROOT, blocks_of

PAGE = ROOT / "docs" / "surroundings.md"


def service_source() -> str:
    """The text of the page's `service.py`."""
    return next(block.code for block in blocks_of(PAGE) if block.argument == "service.py")


def service_module(folder: Path) -> ModuleType:
    """The page's `service.py`, imported from the folder."""
    path = folder / "service.py"
    path.write_text(service_source(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("service", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["service"] = module
    spec.loader.exec_module(module)
    return module


def notebook_cells() -> list[str]:
    """The page's Jupyter cells, in order."""
    return [block.code for block in blocks_of(PAGE) if block.language == "ipython"]
