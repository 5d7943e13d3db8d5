import assert from "node:assert/strict";
import { test } from "node:test";

import { makeClient, makeRoom, PondError, settle } from "./harness.mjs";

test("join sends the params and resolves when the server acknowledges", async () => {
  const { client, WebSocket } = makeClient();
  client.connect();
  WebSocket.last.accept();
  const room = client.channel("/room", { name: "Ann" });

  const joined = room.join();
  const [request] = WebSocket.last.sent;
  assert.equal(room.state, "joining");
  WebSocket.last.answer(request, "ACKNOWLEDGE");

  assert.equal(await joined, room);
  assert.equal(room.state, "joined");
  assert.deepEqual(
    [request.action, request.event, request.channelName, request.payload],
    ["JOIN_CHANNEL", "JOIN_CHANNEL", "/room", { name: "Ann" }],
  );
});

test("a join before the connection goes out once it is there", () => {
  const { client, WebSocket } = makeClient();
  const room = client.channel("/room");
  room.join();
  client.connect();
  assert.deepEqual(WebSocket.last.sent, []);

  WebSocket.last.accept();

  assert.equal(WebSocket.last.sent[0].action, "JOIN_CHANNEL");
});

test("a second join while in returns the first promise and sends nothing", async () => {
  const { room, WebSocket } = await makeRoom();

  await room.join();

  assert.equal(WebSocket.last.sent.length, 1);
});

test("a declined join rejects with the server's code and message", async () => {
  const { client, WebSocket } = makeClient();
  client.connect();
  WebSocket.last.accept();
  const room = client.channel("/room");
  const joined = room.join();

  WebSocket.last.answer(WebSocket.last.sent[0], "UNAUTHORIZED", { code: 403, message: "members only" });

  await assert.rejects(joined, { name: "PondError", reason: "UNAUTHORIZED", code: 403, message: "members only" });
  assert.equal(room.state, "declined");
});

test("a join of a channel that no pattern matches is declined with 404", async () => {
  const { client, WebSocket } = makeClient();
  client.connect();
  WebSocket.last.accept();
  const joined = client.channel("/nowhere").join();

  WebSocket.last.answer(WebSocket.last.sent[0], "NOT_FOUND", { channel: "/nowhere" });

  await assert.rejects(joined, { reason: "NOT_FOUND", code: 404 });
});

test("a join without an answer times out and takes itself back", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { client, WebSocket } = makeClient({ requestTimeout: 1_000 });
  client.connect();
  WebSocket.last.accept();
  const room = client.channel("/room");
  const joined = room.join();

  t.mock.timers.tick(1_000);

  await assert.rejects(joined, { reason: "TIMEOUT" });
  assert.equal(room.state, "declined");
  assert.equal(WebSocket.last.sent.at(-1).action, "LEAVE_CHANNEL");
});

test("broadcasts reach the listeners of their event, in order", async () => {
  const { room, WebSocket } = await makeRoom();
  const heard = [];
  room.on("news", ({ n }) => heard.push(n));

  WebSocket.last.say("BROADCAST", "news", "/room", { n: 1 });
  WebSocket.last.say("BROADCAST", "other", "/room", { n: 2 });
  WebSocket.last.say("BROADCAST", "news", "/elsewhere", { n: 3 });
  WebSocket.last.say("BROADCAST", "news", "/room", { n: 4 });

  assert.deepEqual(heard, [1, 4]);
});

test("a removed listener hears no more", async () => {
  const { room, WebSocket } = await makeRoom();
  const heard = [];
  const remove = room.on("news", (payload) => heard.push(payload));

  remove();
  WebSocket.last.say("BROADCAST", "news", "/room");

  assert.deepEqual(heard, []);
});

test("a join handler's reply reaches the channel's listeners", async () => {
  const { room, WebSocket } = await makeRoom();
  const heard = [];
  room.on("history", (payload) => heard.push(payload));

  WebSocket.last.answer(WebSocket.last.sent[0], "history", { messages: [] });

  assert.deepEqual(heard, [{ messages: [] }]);
});

