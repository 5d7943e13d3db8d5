/** The chat: one client, the room that is open, and the channel of live numbers. */

import { PondClient } from "./pondsocket.js";
import * as view from "./view.js";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const SUGGESTED = ["lobby", "frogs", "reeds"];
const ROOM_NAME = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/;
const STILL_TYPING = 2_500; // ms without a key after which somebody has stopped

const client = new PondClient("socket", {
  transports: query.get("transport") === "sse" ? ["sse"] : ["websocket", "sse"],
  backoff: { base: 400, max: 15_000 },
});

const me = { name: query.get("name")?.trim().slice(0, 32) || remembered() || invented(), hue: 170 };
const ownIds = new Set(); // a new one with every connection
const unsettled = new Map(); // own messages that have not come back yet, by nonce
let sizes = []; // of the rooms, as last published
let room = null; // the open channel
let release = () => {}; // removes its listeners
let members = new Map();
let lastMessageId = 0;

function invented() {
  const pick = (words) => words[Math.floor(Math.random() * words.length)];
  return `${pick(["Calm", "Quick", "Quiet", "Bright", "Merry", "Bold", "Gentle", "Misty"])} ${
    pick(["Heron", "Otter", "Newt", "Frog", "Teal", "Pike", "Dragonfly", "Beaver", "Kingfisher"])}`;
}

// Storage may be forbidden; then the name lasts as long as the page.
function remembered() { try { return sessionStorage.getItem("name"); } catch { return ""; } }
function remember(name) { try { sessionStorage.setItem("name", name); } catch { /* see above */ } }

// Rooms

const nameOf = (channel) => channel.name.slice("/rooms/".length);

function roomOfAddress() {
  let name = location.hash.slice(1);
  try { name = decodeURIComponent(name); } catch { /* left as it is: no valid name either */ }
  return ROOM_NAME.test(name) ? name : SUGGESTED[0];
}

function showRooms() {
  const rooms = new Map(SUGGESTED.map((name) => [name, 0]));
  for (const { name, members: size } of sizes) rooms.set(name, size);
  const current = room && nameOf(room);
  if (current && !rooms.has(current)) rooms.set(current, 0);
  if (current && members.size) rooms.set(current, members.size);
  view.showRooms([...rooms].map(([name, size]) => ({ name, members: size })), current);
}

function openRoom(name) {
  if (room && nameOf(room) === name) return;
  stopTyping();
  release();
  room?.leave();
  unsettled.clear();
  members.clear();
  lastMessageId = 0;
  const opened = client.channel(`/rooms/${name}`, me); // `me` itself: a later join has the name of then
  const removers = [
    opened.on("history", ({ messages }) => showHistory(messages)),
    opened.on("message", showMessage),
    opened.onPresence(({ list }) => showPresence(list)),
    opened.onState((state, error) => showState(opened, state, error)),
  ];
  release = () => removers.forEach((remove) => remove());
  room = opened;
  view.showRoom(name);
  view.showNotice("");
  view.closeDrawers();
  showRooms();
  opened.join().catch(() => {}); // onState shows it
}

function showState(channel, state, error) {
  view.showRoomState({ joining: "joining…", stalled: "waiting for the connection…" }[state] ?? "");
  if (state === "stalled") members.clear();
  if (state === "declined" || state === "evicted") {
    view.showNotice(error.message, "Try again", () => { view.showNotice(""); channel.join().catch(() => {}); });
  }
}

// Messages

function showHistory(messages) {
  const seen = lastMessageId; // after a reconnect only what was said meanwhile is new
  for (const message of messages) if (message.id > seen) showMessage(message);
  for (const [nonce, { shown, isInDoubt }] of unsettled) {
    if (isInDoubt && unsettled.delete(nonce)) shown.fail("not delivered: the connection was lost");
  }
}

function showMessage({ id, user, text, sentAt, nonce }) {
  lastMessageId = Math.max(lastMessageId, id);
  const own = unsettled.get(nonce);
  if (!own || !ownIds.has(user.id)) {
    view.addMessage({ user, text, sentAt, isOwn: ownIds.has(user.id) });
    return;
  }
  unsettled.delete(nonce);
  const trip = performance.now() - own.sentAt;
  const shown = trip < 10 ? `${trip.toFixed(1)} ms` : `${Math.round(trip)} ms`;
  own.shown.settle(`delivered in ${shown}`);
  if (!own.hasWaited) view.showTrip(shown);
}

