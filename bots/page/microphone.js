/**
 * Owns the microphone: asking for it, muting it, letting go of it, and saying in words why there is none.
 * The call always has a track to send: where there is no microphone it is a silent one.
 */

import { Meter, silentTrack } from "./audio.js";

const WANTED = { audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true }, video: false };

const REASONS = {
  NotAllowedError: ["refused", "The microphone was refused."],
  SecurityError: ["refused", "The microphone was refused."],
  NotFoundError: ["absent", "No microphone was found."],
  NotReadableError: ["absent", "The microphone is in use elsewhere, or does not work."],
};

/**
 * States: "off" (not asked), "asking", "on", "muted", "refused", "absent".
 */
export class Microphone {
  #onState;
  #silence = null;
  #track = null;
  #asked = 0;
  meter = new Meter();
  state = "off";
  why = "";

  /** @param {(microphone: Microphone) => void} onState Called at each change of state or track. */
  constructor(onState) {
    this.#onState = onState;
  }

  /** What the call sends. */
  get track() {
    this.#silence ??= silentTrack();
    return this.#track ?? this.#silence;
  }

  /** Asks for the microphone. Never throws: the state says how it went. */
  async open() {
    if (this.#track || this.state === "asking") return;
    const asked = ++this.#asked;
    this.#set("asking", "");
    try {
      if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
      const stream = await navigator.mediaDevices.getUserMedia(WANTED);
      if (asked === this.#asked) this.#opened(stream.getAudioTracks()[0]);
      else stream.getTracks().forEach((track) => track.stop());
    } catch (error) {
      const [state, why] = REASONS[error.name] ?? ["absent", "The microphone could not be opened."];
      if (asked === this.#asked) this.#set(state, why);
    }
  }

  mute(on) {
    if (!this.#track) return;
    this.#track.enabled = !on;
    this.#set(on ? "muted" : "on", "");
  }

  /** Lets go of the device, so that the browser's sign that it is in use goes out. */
  close() {
    this.#asked += 1;
    this.#track?.stop();
    this.#track = null;
    this.meter.listen(null);
    this.#set("off", "");
  }

  #opened(track) {
    this.#track = track;
    track.onended = () => this.#gone(track);
    this.meter.listen(track);
    this.#set("on", "");
  }

  #gone(track) {
    if (this.#track !== track) return;
    this.#track = null;
    this.meter.listen(null);
    this.#set("absent", "The microphone was unplugged or taken back.");
  }

  #set(state, why) {
    this.state = state;
    this.why = why;
    this.#onState(this);
  }
}
