/**
 * Owns `window.page`, through which a test (or a curious user at the console) looks inside. Reading changes nothing.
 *
 *   state      {call, cause, why, avatar, detail, mic, picture, ready}: see call.js, status.js, microphone.js, picture.js
 *   frames     {count, width, height, at}: pictures presented since the page was opened, and the newest one
 *   level      loudness of the avatar's voice now, root mean square, 0 to 1
 *   captions   [{who, text, spoken, typed, pending, interrupted}], oldest first
 *   responses  [{id, state, startedAt, voiceAt, doneAt, ttfbMs, audioSeconds, reason}], times in seconds of call
 *   messages   how many messages of each kind came, by the kinds of rtvi.js
 */

export function inspect({ call, captions, timeline, microphone, picture, counts, facts }) {
  return Object.freeze({
    get state() {
      const { name, cause, why } = call.state;
      const { avatar, ready } = facts();
      const { status, detail } = avatar;
      return { call: name, cause, why, avatar: status, detail, mic: microphone.state, picture: picture.state, ready };
    },
    get frames() {
      return { ...picture.frames };
    },
    get level() {
      return picture.meter.level();
    },
    get captions() {
      return captions.entries;
    },
    get responses() {
      return timeline.responses;
    },
    get messages() {
      return { ...counts };
    },
  });
}
