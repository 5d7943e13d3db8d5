import assert from "node:assert/strict";
import { test } from "node:test";

import { backoffDelay, isFinal, makeClient, makeRoom, settle } from "./harness.mjs";

test("back-off lies between nothing and a doubling ceiling", () => {
  const limits = { base: 500, max: 30_000 };
  const ceilings = [0, 1, 2, 3, 10, 5_000].map((attempt) => backoffDelay(attempt, limits, () => 1));

  assert.deepEqual(ceilings, [500, 1_000, 2_000, 4_000, 30_000, 30_000]);
  assert.equal(backoffDelay(7, limits, () => 0), 0);
});

test("refusals are final, interruptions are not", () => {
  const codes = [1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013, 4001, 4401, 4403, 4404, 4408, 4429, 4500, 4503];

  assert.deepEqual(codes.filter(isFinal), [1000, 1008, 4401, 4403, 4404]);
});

test("connecting resolves with CONNECTION, which says who we are", async () => {
  const { client, WebSocket, states } = makeClient();
  const connected = client.connect();

  WebSocket.last.accept("u7");
  await connected;

  assert.deepEqual(states, ["connecting", "connected"]);
  assert.deepEqual([client.userId, client.connectionId, client.transport], ["u7", "u7", "websocket"]);
});

test("the URL takes the page's security and the params", () => {
  const { client, WebSocket } = makeClient({ url: "https://pond.test/socket?a=1", params: { token: "x y" } });

  client.connect();

  assert.equal(WebSocket.last.url, "wss://pond.test/socket?a=1&pond.frames=batch&token=x+y");
});

test("several messages in a frame are asked for, unless the URL or the params say otherwise", () => {
  const url = "http://pond.test/socket";
  const searches = [{ url }, { url: `${url}?pond.frames=one` }, { url, params: { "pond.frames": "" } }].map((options) => {
    const { client, WebSocket } = makeClient(options);
    client.connect();
    return new URL(WebSocket.last.url).search;
  });

  assert.deepEqual(searches, ["?pond.frames=batch", "?pond.frames=one", "?pond.frames="]);
});

test("changes of presence are asked for by one option", () => {
  const { client, WebSocket } = makeClient({ presence: "diff" });

  client.connect();

  assert.equal(new URL(WebSocket.last.url).searchParams.get("pond.presence"), "diff");
});

test("params from a function are asked anew for every attempt", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let calls = 0;
  const { client, WebSocket } = makeClient({ params: async () => ({ token: (calls += 1) }) });
  client.connect();
  await settle();
  WebSocket.last.end(1006);
  t.mock.timers.tick(500);
  await settle();

  assert.deepEqual(WebSocket.all.map(({ url }) => new URL(url).search), [
    "?pond.frames=batch&token=1", "?pond.frames=batch&token=2",
  ]);
});

test("params that fail count as a failed attempt", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { client, states } = makeClient({ params: () => { throw new Error("no token"); } });

  client.connect();
  await settle();

  assert.deepEqual(states, ["connecting", "reconnecting"]);
});

for (const [outcome, params] of [
  ["arrive", async () => ({})],
  ["fail", async () => { throw new Error("no token"); }],
]) {
  test(`disconnect stays disconnected when the awaited params ${outcome}`, async () => {
    const { client, WebSocket } = makeClient({ params });
    client.connect();

    client.disconnect();
    await settle();

    assert.deepEqual([WebSocket.all.length, client.state], [0, "disconnected"]);
  });
}

for (const code of [1006, 1012, 1013]) {
  test(`close code ${code} reconnects and joins again with the same params`, async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { client, room, states, WebSocket } = await makeRoom();

    WebSocket.last.end(code);
    assert.equal(client.state, "reconnecting");
    t.mock.timers.tick(500);
    WebSocket.last.accept("u2");
    WebSocket.last.answer(WebSocket.last.sent[0], "ACKNOWLEDGE");

    assert.deepEqual(WebSocket.last.sent[0].payload, { name: "Ann" });
    assert.deepEqual(states, ["joining", "joined", "stalled", "joined"]);
    assert.equal(room.state, "joined");
  });
}

for (const code of [1000, 1008, 4401, 4403, 4404]) {
  test(`close code ${code} stays disconnected`, async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { client, states, WebSocket } = makeClient();
    const connected = client.connect();
    WebSocket.last.end(code, "no");
    t.mock.timers.tick(60_000);

    await assert.rejects(connected, { reason: "REFUSED", code, message: "no" });
    assert.deepEqual(states, ["connecting", "disconnected"]);
    assert.equal(WebSocket.all.length, 1);
  });
}

