/**
 * Owns the words of the data channel: RTVI 2.2 messages and the transport's signalling messages.
 *
 * `decode` turns a wire text into one small event that the page understands, `encode` makes the texts
 * that the page sends. It knows no connection, no element and no clock, and never throws: what it does
 * not know is `{kind: "other"}`, what is no message at all is `null`.
 */

export const PROTOCOL = "2.2.0";
const LABEL = "rtvi-ai";

const envelope = (type, id, data) => JSON.stringify({ label: LABEL, type, id, data });
const signal = (message) => JSON.stringify({ type: "signalling", message });

export const encode = {
  /** The server counts a client as gone after three seconds without one of these. */
  ping: () => `ping: ${Date.now()}`,
  clientReady: (id) => envelope("client-ready", id, { version: PROTOCOL, about: { library: "lemonslice-page" } }),
  /** Typed text: interrupts what is being said, is answered at once and aloud. */
  sendText: (id, content) =>
    envelope("send-text", id, { content, options: { run_immediately: true, audio_response: true } }),
  /** Whether the microphone (receiver 0) is sending. */
  trackStatus: (enabled) => signal({ type: "trackStatus", receiver_index: 0, enabled }),
};

const text = (value) => (typeof value === "string" ? value : "");
const number = (value) => (Number.isFinite(value) ? value : null);

/** A segment of what the bot says, and how much of it has been spoken. */
function botText(data) {
  const progress = data.spoken_progress ?? {};
  const whole = text(data.text);
  const spoken = data.will_be_spoken === false ? whole : text(progress.accumulated_text);
  return {
    kind: "bot-text",
    id: data.segment_id ?? null,
    text: whole,
    spoken,
    remaining: data.will_be_spoken === false ? "" : text(progress.remaining_text),
    first: data.spoken_status === "new",
  };
}

const userText = (data) => ({
  kind: "user-text",
  text: text(data.text),
  final: data.final !== false,
  typed: data.input_type === "chat",
  id: data.msg_id ?? null,
});

/** The service's own messages: how the avatar is, and how each response fares. */
function serverMessage(data) {
  switch (data?.type) {
    case "lemonslice-status":
      return { kind: "avatar", status: text(data.status), detail: text(data.detail) };
    case "lemonslice-response":
      return {
        kind: "response",
        event: text(data.event),
        id: data.id,
        ttfbMs: number(data.ttfb_ms),
        reason: text(data.reason),
        audioSeconds: number(data.audio_seconds),
      };
    default:
      return { kind: "other", type: `server-message/${data?.type}` };
  }
}

const READERS = {
  "bot-ready": (data) => ({ kind: "ready", version: text(data.version), capabilities: data.capabilities ?? {} }),
  "bot-output": botText,
  "user-input": userText,
  "user-started-speaking": () => ({ kind: "user-speaking", on: true }),
  "user-stopped-speaking": () => ({ kind: "user-speaking", on: false }),
  "bot-started-speaking": () => ({ kind: "bot-speaking", on: true }),
  "bot-stopped-speaking": () => ({ kind: "bot-speaking", on: false }),
  "bot-interrupted": () => ({ kind: "interrupted" }),
  "bot-llm-started": () => ({ kind: "thinking" }),
  "server-message": serverMessage,
  error: (data) => ({ kind: "error", text: text(data.error), fatal: data.fatal === true }),
  "error-response": (data) => ({ kind: "error", text: text(data.error), fatal: false }),
};

function parse(raw) {
  try {
    const message = JSON.parse(raw);
    return message !== null && typeof message === "object" ? message : null;
  } catch {
    return null;
  }
}

/**
 * @param {string} raw One text of the data channel.
 * @returns {{kind: string} | null} An event, or null for what is not a message.
 */
export function decode(raw) {
  const message = parse(raw);
  if (message === null) return null;
  if (message.type === "signalling") return { kind: "signal", type: text(message.message?.type) };
  if (message.label !== LABEL) return { kind: "other", type: text(message.type) };
  const read = Object.hasOwn(READERS, message.type) ? READERS[message.type] : null;
  return read ? read(message.data ?? {}) : { kind: "other", type: text(message.type) };
}
