// Stand-ins for the browser: a WebSocket and a fetch whose other end is the test.

import { readFile } from "node:fs/promises";
import { afterEach } from "node:test";

// Through a data: URL, since node takes a bare .js file for CommonJS and the client is a module.
const source = await readFile(new URL("../../../pondsocket/static/pondsocket.js", import.meta.url), "utf8");
export const { PondClient, PondError, EventStreamParser, backoffDelay, isFinal } = await import(
  `data:text/javascript,${encodeURIComponent(source)}`
);

/** Let everything that is already settled run, however many promises it is away. */
export async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await null;
}

/** A WebSocket class with its own list of sockets; the test plays the server on `socket.last`. */
export function webSockets() {
  return class FakeWebSocket {
    static all = [];
    static get last() { return this.all.at(-1); }

    readyState = 0;
    bufferedAmount = 0;
    sent = [];
    closedWith = null;

    constructor(url) {
      this.url = url;
      this.constructor.all.push(this);
    }

    send(text) { this.sent.push(JSON.parse(text)); }
    close(code) { [this.readyState, this.closedWith] = [3, code]; }

    // The server's side.
    accept(user = "u1") {
      this.readyState = 1;
      this.say("CONNECT", "CONNECTION", "GATEWAY", { id: user, connectionId: user });
    }
    say(action, event, channelName, payload = {}, requestId = "fresh") {
      this.raw(JSON.stringify({ action, event, channelName, requestId, payload }));
    }
    raw(data) { this.onmessage?.({ data }); }
    answer(request, event, payload = {}, action = "SYSTEM") {
      this.say(action, event, request.channelName, payload, request.requestId);
    }
    end(code = 1006, reason = "") {
      this.readyState = 3;
      this.onclose?.({ code, reason });
    }
  };
}

const clients = [];
// A client that is left connected or waiting would hold its timers, and the process with them.
afterEach(() => clients.splice(0).forEach((client) => client.disconnect()));

/** A client on fake WebSockets whose back-off is always half of the ceiling. */
export function makeClient({ url = "http://pond.test/socket", ...options } = {}) {
  const WebSocket = webSockets();
  const client = new PondClient(url, {
    transports: ["websocket"], WebSocket, random: () => 0.5, ...options,
  });
  clients.push(client);
  const states = [];
  client.onState((state) => states.push(state));
  return { client, WebSocket, states };
}

/** The same, connected and joined to /room. */
export async function makeRoom(options = {}) {
  const made = makeClient(options);
  made.client.connect();
  made.WebSocket.last.accept();
  const room = made.client.channel("/room", { name: "Ann" });
  const states = [];
  room.onState((state) => states.push(state));
  const joined = room.join();
  made.WebSocket.last.answer(made.WebSocket.last.sent[0], "ACKNOWLEDGE");
  await joined;
  return { ...made, room, states };
}

/** A fetch that keeps its calls; `reply(method, answer)` says what the next ones get. */
export function fakeFetch() {
  const calls = [];
  const answers = new Map();
  const fetch = async (url, init) => {
    const method = init.method ?? "GET";
    const call = { url, method, headers: init.headers, body: init.body, signal: init.signal };
    calls.push(call);
    const queue = answers.get(method) ?? [];
    const answer = queue.length > 1 ? queue.shift() : queue[0];
    return (answer ?? (() => new Response(null, { status: 204 })))(call);
  };
  const reply = (method, ...list) => answers.set(method, list);
  return { fetch, calls, reply };
}

/** An event stream that the test writes to. */
export function eventStream() {
  let controller;
  const body = new ReadableStream({ start(c) { controller = c; } });
  const encoder = new TextEncoder();
  return {
    response: () => new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } }),
    write: (text) => controller.enqueue(encoder.encode(text)),
    end: () => controller.close(),
    say(action, event, channelName, payload = {}, requestId = "fresh") {
      const message = JSON.stringify({ action, event, channelName, requestId, payload });
      this.write(`event: ${event}\ndata: ${message}\n\n`);
    },
  };
}
