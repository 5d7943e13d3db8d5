"""What two people in one room tell each other, whatever their clients are."""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXTS = [
    "Grüße aus Zürich, 世界! 🌊 👩\u200d👧",
    "שלום \u202e e\u0301 \u2028 \ufeff",
    'line\nbreak \r\n tab\t quote" backslash\\ null\0 <b>&amp;</b>',
]


async def test_what_one_says_both_hear(couple, channel):
    ann, bob = couple
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)

    await ann_there.say("say", {"text": "hello"})
    heard_first = [await each.hears("said") for each in (ann_there, bob_there)]
    await bob_there.say("say", {"text": "hi", "to": ["ann"]})
    heard_then = [await each.hears("said") for each in (ann_there, bob_there)]

    assert heard_first == [{"text": "hello"}] * 2
    assert heard_then == [{"text": "hi", "to": ["ann"]}] * 2


@pytest.mark.parametrize("text", TEXTS)
async def test_any_text_arrives_as_it_was_said(couple, text, channel):
    ann, bob = couple
    channel += " Größe 世界 🌊"
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)

    await ann_there.say("say", {text: text})
    heard_first = [await each.hears("said") for each in (ann_there, bob_there)]
    await bob_there.say("say", {text: [text]})
    heard_then = [await each.hears("said") for each in (ann_there, bob_there)]

    assert heard_first == [{text: text}] * 2
    assert heard_then == [{text: [text]}] * 2


async def test_what_is_meant_for_others_skips_who_said_it(couple, channel):
    ann, bob = couple
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)

    await ann_there.say("tell-others", {"secret": 1})
    assert await bob_there.hears("told") == {"secret": 1}

    await bob_there.say("tell-others", {"secret": 2})
    assert await ann_there.hears("told") == {"secret": 2}


async def test_what_is_meant_for_one_reaches_nobody_else(couple, channel):
    ann, bob = couple
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)

    await ann_there.say("tell", {"name": "bob", "secret": 1})
    assert await bob_there.hears("told") == {"name": "bob", "secret": 1}

    await bob_there.say("tell", {"name": "ann", "secret": 2})
    assert await ann_there.hears("told") == {"name": "ann", "secret": 2}


async def test_other_rooms_hear_nothing(couple, channel):
    ann, bob = couple
    ann_there = await ann.join(channel)
    bob_elsewhere = await bob.join(f"{channel}-elsewhere")

    await ann_there.say("say", {"text": "in room 1"})
    await ann_there.hears("said")
    await bob_elsewhere.say("say", {"text": "in room 2"})

    assert await bob_elsewhere.hears("said") == {"text": "in room 2"}


async def test_a_newcomer_is_seen_by_all_and_sees_all(couple, channel):
    ann, bob = couple
    ann_present = {"name": "ann", "mood": "curious"}
    bob_present = {"name": "bob", "mood": "curious"}

    ann_there = await ann.join(channel)
    assert await ann_there.sees("join") == ann_present
    assert await ann_there.sees("users") == [ann_present]
    bob_there = await bob.join(channel)

    for each in (ann_there, bob_there):
        assert await each.sees("join") == bob_present
        assert await each.sees("users") == [ann_present, bob_present]
        assert await each.users() == [ann_present, bob_present]


async def test_a_change_of_presence_is_seen_by_all(couple, channel):
    ann, bob = couple
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)
    after = [{"name": "ann", "mood": "glad"}, {"name": "bob", "mood": "curious"}]

    await ann_there.say("mood", {"mood": "glad"})

    for each in (ann_there, bob_there):
        assert await each.sees("update") == {"changed": after[0], "presence": after}
        assert await each.users() == after


async def test_who_hides_is_seen_no_more_but_hears(couple, channel):
    ann, bob = couple
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)

    await ann_there.say("hide", {})

    for each in (ann_there, bob_there):
        assert await each.sees("leave") == {"name": "ann", "mood": "curious"}
        assert await each.users() == [{"name": "bob", "mood": "curious"}]
    await bob_there.say("say", {"text": "where are you?"})
    assert await ann_there.hears("said") == {"text": "where are you?"}


async def test_who_leaves_is_missed_and_hears_no_more(couple, channel):
    ann, bob = couple
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)

    await ann_there.leave()

    await ann_there.becomes("CLOSED")
    assert await bob_there.sees("leave") == {"name": "ann", "mood": "curious"}
    assert await bob_there.hears("left") == {"name": "ann", "reason": "explicit_leave"}
    assert await bob_there.users() == [{"name": "bob", "mood": "curious"}]
    assert (await ann.gets("EXIT_ACKNOWLEDGE"))["channelName"] == channel
    await bob_there.say("say", {"text": "alone"})
    await bob_there.hears("said")
    await ann.join(f"{channel}-elsewhere")  # had she heard him, then before this
    assert ann.notes.unread("received", "said") == []


async def test_who_left_may_come_back(couple, channel):
    ann, bob = couple
    bob_there = await bob.join(channel)
    ann_there = await ann.join(channel)
    await ann_there.leave()
    await bob_there.sees("leave")

    ann_back = await ann.join(channel)

    await ann_back.say("say", {"text": "back"})
    assert await bob_there.hears("said") == {"text": "back"}
    assert await ann_back.hears("said") == {"text": "back"}


async def test_who_hangs_up_is_missed(couple, channel):
    ann, bob = couple
    await ann.join(channel)
    bob_there = await bob.join(channel)

    await ann.disconnect()

    assert await bob_there.sees("leave") == {"name": "ann", "mood": "curious"}
    assert await bob_there.hears("left") == {
        "name": "ann",
        "reason": "connection_closed",
    }
    assert await bob_there.users() == [{"name": "bob", "mood": "curious"}]


async def test_who_is_thrown_out_is_told_why_and_hears_no_more(couple, channel):
    ann, bob = couple
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)

    await bob_there.say("throw-out", {"name": "ann", "reason": "zu laut 🔇"})

    assert await ann_there.hears("EVICTED") == {"reason": "zu laut 🔇"}
    assert await bob_there.sees("leave") == {"name": "ann", "mood": "curious"}
    assert await bob_there.hears("left") == {"name": "ann", "reason": "evicted"}
    await bob_there.say("say", {"text": "quiet now"})
    await bob_there.hears("said")
    await ann.join(f"{channel}-elsewhere")  # had she heard him, then before this
    assert ann.notes.unread("received", "said") == []


async def test_who_was_thrown_out_is_not_heard(couple, channel):
    ann, bob = couple
    ann_there = await ann.join(channel)
    bob_there = await bob.join(channel)
    await bob_there.say("throw-out", {"name": "ann", "reason": "too loud"})
    await ann_there.hears("EVICTED")
    await bob_there.sees("leave")

    await ann_there.say("say", {"text": "I am still here!"})
    ann_elsewhere = await ann.join(f"{channel}-elsewhere")
    await ann_elsewhere.ask("echo", {})

    await bob_there.say("say", {"text": "no"})
    assert await bob_there.hears("said") == {"text": "no"}
