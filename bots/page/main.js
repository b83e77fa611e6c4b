/**
 * Owns the wiring: which part of the page hears of what, and what the buttons and keys do. Everything that
 * can be decided elsewhere is: the call in call.js, the sentences in status.js, the words in rtvi.js.
 */

import { share, wakeAudio } from "./audio.js";
import { Call } from "./call.js";
import { Captions } from "./captions.js";
import { inspect } from "./inspect.js";
import { Microphone } from "./microphone.js";
import { Notices } from "./notices.js";
import { Picture } from "./picture.js";
import { describe, placeholder } from "./status.js";
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const UNDECIDED_MS = 1_500;
const PAINT_MS = 80;

const captions = new Captions($("captions"), $("announce"), $("newest"));
const timeline = new Timeline($("track"), $("responses"), $("responses-none"));
const notices = new Notices($("notices"));
const microphone = new Microphone(microphoneChanged);
const picture = new Picture($("picture"), $("voice"), render, (blocked) => notices.set("blocked", blocked && BLOCKED));
const call = new Call({ onState: callChanged, onMessage: receive, onTrack: (track) => picture.add(track) });

const BLOCKED = { text: "The browser keeps the voice silent.", action: "Turn on sound", act: () => picture.play() };

let avatar = { status: "", detail: "" };
let ready = false;
let hearing = false;
let waiting = [];
const counts = {};
let before = call.state;

// ---- the call

async function connect() {
  wakeAudio();
  await Promise.race([microphone.open(), new Promise((resolve) => setTimeout(resolve, UNDECIDED_MS))]);
  call.connect(microphone.track);
}

function pressCall() {
  if (call.state.name === "idle") connect();
  else call.hangUp();
}

function callChanged(state) {
  const { name, cause } = state;
  if (name === "connecting" && before.name !== "connecting") newCall();
  if (name === "open" && before.name !== "open") opened();
  if (name === "waiting" || name === "idle") closed(name, cause);
  before = state;
  render();
}

function newCall() {
  notices.set("error", null);
  captions.newCall();
  avatar = { status: "", detail: "" };
  timeline.voiceOnly(false);
  ready = false;
}

function opened() {
  captions.note(before.again ? "Connected again" : "Call started");
  timeline.start();
  call.tellMicrophone(microphone.state === "on");
}

function closed(name, cause) {
  timeline.stop();
  picture.clear();
  ready = hearing = false;
  if (before.name === "open") captions.note(name === "waiting" ? "Connection lost" : "Call ended");
  if (name === "idle") microphone.close();
  if (cause === "failed") notices.set("error", { text: call.state.why, action: "Try again", act: connect });
  if (name === "idle" && cause !== "failed") waiting = [];
}

// ---- what the server says

function receive(event) {
  counts[event.kind] = (counts[event.kind] ?? 0) + 1;
  switch (event.kind) {
    case "ready":
      becomeReady();
      break;
    case "avatar":
      avatar = event;
      timeline.voiceOnly(avatar.status === "voice_only");
      if (avatar.status === "here") notices.set("error", null);
      break;
    case "response":
      timeline.receive(event);
      captions.response(event);
      break;
    case "user-text":
      captions.userText(event);
      break;
    case "bot-text":
      captions.botText(event);
      break;
    case "thinking":
      captions.thinking();
      break;
    case "interrupted":
      captions.interrupted();
      break;
    case "bot-speaking":
      captions.botSpeaking(event.on);
      timeline.botSpeaking(event.on);
      break;
    case "user-speaking":
      hearing = event.on;
      break;
    case "error":
      failed(event);
      break;
    default:
      return;
  }
  render();
}

/** A notice stays until it is dismissed, or the avatar is here; a call that cannot go on ends. */
function failed({ text, fatal }) {
  const why = text || "The bot reports an error.";
  if (fatal) call.fail(why);
  else notices.set("error", { text: why, action: "Dismiss", act: () => notices.set("error", null) });
}

