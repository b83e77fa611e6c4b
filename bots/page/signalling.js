/**
 * Owns the HTTP side of a call: starting a session, offers, late ICE candidates, and asking whether the
 * server is there at all. Knows no peer connection. Every failure is a `ServerError` in plain words.
 */

const TIMEOUT_MS = 10_000;
const PROBE_MS = 2_000;

/** A request that failed. `gone` says that nobody answered, as opposed to an answer that said no. */
export class ServerError extends Error {
  constructor(message, gone) {
    super(message);
    this.name = "ServerError";
    this.gone = gone;
  }
}

async function refusal(response) {
  const detail = await response.json().then((body) => body.detail, () => "");
  return new ServerError(
    typeof detail === "string" && detail ? detail : `The server said ${response.status}.`,
    response.status === 502 || response.status === 503 || response.status === 504,
  );
}

async function send(method, path, body, signal) {
  const request = {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  };
  try {
    return await fetch(path, request);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ServerError("The server does not answer.", true);
  }
}

async function sendJson(method, path, body, signal) {
  const response = await send(method, path, body, signal);
  if (!response.ok) throw await refusal(response);
  return response.json().catch(() => {
    throw new ServerError("The server's answer makes no sense.", false);
  });
}

/** Whether anybody serves this page any more. */
export async function serverAnswers() {
  try {
    await fetch(location.pathname, { method: "GET", cache: "no-store", signal: AbortSignal.timeout(PROBE_MS) });
    return true;
  } catch {
    return false;
  }
}

/** One session on the server, from its start to the last candidate. */
export class Session {
  #path;
  #signal;
  #pcId = null;

  constructor(path, iceServers, signal) {
    this.#path = path;
    this.#signal = signal;
    this.iceServers = iceServers;
  }

  /** A server without sessions takes offers directly. */
  static async start(signal) {
    const response = await send("POST", "/start", { transport: "webrtc", body: {} }, signal);
    if (response.status === 404 || response.status === 405) return new Session("/api/offer", [], signal);
    if (!response.ok) throw await refusal(response);
    const { sessionId, iceConfig } = await response.json();
    const path = sessionId ? `/sessions/${encodeURIComponent(sessionId)}/api/offer` : "/api/offer";
    return new Session(path, iceConfig?.iceServers ?? [], signal);
  }

  /** Sends the first offer, or a later one for the same connection; returns the answer. */
  async offer(description) {
    const { sdp, type } = description;
    const body = this.#pcId === null ? { sdp, type } : { sdp, type, pc_id: this.#pcId };
    const answer = await sendJson("POST", this.#path, body, this.#signal);
    this.#pcId = answer.pc_id;
    return { sdp: answer.sdp, type: answer.type };
  }

  async candidate({ candidate, sdpMid, sdpMLineIndex }) {
    const one = { candidate, sdp_mid: sdpMid, sdp_mline_index: sdpMLineIndex };
    await sendJson("PATCH", this.#path, { pc_id: this.#pcId, candidates: [one] }, this.#signal);
  }
}
