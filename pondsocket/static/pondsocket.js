/**
 * The browser client of pondsocket: many channels over one connection. No dependencies, no build.
 *
 *     import { PondClient } from "./pondsocket.js";
 *     const client = new PondClient("/socket", { params: { token } });
 *     client.connect();
 *     const room = client.channel("/chat/42", { name: "Ann" });
 *     room.on("message", (payload) => show(payload));
 *     await room.join();
 *     room.send("message", { text: "hello" });
 *     const { payload } = await room.request("roll", { sides: 6 });
 *
 * A lost connection comes back by itself (exponential back-off with full jitter; at once when the
 * browser goes online or the page becomes visible) and its channels are joined again with their
 * params. What a close code means:
 *
 *     1008, 4400-4499      refused, trying again would not help: stay disconnected
 *                          (4401 = HTTP 401; but 405, 406, 408, 425, 426 and 429 pass: reconnect)
 *     1000                 the server ended the connection on purpose: stay disconnected
 *     anything else        1006 lost, 1012 restart, 1013 too slow, 4503 full, ...: reconnect
 *
 * Browsers hide why a WebSocket handshake failed. A client that may use SSE as well then asks there,
 * where the HTTP status can be read: that is the way round a proxy, and tells a refusal from an outage.
 */

/** Answers that mean "no". */
const FAILURES = new Set([
  "INTERNAL_ERROR", "NOT_FOUND", "UNAUTHORIZED", "HANDLER_NOT_FOUND", "INVALID_MESSAGE",
]);
/** 4xx statuses that speak of the moment or of the transport, not of this client. */
const PASSING = new Set([405, 406, 408, 425, 426, 429]);
/** What happened to the presence that changed. */
const CHANGES = new Map([["JOIN", "joined"], ["UPDATE", "updated"], ["LEAVE", "left"]]);
/** A connection that lived shorter than this (ms) did not work: its end does not reset the back-off. */
const STABLE = 5_000;
/** What may wait inside a transport before send() refuses: bytes of a WebSocket, messages of SSE. */
const MAX_BUFFERED = { bytes: 1_048_576, messages: 1_000 };

/** Why something failed. `reason` is the server's event name ("UNAUTHORIZED", "INTERNAL_ERROR", ...)
 *  or one of ours: "TIMEOUT", "DISCONNECTED", "REFUSED", "NOT_JOINED", "LEFT", "EVICTED",
 *  "QUEUE_FULL", "TOO_LARGE", "BAD_MESSAGE". `code` is an HTTP-like status or a close code. */
export class PondError extends Error {
  constructor(reason, message, code = 0, { channel = "", details = null } = {}) {
    super(message);
    Object.assign(this, { name: "PondError", reason, code, channel, details });
  }
}

/** Whether a connection closed with `code` stays closed. */
export function isFinal(code) {
  return code === 1000 || code === 1008 || (code >= 4400 && code < 4500 && !PASSING.has(code - 4000));
}

/** Milliseconds to wait before the retry after `attempt` (from 0) failures: anything between 0 and
 *  a doubling ceiling, so that the clients of a restarted server do not come back in step. */
export function backoffDelay(attempt, { base, max }, random = Math.random) {
  return random() * Math.min(max, base * 2 ** attempt);
}

/** Cuts a text/event-stream into the data of its events (WHATWG HTML 9.2.6). Names, ids and retry
 *  hints are left out: a message says in its own members what it is. */
export class EventStreamParser {
  #rest = "";
  #data = [];

  /** Take the next piece of text, cut anywhere; return the data of each event that it completes. */
  feed(text) {
    // A CR that ends the piece may be half of a CRLF, so it waits for the next one.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    const events = [];
    for (const line of lines) {
      const [, field, value] = /^([^:]*)(?:: ?)?(.*)$/s.exec(line);
      if (field === "data") this.#data.push(value);
      if (line === "" && this.#data.length) events.push(this.#data.splice(0).join("\n"));
    }
    return events;
  }
}

/** Functions by key; each `add` hands back the function that removes it again. */
class Listeners {
  #sets = new Map();

