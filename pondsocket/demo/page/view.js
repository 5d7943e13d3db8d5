/**
 * What the page shows. It knows no protocol; app.js tells it what happened.
 * Text of people only ever becomes textContent: nothing they write can become markup.
 */

const $ = (id) => document.getElementById(id);
const MAX_SHOWN = 400; // messages and events kept in the page
const TOGETHER = 5 * 60_000; // messages of one person closer than this share a head
const SECONDS = 60; // width of the chart

const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function initials(name) {
  const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)].map((word) => [...word][0]) : [...(words[0] ?? name)].slice(0, 2);
  return letters.join("").toUpperCase();
}

function avatar({ name, hue }, element = make("span", "avatar")) {
  element.textContent = initials(name);
  element.style.setProperty("--hue", hue);
  element.setAttribute("aria-hidden", "true");
  return element;
}

function listNames(names) {
  if (names.length > 3) return `${names.slice(0, 2).join(", ")} and ${names.length - 2} others`;
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0];
}

// Connection

let countdown = 0;

export function showConnection(state, { transport = "", retryIn = 0, onRetry } = {}) {
  const until = performance.now() + retryIn;
  clearInterval(countdown);
  for (const id of ["app", "connection"]) $(id).dataset.state = state;
  $("connection-state").dataset.state = state;
  $("connection-state").textContent = state;
  const live = state === "connected";
  $("transport").hidden = !live;
  $("transport").textContent = { websocket: "WebSocket", sse: "SSE" }[transport] ?? transport;
  $("transport").dataset.transport = transport;
  $("retry").hidden = live || state === "connecting";
  $("retry").onclick = onRetry;
  if (state !== "reconnecting" || retryIn < 1_000) return;
  const tell = () => {
    const seconds = Math.ceil((until - performance.now()) / 1_000);
    $("connection-state").textContent = seconds > 0 ? `reconnecting in ${seconds} s` : state;
  };
  tell();
  countdown = setInterval(tell, 1_000);
}

export function showYou(name, hue) {
  $("you-name").textContent = name;
  avatar({ name, hue }, $("you-avatar"));
}

// Rooms

export function showRooms(rooms, current) {
  // Built anew only when something changed: it would lose the focus every second otherwise.
  const wanted = JSON.stringify([rooms, current]);
  const list = $("room-list");
  if (list.dataset.shown === wanted) return;
  list.dataset.shown = wanted;
  const focused = document.activeElement?.closest?.("#room-list a")?.hash;
  list.replaceChildren(...rooms.map(({ name, members }) => {
    const link = make("a");
    link.href = `#${name}`;
    link.dataset.testid = "room-link";
    link.dataset.room = name;
    if (name === current) link.setAttribute("aria-current", "page");
    const size = make("span", members ? "size" : "size nobody", String(members));
    size.setAttribute("aria-label", `${members} here`);
    link.append(make("span", "name", name), size);
    const item = make("li");
    item.append(link);
    return item;
  }));
  if (focused) [...list.querySelectorAll("a")].find((link) => link.hash === focused)?.focus();
}

export function showRoom(name) {
  $("room-name").textContent = name;
  $("text").placeholder = `Message #${name}`;
  clearMessages();
  showMembers([], new Set());
}

export function showRoomState(text) { $("room-state").textContent = text; }

// Messages

let last = null; // the head that the next message may go under
let unread = 0;