test("a listener that throws stops neither the others nor the connection", async (t) => {
  const thrown = [];
  t.mock.method(globalThis, "setTimeout", (fn) => thrown.push(fn));
  const { room, WebSocket } = await makeRoom();
  const heard = [];
  room.on("news", () => { throw new Error("mine"); });
  room.on("news", (payload) => heard.push(payload));
  thrown.length = 0;

  WebSocket.last.say("BROADCAST", "news", "/room", { n: 1 });

  assert.deepEqual(heard, [{ n: 1 }]);
  assert.throws(thrown[0], /mine/);
});

test("a request resolves with the reply that carries its id", async () => {
  const { room, WebSocket } = await makeRoom();
  const heard = [];
  room.on("rolled", (payload) => heard.push(payload));
  const first = room.request("roll", { sides: 6 });
  const second = room.request("roll", { sides: 20 });
  const [, six, twenty] = WebSocket.last.sent;

  WebSocket.last.answer(twenty, "rolled", { n: 17 });
  WebSocket.last.answer(six, "rolled", { n: 4 });

  assert.deepEqual(await first, { event: "rolled", payload: { n: 4 } });
  assert.deepEqual(await second, { event: "rolled", payload: { n: 17 } });
  assert.deepEqual(heard, [], "a reply belongs to its request alone");
});

for (const [action, event, payload, expected] of [
  ["SYSTEM", "INTERNAL_ERROR", { code: 429, message: "slow down", details: { wait: 1 } }, { code: 429, message: "slow down" }],
  ["ERROR", "HANDLER_NOT_FOUND", { code: 404, message: "no handler" }, { code: 404, message: "no handler" }],
  ["SYSTEM", "NOT_FOUND", { channel: "/room" }, { code: 404 }],
  ["ERROR", "INVALID_MESSAGE", { error: "payload: expected object" }, { code: 400, message: "payload: expected object" }],
]) {
  test(`a request rejects on ${event}`, async () => {
    const { room, WebSocket } = await makeRoom();
    const asked = room.request("roll");

    WebSocket.last.answer(WebSocket.last.sent.at(-1), event, payload, action);

    await assert.rejects(asked, { name: "PondError", reason: event, channel: "/room", ...expected });
  });
}

test("a request rejects after its timeout, and a late reply is an ordinary message", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { room, WebSocket } = await makeRoom();
  const heard = [];
  room.on("rolled", (payload) => heard.push(payload));
  const asked = room.request("roll", {}, { timeout: 50 });

  t.mock.timers.tick(50);
  WebSocket.last.answer(WebSocket.last.sent.at(-1), "rolled", { n: 1 });

  await assert.rejects(asked, { reason: "TIMEOUT", code: 504 });
  assert.deepEqual(heard, [{ n: 1 }]);
});

test("a request rejects when the connection is lost", async () => {
  const { room, client, WebSocket } = await makeRoom();
  const asked = room.request("roll");

  WebSocket.last.end(1006);

  await assert.rejects(asked, { reason: "DISCONNECTED" });
});

test("a broadcast that happens to carry a request's id does not answer it", async () => {
  const { room, WebSocket } = await makeRoom();
  const asked = room.request("roll");
  const request = WebSocket.last.sent.at(-1);

  WebSocket.last.answer(request, "rolled", { n: 1 }, "BROADCAST");
  WebSocket.last.answer(request, "rolled", { n: 2 });

  assert.deepEqual((await asked).payload, { n: 2 });
});

test("a request on a channel that is not joined rejects at once", async () => {
  const { client } = makeClient();

  await assert.rejects(client.channel("/room").request("roll"), { reason: "NOT_JOINED" });
});

test("a failed send is reported to onError with its channel", async () => {
  const { room, client, WebSocket } = await makeRoom();
  const errors = [];
  client.onError((error) => errors.push(error));
  room.send("message", { text: "" });

  WebSocket.last.answer(WebSocket.last.sent.at(-1), "INTERNAL_ERROR", { code: 400, message: "empty" });

  assert.ok(errors[0] instanceof PondError);
  assert.deepEqual([errors[0].channel, errors[0].code, errors[0].message], ["/room", 400, "empty"]);
});

