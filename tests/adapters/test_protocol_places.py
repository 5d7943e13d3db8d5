"""What hosts in a process of their own write is read as the tests read a log."""

import asyncio

import pytest

from tests.adapters.protocol_places import HostPlace, ask, find_alarm

TRACEBACK = """\
Traceback (most recent call last):
  File "app.py", line 1, in app
    data.decode()
UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff
"""


@pytest.mark.parametrize(
    "written",
    [
        "",
        '127.0.0.1:53694 - - "POST /pond" 204 -\n',
        "[2026-11-21 11:13:33 +0000] [INFO] Running on http://127.0.0.1:1\n",
        "ERROR:    Invalid UTF-8 sequence received from client.\n" + TRACEBACK,
        "ERROR:    ASGI callable returned without completing handshake.\n" * 2,
    ],
)
def test_what_hosts_write_in_good_times_is_no_alarm(written: str) -> None:
    assert find_alarm(written) == ""


@pytest.mark.parametrize(
    "written",
    [
        TRACEBACK,
        "[ERROR] Application callable raised an exception\n" + TRACEBACK,
        "thread 'main' panicked at src/asgi.rs\n",
    ],
)
def test_a_failure_is_an_alarm_from_its_first_line_on(written: str) -> None:
    expected = "ERROR:    ASGI callable returned without completing handshake.\n"

    found = find_alarm(expected + "up and running\n" + written)

    assert found.strip() in written
    assert found.count("\n") == written.count("\n")


async def test_an_application_that_fails_in_a_process_is_a_problem() -> None:
    place = HostPlace("uvicorn-uvloop")
    site = await place.open({}, {})
    try:
        assert place.take_problems() == []
        with pytest.raises(AssertionError, match="no_such_question"):
            await ask(site.port, "no_such_question", {"site": 0})
    finally:
        await place.close()

    [problem] = place.take_problems()
    assert "KeyError: 'no_such_question'" in problem


async def test_a_place_that_is_closed_has_ended_its_process() -> None:
    place = HostPlace("uvicorn-uvloop")
    site = await place.open({}, {})

    await place.close()
    await place.close()

    assert place.is_over
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", site.port)
