"""How threads that compute together wait for each other. Imports no torch: torch's OpenMP reads its environment once, as it is loaded.

By default a thread without work keeps its core busy for milliseconds, in case more work comes. If another program wants that core, the
threads that have work wait for it too, after every layer: two threads were seen to take ten to twenty times as long as one.
"""

import os
import sys

_SHORT_WAITS = {
    "GOMP_SPINCOUNT": "1000",  # libgomp, in torch for Linux: tens of microseconds instead of milliseconds; 0 slows small layers
    "KMP_BLOCKTIME": "1",  # libomp and libiomp, in torch for macOS and Windows: milliseconds, instead of 200
}


def shorten_waits() -> bool:
    """Lets threads sleep after a short wait, in this process and in those that it starts; returns whether anything was changed.

    Nothing is changed if the environment already says how threads wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT or KMP_BLOCKTIME), or if
    torch is already imported, because that would have no effect.
    """
    decided = any(name in os.environ for name in ("OMP_WAIT_POLICY", *_SHORT_WAITS))
    if decided or "torch" in sys.modules:
        return False
    os.environ.update(_SHORT_WAITS)
    return True