async function say(text) {
  const nonce = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
  const shown = view.addMessage({ user: { ...me, id: client.userId }, text, sentAt: Date.now(), isOwn: true, isPending: true });
  const own = { shown, sentAt: performance.now(), hasWaited: room.state !== "joined", isInDoubt: false };
  unsettled.set(nonce, own);
  const fail = (reason) => {
    // A delivered message stays delivered, whatever became of the reply.
    if (!unsettled.delete(nonce)) return;
    shown.fail(`not delivered: ${reason}`);
    if (room.state === "joined") room.send("typing", { typing: false }); // the message would have ended it
  };
  if (own.hasWaited) {
    if (room.send("message", { text, nonce })) shown.wait("goes out once you are connected");
    else fail("you are not in this room");
    return;
  }
  try {
    await room.request("message", { text, nonce });
  } catch (error) {
    own.isInDoubt = own.hasWaited = error.reason === "DISCONNECTED"; // it may have arrived: the history will tell
    if (!own.isInDoubt) fail(error.message);
    else if (unsettled.has(nonce)) shown.wait("waiting for the connection…");
  }
}

// People

function showPresence(list) {
  const before = members;
  members = new Map(list.map((member) => [member.id, member]));
  for (const id of ownIds) {
    const self = members.get(id);
    if (self) Object.assign(me, { hue: self.hue });
  }
  view.showYou(me.name, me.hue);
  view.showMembers(list, ownIds);
  view.showRoomState(`${list.length} here`);
  if (before.size) { // else: just joined, everybody would be news
    view.announce(
      list.filter(({ id }) => !before.has(id)).map(({ name }) => name),
      [...before.values()].filter(({ id }) => !members.has(id)).map(({ name }) => name),
    );
  }
  showRooms();
}

let isTyping = false;
let typingTimer = 0;

function startTyping() {
  clearTimeout(typingTimer);
  typingTimer = setTimeout(stopTyping, STILL_TYPING);
  if (isTyping || room.state !== "joined") return;
  isTyping = room.send("typing", { typing: true });
}

function stopTyping() {
  clearTimeout(typingTimer);
  if (isTyping && room.state === "joined") room.send("typing", { typing: false });
  isTyping = false;
}

// Forms

function sizeComposer() {
  const field = $("text");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
  const left = field.maxLength - field.value.length;
  $("counter").textContent = left < 200 ? String(left) : "";
  $("composer").querySelector(".send").setAttribute("aria-disabled", String(!field.value.trim()));
}

$("text").addEventListener("input", () => {
  sizeComposer();
  if ($("text").value) startTyping();
  else stopTyping();
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  isTyping = false; // the message itself ends it on the server
  clearTimeout(typingTimer);
  $("text").value = "";
  sizeComposer();
  view.showNotice("");
  say(text);
});

$("create").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("new-room").value.trim().toLowerCase().replace(/[\s_]+/g, "-").replace(/^#/, "");
  const isValid = ROOM_NAME.test(name);
  $("room-error").textContent = isValid ? "" : "Use 1 to 32 of a-z, 0-9 and inner hyphens.";
  if (!isValid) return;
  $("new-room").value = "";
  location.hash = name;
});

$("you").addEventListener("click", () => {
  $("name").value = me.name;
  $("name-error").textContent = "";
  $("name-dialog").showModal();
  $("name").select();
});

$("name-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const { payload } = await room.request("rename", { name: $("name").value });
    me.name = payload.name;
    remember(me.name);
    view.showYou(me.name, me.hue);
    $("name-dialog").close();
  } catch (error) {
    $("name-error").textContent = error.message;
  }
});

// Start

client.onState((state, { transport, error, retryIn }) => {
  if (state === "connected") ownIds.add(client.userId);
  view.showConnection(state, { transport, retryIn, onRetry: () => client.connect() });
  if (state === "disconnected" && error) view.showNotice(`Disconnected: ${error.message}`);
});
client.onError((error) => view.showNotice(error.message));

const numbers = client.channel("/metrics");
numbers.on("stats", (stats) => {
  sizes = stats.rooms;
  view.showStats(stats);
  showRooms();
});

view.setUp();
view.showYou(me.name, me.hue);
sizeComposer();
addEventListener("hashchange", () => openRoom(roomOfAddress()));
openRoom(roomOfAddress());
numbers.join().catch(() => {}); // without it there are just no numbers
client.connect().catch(() => {}); // onState shows it
setInterval(() => view.showMembers([...members.values()], ownIds), 60_000); // "here for 3 min"
// On a phone the focus would bring up the keyboard before anybody asked for it.
if (matchMedia("(pointer: fine)").matches) $("text").focus();