  add(key, fn) {
    if (!this.#sets.has(key)) this.#sets.set(key, new Set());
    this.#sets.get(key).add(fn);
    return () => void this.#sets.get(key).delete(fn);
  }

  emit(key, ...args) {
    const fns = [...(this.#sets.get(key) ?? [])];
    for (const fn of fns) {
      try {
        fn(...args);
      } catch (error) {
        // A listener's mistake goes to window.onerror; it stops neither the others nor the connection.
        setTimeout(() => { throw error; });
      }
    }
    return fns.length > 0;
  }
}

function deferred() {
  const it = {};
  it.promise = new Promise((resolve, reject) => Object.assign(it, { resolve, reject }));
  // The state tells of a failure too, so a caller that only watches states need not catch.
  it.promise.catch(() => {});
  return it;
}

function withScheme(url, scheme) {
  const result = new URL(url);
  result.protocol = /^(https|wss):$/.test(result.protocol) ? `${scheme}s:` : `${scheme}:`;
  return result.href;
}

/** One message of the server, or null for anything that is not one. */
function parseMessage(text) {
  try {
    const message = JSON.parse(text);
    const { action, event, channelName, requestId, payload } = message;
    const named = [action, event, channelName, requestId].every((name) => typeof name === "string" && name);
    return named && payload && typeof payload === "object" && !Array.isArray(payload) ? message : null;
  } catch {
    return null; // the caller reports it
  }
}

// The two transports: on.message(text) for each frame, on.close(code, reason) at the end; send(text) is
// false when nothing was taken. The client turns a deaf ear to what it has closed, so these need not.

function openWebSocket(url, { WebSocket }, on) {
  const socket = new WebSocket(withScheme(url, "ws"));
  socket.onmessage = ({ data }) => on.message(data);
  socket.onclose = ({ code, reason }) => on.close(code, reason);
  return {
    send(text) {
      if (socket.readyState !== 1 || socket.bufferedAmount > MAX_BUFFERED.bytes) return false;
      socket.send(text);
      return true;
    },
    close() { socket.close(1000); },
  };
}

/** fetch() and not EventSource, which shows no status and has a reconnection of its own. */
function openEventStream(url, { fetch, idleTimeout, backoff, random }, on) {
  const target = withScheme(url, "http");
  const abort = new AbortController();
  const { signal } = abort;
  const outbox = [];
  let [silence, posting] = [0, false];

  function stop() {
    clearTimeout(silence);
    abort.abort();
  }
  function end(code, reason) {
    stop();
    on.close(code, reason);
  }
  const headers = () => ({ "Content-Type": "application/json", "X-Connection-ID": wire.connectionId });

  async function listen() {
    const accept = { Accept: "text/event-stream" };
    const response = await fetch(target, { headers: accept, cache: "no-store", signal });
    if (!response.ok) return end(4000 + response.status, (await response.text()).slice(0, 200));
    const type = response.headers.get("content-type");
    if (!/^text\/event-stream\b/.test(type)) return end(1006, `${type} is no event stream`);
    const reader = response.body.getReader();
    const [decoder, parser] = [new TextDecoder(), new EventStreamParser()];
    while (!signal.aborted) {
      clearTimeout(silence); // the server sends a comment now and then; none means a dead link
      silence = setTimeout(end, idleTimeout, 1006, "the stream fell silent");
      const { done, value } = await reader.read();
      if (done) return end(1006, "the stream ended");
      for (const data of parser.feed(decoder.decode(value, { stream: true }))) on.message(data);
    }
  }

  async function post() {
    posting = true; // one POST at a time: two in flight may overtake each other
    for (let attempt = 0; outbox.length && !signal.aborted; ) {
      const request = { method: "POST", headers: headers(), body: outbox[0], signal };
      const { ok, status } = await fetch(target, request);
      if (status === 429) { // the connection's inbox is full: the same message again, which keeps the order
        await new Promise((resolve) => setTimeout(resolve, backoffDelay(attempt++, backoff, random)));
        continue;
      }
      if (status === 413) on.error(new PondError("TOO_LARGE", "too large for the server", status));
      else if (!ok) return end(1006, `POST was answered with ${status}`);
      attempt = 0;
      outbox.shift();
    }
    posting = false;
  }

  const wire = {
    connectionId: "", // set by the client from CONNECTION
    send(text) {
      if (signal.aborted || outbox.length >= MAX_BUFFERED.messages) return false;
      outbox.push(text);
      if (!posting) post().catch((error) => end(1006, String(error)));
      return true;
    },
    close() {
      stop();
      if (!wire.connectionId) return;
      // Best effort, outliving the page: the server notices the end of the stream as well.
      fetch(target, { method: "DELETE", headers: headers(), keepalive: true }).catch(() => {});
    },
  };
  listen().catch((error) => end(1006, String(error)));
  return wire;
}

const TRANSPORTS = { websocket: openWebSocket, sse: openEventStream };

/**
 * One channel, made by `client.channel()`. It hears and says nothing until it is joined.
 *
 *     idle -> joining -> joined -> closed                     leave()
 *                |        | ^ `--> evicted                    the server removed us
 *                |        v |
 *                |      stalled                               connection lost; joined again when it is back
 *                `-> declined                                 see the error of join() or onState()
 */
export class PondChannel {
  #client; #options; #params;
  #state = "idle";
  #presence = [];
  #shown = new Map(); // presences by user id, of a server that tells of them by changes
  #queue = [];
  #listeners = new Listeners();
  #entry = null; // from join() to the end of this membership: the promise of join()
  #member = false; // whether this membership was ever acknowledged
  #retries = 0;

  /** @internal */
  constructor(client, options, name, params) {
    Object.defineProperty(this, "name", { value: name, enumerable: true });
    [this.#client, this.#options, this.#params] = [client, options, params];
  }

  /** @returns {"idle"|"joining"|"joined"|"declined"|"stalled"|"closed"|"evicted"} */
  get state() { return this.#state; }

  /** @returns {object[]} what every tracked member shows, as of the last change. */
  get presence() { return this.#presence; }

  /** Join, now or as soon as the client is connected; while already in, the same promise again.
   *  @param {object} [params] what the server's join handler gets; kept for joining again.
   *  @returns {Promise<PondChannel>} rejects with a PondError when declined, left or refused. */
  join(params = this.#params) {
    if (this.#entry) return this.#entry.promise;
    [this.#params, this.#entry, this.#member] = [params, deferred(), false];
    const { promise } = this.#entry; // _enter() may already end this membership
    this.#client._adopt(this);
    this.#set("joining");
    this._enter();
    return promise;
  }

  /** Send and forget. While joining or stalled it waits in a queue of `maxQueue` messages.
   *  @returns {boolean} false: not sent and not queued, since the queue (or the transport's buffer)
   *  is full or the channel is neither joined nor about to be. What was queued before stays. */
  send(event, payload = {}) {
    const { text } = this.#client._encode("BROADCAST", this.name, event, payload);
    if (this.#state === "joined") return this.#client._transmit(text);
    if (!this.#entry || this.#queue.length >= this.#options.maxQueue) return false;
    this.#queue.push(text);
    return true;
  }

  /** Ask and wait for the handler's reply. Never queued: an answer after an outage comes too late.
   *  @param {{timeout?: number}} [options] milliseconds; the client's `requestTimeout` by default.
   *  @returns {Promise<{event: string, payload: object}>} rejects with a PondError. */
  async request(event, payload = {}, { timeout } = {}) {
    if (this.#state !== "joined") throw this.#error("NOT_JOINED", `${this.name} is ${this.#state}`, 409);
    return new Promise((resolve, reject) => {
      this.#client._ask("BROADCAST", this.name, event, payload, (error, answer) => {
        if (error) reject(error);
        else resolve({ event: answer.event, payload: answer.payload });
      }, timeout);
    });
  }

  /** Leave; what is queued is dropped. Resolves once the server confirmed it or the connection is gone. */
  leave() {
    if (!this.#entry) return Promise.resolve(this.#client._forget(this));
    this.#end("closed", this.#error("LEFT", `left ${this.name}`));
    return new Promise((resolve) => {
      this.#out((error) => {
        // What was not sent leaves us a member there, who is told of presences: see _hear().
        if (!this.#entry && error?.reason !== "QUEUE_FULL") this.#client._forget(this);
        resolve();
      });
    });
  }

  /** Call `fn(payload)` for each message of this name. @returns {() => void} removes it again. */
  on(event, fn) { return this.#listeners.add(`on ${event}`, fn); }

  /** Call `fn({list, joined | updated | left})` on each change: all presences, and the one that changed.
   *  A busy server skips changes (not lists), so what is shown should follow `list`.
   *
   *  With `presence: "diff"` several may change at once, and none is skipped: there may be more than one of
   *  `joined`, `updated` and `left`, each the last of its kind, and `changes` holds all of them, as
   *  `{joined, updated, left}`, each a Map by user id. A first call after joining has the `list` alone. */
  onPresence(fn) { return this.#listeners.add("presence", fn); }

  /** Call `fn(state, error)` on each change; the error says why a channel was declined or evicted. */
  onState(fn) { return this.#listeners.add("state", fn); }

  /** @internal The connection is there, or join() was called. */
  _enter() {
    const entry = this.#entry;
    if (!entry) return;
    this.#client._ask("JOIN_CHANNEL", this.name, "JOIN_CHANNEL", this.#params, (error) => {
      if (this.#entry === entry) this.#entered(error); // else: left before the answer came
    });
  }

  /** @internal The connection is gone; with an error, for good. */
  _stall(error) {
    if (!this.#entry) return;
    this.#presence = [];
    if (this.#member) this.#set("stalled");
    if (!error) return;
    this.#entry.reject(error);
    this.#entry = deferred(); // a later connect() joins again, and join() then tells how that went
  }

  /** @internal */
  _hear({ action, event, payload }) {
    // Changes count while out as well: if the server did not hear that we left, it sends no other snapshot.
    const seen = action === "PRESENCE" && this.#see(event, payload);
    if (this.#state !== "joined") return;
    if (action === "PRESENCE") {
      if (!seen) return;
      this.#presence = seen.list;
      this.#listeners.emit("presence", seen);
      return;
    }
    if (action === "SYSTEM" && event === "EVICTED") {
      this.#end("evicted", this.#error(event, String(payload.reason ?? "evicted"), 403));
    }
    this.#listeners.emit(`on ${event}`, payload);
  }

  /** What listeners get to know from a PRESENCE message, or null if it says nothing new. */
  #see(event, payload) {
    if (event === "SYNC") {
      this.#shown = new Map(Object.entries(payload.presences ?? {}));
      return { list: [...this.#shown.values()] };
    }
    if (event === "DIFF") return this.#merge(payload);
    const one = CHANGES.has(event) && { [CHANGES.get(event)]: payload.changed };
    return { list: Array.isArray(payload.presence) ? payload.presence : [], ...one };
  }

  #merge({ joined, updated, left }) {
    const changes = { joined: new Map(), updated: new Map(), left: new Map() };
    const set = (id, presence) => {
      changes[this.#shown.has(id) ? "updated" : "joined"].set(id, presence);
      this.#shown.set(id, presence);
    };
    for (const [id, presence] of Object.entries(joined ?? {})) {
      // Who joined just before our snapshot is in it, and may be told of once more.
      if (JSON.stringify(this.#shown.get(id)) !== JSON.stringify(presence)) set(id, presence);
    }
    for (const [id, presence] of Object.entries(updated ?? {})) set(id, presence);
    for (const [id, presence] of Object.entries(left ?? {})) {
      if (this.#shown.delete(id)) changes.left.set(id, presence);
    }
    const some = Object.entries(changes).filter(([, ofKind]) => ofKind.size);
    if (!some.length) return null;
    const last = Object.fromEntries(some.map(([kind, ofKind]) => [kind, [...ofKind.values()].at(-1)]));
    return { list: [...this.#shown.values()], ...last, changes };
  }

  #entered(error) {
    if (!error) {
      [this.#member, this.#retries] = [true, 0];
      this.#entry.resolve(this);
      // Before anybody hears of it: what was queued goes before what is sent now.
      const lost = this.#queue.splice(0).filter((text) => !this.#client._transmit(text)).length;
      this.#set("joined");
      if (lost) this.#client._report(this.#error("QUEUE_FULL", `${lost} queued messages were dropped`, 429));
    } else if (error.reason === "DISCONNECTED") {
      this._stall();
    } else if (this.#member && (error.code === 429 || error.code >= 500)) {
      // A whole crowd joins again after a restart: a member is not lost to a moment's overload.
      this.#set("stalled", error);
      const entry = this.#entry;
      const delay = backoffDelay(this.#retries++, this.#options.backoff, this.#options.random);
      setTimeout(() => { if (this.#entry === entry) this._enter(); }, delay);
    } else {
      // After a timeout the server may still let us in: take that back.
      if (error.reason === "TIMEOUT") this.#out(() => {});
      this.#end("declined", error);
    }
  }

  #out(done) { this.#client._ask("LEAVE_CHANNEL", this.name, "LEAVE_CHANNEL", {}, done); }

  #end(state, error) {
    this.#entry.reject(error);
    [this.#entry, this.#presence, this.#queue] = [null, [], []];
    this.#set(state, error);
  }

  #set(state, error = null) {
    if (state === this.#state) return;
    this.#state = state;
    this.#listeners.emit("state", state, error);
  }

  #error(reason, message, code) { return new PondError(reason, message, code, { channel: this.name }); }
}

/**
 * One connection to a pondsocket endpoint.
 *
 *     disconnected -> connecting -> connected <-> reconnecting -> disconnected
 */
export class PondClient {
  #url; #options;
  #state = "disconnected";
  #channels = new Map();
  #pending = new Map();
  #listeners = new Listeners();
  #wire = null;
  #opened = null;
  #best = ""; // the transport to try first
  #since = 0;
  #failures = 0;
  #attempts = 0;
  #requests = 0;
  #timer = null; // of the back-off, or of the attempt to connect
  #waiting = false;
  #wake = () => { if (this.#waiting && globalThis.document?.visibilityState !== "hidden") this.#attempt(); };

  /** Who we are on the server, from CONNECTION; both empty before. */
  userId = ""; connectionId = "";
  /** @type {""|"websocket"|"sse"} the transport in use, or last used. */
  transport = "";

  /**
   * @param {string|URL} url the endpoint, absolute or relative to the page; http(s) or ws(s).
   * @param {object} [options]
   * @param {object|(() => object|Promise<object>)} [options.params] query parameters; a function is
   *     asked before each attempt (for tokens that expire). Ours go along, "pond.frames" = "batch" (several
   *     messages in a frame) for one; {"pond.frames": ""} takes that back.
   * @param {"list"|"diff"} [options.presence] whether the server sends the whole list at each change, or a
   *     list once and then changes. A server that cannot, or may not, sends lists all the same.
   * @param {("websocket"|"sse")[]} [options.transports] in order of preference.
   * @param {{base: number, max: number}} [options.backoff] milliseconds.
   * @param {number} [options.connectTimeout] milliseconds, for each transport of an attempt.
   * @param {number} [options.requestTimeout] milliseconds, for requests, joins and leaves.
   * @param {number} [options.idleTimeout] milliseconds of silence after which SSE counts as dead; above
   *     the server's ping_interval.
   * @param {number} [options.maxQueue] messages that a channel holds while it is away.
   * @param {typeof WebSocket} [options.WebSocket] instead of the browser's, as the two that follow.
   * @param {typeof fetch} [options.fetch]
   * @param {() => number} [options.random] from 0 to below 1.
   */
  constructor(url, options = {}) {
    this.#url = new URL(url, globalThis.location?.href);
    this.#options = {
      params: {}, presence: "list", transports: ["websocket", "sse"], backoff: { base: 500, max: 30_000 },
      connectTimeout: 10_000, requestTimeout: 10_000, idleTimeout: 75_000, maxQueue: 100, random: Math.random,
      WebSocket: globalThis.WebSocket, fetch: (...args) => globalThis.fetch(...args), ...options,
    };
  }

  /** @returns {"disconnected"|"connecting"|"connected"|"reconnecting"} */
  get state() { return this.#state; }

  /** Connect; while waiting for a retry, retry now.
   *  @returns {Promise<void>} resolves when connected, rejects when refused or disconnected for good. */
  connect() {
    if (this.#state === "disconnected") {
      [this.#opened, this.#failures] = [deferred(), 0];
      globalThis.addEventListener?.("online", this.#wake);
      globalThis.document?.addEventListener("visibilitychange", this.#wake);
      this.#set("connecting");
      this.#attempt();
    } else if (this.#waiting) {
      this.#attempt();
    }
    return this.#opened.promise;
  }

  /** Close and stay closed. Channels stay too: a later connect() joins them again. */
  disconnect() {
    if (this.#state === "disconnected") return;
    this.#wire?.close();
    this.#finish(new PondError("DISCONNECTED", "disconnect() was called", 1000));
  }

  /** The channel of this name, the same one each time until it is left. Does not join it. */
  channel(name, params = {}) {
    if (!this.#channels.has(name)) this.#channels.set(name, new PondChannel(this, this.#options, name, params));
    return this.#channels.get(name);
  }

  /** Call `fn(payload)` for each event that the connection handler replied. @returns {() => void} */
  on(event, fn) { return this.#listeners.add(`on ${event}`, fn); }

  /** Call `fn(state, {transport, error, retryIn})` on each change; retryIn in ms while reconnecting. */
  onState(fn) { return this.#listeners.add("state", fn); }

  /** Call `fn(error)` for what nobody waits for: a failed send(), an unreadable message. Default: a warning. */
  onError(fn) { return this.#listeners.add("error", fn); }

  /** @internal */
  _adopt(channel) { this.#channels.set(channel.name, channel); }

  /** @internal */
  _forget(channel) { if (this.#channels.get(channel.name) === channel) this.#channels.delete(channel.name); }

  /** @internal */
  _report(error) { if (!this.#listeners.emit("error", error)) console.warn(error); }

  /** @internal A counter will do as an id: it is only compared within this connection. */
  _encode(action, channelName, event, payload) {
    const requestId = `c${++this.#requests}`;
    return { requestId, text: JSON.stringify({ action, event, channelName, requestId, payload }) };
  }

  /** @internal */
  _transmit(text) { return this.#state === "connected" && this.#wire.send(text); }

  /** @internal Send and call `done(error, answer)` exactly once. */
  _ask(action, channel, event, payload, done, timeout = this.#options.requestTimeout) {
    const { requestId, text } = this._encode(action, channel, event, payload);
    const fail = (reason, why, code) => new PondError(reason, why, code, { channel });
    if (this.#state !== "connected") return done(fail("DISCONNECTED", "not connected", 503));
    if (!this.#wire.send(text)) return done(fail("QUEUE_FULL", "too much is waiting", 429));
    const late = fail("TIMEOUT", `no answer to ${event} within ${timeout} ms`, 504);
    this.#pending.set(requestId, { done, timer: setTimeout(() => this.#settle(requestId, late), timeout) });
  }

  #settle(requestId, error, answer) {
    const { done, timer } = this.#pending.get(requestId);
    this.#pending.delete(requestId);
    clearTimeout(timer);
    done(error, answer);
  }

  async #attempt() {
    clearTimeout(this.#timer);
    this.#waiting = false;
    const [attempt, url] = [++this.#attempts, new URL(this.#url)];
    let { params, presence, transports } = this.#options;
    const ours = { "pond.frames": "batch", ...(presence === "diff" && { "pond.presence": presence }) };
    for (const [name, value] of Object.entries(ours)) {
      if (!url.searchParams.has(name)) url.searchParams.set(name, value);
    }
    try {
      if (typeof params === "function") params = await params();
      for (const [name, value] of Object.entries(params)) url.searchParams.set(name, value);
    } catch (error) {
      if (attempt === this.#attempts) this.#lost(1006, `params: ${error}`);
      return;
    }
    if (attempt !== this.#attempts) return; // disconnect() came first
    this.#open(url, [...transports].sort((a, b) => (b === this.#best) - (a === this.#best)));
  }

  #open(url, [name, ...others]) {
    const closed = (code, reason) => {
      if (this.#wire !== wire) return;
      clearTimeout(this.#timer);
      this.#wire = null;
      if (code === 1006 && this.#state !== "connected" && others.length) this.#open(url, others);
      else this.#lost(code, reason);
    };
    const on = {
      message: (data) => { if (this.#wire === wire) this.#receive(data, name); },
      close: closed,
      error: (error) => this._report(error),
    };
    let wire = null;
    try {
      this.#wire = wire = TRANSPORTS[name](url, this.#options, on);
    } catch (error) { // no such transport here, or forbidden by the page's policy
      return closed(1006, String(error));
    }
    const { connectTimeout } = this.#options;
    this.#timer = setTimeout(() => {
      wire.close();
      closed(1006, `no ${name} connection within ${connectTimeout} ms`);
    }, connectTimeout);
  }

  #receive(data, transport) {
    const wire = this.#wire;
    for (const text of String(data).split("\n")) {
      const message = parseMessage(text);
      if (message?.action === "CONNECT") this.#connected(message.payload, transport);
      else if (message) this.#dispatch(message);
      else if (text) this._report(new PondError("BAD_MESSAGE", `not a message: ${text.slice(0, 100)}`));
      if (this.#wire !== wire) return; // a listener disconnected
    }
  }

  #dispatch(message) {
    const { action, event, channelName, requestId, payload } = message;
    const direct = action === "SYSTEM" || action === "ERROR";
    let error = null;
    if (direct && FAILURES.has(event)) {
      const text = String(payload.message ?? payload.error ?? `${event}: ${payload.channel ?? channelName}`);
      const code = Number(payload.code) || (event === "NOT_FOUND" ? 404 : 400);
      error = new PondError(event, text, code, { channel: channelName, details: payload.details ?? null });
    }
    if (direct && this.#pending.has(requestId)) this.#settle(requestId, error, message);
    else if (error) this._report(error);
    else if (channelName === "GATEWAY") this.#listeners.emit(`on ${event}`, payload);
    else this.#channels.get(channelName)?._hear(message);
  }

  #connected({ id, connectionId }, transport) {
    if (this.#state === "connected") return; // said twice
    clearTimeout(this.#timer);
    [this.userId, this.connectionId, this.transport] = [String(id), String(connectionId), transport];
    this.#wire.connectionId = this.connectionId;
    // Once the preferred transport has worked it stays first, even if another one helped out for a while.
    if (this.#best !== this.#options.transports[0]) this.#best = transport;
    this.#since = Date.now();
    this.#opened.resolve();
    this.#set("connected");
    for (const channel of [...this.#channels.values()]) channel._enter();
  }

  #lost(code, reason) {
    const kind = isFinal(code) ? "REFUSED" : "DISCONNECTED";
    const error = new PondError(kind, reason || `closed with ${code}`, code);
    if (isFinal(code)) return this.#finish(error);
    if (this.#state === "connected") {
      this.#opened = deferred();
      if (Date.now() - this.#since >= STABLE) this.#failures = 0;
    }
    const retryIn = backoffDelay(this.#failures++, this.#options.backoff, this.#options.random);
    this.#timer = setTimeout(() => this.#attempt(), retryIn);
    this.#waiting = true;
    this.#set("reconnecting", error, retryIn);
    this.#abandon(error);
  }

  #finish(error) {
    clearTimeout(this.#timer);
    const opened = this.#opened; // a listener may connect() again
    this.#attempts++; // an attempt that still waits for its params is void
    [this.#wire, this.#waiting] = [null, false];
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#set("disconnected", error);
    this.#abandon(error, error);
    opened.reject(error);
  }

  #abandon({ message }, final = null) {
    const error = new PondError("DISCONNECTED", `connection lost: ${message}`, 503);
    for (const requestId of [...this.#pending.keys()]) this.#settle(requestId, error);
    for (const channel of [...this.#channels.values()]) channel._stall(final);
  }

  #set(state, error = null, retryIn = 0) {
    this.#state = state;
    this.#listeners.emit("state", state, { transport: this.transport, error, retryIn });
  }
}
