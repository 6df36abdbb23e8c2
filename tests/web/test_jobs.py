"""Jobs are done in their order by processes that outlive them, are cancelled at once, and fail alone."""

import os
import sys
import textwrap
import threading
import time

import pytest

from sfumato.core.errors import SettingError
from sfumato.web.jobs import Job, State, Workshop

WORKER = textwrap.dedent(
    """
    import json, os, sys, time
    for line in sys.stdin:
        job = json.loads(line)
        if job["task"] == "die":
            os._exit(7)
        print(json.dumps({"moment": [0.5, 3.0, "half"]}), flush=True)
        if job["task"] == "sleep":
            time.sleep(1000)
        if job["task"] == "fail":
            print(json.dumps({"error": "no picture"}), flush=True)
        else:
            print(json.dumps({"result": {"process": os.getpid(), **job["arguments"]}}), flush=True)
    """
)


@pytest.fixture
def workshop():
    opened = Workshop(command=[sys.executable, "-c", WORKER], waiting=3)
    yield opened
    opened.close()


def lives(process):
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def job(task, folder, visitor="me", session="page", place="restore", **arguments):
    own = folder / f"{task}-{time.monotonic_ns()}"
    own.mkdir()
    return Job(task, arguments, own, visitor, session, place)


def ended(work):
    for _ in range(60_000):
        if work.ended:
            return work
        time.sleep(0.005)
    raise AssertionError(work.state)


def running(work):
    while work.state is State.WAITING or not work.text:
        time.sleep(0.005)
    return work


def test_jobs_are_done_one_after_another_by_the_same_process(workshop, tmp_path):
    jobs = [workshop.submit(job("echo", tmp_path, number=i)) for i in range(3)]
    results = [ended(each).result for each in jobs]
    assert [each["number"] for each in results] == [0, 1, 2]
    assert len({each["process"] for each in results}) == 1
    assert all(each.folder.exists() for each in jobs)


def test_a_running_job_is_cancelled_with_its_process_and_its_files(workshop, tmp_path):
    work = running(workshop.submit(job("sleep", tmp_path)))
    (process,) = workshop.processes
    workshop.cancel(work)
    assert work.state is State.CANCELLED
    assert not work.folder.exists()
    while lives(process):
        time.sleep(0.005)
    assert ended(workshop.submit(job("echo", tmp_path, a=1))).result["a"] == 1


def test_a_waiting_job_is_cancelled_and_never_begins(workshop, tmp_path):
    first = running(workshop.submit(job("sleep", tmp_path)))
    second, third = (workshop.submit(job("echo", tmp_path)) for _ in range(2))
    assert (workshop.ahead(second), workshop.ahead(third)) == (1, 2)
    workshop.cancel(second)
    workshop.cancel(first)
    assert ended(third).state is State.DONE
    assert second.state is State.CANCELLED


def test_the_jobs_of_one_page_of_a_browser_are_cancelled_alone(workshop, tmp_path):
    mine = running(workshop.submit(job("sleep", tmp_path, session="a", place="dream")))
    same = workshop.submit(job("echo", tmp_path, session="a", place="restore"))
    other = workshop.submit(job("echo", tmp_path, session="b", place="dream"))
    workshop.cancel_session("a", "dream")
    assert mine.state is State.CANCELLED
    assert [ended(each).state for each in (same, other)] == [State.DONE, State.DONE]


def test_a_job_that_fails_and_a_process_that_dies_leave_the_next_job_whole(workshop, tmp_path):
    failed, died = (ended(workshop.submit(job(task, tmp_path))) for task in ("fail", "die"))
    assert (failed.state, failed.error) == (State.FAILED, "no picture")
    assert died.state is State.FAILED
    assert "code 7" in died.error
    assert not failed.folder.exists()
    assert ended(workshop.submit(job("echo", tmp_path))).state is State.DONE


def test_one_visitor_has_no_more_jobs_than_allowed(workshop, tmp_path):
    for _ in range(3):
        workshop.submit(job("sleep", tmp_path))
    with pytest.raises(SettingError, match="under way"):
        workshop.submit(job("sleep", tmp_path))
    workshop.submit(job("echo", tmp_path, visitor="another"))


def test_nothing_is_left_after_the_end(tmp_path):
    before = threading.active_count()
    opened = Workshop(command=[sys.executable, "-c", WORKER])
    work = running(opened.submit(job("sleep", tmp_path)))
    processes = opened.processes
    opened.close()
    assert ended(work).state is State.CANCELLED
    for process in processes:
        assert not lives(process)
    while threading.active_count() > before:
        time.sleep(0.005)
