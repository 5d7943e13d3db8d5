import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { EventStreamParser, eventStream, fakeFetch, makeClient } from "./harness.mjs";

/** Streams and fetch take turns of the loop, not only promises. */
async function turns() {
  for (let n = 0; n < 5; n += 1) await turn();
}

async function connected(options = {}) {
  const http = fakeFetch();
  const stream = eventStream();
  http.reply("GET", stream.response);
  const made = makeClient({ transports: ["sse"], fetch: http.fetch, ...options });
  made.client.connect();
  stream.say("CONNECT", "CONNECTION", "GATEWAY", { id: "u1", connectionId: "secret" });
  await turns();
  return { ...made, http, stream };
}

const parse = (...pieces) => {
  const parser = new EventStreamParser();
  return pieces.flatMap((piece) => parser.feed(piece));
};

test("an event is the data between blank lines, whatever its name", () => {
  assert.deepEqual(parse("event: news\ndata: {\"a\":1}\n\ndata: two\n\n"), ['{"a":1}', "two"]);
});

test("an event cut anywhere is the same event", () => {
  const text = "event: x\r\ndata: a:b\r\ndata:  c\r\n\r\n";
  for (let cut = 0; cut <= text.length; cut += 1) {
    assert.deepEqual(parse(text.slice(0, cut), text.slice(cut)), ["a:b\n c"], `cut at ${cut}`);
  }
});

test("CR, LF and CRLF all end a line", () => {
  assert.deepEqual(parse("data: 1\r\rdata: 2\n\ndata: 3\r\n\r\n"), ["1", "2", "3"]);
});

test("comments, other fields and events without data are left out", () => {
  assert.deepEqual(parse(": ping\n\nid: 7\nretry: 10\nevent: empty\n\ndata\ndata: x\n\n"), ["\nx"]);
});

test("an event without its blank line is not an event yet", () => {
  assert.deepEqual(parse("data: half\n"), []);
});

test("SSE connects by GET and posts with the connection's id", async () => {
  const { client, http, stream } = await connected();
  assert.deepEqual([client.state, client.transport, client.connectionId], ["connected", "sse", "secret"]);
  const room = client.channel("/room");
  const joined = room.join();
  await turns();
  const [get, post] = http.calls;

  stream.say("SYSTEM", "ACKNOWLEDGE", "/room", {}, JSON.parse(post.body).requestId);
  await joined;

  assert.deepEqual([get.method, get.headers.Accept], ["GET", "text/event-stream"]);
  assert.deepEqual([post.method, post.headers["X-Connection-ID"]], ["POST", "secret"]);
});

test("messages go out one POST at a time, in order", async () => {
  const { client, http } = await connected();
  const waiting = [];
  http.reply("POST", () => new Promise((resolve) => waiting.push(resolve)));
  const bodies = () => http.calls.filter(({ method }) => method === "POST").map(({ body }) => JSON.parse(body).channelName);
  client.channel("/a").join();
  client.channel("/b").join();
  await turns();
  assert.deepEqual(bodies(), ["/a"]);

  waiting[0](new Response(null, { status: 204 }));
  await turns();

  assert.deepEqual(bodies(), ["/a", "/b"]);

  waiting[1](new Response(null, { status: 204 }));
  await turns();
  client.channel("/c").join();
  await turns();

  assert.deepEqual(bodies(), ["/a", "/b", "/c"]);
});

test("send is refused while a thousand messages wait for their POST", async () => {
  const { client, http, stream } = await connected();
  http.reply("POST", () => new Promise(() => {}));
  const room = client.channel("/room");
  room.join();
  await turns();
  stream.say("SYSTEM", "ACKNOWLEDGE", "/room", {}, JSON.parse(http.calls[1].body).requestId);
  await turns();

  const taken = Array.from({ length: 1_001 }, () => room.send("message")).filter(Boolean);

  assert.equal(taken.length, 999, "the join waits as well");
});

test("a full inbox (429) gets the same message again", async () => {
  const { client, http } = await connected({ random: () => 0 });
  http.reply("POST", () => new Response(null, { status: 429 }), () => new Response(null, { status: 204 }));
  client.channel("/a").join();
  while (http.calls.length < 3) await turns();

  const [, first, second] = http.calls;
  assert.equal(first.body, second.body);
  assert.equal(client.state, "connected");
});

test("a message that is too large (413) is reported and skipped", async () => {
  const { client, http } = await connected();
  const errors = [];
  client.onError(({ reason }) => errors.push(reason));
  http.reply("POST", () => new Response(null, { status: 413 }));

  client.channel("/a").join();
  await turns();

  assert.deepEqual(errors, ["TOO_LARGE"]);
  assert.equal(client.state, "connected");
});

test("a connection that the server does not know any more (404) is made anew", async () => {
  const { client, http } = await connected();
  http.reply("POST", () => new Response(null, { status: 404 }));

  client.channel("/a").join();
  await turns();

  assert.equal(client.state, "reconnecting");
});

test("the end of the stream reconnects", async () => {
  const { client, stream } = await connected();

  stream.end();
  await turns();

  assert.equal(client.state, "reconnecting");
});

test("a stream that falls silent is given up", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { client, stream } = await connected({ idleTimeout: 1_000 });
  t.mock.timers.tick(999);
  stream.write(": ping\n\n");
  await turns();
  t.mock.timers.tick(999);
  assert.equal(client.state, "connected", "a comment is a sign of life");

  t.mock.timers.tick(1);

  assert.equal(client.state, "reconnecting");
});

