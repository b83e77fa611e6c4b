/**
 * Owns the sentences of the status line: what the state of the call and of the avatar is called. Pure.
 */

const AVATAR = {
  calling: { tone: "busy", text: "Calling the avatar…", detail: "" },
  joining: { tone: "busy", text: "The avatar is joining…", detail: "" },
  here: { tone: "good", text: "The avatar is here", detail: "" },
  voice_only: { tone: "warn", text: "Voice only", detail: "There is no picture for now." },
  lost: { tone: "warn", text: "The avatar was lost", detail: "It is being called again." },
  dormant: { tone: "idle", text: "The avatar is sleeping", detail: "It wakes when somebody speaks." },
  ended: { tone: "idle", text: "The session has ended", detail: "" },
};

const IDLE = {
  fresh: { tone: "idle", text: "Not connected", detail: "" },
  "hung-up": { tone: "idle", text: "Call ended", detail: "You hung up." },
  left: { tone: "idle", text: "Call ended", detail: "" },
  failed: { tone: "bad", text: "The call failed", detail: "" },
};

const STAGES = {
  server: "Asking the server for a call.",
  answer: "Waiting for the server's answer.",
  media: "Looking for a way for sound and picture.",
};

const LATE = { tone: "warn", text: "Connected", detail: "The bot does not answer. Its log says why." };

const ASKING = { tone: "busy", text: "Connecting…", detail: "Asking for the microphone." };

/**
 * @param {import("./call.js").CallState} call
 * @param {{status: string, detail: string}} avatar The newest word of the service; status "" before the first.
 * @param {string} [microphone] State of the microphone: the call is not made before it is known.
 * @param {{ready: boolean, picture: string}} [seen] Whether the bot has answered, and the state of the picture.
 * @returns {{tone: "idle"|"busy"|"good"|"warn"|"bad", text: string, detail: string}}
 */
export function describe(call, avatar, microphone = "off", seen = { ready: true, picture: "live" }) {
  switch (call.name) {
    case "connecting":
      return { tone: "busy", text: call.again ? "Reconnecting…" : "Connecting…", detail: STAGES[call.stage] ?? "" };
    case "waiting":
      return { tone: "bad", text: "Connection lost", detail: call.why };
    case "open":
      return call.late && !seen.ready ? LATE : describeAvatar(avatar, seen);
    default:
      return microphone === "asking" ? ASKING : describeIdle(call, avatar);
  }
}

function describeAvatar(avatar, { ready, picture }) {
  const known = AVATAR[avatar.status];
  const next = ready ? "Waiting for the avatar." : "Waiting for the bot to start.";
  if (!known) return { tone: "busy", text: "Connected", detail: avatar.detail || next };
  if (avatar.status === "here" && picture === "none") return { ...known, detail: "Waiting for its first picture." };
  return { ...known, detail: avatar.detail || known.detail };
}

function describeIdle(call, avatar) {
  const said = IDLE[call.cause];
  const detail = call.cause === "left" && avatar.status === "ended" && avatar.detail ? avatar.detail : call.why;
  return { ...said, detail: detail || said.detail };
}

/** What stands where the picture would be. */
export function placeholder(call, avatar, picture) {
  if (call.name === "open" && avatar.status === "dormant") return "The avatar is sleeping";
  if (picture === "stalled") return call.name === "open" ? "The picture has stopped" : "";
  if (call.name === "connecting") return "Connecting…";
  if (call.name === "waiting") return "Connection lost";
  if (call.name === "idle") return call.cause === "fresh" ? "No call yet" : "Call ended";
  return avatar.status === "voice_only" ? "Voice only" : "The avatar is on its way";
}
