"""Start and end of an application, in all the ways in which they go wrong."""

import asyncio
import gc
import logging

import pytest

from pondsocket_asgi.ws_bridge.lifespan import Lifespan, LifespanError
from tests.adapters.bridge.serving import left_over

PATIENCE = 5.0  # seconds for an application to end
COMPLETE = {"startup": "complete", "shutdown": "complete"}


def make_app(answers, *, raises_after=None, message=None):
    """Make an application that answers each phase; it ends after the last of them."""

    async def app(scope, receive, send):
        app.scope = scope
        for phase, answer in answers.items():
            assert await receive() == {"type": f"lifespan.{phase}"}
            app.phases.append(phase)
            event = {"type": f"lifespan.{phase}.{answer}"}
            await send(event if message is None else {**event, "message": message})
            if raises_after == phase:
                raise RuntimeError(f"broken after {phase}")
        if "shutdown" not in answers:
            await receive()

    app.scope = None
    app.phases = []
    return app


async def without_lifespan(scope, receive, send):
    raise AssertionError("websockets only")


async def ending_at_once(scope, receive, send):
    """Do nothing at all, not even fail."""


async def hanging_at_the_end(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await asyncio.Event().wait()


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_an_application_is_told_of_start_and_end(mode):
    app = make_app(COMPLETE)
    lifespan = Lifespan(app, mode)

    await lifespan.start()
    began_with = list(app.phases)
    await lifespan.stop(PATIENCE)

    assert (began_with, app.phases) == (["startup"], ["startup", "shutdown"])
    assert not left_over()


async def test_the_scope_is_that_of_the_specification():
    app = make_app(COMPLETE)
    lifespan = Lifespan(app, "on")
    await lifespan.start()

    assert app.scope["type"] == "lifespan"
    assert app.scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    assert app.scope["state"] is lifespan.state
    await lifespan.stop(PATIENCE)


async def test_switched_off_the_application_is_never_called():
    app = make_app(COMPLETE)
    lifespan = Lifespan(app, "off")

    await lifespan.start()
    await lifespan.stop(PATIENCE)

    assert (app.scope, lifespan.state) == (None, None)


@pytest.mark.parametrize("app", [without_lifespan, ending_at_once])
async def test_in_auto_an_application_may_have_none(app, caplog):
    lifespan = Lifespan(app, "auto")

    await lifespan.start()
    await lifespan.stop(PATIENCE)

    assert lifespan.state is None
    assert not [each for each in caplog.records if each.levelno > logging.DEBUG]


@pytest.mark.parametrize("app", [without_lifespan, ending_at_once])
async def test_in_on_an_application_must_have_one(app):
    with pytest.raises(LifespanError, match="has no lifespan"):
        await Lifespan(app, "on").start()


async def test_the_cause_is_told_with_it():
    with pytest.raises(LifespanError) as caught:
        await Lifespan(without_lifespan, "on").start()

    assert isinstance(caught.value.__cause__, AssertionError)


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_a_start_that_failed_is_an_error_with_its_message(mode):
    app = make_app({"startup": "failed"}, message="no database")

    with pytest.raises(LifespanError, match="no database"):
        await Lifespan(app, mode).start()


async def test_a_failure_without_message_says_what_failed():
    app = make_app({"startup": "failed"})

    with pytest.raises(LifespanError, match=r"lifespan\.startup\.failed"):
        await Lifespan(app, "on").start()


async def test_a_start_that_failed_leaves_no_task():
    app = make_app({"startup": "failed"})  # and waits for more
    with pytest.raises(LifespanError):
        await Lifespan(app, "on").start()

    assert not left_over()


async def test_an_end_that_failed_is_an_error_with_its_message():
    app = make_app({"startup": "complete", "shutdown": "failed"}, message="half done")
    lifespan = Lifespan(app, "on")
    await lifespan.start()

    with pytest.raises(LifespanError, match="half done"):
        await lifespan.stop(PATIENCE)


@pytest.mark.parametrize(
    "phase",
    [
        "startup",
        "shutdown",
    ],
)
async def test_what_is_raised_after_a_failure_is_not_lost_in_the_garbage(phase, caplog):
    answers = {"startup": "complete", "shutdown": "failed"}
    if phase == "startup":
        answers = {"startup": "failed"}
    app = make_app(answers, raises_after=phase)  # as Starlette does
    lifespan = Lifespan(app, "on")

    with pytest.raises(LifespanError):
        await run(lifespan)

    del lifespan
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_an_application_that_broke_on_the_way_is_an_error_at_the_end():
    app = make_app({"startup": "complete"}, raises_after="startup")
    lifespan = Lifespan(app, "auto")
    await lifespan.start()

    with pytest.raises(LifespanError) as caught:
        await lifespan.stop(PATIENCE)

    assert "broken after startup" in str(caught.value.__cause__)


async def test_an_end_is_asked_for_once():
    app = make_app(COMPLETE)
    lifespan = Lifespan(app, "on")
    await lifespan.start()

    await lifespan.stop(PATIENCE)
    await lifespan.stop(PATIENCE)

    assert app.phases == ["startup", "shutdown"]


async def test_an_end_that_takes_too_long_is_an_error_that_says_how_long():
    lifespan = Lifespan(hanging_at_the_end, "on")
    await lifespan.start()

    with pytest.raises(LifespanError, match=r"0\.05 s"):
        await lifespan.stop(0.05)

    assert not left_over()


async def test_a_cancelled_start_leaves_no_task():
    async def hang(scope, receive, send):
        await asyncio.Event().wait()

    starting = asyncio.ensure_future(Lifespan(hang, "on").start())
    await asyncio.wait({starting}, timeout=0.05)

    starting.cancel()
    await asyncio.wait({starting})

    assert not left_over()


async def test_a_cancelled_end_leaves_no_task():
    lifespan = Lifespan(hanging_at_the_end, "on")
    await lifespan.start()
    stopping = asyncio.ensure_future(lifespan.stop(PATIENCE))
    await asyncio.wait({stopping}, timeout=0)

    stopping.cancel()
    await asyncio.wait({stopping})

    assert not left_over()


@pytest.mark.parametrize(
    "messages",
    [
        ["lifespan.startup.complete", "lifespan.startup.complete"],
        ["lifespan.startup.complete", "lifespan.shutdown.complete"],
        ["websocket.accept"],
        ["lifespan.shutdown.complete"],
    ],
    ids=["twice", "the end before it was asked for", "another", "the wrong phase"],
)
async def test_a_message_out_of_order_is_an_error_for_the_application(messages):
    errors = []

    async def app(scope, receive, send):
        await receive()
        try:
            for message in messages:
                await send({"type": message})
        except RuntimeError as error:
            errors.append(str(error))
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    lifespan = Lifespan(app, "auto")
    starting = asyncio.ensure_future(lifespan.start())
    await asyncio.wait({starting}, timeout=0.05)
    starting.cancel()
    await asyncio.wait({starting})

    assert errors == [f"{messages[-1]!r} was sent out of order"]
    await lifespan.stop(PATIENCE)


async def run(lifespan):
    await lifespan.start()
    await lifespan.stop(PATIENCE)