test("a refusal rejects the joins that wait, and a later connect tries them again", async () => {
  const { client, WebSocket } = makeClient();
  const room = client.channel("/room");
  const joined = room.join();
  client.connect();
  WebSocket.last.end(4401, "expired");
  await assert.rejects(joined, { reason: "REFUSED", code: 4401 });

  client.connect();
  WebSocket.last.accept();
  WebSocket.last.answer(WebSocket.last.sent[0], "ACKNOWLEDGE");

  assert.equal(await room.join(), room);
});

test("the wait doubles while connections do not last, and starts over after one that did", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { client, WebSocket } = makeClient();
  const waits = [];
  client.onState((state, { retryIn }) => state === "reconnecting" && waits.push(retryIn));
  client.connect();

  WebSocket.last.end(1006);
  t.mock.timers.tick(30_000);
  WebSocket.last.accept(); // accepted, but gone again within moments
  WebSocket.last.end(1006);
  t.mock.timers.tick(30_000);
  WebSocket.last.accept();
  t.mock.timers.tick(5_000);
  WebSocket.last.end(1006);

  assert.deepEqual(waits, [250, 500, 250]);
});

test("an attempt without an answer is given up", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { client, WebSocket, states } = makeClient({ connectTimeout: 3_000 });
  client.connect();

  t.mock.timers.tick(3_000);

  assert.equal(WebSocket.last.closedWith, 1000);
  assert.deepEqual(states, ["connecting", "reconnecting"]);
});

test("a connection that was made outlives the time limit for making it", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { client, WebSocket } = makeClient({ connectTimeout: 3_000 });
  client.connect();
  WebSocket.last.accept();

  t.mock.timers.tick(3_000);

  assert.equal(client.state, "connected");
});

test("after a loss connect() tells of the next connection", async () => {
  const { client, WebSocket } = await makeRoom();
  WebSocket.last.end(1006);
  let connected = false;
  client.connect().then(() => { connected = true; });
  await settle();
  assert.equal(connected, false);

  WebSocket.last.accept();
  await settle();

  assert.equal(connected, true);
});

test("connect after disconnect starts over with the shortest wait", () => {
  const { client, WebSocket } = makeClient();
  const waits = [];
  client.onState((state, { retryIn }) => state === "reconnecting" && waits.push(retryIn));
  client.connect();
  WebSocket.last.end(1006);

  client.disconnect();
  client.connect();
  WebSocket.last.end(1006);

  assert.deepEqual(waits, [250, 250]);
});

test("connect while waiting retries at once", async () => {
  const { client, WebSocket } = await makeRoom();
  WebSocket.last.end(1006);

  client.connect();

  assert.equal(WebSocket.all.length, 2);
});

test("going online or becoming visible retries at once, only while waiting", async (t) => {
  const page = new EventTarget();
  t.mock.method(globalThis, "setTimeout", () => 0);
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  t.after(() => {
    for (const name of ["document", "addEventListener", "removeEventListener"]) delete globalThis[name];
  });
  const { client, WebSocket } = makeClient();
  const attempts = () => WebSocket.all.length;
  client.connect();
  WebSocket.last.end(1006);
  page.dispatchEvent(new Event("online"));
  assert.equal(attempts(), 1, "nobody looks");

  globalThis.document.visibilityState = "visible";
  globalThis.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(attempts(), 2);
  page.dispatchEvent(new Event("online"));
  assert.equal(attempts(), 2, "one is under way");

  WebSocket.last.end(1006);
  page.dispatchEvent(new Event("online"));
  assert.equal(attempts(), 3);

});

test("a disconnected client leaves no listener on the page", (t) => {
  const listeners = new Set();
  const page = { addEventListener: (...it) => listeners.add(it[0]), removeEventListener: (...it) => listeners.delete(it[0]) };
  Object.assign(globalThis, { document: page, ...page });
  t.after(() => {
    for (const name of ["document", ...Object.keys(page)]) delete globalThis[name];
  });
  const { client } = makeClient();

  client.connect();
  assert.deepEqual([...listeners], ["online", "visibilitychange"]);
  client.disconnect();

  assert.deepEqual([...listeners], []);
});

test("disconnect closes the socket, stalls the channels and ignores what still arrives", async () => {
  const { client, room, WebSocket } = await makeRoom();
  const socket = WebSocket.last;

  client.disconnect();
  socket.accept("u2");
  socket.end(1006);

  assert.equal(socket.closedWith, 1000);
  assert.deepEqual([client.state, room.state], ["disconnected", "stalled"]);
  assert.equal(WebSocket.all.length, 1);
});

