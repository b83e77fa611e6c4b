/**
 * Owns the lines above the captions: one for each kind of trouble, each with one thing to do about it. None goes
 * away by itself: who put it there takes it away.
 */

/** @typedef {{text: string, action: string, act: () => void}} Notice */

export class Notices {
  #box;
  #lines = new Map();

  /** @param {HTMLElement} box A live region. */
  constructor(box) {
    this.#box = box;
  }

  /** Shows, changes or (with nothing to show) takes away the line of a kind. */
  set(kind, notice) {
    const old = this.#lines.get(kind);
    if (old?.text === notice?.text && notice) return;
    old?.line.remove();
    this.#lines.delete(kind);
    if (!notice) return;
    const line = this.#line(kind, notice);
    this.#lines.set(kind, { line, text: notice.text });
    this.#box.append(line);
  }

  #line(kind, { text, action, act }) {
    const line = Object.assign(document.createElement("p"), { className: kind });
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: action });
    button.addEventListener("click", act);
    line.append(Object.assign(document.createElement("span"), { textContent: text }), button);
    return line;
  }
}
