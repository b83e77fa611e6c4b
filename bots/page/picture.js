/**
 * Owns the avatar's picture and voice as they are played: the two media elements, the count of pictures that
 * reached the screen, and whether there is a picture at all.
 *
 * Voice and picture have an element each: an element that waits for its first picture plays no sound.
 */

import { Meter } from "./audio.js";

const STALLED_MS = 2_500;
const CHECK_MS = 500;

/**
 * Picture states: "none" (never one in this call), "live", "stalled" (the last one stands still).
 */
export class Picture {
  #video;
  #audio;
  #onState;
  #onBlocked;
  meter = new Meter();
  state = "none";
  /** Pictures presented since the page was opened, and the newest one's size and time (ms, performance clock). */
  frames = { count: 0, width: 0, height: 0, at: 0 };

  /**
   * @param {HTMLVideoElement} video
   * @param {HTMLAudioElement} audio
   * @param {(state: string) => void} onState
   * @param {(blocked: boolean) => void} onBlocked Whether the browser keeps the voice silent until a click.
   */
  constructor(video, audio, onState, onBlocked) {
    this.#video = video;
    this.#audio = audio;
    this.#onState = onState;
    this.#onBlocked = onBlocked;
    if (video.requestVideoFrameCallback) this.#await();
    setInterval(() => this.#check(), CHECK_MS);
  }

  add(track) {
    const stream = new MediaStream([track]);
    if (track.kind === "video") {
      this.#video.srcObject = stream;
      this.#video.play().catch(() => undefined);
      return;
    }
    this.#audio.srcObject = stream;
    this.meter.listen(track);
    this.play();
  }

  /** Starts the voice; needs to be called from a click where the browser says so. */
  play() {
    if (!this.#audio.srcObject) return;
    this.#audio.play().then(
      () => this.#onBlocked(false),
      (error) => this.#onBlocked(error.name === "NotAllowedError"),
    );
  }

  clear() {
    this.#video.srcObject = null;
    this.#audio.srcObject = null;
    this.meter.listen(null);
    this.#set("none");
  }

  #await() {
    this.#video.requestVideoFrameCallback((now, { width, height }) => {
      this.#presented(this.frames.count + 1, width, height, now);
      this.#await();
    });
  }

  #presented(count, width, height, at) {
    this.frames = { count, width, height, at };
    if (this.#video.srcObject) this.#set("live");
  }

  /** A hidden page presents nothing, which says nothing about the avatar. */
  #check() {
    if (!this.#video.requestVideoFrameCallback) this.#poll();
    const still = performance.now() - this.frames.at > STALLED_MS;
    if (this.state === "live" && still && !document.hidden) this.#set("stalled");
  }

  #poll() {
    const count = this.#video.getVideoPlaybackQuality?.().totalVideoFrames ?? this.#video.currentTime;
    const { videoWidth, videoHeight } = this.#video;
    if (count !== this.frames.count) this.#presented(count, videoWidth, videoHeight, performance.now());
  }

  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.#onState(state);
  }
}
