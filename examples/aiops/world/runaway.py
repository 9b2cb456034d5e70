"""The runaway child of a spinning patient: burns a core and sits on the lock that its service needs.

Started by file path, so it imports only the standard library and nothing of this package. It holds
`work.lock` of the patient's folder exclusively while it lives (the kernel frees it when the child dies,
however it dies) and ends by itself within about 50 ms once its parent is gone. It runs at nice 10 and rests
a fifth of the time, so that a machine with two cores keeps up with everything else.
"""

import fcntl
import os
import sys
import time
from pathlib import Path

BURN_S = 0.04
REST_S = 0.01


def burn(folder: Path, parent: int) -> None:
    """Burn CPU with the lock held until the process `parent` is no longer the parent of this one."""
    os.nice(10)
    with (folder / "work.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        while os.getppid() == parent:
            until = time.monotonic() + BURN_S
            while time.monotonic() < until:
                sum(n * n for n in range(2_000))
            time.sleep(REST_S)


if __name__ == "__main__":
    burn(Path(sys.argv[1]), int(sys.argv[2]))
