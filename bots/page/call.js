/**
 * Owns the call as the user knows it: one state, one door to change it, and the decision to come back after
 * a lost connection. Each attempt is a new Peer. It knows no element and no sound device.
 *
 *   idle ──connect──▶ connecting ──▶ open ──lost──▶ waiting ──▶ connecting …
 *     ▲────────────── hang up, the bot left, or the first attempt failed ─────────────┘
 */

import { encode } from "./rtvi.js";
import { Peer } from "./peer.js";
import { serverAnswers } from "./signalling.js";

const READY_AGAIN_MS = 4_000;
const LATE_MS = 15_000;
const GIVE_UP_MS = 10 * 60_000;
const FIRST_MS = 500;
const MOST_MS = 4_000;

/** Milliseconds to wait before attempt `n` (0, 1, 2 …); `chance` in 0..1 spreads the clients out. */
export function backoff(n, chance) {
  return Math.min(MOST_MS, FIRST_MS * 2 ** n) * (0.8 + 0.4 * chance);
}

/**
 * @typedef {object} CallState
 * @property {"idle"|"connecting"|"open"|"waiting"} name
 * @property {"fresh"|"hung-up"|"left"|"failed"} [cause] Why it is idle.
 * @property {string} [why] A sentence for the user.
 * @property {boolean} [again] Connecting again after a loss.
 * @property {"server"|"answer"|"media"} [stage] What is waited for while connecting: that the server takes the call,
 *   that it answers the offer, and that sound and picture find a way.
 * @property {boolean} [late] The call is open, and the bot has not answered in it for long.
 * @property {number} [retryAt] `performance.now()` of the next attempt while waiting.
 */
export class Call {
  #handlers;
  #peer = null;
  #audio = null;
  #attempt = 0;
  #lostAt = 0;
  #timer = 0;
  #readyTimer = 0;
  #lateTimer = 0;
  /** @type {CallState} */
  state = { name: "idle", cause: "fresh", why: "" };

  /** @param {object} handlers `onState(state)`, `onMessage(event)`, `onTrack(track)`. */
  constructor(handlers) {
    this.#handlers = handlers;
  }

  /** From idle a new call, from waiting the next attempt now; otherwise nothing. `audio` is what it sends. */
  connect(audio) {
    if (this.state.name !== "idle" && this.state.name !== "waiting") return;
    if (this.state.name === "idle") this.#attempt = 0;
    this.#audio = audio;
    this.#try(this.state.name === "waiting");
  }

  hangUp() {
    this.#drop();
    if (this.state.name !== "idle") this.#set({ name: "idle", cause: "hung-up", why: "You hung up." });
  }

  /** The bot says that it cannot go on. */
  fail(why) {
    this.#drop();
    if (this.state.name !== "idle") this.#set({ name: "idle", cause: "failed", why });
  }

  /** Tries now, if it is waiting to try: the network came back, or the user looks at the page again. */
  hurry() {
    if (this.state.name === "waiting") this.#try(true);
  }

  /** Returns the id of the sent message, or null when there is no call to send it in. */
  sendText(content) {
    const id = crypto.randomUUID();
    return this.#peer?.send(encode.sendText(id, content)) ? id : null;
  }

  async replaceAudio(track) {
    this.#audio = track;
    await this.#peer?.replaceAudio(track);
  }

  tellMicrophone(enabled) {
    this.#peer?.send(encode.trackStatus(enabled));
  }

  #set(state) {
    this.state = state;
    this.#handlers.onState(state);
  }

  #drop() {
    clearTimeout(this.#timer);
    clearInterval(this.#readyTimer);
    clearTimeout(this.#lateTimer);
    this.#peer?.close();
    this.#peer = null;
  }

  async #try(again) {
    this.#drop();
    this.#set({ name: "connecting", again, stage: "server" });
    const peer = new Peer({
      onMessage: (event) => this.#receive(event),
      onTrack: (track) => this.#handlers.onTrack(track),
      onStage: (stage) => this.#peer === peer && this.#set({ name: "connecting", again, stage }),
      onEnd: (kind, why) => this.#ended(peer, kind, why),
    });
    this.#peer = peer;
    try {
      await peer.connect(this.#audio);
    } catch (error) {
      if (this.#peer === peer) this.#failed(error, again);
      return;
    }
    if (this.#peer === peer) this.#opened();
  }

  #opened() {
    this.#set({ name: "open" });
    const announce = () => this.#peer?.send(encode.clientReady(crypto.randomUUID()));
    announce();
    // A bot that is still setting up drops what it is told: said again until it answers.
    this.#readyTimer = setInterval(announce, READY_AGAIN_MS);
    this.#lateTimer = setTimeout(() => this.#set({ name: "open", late: true }), LATE_MS);
  }

  #receive(event) {
    if (event.kind === "ready") {
      clearInterval(this.#readyTimer);
      clearTimeout(this.#lateTimer);
      if (this.state.late) this.#set({ name: "open" });
      this.#attempt = 0;
    }
    this.#handlers.onMessage(event);
  }

  /** A server that says no will say no again: only a lost one is worth waiting for. */
  #failed(error, again) {
    this.#drop();
    const why = error.message || "The call could not be made.";
    if (again && error.gone !== false) this.#wait(why);
    else this.#set({ name: "idle", cause: "failed", why });
  }

  /** A server that is shutting down says goodbye like a bot that is done; only one of them still answers. */
  async #ended(peer, kind, why) {
    if (this.#peer !== peer || this.state.name !== "open") return;
    this.#drop();
    const left = kind === "left" && (await serverAnswers());
    if (this.#peer !== null || this.state.name !== "open") return;
    if (left) this.#set({ name: "idle", cause: "left", why });
    else this.#wait(kind === "left" ? "The server is gone." : why);
  }

  #wait(why) {
    const now = performance.now();
    if (this.state.name === "open") this.#lostAt = now;
    if (now - this.#lostAt > GIVE_UP_MS) {
      this.#set({ name: "idle", cause: "failed", why });
      return;
    }
    const ms = backoff(this.#attempt, Math.random());
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#try(true), ms);
    this.#set({ name: "waiting", why, retryAt: now + ms });
  }
}
