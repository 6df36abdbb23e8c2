"""Counters of the service, in the text format of Prometheus."""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Upper bounds of the histogram of times, in seconds."""
_ABOUT = {
    "sfumato_processes": "Processes that compute.",
    "sfumato_running_requests": "Requests that are computed now.",
    "sfumato_waiting_requests": "Requests that arrive or wait now.",
    "sfumato_places": "Most requests that may be computed, arrive or wait at once.",
    "process_start_time_seconds": "Start of the server, in seconds since 1970.",
    "process_resident_memory_bytes": "Memory of the server.",
    "sfumato_processes_resident_memory_bytes": "Memory of the processes that compute.",
}
"""The meaning of each present value."""
KIND = "text/plain; version=0.0.4; charset=utf-8"
"""Content-Type of the text format."""


class Metrics:
    """What the service has done since its start."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._times: dict[str, list[float]] = {}
        self._restarts: Counter[str] = Counter()
        self._received, self._sent = 0, 0
        self._began = time.time()

    def request(self, verb: str, status: int, seconds: float, *, received: int, sent: int) -> None:
        """Counts one request that was answered; `verb` is one of a fixed list."""
        self._requests[verb, status] += 1
        self._observe(verb, seconds)
        self._received, self._sent = self._received + received, self._sent + sent

    def restart(self, reason: str) -> None:
        """Counts a process that was started anew, because of a timeout or because it had ended."""
        self._restarts[reason] += 1

    def _observe(self, verb: str, seconds: float) -> None:
        counts = self._times.setdefault(verb, [0.0] * (len(BUCKETS) + 2))
        for i, bound in enumerate(BUCKETS):
            counts[i] += seconds <= bound
        counts[-2], counts[-1] = counts[-2] + 1, counts[-1] + seconds

    def text(self, gauges: Mapping[str, float], processes: Iterable[int]) -> str:
        """All metrics. `gauges` are present values by name, `processes` the ids of the processes that compute."""
        lines = list[str]()
        _family(lines, "sfumato_requests_total", "counter", "Requests that were answered.")
        lines += [
            f'sfumato_requests_total{{verb="{verb}",status="{status}"}} {count}' for (verb, status), count in sorted(self._requests.items())
        ]
        _family(lines, "sfumato_request_seconds", "histogram", "Time from the first byte of a request to its answer.")
        for verb, counts in sorted(self._times.items()):
            pairs = zip((*map(str, BUCKETS), "+Inf"), counts[:-1], strict=True)
            lines += [f'sfumato_request_seconds_bucket{{verb="{verb}",le="{bound}"}} {count:g}' for bound, count in pairs]
            lines += [f'sfumato_request_seconds_sum{{verb="{verb}"}} {counts[-1]:.6f}']
            lines += [f'sfumato_request_seconds_count{{verb="{verb}"}} {counts[-2]:g}']
        _family(lines, "sfumato_process_restarts_total", "counter", "Processes that were started anew.")
        lines += [f'sfumato_process_restarts_total{{reason="{reason}"}} {self._restarts[reason]}' for reason in ("ended", "timeout")]
        totals = {"sfumato_received_bytes_total": self._received, "sfumato_sent_bytes_total": self._sent}
        for name, total in totals.items():
            _family(lines, name, "counter", "Bytes of bodies.")
            lines.append(f"{name} {total}")
        memory = {"process_resident_memory_bytes": [os.getpid()], "sfumato_processes_resident_memory_bytes": list(processes)}
        present = {**gauges, "process_start_time_seconds": self._began}
        present |= {name: float(sum(map(resident, ids))) for name, ids in memory.items()}
        for name, value in present.items():
            _family(lines, name, "gauge", _ABOUT[name])
            lines.append(f"{name} {value:.16g}")
        return "\n".join(lines) + "\n"


def resident(process: int) -> int:
    """Bytes of memory that a process has now; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _family(lines: list[str], name: str, kind: str, about: str) -> None:
    lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