test("presence gives the whole list and the one that changed", async () => {
  const { room, WebSocket } = await makeRoom();
  const seen = [];
  room.onPresence((change) => seen.push(change));
  const [ann, bob] = [{ name: "Ann" }, { name: "Bob" }];

  WebSocket.last.say("PRESENCE", "JOIN", "/room", { presence: [ann, bob], changed: bob });
  WebSocket.last.say("PRESENCE", "UPDATE", "/room", { presence: [ann, bob], changed: ann });
  WebSocket.last.say("PRESENCE", "LEAVE", "/room", { presence: [ann], changed: bob });

  assert.deepEqual(seen, [
    { list: [ann, bob], joined: bob }, { list: [ann, bob], updated: ann }, { list: [ann], left: bob },
  ]);
  assert.deepEqual(room.presence, [ann]);
});

/** A room of a client that asked for changes, with what its listener was told. */
async function makeFollowedRoom() {
  const made = await makeRoom({ presence: "diff" });
  const seen = [];
  made.room.onPresence((change) => seen.push(change));
  const say = (event, payload) => made.WebSocket.last.say("PRESENCE", event, "/room", payload);
  return { ...made, seen, say };
}

const [ann, bob, cid, away] = [{ name: "Ann" }, { name: "Bob" }, { name: "Cid" }, { name: "Ann", away: true }];

test("a snapshot gives the list, and changes the list they lead to and the one that changed", async () => {
  const { room, seen, say } = await makeFollowedRoom();
  const withoutChanges = () => seen.splice(0).map(({ changes, ...others }) => others);

  say("SYNC", { presences: { a: ann } });
  say("DIFF", { joined: { b: bob } });
  say("DIFF", { updated: { a: away } });
  say("DIFF", { left: { b: bob } });

  assert.deepEqual(withoutChanges(), [
    { list: [ann] }, { list: [ann, bob], joined: bob }, { list: [away, bob], updated: away }, { list: [away], left: bob },
  ]);
  assert.deepEqual(room.presence, [away]);
});

test("changes that come together are told in one call, all of them by user id", async () => {
  const { seen, say } = await makeFollowedRoom();
  say("SYNC", { presences: { a: ann, b: bob } });
  seen.splice(0);

  say("DIFF", { joined: { c: cid, d: ann }, updated: { a: away }, left: { b: bob } });

  assert.deepEqual(seen, [{
    list: [away, cid, ann], joined: ann, updated: away, left: bob,
    changes: {
      joined: new Map([["c", cid], ["d", ann]]), updated: new Map([["a", away]]), left: new Map([["b", bob]]),
    },
  }]);
});

test("an empty channel says so", async () => {
  const { room, seen, say } = await makeFollowedRoom();

  say("SYNC", { presences: {} });

  assert.deepEqual(seen, [{ list: [] }]);
  assert.deepEqual(room.presence, []);
});

test("what the snapshot held already is told no second time", async () => {
  const { seen, say } = await makeFollowedRoom();
  say("SYNC", { presences: { a: ann } });
  seen.splice(0);

  say("DIFF", { joined: { a: ann }, left: { b: bob } });
  say("DIFF", { joined: { a: away, c: cid } });

  assert.deepEqual(seen.map(({ joined, updated, left }) => [joined, updated, left]), [[cid, away, undefined]]);
});

test("a user id may be the name of anything", async () => {
  const { room, seen, say } = await makeFollowedRoom();

  say("SYNC", JSON.parse(`{"presences": {"__proto__": {"name": "Ann"}}}`));
  say("DIFF", JSON.parse(`{"joined": {"constructor": {"name": "Bob"}}, "left": {"__proto__": {"name": "Ann"}}}`));

  assert.deepEqual(room.presence, [bob]);
  assert.deepEqual([...seen[1].changes.left], [["__proto__", ann]]);
});

test("a server that sends lists all the same is understood", async () => {
  const { room, seen, say } = await makeFollowedRoom();

  say("JOIN", { presence: [ann, bob], changed: bob });

  assert.deepEqual(seen, [{ list: [ann, bob], joined: bob }]);
  assert.deepEqual(room.presence, [ann, bob]);
});

test("an application's own event may have the name of a presence message", async () => {
  const { room, seen, WebSocket } = await makeFollowedRoom();
  const heard = [];
  room.on("SYNC", (payload) => heard.push(payload));

  WebSocket.last.say("BROADCAST", "SYNC", "/room", { presences: { a: ann } });

  assert.deepEqual([heard, seen, room.presence], [[{ presences: { a: ann } }], [], []]);
});