function becomeReady() {
  ready = true;
  const lines = waiting;
  waiting = [];
  lines.forEach(send);
}

// ---- what the user does

/** Text before the call is there makes the call, and is sent when the bot can hear it. */
function say(text) {
  send({ text, entry: captions.typed(text) });
  if (call.state.name === "idle") connect();
}

function send(line) {
  const id = ready ? call.sendText(line.text) : null;
  if (id === null) waiting.push(line);
  else captions.sent(line.entry, id);
}

function submit(event) {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text === "") return;
  $("text").value = "";
  say(text);
}

function pressMute() {
  if (microphone.state === "on" || microphone.state === "muted") microphone.mute(microphone.state === "on");
  else microphone.open();
}

function microphoneChanged() {
  const { state, why } = microphone;
  call.replaceAudio(microphone.track);
  call.tellMicrophone(state === "on");
  const missing = state === "refused" || state === "absent";
  notices.set("mic", missing && { text: `${why} You can type, and hear the answers.`, action: "Try again", act: () => microphone.open() });
  render();
}

/** M mutes, unless it is being typed. */
function pressKey(event) {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key.toLowerCase() === "m" && !$("mute").disabled) pressMute();
}

// ---- what the user sees

/** Writes only what differs: screen readers read out a live region that is written again. */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function render() {
  const inCall = call.state.name !== "idle";
  Object.assign(document.body.dataset, { call: call.state.name, picture: picture.state, mic: microphone.state });
  renderStatus();
  put($("call-label"), { idle: "Connect", connecting: "Cancel" }[call.state.name] ?? "Hang up");
  $("call-icon").setAttribute("href", inCall ? "#i-hangup" : "#i-call");
  renderMute(inCall);
  put($("name-text"), hearing ? "Listening…" : "Avatar");
  put($("placeholder-text"), placeholder(call.state, avatar, picture.state));
  const again = call.state.name === "waiting";
  notices.set("again", again && { text: "Trying to reach the bot again.", action: "Connect now", act: () => call.hurry() });
}

function renderStatus() {
  const { tone, text, detail } = describe(call.state, avatar, microphone.state, { ready, picture: picture.state });
  Object.assign($("status").dataset, { tone, avatar: avatar.status });
  put($("status-text"), text);
  put($("status-detail"), detail);
}

function renderMute(inCall) {
  const { state } = microphone;
  const has = state === "on" || state === "muted";
  $("mute").disabled = !inCall || state === "asking";
  if (has) $("mute").setAttribute("aria-pressed", String(state === "muted"));
  else $("mute").removeAttribute("aria-pressed");
  put($("mute-label"), !inCall || has ? "Mute" : "Use microphone");
  $("mute-icon").setAttribute("href", state === "on" || !inCall ? "#i-mic" : "#i-mic-off");
}

/** The avatar's name moves with its voice, the microphone's button with the user's. */
function paint() {
  const voice = picture.meter.level();
  $("name").style.setProperty("--level", share(voice).toFixed(2));
  $("name").classList.toggle("speaking", voice > 0.01);
  $("mute").style.setProperty("--level", share(microphone.meter.level()).toFixed(2));
  const left = call.state.name === "waiting" ? Math.ceil((call.state.retryAt - performance.now()) / 1000) : 0;
  put($("status-count"), left > 0 ? `${left} s` : "");
}

$("call").addEventListener("click", (event) => event.detail < 2 && pressCall());
$("mute").addEventListener("click", pressMute);
$("composer").addEventListener("submit", submit);
$("tips").addEventListener("click", (event) => event.target instanceof HTMLButtonElement && say(event.target.textContent));
addEventListener("keydown", pressKey);
addEventListener("online", () => call.hurry());
addEventListener("pagehide", () => call.hangUp());
document.addEventListener("visibilitychange", () => document.hidden || call.hurry());
setInterval(paint, PAINT_MS);
render();

window.page = inspect({ call, captions, timeline, microphone, picture, counts, facts: () => ({ avatar, ready }) });
