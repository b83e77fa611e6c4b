/**
 * Owns the strip at the bottom: every response as a bar from its start to its end on a moving line of time,
 * with the wait for its first voice, its length and the reason why it ended.
 *
 * Time flows only during a call: the strip keeps a clock of its own that stops with it.
 */

const PX_PER_SECOND = 26;
const TICK_SECONDS = 5;
/** A hair between one bar and the next. */
const GAP_SECONDS = 0.06;
/** The bot has been speaking for so long in a response without a voice of the avatar's: it is the bot's own. */
const PLAIN_SECONDS = 1;
const JOINT = " · ";
const KEEP = 40;
const STEP_MS = 25;
const CALM_MS = 500;

const REASONS = {
  stopped: "finished",
  response_done_timeout: "ended by silence",
  response_hold_timeout: "held too long",
  interrupted: "interrupted",
  avatar_lost: "avatar lost",
  ended: "session ended",
  connection_lost: "connection lost",
};

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const px = (seconds) => `${(seconds * PX_PER_SECOND).toFixed(1)}px`;
const part = (className) => Object.assign(document.createElement("span"), { className });
const seen = (className) => Object.assign(part(className), { ariaHidden: "true" });

/** What is known of a response so far, as a word or two and the figures: ["finished", "312 ms", "3.2 s"]. */
export function caption({ state, reason, plainAt, ttfbMs, audioSeconds }) {
  const plain = plainAt !== null && ttfbMs === null;
  const wait = ttfbMs !== null ? `${ttfbMs} ms` : plain && state === "done" ? "voice only" : "";
  const length = audioSeconds === null ? "" : `${audioSeconds.toFixed(1)} s`;
  const open = state === "voice" ? "speaking" : plain ? "voice only" : "waiting";
  return [state === "done" ? (REASONS[reason] ?? reason) : open, ...[wait, length].filter(Boolean)];
}

/**
 * @typedef {object} Response
 * @property {number} id As the service counts them, from 1 in each call.
 * @property {"started"|"voice"|"done"} state
 * @property {number} startedAt Seconds on the strip's clock, as are voiceAt and doneAt (null: not yet).
 * @property {number|null} plainAt When it was said with the bot's own voice, for want of an avatar.
 * @property {number|null} ttfbMs Time to the first voice.
 * @property {number|null} audioSeconds
 * @property {string} reason
 */
export class Timeline {
  #track;
  #list;
  #none;
  /** @type {Response[]} */
  #responses = [];
  #items = new WeakMap();
  #elapsed = 0;
  #since = null;
  #voiceOnly = false;
  #speaking = false;

  constructor(track, list, none) {
    this.#track = track;
    this.#list = list;
    this.#none = none;
    new ResizeObserver(() => this.#move()).observe(track);
  }

  /** Plain copies, oldest first. */
  get responses() {
    return this.#responses.map((response) => ({ ...response }));
  }

  /** Seconds of call so far. */
  get now() {
    return this.#elapsed + (this.#since === null ? 0 : (performance.now() - this.#since) / 1000);
  }

  start() {
    if (this.#since !== null) return;
    this.#since = performance.now();
    this.#step();
  }

  /** Whether what is said now is said without the avatar: then there is no voice of the avatar's to wait for. */
  voiceOnly(on) {
    this.#voiceOnly = on;
    if (on) this.#open().forEach((response) => this.#plain(response));
  }

  /** Whether the bot is heard, with whatever voice. */
  botSpeaking(on) {
    this.#speaking = on;
  }

  /** The call is over or lost: what has no end yet gets one. */
  stop() {
    this.#open().forEach((response) => this.#end(response, "connection_lost", null));
    this.#elapsed = this.now;
    this.#since = null;
    this.#speaking = false;
  }

  receive({ event, id, ttfbMs, reason, audioSeconds }) {
    if (event === "started") return this.#begin(id);
    const response = this.#open().find((one) => one.id === id);
    if (!response) return undefined;
    return event === "voice" ? this.#voice(response, ttfbMs) : this.#end(response, reason, audioSeconds);
  }

  #open() {
    return this.#responses.filter((response) => response.state !== "done");
  }

  #begin(id) {
    const blank = { voiceAt: null, plainAt: this.#voiceOnly ? this.now : null, doneAt: null, ttfbMs: null, audioSeconds: null, reason: "" };
    const response = { id, state: "started", startedAt: this.now, ...blank };
    const previous = this.#responses.at(-1);
    this.#responses.push(response);
    this.#items.set(response, this.#item(response));
    if (previous) this.#fit(previous, response.startedAt - previous.startedAt - GAP_SECONDS);
    this.#none.hidden = true;
    if (this.#responses.length > KEEP) this.#items.get(this.#responses.shift()).remove();
    this.#draw(response);
  }

  #voice(response, ttfbMs) {
    Object.assign(response, { state: "voice", voiceAt: this.now, ttfbMs });
    this.#draw(response);
  }

  #plain(response) {
    if (response.state !== "started" || response.plainAt !== null) return;
    response.plainAt = this.now;
    this.#draw(response);
  }

