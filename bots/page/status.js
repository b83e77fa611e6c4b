/**
 * Owns the sentences of the status line: what the state of the call and of the avatar is called. Pure.
 */

const AVATAR = {
  calling: { tone: "busy", text: "Calling the avatar…", detail: "" },
  joining: { tone: "busy", text: "The avatar is joining…", detail: "" },
  here: { tone: "good", text: "The avatar is here", detail: "" },
  voice_only: { tone: "warn", text: "Voice only", detail: "There is no picture for now." },
  lost: { tone: "warn", text: "The avatar was lost", detail: "It is being called again." },
  ended: { tone: "idle", text: "The session has ended", detail: "" },
};

const IDLE = {
  fresh: { tone: "idle", text: "Not connected", detail: "" },
  "hung-up": { tone: "idle", text: "Call ended", detail: "You hung up." },
  left: { tone: "idle", text: "Call ended", detail: "" },
  failed: { tone: "bad", text: "No connection", detail: "" },
};

const ASKING = { tone: "busy", text: "Connecting…", detail: "Asking for the microphone." };

/**
 * @param {import("./call.js").CallState} call
 * @param {{status: string, detail: string}} avatar The newest word of the service; status "" before the first.
 * @param {string} [microphone] State of the microphone: the call is not made before it is known.
 * @returns {{tone: "idle"|"busy"|"good"|"warn"|"bad", text: string, detail: string}}
 */
export function describe(call, avatar, microphone = "off") {
  switch (call.name) {
    case "connecting":
      return { tone: "busy", text: call.again ? "Reconnecting…" : "Connecting…", detail: "" };
    case "waiting":
      return { tone: "bad", text: "Connection lost", detail: call.why };
    case "open":
      return describeAvatar(avatar);
    default:
      return microphone === "asking" ? ASKING : describeIdle(call, avatar);
  }
}

function describeAvatar(avatar) {
  const known = AVATAR[avatar.status];
  if (!known) return { tone: "busy", text: "Connected", detail: avatar.detail || "Waiting for the avatar." };
  return { ...known, detail: avatar.detail || known.detail };
}

function describeIdle(call, avatar) {
  const said = IDLE[call.cause];
  const detail = call.cause === "left" && avatar.status === "ended" && avatar.detail ? avatar.detail : call.why;
  return { ...said, detail: detail || said.detail };
}

/** What stands where the picture would be. */
export function placeholder(call, avatar, picture) {
  if (picture === "stalled") return call.name === "open" ? "The picture has stopped" : "";
  if (call.name === "connecting") return "Connecting…";
  if (call.name === "waiting") return "Connection lost";
  if (call.name === "idle") return call.cause === "fresh" ? "Nobody here yet" : "Call ended";
  return avatar.status === "voice_only" ? "Voice only" : "The avatar is on its way";
}