test("an acknowledgement, a snapshot and what follows may share a frame", async () => {
  const { client, WebSocket } = makeClient({ presence: "diff" });
  client.connect();
  WebSocket.last.accept();
  const room = client.channel("/room");
  const heard = [];
  room.onPresence(({ list }) => heard.push(list));
  room.on("news", (payload) => heard.push(payload));
  room.join();
  const { requestId } = WebSocket.last.sent[0];
  const message = (action, event, payload, id = "fresh") =>
    JSON.stringify({ action, event, channelName: "/room", requestId: id, payload });

  WebSocket.last.raw([
    message("SYSTEM", "ACKNOWLEDGE", {}, requestId),
    message("PRESENCE", "SYNC", { presences: { a: ann } }),
    message("PRESENCE", "DIFF", { joined: { b: bob } }),
    message("BROADCAST", "news", { text: "a\nb" }),
    message("PRESENCE", "DIFF", { left: { a: ann } }),
  ].join("\n"));

  assert.deepEqual(heard, [[ann], [ann, bob], { text: "a\nb" }, [bob]]);
});

test("who left without the server's knowing has what it is still told after joining again", async () => {
  const { room, WebSocket, seen, say } = await makeFollowedRoom();
  say("SYNC", { presences: { a: ann } });
  WebSocket.last.bufferedAmount = 10 ** 9; // the leave is not sent
  await room.leave();
  assert.deepEqual(room.presence, []);
  WebSocket.last.bufferedAmount = 0;
  say("DIFF", { joined: { b: bob } });
  const joined = room.join();
  WebSocket.last.answer(WebSocket.last.sent.at(-1), "ACKNOWLEDGE");
  await joined;

  say("DIFF", { joined: { c: cid } });

  assert.deepEqual(seen.map(({ list }) => list), [[ann], [ann, bob, cid]]);
});

test("after a reconnect the new snapshot counts alone", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { room, WebSocket, say } = await makeFollowedRoom();
  say("SYNC", { presences: { a: ann } });

  WebSocket.last.end(1012);
  assert.deepEqual(room.presence, []);
  t.mock.timers.tick(500);
  WebSocket.last.accept();
  WebSocket.last.answer(WebSocket.last.sent.at(-1), "ACKNOWLEDGE");
  say("SYNC", { presences: { b: bob } });

  assert.deepEqual(room.presence, [bob]);
});

test("an evicted user hears why, is out, and stays out after a reconnect", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { room, client, WebSocket } = await makeRoom();
  const ends = [];
  room.onState((state, error) => ends.push([state, error.message]));

  WebSocket.last.say("SYSTEM", "EVICTED", "/room", { reason: "spam" });
  WebSocket.last.end(1012);
  t.mock.timers.tick(500);
  WebSocket.last.accept();

  assert.deepEqual(ends, [["evicted", "spam"]]);
  assert.deepEqual(WebSocket.last.sent, []);
});

test("leave resolves on the server's confirmation and nothing is heard after it", async () => {
  const { room, client, WebSocket } = await makeRoom();
  const heard = [];
  room.on("news", (payload) => heard.push(payload));
  const left = room.leave();
  const request = WebSocket.last.sent.at(-1);

  WebSocket.last.say("BROADCAST", "news", "/room");
  WebSocket.last.answer(request, "EXIT_ACKNOWLEDGE");
  await left;

  assert.equal(request.action, "LEAVE_CHANNEL");
  assert.equal(room.state, "closed");
  assert.deepEqual(heard, []);
  assert.notEqual(client.channel("/room"), room, "a left channel is forgotten");
});

test("a channel joined again while it leaves stays known to the client", async () => {
  const { room, client, WebSocket } = await makeRoom();
  const left = room.leave();
  room.join();

  WebSocket.last.answer(WebSocket.last.sent[1], "EXIT_ACKNOWLEDGE");
  await left;

  assert.equal(client.channel("/room"), room);
});