  #end(response, reason, audioSeconds) {
    Object.assign(response, { state: "done", doneAt: this.now, reason, audioSeconds });
    this.#draw(response);
  }

  #item({ startedAt }) {
    const item = document.createElement("li");
    const bar = part("bar");
    bar.append(part("wait"));
    const label = part("label");
    label.append(seen("head"), seen("facts"), part("hidden"));
    item.append(bar, label);
    item.style.left = px(startedAt);
    this.#list.append(item);
    return item;
  }

  /** A label may use the space up to the next bar: what does not fit whole is left out, and readers get it all. */
  #fit(response, seconds) {
    const [head, facts] = this.#items.get(response).lastChild.children;
    const [, ...figures] = caption(response);
    const fits = (line) => line.offsetWidth <= seconds * PX_PER_SECOND;
    if (!fits(head)) head.textContent = "";
    while (!fits(facts) && figures.pop()) facts.textContent = figures.join(JOINT);
  }

  #draw(response) {
    const item = this.#items.get(response);
    item.dataset.state = response.state;
    item.dataset.reason = response.reason;
    const [head, ...figures] = caption(response);
    const facts = figures.join(JOINT);
    const [shown, below, read] = item.lastChild.children;
    shown.textContent = head;
    below.textContent = facts;
    read.textContent = `${head} ${facts}`;
    item.title = [`Response ${response.id}: ${head}`, facts, response.reason].filter(Boolean).join(", ");
    const next = this.#responses[this.#responses.indexOf(response) + 1];
    if (next) this.#fit(response, next.startedAt - response.startedAt - GAP_SECONDS);
    this.#stretch(response);
    this.#move();
  }

  #stretch(response) {
    const { startedAt, voiceAt, plainAt, doneAt } = response;
    const bar = this.#items.get(response).firstChild;
    const end = doneAt ?? this.now;
    bar.style.width = px(end - startedAt - GAP_SECONDS);
    bar.firstChild.style.width = px((voiceAt ?? plainAt ?? end) - startedAt);
  }

  #move() {
    const right = this.#track.clientWidth - Number.parseFloat(getComputedStyle(this.#track).paddingRight);
    const x = right - this.now * PX_PER_SECOND;
    this.#list.style.transform = `translateX(${x.toFixed(1)}px)`;
    for (const response of this.#responses) {
      const item = this.#items.get(response);
      item.classList.toggle("leaving", x + response.startedAt * PX_PER_SECOND < 0);
    }
    this.#track.style.backgroundPositionX = `${(x % (TICK_SECONDS * PX_PER_SECOND)).toFixed(1)}px`;
  }

  #step() {
    if (this.#since === null) return;
    for (const response of this.#open()) {
      if (this.#speaking && this.now - response.startedAt > PLAIN_SECONDS) this.#plain(response);
      this.#stretch(response);
    }
    this.#move();
    setTimeout(() => requestAnimationFrame(() => this.#step()), calm.matches ? CALM_MS : STEP_MS);
  }
}
