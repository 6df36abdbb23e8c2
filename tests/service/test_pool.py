"""The processes of a service: bounds, timeouts, ends. A small program stands in for those that compute."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from sfumato.core.errors import SettingError
from sfumato.service.answers import RefusalError
from sfumato.service.metrics import Metrics
from sfumato.service.pool import Pool
from sfumato.service.settings import ServiceSettings

COMMAND = (sys.executable, str(Path(__file__).parent / "fake_worker.py"))


def in_pool(work, **changes):
    """The result of `work(pool)`, with a pool that runs."""

    async def run():
        settings = ServiceSettings(**{"timeout": 60.0, "queue": 2} | changes)
        pool = Pool(settings, {"generator": settings.generator}, Metrics(), COMMAND)
        await pool.start()
        try:
            return await work(pool)
        finally:
            await pool.stop()

    return asyncio.run(run())


async def asked(pool, word):
    """The body and the process of an answer."""
    with pool.admitted():
        answer = await pool.run({"verb": "restore", "query": []}, word.encode())
    return answer.body, answer.headers["Process"]


async def refused(pool, word):
    with pytest.raises(RefusalError) as refusal:
        await asked(pool, word)
    return refusal.value.status


def test_answers_belong_to_their_requests_whoever_computes_them():
    async def work(pool):
        # One after another there are never more than three at once.
        return [await asyncio.gather(*(asked(pool, f"{i} {j}") for j in range(3))) for i in range(4)]

    for i, answers in enumerate(in_pool(work, jobs=2)):
        assert [body for body, _ in answers] == [f"{i} {j}".encode() for j in range(3)]


def test_requests_beyond_the_bound_are_refused_at_once():
    async def work(pool):
        hanging = [asyncio.ensure_future(asked(pool, "hang")) for _ in range(3)]
        while pool.gauges["sfumato_running_requests"] < 1:
            await asyncio.sleep(0)
        status = await refused(pool, "too much")
        for each in hanging:
            each.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        with pool.admitted():
            return status, pool.gauges["sfumato_places"]

    assert in_pool(work) == (429, 3)


@pytest.mark.parametrize(("word", "status", "reason"), [("hang", 504, "timeout"), ("end", 503, "ended")])
def test_a_process_that_hangs_or_ends_is_replaced(word, status, reason):
    async def work(pool):
        _, before = await asked(pool, "first")
        if word == "hang":
            pool.settings = ServiceSettings(timeout=0.1)
        statuses = await refused(pool, word)
        pool.settings = ServiceSettings()
        body, after = await asked(pool, "second")
        return statuses, body, before != after, pool.ready, pool._metrics.text({}, [])

    statuses, body, new, ready, text = in_pool(work)
    assert (statuses, body, new, ready) == (status, b"SECOND", True, True)
    assert f'sfumato_process_restarts_total{{reason="{reason}"}} 1' in text


def test_a_request_that_waits_too_long_is_refused_and_hinders_nobody():
    async def work(pool):
        hanging = asyncio.ensure_future(refused(pool, "hang"))
        while pool.gauges["sfumato_running_requests"] < 1:
            await asyncio.sleep(0)
        running, pool.settings = pool.settings, ServiceSettings(timeout=0.1)
        waited = await refused(pool, "late")
        pool.settings = running
        hanging.cancel()
        return waited

    assert in_pool(work) == 503


def test_refusals_of_a_process_come_through():
    assert in_pool(lambda pool: refused(pool, "refuse")) == 422


def test_a_process_that_cannot_load_its_models_says_why():
    with pytest.raises(SettingError, match="no model 'nowhere'"):
        in_pool(lambda pool: refused(pool, ""), generator="nowhere")


def test_the_stop_leaves_no_process():
    async def work(pool):
        return pool.processes

    for process in in_pool(work, jobs=2):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
