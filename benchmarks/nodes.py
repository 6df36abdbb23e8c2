"""Does a training on two machines survive the loss of one, with the weights of a training that lost none?

Two launchers of `torchrun` on this machine stand for two machines: they share the loopback network and the run folder, and nothing else.
One training is left alone. Of another, the second launcher and its process are killed (SIGKILL) after a saved state; the first one ends by
itself. Both are started again with the same commands. The weights of the two trainings are compared bit for bit.

    python -m benchmarks.nodes
"""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sfumato.core.config import override
from sfumato.core.device import instructions
from sfumato.data.glyphs import glyphs
from sfumato.recipes import recipe
from sfumato.train.loop import fit

NODES = 2
SHORT = ("images=1280", "batch=16", "log_every=160", "save_every=160", "model.width=8", "model.discriminator_width=8", "precision=fp32")
_PATIENCE = 600.0


def work(folder: Path) -> None:
    """What each process does: trains, then leaves the hash of the weights."""
    model = fit(override(recipe("dcgan"), *SHORT), run=folder / "run", data=glyphs(500, (16, 16)), device="cpu")
    weights = b"".join(w.contiguous().numpy().tobytes() for w in model.network.state_dict().values())
    (folder / os.environ["RANK"]).write_text(hashlib.sha256(weights).hexdigest())


def launchers(folder: Path) -> list[subprocess.Popen[bytes]]:
    """Starts one launcher for each node, each the leader of a group of processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(NODES):
        places = [f"--nnodes={NODES}", f"--node_rank={rank}", "--nproc_per_node=1", "--master_addr=127.0.0.1", f"--master_port={port}"]
        command = [sys.executable, "-m", "torch.distributed.run", *places, "-m", "benchmarks.nodes", str(folder)]
        with (folder / f"printed-{rank}").open("ab") as printed:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            started.append(subprocess.Popen(command, env=environment, stdout=printed, stderr=printed, start_new_session=True))
    return started


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a launcher with the processes that it has started, as the loss of a machine does."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in children.read_text().split() if children.exists() else ():
        os.kill(int(child), signal.SIGKILL)
    process.kill()


def trained(folder: Path, *, loses_one: bool) -> set[str]:
    """The hashes of the weights that the processes end with. Raises RuntimeError with what was printed if a training fails."""
    folder.mkdir()
    if loses_one:
        nodes, log = launchers(folder), folder / "run" / "log.jsonl"
        began = time.monotonic()
        while not (log.exists() and log.read_text().count('"images"') >= 2):
            if any(node.poll() is not None for node in nodes) or time.monotonic() - began > _PATIENCE:
                raise RuntimeError(printed(folder))
            time.sleep(0.02)
        kill(nodes[1])
        codes = [node.wait(_PATIENCE) for node in nodes]
        if (folder / "0").exists() or codes[0] == 0:
            raise RuntimeError(f"the training ended before the kill; {printed(folder)}")
    for node in launchers(folder):
        if node.wait(_PATIENCE) != 0:
            raise RuntimeError(printed(folder))
    return {(folder / str(rank)).read_text() for rank in range(NODES)}


def printed(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(folder.glob("printed-*")))


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        whole, resumed = (trained(Path(place, name), loses_one=name == "resumed") for name in ("whole", "resumed"))
    same = whole == resumed and len(whole) == 1
    print(f"{NODES} nodes, one killed and both started again: {'the same weights bit for bit' if same else 'OTHER weights'}")
    return 0 if same else 1


if __name__ == "__main__":
    print(instructions())
    if len(sys.argv) > 1:
        work(Path(sys.argv[1]))
    else:
        sys.exit(main())