function isAtEnd() {
  const log = $("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 80;
}

export function scrollToEnd() {
  $("log").scrollTop = $("log").scrollHeight;
  $("jump").hidden = true;
}

function append(element, follow) {
  const stay = !follow && !isAtEnd();
  const list = $("messages");
  list.append(element);
  while (list.childElementCount > MAX_SHOWN) list.firstElementChild.remove();
  $("empty").hidden = list.querySelector(".message") !== null;
  if (stay) $("jump").hidden = false;
  else scrollToEnd();
}

export function clearMessages() {
  $("messages").replaceChildren();
  $("empty").hidden = false;
  $("jump").hidden = true;
  last = null;
}

/** Show a message and hand back how to change it: `settle` when it was delivered, `fail` when not. */
export function addMessage({ user, text, sentAt, isOwn = false, isPending = false }) {
  const item = make("li", "message");
  item.dataset.testid = "message";
  item.style.setProperty("--hue", user.hue);
  item.classList.toggle("own", isOwn);
  item.classList.toggle("pending", isPending);
  const goesOn = last && last.id === (isOwn || user.id) && sentAt - last.sentAt < TOGETHER;
  item.classList.toggle("again", Boolean(goesOn));
  last = { id: isOwn || user.id, sentAt };
  const time = make("time", "", clockTime.format(sentAt));
  time.dateTime = new Date(sentAt).toISOString();
  const meta = make("div", "meta");
  meta.append(make("bdi", "author", user.name), time);
  const bubble = make("div", "bubble", text);
  bubble.dir = "auto";
  bubble.dataset.testid = "message-text";
  const delivery = make("div", "delivery", isPending ? "sending…" : "");
  delivery.dataset.testid = "delivery";
  item.append(avatar(user), meta, bubble, delivery);
  append(item, isOwn);
  if (!isOwn && document.hidden) document.title = `(${(unread += 1)}) pondsocket demo`;
  const mark = (state, note) => {
    const follow = isAtEnd();
    item.classList.remove("pending", "failed");
    if (state) item.classList.add(state);
    delivery.textContent = note;
    if (follow) scrollToEnd();
  };
  return {
    wait: (note) => mark("pending", note),
    settle: (note) => mark("", note),
    fail: (note) => mark("failed", note),
  };
}

export function addEvent(text) {
  last = null;
  const item = make("li", "event", text);
  item.dataset.testid = "event";
  append(item, false);
}

// People

function since(joinedAt) {
  const minutes = Math.floor((Date.now() - joinedAt) / 60_000);
  if (minutes < 1) return "just arrived";
  return minutes < 60 ? `here for ${minutes} min` : `here since ${clockTime.format(joinedAt)}`;
}

export function showMembers(members, ownIds) {
  $("member-count").textContent = members.length;
  const sorted = [...members].sort((a, b) => ownIds.has(b.id) - ownIds.has(a.id) || a.joinedAt - b.joinedAt);
  $("members").replaceChildren(...sorted.map((member) => {
    const item = make("li", "member");
    item.dataset.testid = "member";
    item.dataset.typing = member.typing;
    const name = make("span", "name");
    name.append(make("bdi", "", member.name));
    if (ownIds.has(member.id)) name.append(make("span", "me", "you"));
    const doing = make("span", member.typing ? "doing active" : "doing");
    if (member.typing) doing.append(make("span", "dots"), "typing");
    else doing.textContent = since(member.joinedAt);
    item.append(avatar(member), name, doing);
    return item;
  }));
  const typing = members.filter(({ id, typing: is }) => is && !ownIds.has(id)).map(({ name }) => name);
  $("typing").textContent = typing.length ? `${listNames(typing)} ${typing.length > 1 ? "are" : "is"} typing` : "";
}

/** Say who came and went since the last list. */
export function announce(arrived, gone) {
  if (arrived.length) addEvent(`${listNames(arrived)} joined`);
  if (gone.length) addEvent(`${listNames(gone)} left`);
}

// Numbers

const deliveries = []; // one a second, the newest last

export function showStats(stats) {
  for (const name of ["connections", "channels", "received", "outbox", "delivered"]) {
    $(`stat-${name}`).textContent = number.format(stats[name]);
  }
  $("stat-handlerMs").textContent = stats.handlerMs ? `${stats.handlerMs.toPrecision(2)} ms` : "–";
  deliveries.push(stats.delivered);
  if (deliveries.length > SECONDS + 1) deliveries.shift();
  drawChart();
}

export function showTrip(milliseconds) { $("stat-trip").textContent = milliseconds; }

function drawChart() {
  const peak = Math.max(...deliveries);
  const from = SECONDS + 1 - deliveries.length;
  const x = (n) => (((from + n) / SECONDS) * 240).toFixed(1);
  const y = (value) => (61 - (value / Math.max(peak, 1)) * 56).toFixed(1);
  const line = `M${deliveries.map((value, n) => `${x(n)} ${y(value)}`).join("L")}`;
  $("chart").querySelector(".line").setAttribute("d", line);
  $("chart").querySelector(".area").setAttribute("d", `${line}L240 64L${x(0)} 64Z`);
  $("chart-peak").textContent = `peak ${number.format(peak)}`;
}

// Notices, drawers, dialog

export function showNotice(text, action = "", onAction = null) {
  $("notice-text").textContent = text;
  $("notice-action").textContent = action;
  $("notice-action").hidden = !action;
  $("notice-action").onclick = onAction;
  $("notice").hidden = !text;
}

function openDrawer(name) {
  const app = $("app");
  const before = app.dataset.drawer;
  if (name) app.dataset.drawer = name;
  else delete app.dataset.drawer;
  for (const id of ["rooms", "side"]) $(`open-${id}`).setAttribute("aria-expanded", String(id === name));
  if (name) $(name).querySelector(".drawer-close").focus();
  else if (before && $(before).contains(document.activeElement)) $(`open-${before}`).focus();
}

export const closeDrawers = () => openDrawer("");

export function setUp() {
  for (const id of ["rooms", "side"]) {
    $(`open-${id}`).onclick = () => openDrawer($("app").dataset.drawer === id ? "" : id);
  }
  for (const element of [$("scrim"), ...document.querySelectorAll(".drawer-close")]) element.onclick = closeDrawers;
  document.addEventListener("keydown", ({ key }) => key === "Escape" && closeDrawers());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    unread = 0;
    document.title = "pondsocket demo";
  });
  $("log").addEventListener("scroll", () => { if (isAtEnd()) $("jump").hidden = true; });
  $("jump").onclick = scrollToEnd;
  $("notice-close").onclick = () => showNotice("");
  $("name-cancel").onclick = () => $("name-dialog").close();
}