test("disconnect ends the stream and tells the server", async () => {
  const { client, http } = await connected();

  client.disconnect();

  const { method, headers } = http.calls.at(-1);
  assert.deepEqual([method, headers["X-Connection-ID"]], ["DELETE", "secret"]);
  assert.ok(http.calls[0].signal.aborted);
});

test("a character cut between two chunks arrives whole", async () => {
  const { client, http } = await connected();
  client.disconnect();
  const bytes = new TextEncoder().encode(
    `data: ${JSON.stringify({ action: "CONNECT", event: "CONNECTION", channelName: "GATEWAY", requestId: "r", payload: { id: "żaba 🐸", connectionId: "c" } })}\n\n`,
  );
  http.reply("GET", () => new Response(
    new ReadableStream({ start(c) { for (const byte of bytes) c.enqueue(Uint8Array.of(byte)); } }),
    { headers: { "content-type": "text/event-stream" } },
  ));

  await client.connect();

  assert.equal(client.userId, "żaba 🐸");
});

test("a WebSocket that never opens falls back to SSE within the same attempt", async () => {
  const http = fakeFetch();
  const stream = eventStream();
  http.reply("GET", stream.response);
  const { client, WebSocket, states } = makeClient({ transports: ["websocket", "sse"], fetch: http.fetch });
  const opened = client.connect();

  WebSocket.last.end(1006);
  stream.say("CONNECT", "CONNECTION", "GATEWAY", { id: "u1", connectionId: "c" });
  await opened;

  assert.deepEqual([client.transport, states], ["sse", ["connecting", "connected"]]);
});

test("a browser without WebSocket uses SSE", async () => {
  const http = fakeFetch();
  http.reply("GET", eventStream().response);
  const { client } = makeClient({ transports: ["websocket", "sse"], fetch: http.fetch, WebSocket: undefined });

  client.connect();

  assert.equal(http.calls.length, 1);
});

test("a WebSocket that was refused in so many words does not fall back", async () => {
  const http = fakeFetch();
  const { client, WebSocket } = makeClient({ transports: ["websocket", "sse"], fetch: http.fetch });
  const opened = client.connect();

  WebSocket.last.end(4403, "members only");

  await assert.rejects(opened, { code: 4403 });
  assert.equal(http.calls.length, 0);
});

test("the HTTP status behind a failed handshake decides: 401 is final", async () => {
  const http = fakeFetch();
  http.reply("GET", () => new Response("token expired", { status: 401 }));
  const { client, WebSocket } = makeClient({ transports: ["websocket", "sse"], fetch: http.fetch });
  const opened = client.connect();

  WebSocket.last.end(1006);

  await assert.rejects(opened, { reason: "REFUSED", code: 4401, message: "token expired" });
});

for (const status of [405, 426, 429, 500, 503]) {
  test(`an HTTP status of ${status} is tried again`, async () => {
    const http = fakeFetch();
    http.reply("GET", () => new Response(null, { status }));
    const { client } = makeClient({ transports: ["sse"], fetch: http.fetch });

    client.connect();
    await turns();

    assert.equal(client.state, "reconnecting");
  });
}

test("a page instead of a stream (a captive portal) is not a connection", async () => {
  const http = fakeFetch();
  const endless = new ReadableStream({ start: (c) => c.enqueue(new TextEncoder().encode("<html>")) });
  http.reply("GET", () => new Response(endless, { headers: { "content-type": "text/html" } }));
  const { client } = makeClient({ transports: ["sse"], fetch: http.fetch });

  client.connect();
  await turns();

  assert.equal(client.state, "reconnecting");
});

for (const code of [1006, 1012]) test(`a WebSocket lost with ${code} is first replaced by a WebSocket`, async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const http = fakeFetch();
  const { client, WebSocket } = makeClient({ transports: ["websocket", "sse"], fetch: http.fetch });
  client.connect();
  WebSocket.last.accept();

  WebSocket.last.end(code);
  t.mock.timers.tick(500);

  assert.deepEqual([WebSocket.all.length, http.calls.length], [2, 0]);
});

test("where only SSE has worked, it is tried first the next time", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const http = fakeFetch();
  const stream = eventStream();
  http.reply("GET", stream.response, eventStream().response);
  const { client, WebSocket } = makeClient({ transports: ["websocket", "sse"], fetch: http.fetch });
  client.connect();
  WebSocket.last.end(1006);
  stream.say("CONNECT", "CONNECTION", "GATEWAY", { id: "u1", connectionId: "c" });
  await turns();

  stream.end();
  await turns();
  t.mock.timers.tick(500);

  assert.deepEqual([WebSocket.all.length, http.calls.length], [1, 2]);
});

test("a WebSocket that has worked stays first after SSE helped out", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const http = fakeFetch();
  const stream = eventStream();
  http.reply("GET", stream.response);
  const { client, WebSocket } = makeClient({ transports: ["websocket", "sse"], fetch: http.fetch });
  client.connect();
  WebSocket.last.accept();
  WebSocket.last.end(1006);
  t.mock.timers.tick(500);
  WebSocket.last.end(1006);
  stream.say("CONNECT", "CONNECTION", "GATEWAY", { id: "u1", connectionId: "c" });
  await turns();
  assert.equal(client.transport, "sse");

  stream.end();
  await turns();
  t.mock.timers.tick(1_000);

  assert.equal(WebSocket.all.length, 3);
});
