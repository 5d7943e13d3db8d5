// The published JavaScript client, steered by lines of JSON.
//
// Commands come over stdin, each with an id, and are answered over stdout:
//   {"id": 1, "do": "say", "person": "ann", "room": "/room/1", "event": "say", ...}
//   {"id": 1, "result": null}        or "error" in place of "result"
// What a client tells through its callbacks goes out as a note when it happens:
//   {"person": "ann", "room": "/room/1", "kind": "state", "value": "JOINED"}

import { createInterface } from "node:readline";
import pondsocket from "@eleven-am/pondsocket-client";
import { EventSource } from "eventsource";

globalThis.EventSource = EventSource; // Node.js has none before version 22

const clients = { javascript: pondsocket.PondClient, sse: pondsocket.SSEClient };
const people = new Map();

function put(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function noteOfNobody(kind, value) {
  put({ person: null, room: null, kind, value });
}

process.on("uncaughtException", (error) => noteOfNobody("error", error.stack));

// The client's keep-alive is the only user of intervals: tell of each run.
const startInterval = globalThis.setInterval;
globalThis.setInterval = (callback, milliseconds) =>
  startInterval(() => {
    callback();
    noteOfNobody("interval", null);
  }, milliseconds);

const commands = {
  open({ person, client: kind, url, params, options }) {
    const note = (kind, value) => put({ person, room: null, kind, value });
    const client = new clients[kind](url, params, options);
    client.onConnectionChange((state) => note("connection", state));
    client.onError((error) => note("error", error.message));
    client._broadcaster.subscribe((message) => note("received", message));
    people.set(person, { client, rooms: new Map() });
  },

  connect({ person }) {
    people.get(person).client.connect();
  },

  disconnect({ person }) {
    const { client } = people.get(person);
    client.disconnect();
    client.connect = () => {}; // an attempt to reconnect may still be scheduled
  },

  enter({ person, room, params }) {
    const { client, rooms } = people.get(person);
    const channel = client.createChannel(room, params);
    const note = (kind, value) => put({ person, room, kind, value });
    channel.onChannelStateChange((state) => note("state", state));
    channel.onMessage((event, payload) => note("message", { event, payload }));
    channel.onJoin((presence) => note("join", presence));
    channel.onLeave((presence) => note("leave", presence));
    channel.onPresenceChange((change) => note("update", change));
    channel.onUsersChange((users) => note("users", users));
    rooms.set(room, channel);
    channel.join();
  },

  say({ person, room, event, payload }) {
    people.get(person).rooms.get(room).sendMessage(event, payload);
  },

  ask({ person, room, event, payload }) {
    return people.get(person).rooms.get(room).sendForResponse(event, payload);
  },

  users({ person, room }) {
    return people.get(person).rooms.get(room).presence;
  },

  leave({ person, room }) {
    people.get(person).rooms.get(room).leave();
  },
};

async function obey({ id, do: name, ...details }) {
  try {
    put({ id, result: (await commands[name](details)) ?? null });
  } catch (error) {
    put({ id, error: error.stack });
  }
}

createInterface({ input: process.stdin })
  .on("line", (line) => obey(JSON.parse(line)))
  .on("close", () => process.exit());
