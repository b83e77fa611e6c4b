/**
 * Owns one peer connection, from its offer to its end: tracks in the order that the server expects (audio,
 * video, screen), the data channel with its keep-alive, renegotiation, and noticing that the other side is gone.
 * It tries once and never again: coming back is call.js's business.
 */

import { decode, encode } from "./rtvi.js";
import { ServerError, Session, serverAnswers } from "./signalling.js";

const OPEN_MS = 15_000;
const GATHER_MS = 500;
const PING_MS = 1_000;
const DOUBT_MS = 5_000;
const QUIET_PINGS = 2;

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Peer {
  #handlers;
  #stop = new AbortController();
  #pc = null;
  #channel = null;
  #session = null;
  #pings = 0;
  #packets = 0;
  #quiet = 0;
  #doubt = 0;
  #ended = false;

  /**
   * @param {object} handlers `onMessage(event)`, `onTrack(track)`, `onStage("answer" | "media")` while connecting and,
   *   once, `onEnd(kind, why)` with kind "left" (the bot said goodbye) or "lost". None is called after `close`.
   */
  constructor(handlers) {
    this.#handlers = handlers;
  }

  /** Resolves when the data channel is open; rejects with the reason why it cannot be. */
  async connect(audioTrack) {
    const signal = this.#stop.signal;
    this.#session = await Session.start(signal);
    signal.throwIfAborted();
    this.#handlers.onStage("answer");
    this.#build(audioTrack);
    await this.#negotiate();
    signal.throwIfAborted();
    this.#handlers.onStage("media");
    await this.#opened();
    this.#pings = setInterval(() => this.#ping(), PING_MS);
    this.#ping();
  }

  /** Whether the text went out. */
  send(text) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(text);
    return true;
  }

  /** Another microphone, or none: no renegotiation, the sender stays the same. */
  async replaceAudio(track) {
    await this.#pc?.getTransceivers()[0]?.sender.replaceTrack(track);
  }

  /** The bot notices at once: closing sends the DTLS goodbye. */
  close(reason = new ServerError("The call was ended.", true)) {
    this.#ended = true;
    this.#stop.abort(reason);
    clearInterval(this.#pings);
    clearTimeout(this.#doubt);
    this.#channel?.close();
    this.#pc?.close();
  }

  #build(audioTrack) {
    const pc = new RTCPeerConnection({ iceServers: this.#session.iceServers, bundlePolicy: "max-bundle" });
    this.#pc = pc;
    pc.addTransceiver(audioTrack, { direction: "sendrecv" });
    pc.addTransceiver("video", { direction: "recvonly" });
    // The third place is the screen's. Nothing is shared here, but the server warns when it is missing.
    pc.addTransceiver("video", { direction: "inactive" });
    this.#channel = pc.createDataChannel("rtvi", { ordered: true });
    this.#channel.onmessage = (event) => this.#receive(event.data);
    this.#channel.onclose = () => this.#end("lost", "The connection was closed.");
    pc.ontrack = ({ track }) => this.#handlers.onTrack(track);
    pc.onconnectionstatechange = () => this.#stateChanged(pc.connectionState);
  }

  /** Host candidates are there at once and go with the offer; what comes later follows in its own request. */
  async #negotiate() {
    const pc = this.#pc;
    const late = [];
    let sent = false;
    let answered = false;
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate || !sent) return;
      if (answered) this.#trickle(candidate);
      else late.push(candidate);
    };
    await pc.setLocalDescription(await pc.createOffer());
    await Promise.race([this.#gathered(), delay(GATHER_MS)]);
    sent = true;
    const answer = await this.#session.offer(pc.localDescription);
    await pc.setRemoteDescription(answer);
    answered = true;
    late.forEach((candidate) => this.#trickle(candidate));
  }

  #trickle(candidate) {
    this.#session.candidate(candidate).catch(() => undefined);
  }

  #gathered() {
    const pc = this.#pc;
    if (pc.iceGatheringState === "complete") return Promise.resolve();
    return new Promise((resolve) => {
      pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && resolve());
    });
  }

  #opened() {
    const channel = this.#channel;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(OPEN_MS)]);
    const failure = new ServerError("The server answered, but no connection for sound and picture came about.", true);
    return new Promise((resolve, reject) => {
      if (channel.readyState === "open") resolve();
      channel.addEventListener("open", () => resolve(), { once: true });
      signal.addEventListener("abort", () => reject(this.#stop.signal.aborted ? signal.reason : failure));
    });
  }

  #receive(raw) {
    const event = decode(raw);
    if (event === null || this.#ended) return;
    if (event.kind !== "signal") this.#handlers.onMessage(event);
    else if (event.type === "peerLeft") this.#end("left", "The bot ended the call.");
    else if (event.type === "renegotiate") this.#renegotiate();
  }

  #renegotiate() {
    if (this.#pc.signalingState !== "stable") return;
    this.#negotiate().catch((error) => this.#end("lost", error.message));
  }

  #stateChanged(state) {
    clearTimeout(this.#doubt);
    if (state === "failed" || state === "closed") this.#end("lost", "The connection broke.");
    if (state === "disconnected") this.#suspect();
  }

  #ping() {
    this.send(encode.ping());
    this.#listen().catch(() => undefined);
  }

  /** Sound comes all the time, silence included: when none does, the server is asked whether it lives. */
  async #listen() {
    const stats = await this.#pc.getReceivers()[0].getStats();
    const inbound = [...stats.values()].find((one) => one.type === "inbound-rtp");
    const packets = inbound?.packetsReceived ?? 0;
    this.#quiet = packets > this.#packets ? 0 : this.#quiet + 1;
    this.#packets = packets;
    if (this.#quiet % (QUIET_PINGS + 1) === QUIET_PINGS && !(await serverAnswers())) this.#end("lost", "The server is gone.");
  }

  /** A short gap in the network mends itself; a server that is gone does not. */
  #suspect() {
    this.#doubt = setTimeout(() => this.#end("lost", "The connection broke."), DOUBT_MS);
    serverAnswers().then((there) => {
      if (!there && this.#pc.connectionState === "disconnected") this.#end("lost", "The server is gone.");
    });
  }

  #end(kind, why) {
    if (this.#ended) return;
    this.close(new ServerError(why, true));
    this.#handlers.onEnd(kind, why);
  }
}