test("a connection lost before the answer leaves the channel joining", async () => {
  const { client, WebSocket } = makeClient();
  client.connect();
  WebSocket.last.accept();
  const room = client.channel("/room");
  const joined = room.join();

  WebSocket.last.end(1006);
  assert.equal(room.state, "joining");
  client.connect();
  WebSocket.last.accept();
  WebSocket.last.answer(WebSocket.last.sent[0], "ACKNOWLEDGE");

  assert.equal(await joined, room);
});

test("what was queued goes out before what is sent on hearing of the join", async () => {
  const { room, client, WebSocket } = await makeRoom();
  WebSocket.last.end(1006);
  room.send("message", { n: 1 });
  room.onState((state) => state === "joined" && room.send("message", { n: 2 }));

  client.connect();
  WebSocket.last.accept();
  WebSocket.last.answer(WebSocket.last.sent[0], "ACKNOWLEDGE");

  assert.deepEqual(WebSocket.last.sent.slice(1).map(({ payload }) => payload.n), [1, 2]);
});

test("leaving a channel that was never joined forgets it", async () => {
  const { client } = makeClient();
  const room = client.channel("/room");

  await room.leave();

  assert.notEqual(client.channel("/room"), room);
});

test("the late acknowledgement of an abandoned join does not open the next one", async () => {
  const { client, WebSocket } = makeClient();
  client.connect();
  WebSocket.last.accept();
  const room = client.channel("/room");
  const first = room.join();
  room.leave();
  const second = room.join();
  const [join, , again] = WebSocket.last.sent;

  WebSocket.last.answer(join, "ACKNOWLEDGE");
  await assert.rejects(first, { reason: "LEFT" });
  assert.equal(room.state, "joining");

  WebSocket.last.answer(again, "ACKNOWLEDGE");
  await second;
  assert.equal(room.state, "joined");
});

test("messages sent while away wait, bounded, and leave in order after the rejoin", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { room, client, WebSocket } = await makeRoom({ maxQueue: 2 });
  WebSocket.last.end(1006);

  const taken = [1, 2, 3].map((n) => room.send("message", { n }));
  t.mock.timers.tick(500);
  WebSocket.last.accept("u2");
  WebSocket.last.answer(WebSocket.last.sent[0], "ACKNOWLEDGE");
  await settle();

  assert.deepEqual(taken, [true, true, false], "the newest is refused, what was taken stays");
  assert.deepEqual(WebSocket.last.sent.slice(1).map(({ payload }) => payload.n), [1, 2]);
});

test("a queued message is a snapshot of its payload", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { room, client, WebSocket } = await makeRoom();
  WebSocket.last.end(1006);
  const payload = { n: 1 };
  room.send("message", payload);

  payload.n = 2;
  t.mock.timers.tick(500);
  WebSocket.last.accept();
  WebSocket.last.answer(WebSocket.last.sent[0], "ACKNOWLEDGE");

  assert.equal(WebSocket.last.sent[1].payload.n, 1);
});

test("leaving drops what was queued", async () => {
  const { room, client, WebSocket } = await makeRoom();
  WebSocket.last.end(1006);
  room.send("message", { n: 1 });

  room.leave();
  room.join();
  client.connect();
  WebSocket.last.accept();
  WebSocket.last.answer(WebSocket.last.sent[0], "ACKNOWLEDGE");

  assert.deepEqual(WebSocket.last.sent.map(({ action }) => action), ["JOIN_CHANNEL"]);
});

test("queued messages that the new connection cannot take are reported", async () => {
  const { room, client, WebSocket } = await makeRoom();
  const errors = [];
  client.onError(({ reason }) => errors.push(reason));
  WebSocket.last.end(1006);
  room.send("message", { n: 1 });
  client.connect();
  WebSocket.last.accept();

  WebSocket.last.bufferedAmount = 2_000_000;
  WebSocket.last.answer(WebSocket.last.sent[0], "ACKNOWLEDGE");

  assert.deepEqual(errors, ["QUEUE_FULL"]);
});

test("send is refused where the channel is neither joined nor about to be", async () => {
  const { room } = await makeRoom();
  room.leave();

  assert.equal(room.send("message"), false);
});

test("send is refused while the socket's own buffer is above its mark", async () => {
  const { room, WebSocket } = await makeRoom();
  WebSocket.last.bufferedAmount = 2_000_000;

  assert.equal(room.send("message"), false);
});