for (const code of [429, 503]) test(`a member that is turned away with ${code} tries to join again`, async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { client, room, WebSocket } = await makeRoom();
  WebSocket.last.end(1012);
  t.mock.timers.tick(500);
  WebSocket.last.accept();

  WebSocket.last.answer(WebSocket.last.sent[0], "UNAUTHORIZED", { code, message: "not now" });
  assert.equal(room.state, "stalled");
  t.mock.timers.tick(500);
  WebSocket.last.answer(WebSocket.last.sent[1], "ACKNOWLEDGE");

  assert.equal(room.state, "joined");
});

test("a member whose membership was withdrawn meanwhile is declined", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { client, room, WebSocket } = await makeRoom();
  WebSocket.last.end(1012);
  t.mock.timers.tick(500);
  WebSocket.last.accept();

  WebSocket.last.answer(WebSocket.last.sent[0], "UNAUTHORIZED", { code: 403, message: "banned" });

  assert.equal(room.state, "declined");
});

test("a listener may connect again as soon as it hears of the end", async () => {
  const { client, WebSocket } = makeClient();
  let again = null;
  client.onState((state) => { if (state === "disconnected") again ??= client.connect(); });
  const first = client.connect();
  WebSocket.last.end(4401);
  await assert.rejects(first, { code: 4401 });

  WebSocket.last.accept();
  await again;

  assert.equal(client.state, "connected");
});

test("rubbish from the server is reported and changes nothing", async () => {
  const { client, room, WebSocket } = await makeRoom();
  const errors = [];
  client.onError(({ reason }) => errors.push(reason));
  const rubbish = [
    "{", "null", "42", "[]", '"text"', "{}", new ArrayBuffer(4),
    JSON.stringify({ action: "BROADCAST", event: "news", channelName: "/room", requestId: "r", payload: null }),
    JSON.stringify({ action: "BROADCAST", event: "", channelName: "/room", requestId: "r", payload: {} }),
    JSON.stringify({ action: "BROADCAST", event: "news", channelName: "/room", requestId: 1, payload: {} }),
    JSON.stringify({ action: "BROADCAST", event: "news", channelName: "/room", requestId: "r", payload: [] }),
  ];

  for (const data of rubbish) WebSocket.last.raw(data);

  assert.deepEqual(errors, rubbish.map(() => "BAD_MESSAGE"));
  assert.equal(room.state, "joined");
});

test("messages of unknown kind or channel, and names of Object.prototype, are harmless", async () => {
  const { client, room, WebSocket } = await makeRoom();
  client.onError((error) => assert.fail(error));

  WebSocket.last.say("NOVELTY", "x", "/room");
  WebSocket.last.say("BROADCAST", "constructor", "__proto__", {}, "hasOwnProperty");
  WebSocket.last.say("PRESENCE", "toString", "/room", { presence: "none" });
  WebSocket.last.say("CONNECT", "CONNECTION", "GATEWAY", {});

  assert.deepEqual([room.state, client.userId, room.presence], ["joined", "u1", []]);
});

test("several messages in one frame are taken one by one", async () => {
  const { client, room, WebSocket } = await makeRoom();
  client.onError((error) => assert.fail(error));
  const heard = [];
  room.on("news", ({ text }) => heard.push(text));
  const line = (text) =>
    JSON.stringify({ action: "BROADCAST", event: "news", channelName: "/room", requestId: "r", payload: { text } });

  WebSocket.last.raw(`${line("one")}\n${line("two\nlines")}\n`);

  assert.deepEqual(heard, ["one", "two\nlines"]);
});

test("a listener that disconnects hears nothing more of the same frame", async () => {
  const { client, WebSocket } = makeClient();
  let heard = 0;
  client.on("x", () => { heard += 1; client.disconnect(); });
  client.connect();
  WebSocket.last.accept();
  const line = JSON.stringify({ action: "SYSTEM", event: "x", channelName: "GATEWAY", requestId: "r", payload: {} });

  WebSocket.last.raw(`${line}\n${line}`);

  assert.equal(heard, 1);
});

test("the connection handler's reply reaches the client's listeners", () => {
  const { client, WebSocket } = makeClient();
  const heard = [];
  client.on("welcome", (payload) => heard.push(payload));
  client.connect();
  WebSocket.last.accept();

  WebSocket.last.say("SYSTEM", "welcome", "GATEWAY", { motd: "hi" });

  assert.deepEqual(heard, [{ motd: "hi" }]);
});
