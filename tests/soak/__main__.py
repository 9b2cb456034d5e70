"""`python -m tests.soak`: the soak in a process of its own; exits 1 with what is wrong."""

from __future__ import annotations

import argparse
import sys

from tests.soak.soak import Soak
from tests.soak.tally import TALLY


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long, after the warm-up")
    parser.add_argument("--leak", action="store_true", help="keep every reply, to see that it is found out")
    given = parser.parse_args()
    if given.leak:
        TALLY.kept = []
    wrong = Soak(given.seconds).run()
    print(TALLY)
    print("\n".join(("NOT FLAT, or not right:", *wrong)) if wrong else "flat, and the books balance")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
