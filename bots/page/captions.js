/**
 * Owns the captions: who said what, how much of it was heard, and what was cut off; the model and its list.
 *
 * A bubble of the bot collects segments (sentences) until somebody else speaks, the bot thinks anew, or it is
 * interrupted. Words turn from faint to full as they are spoken; what was never spoken is struck through.
 * Screen readers get whole sentences from a region of their own, not each word.
 */

const KEEP = 200;
const ANNOUNCED = 6;
const NEAR_BOTTOM_PX = 60;

/**
 * @typedef {object} Entry
 * @property {"user"|"bot"|"note"} who
 * @property {boolean} typed
 * @property {boolean} pending Typed and not yet confirmed by the server, or not yet final.
 * @property {boolean} interrupted
 * @property {{id: number|null, text: string, spoken: string, remaining: string}[]} segments
 */

const element = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
const finish = (segment) => Object.assign(segment, { spoken: segment.text, remaining: "" });

export class Captions {
  #list;
  #announcer;
  /** @type {Entry[]} */
  #entries = [];
  #items = new WeakMap();
  #segments = new Map();
  #bot = null;
  #speech = null;
  #speaking = false;
  #following = true;
  #newest;
  #spokenUpTo = -1;
  #response = null;

  /**
   * @param {HTMLElement} list Where the bubbles go.
   * @param {HTMLElement} announcer A polite live region for whole sentences.
   * @param {HTMLElement} newest The button that leads to the newest line; shown while there is one out of view.
   */
  constructor(list, announcer, newest) {
    this.#list = list;
    this.#announcer = announcer;
    this.#newest = newest;
    newest.addEventListener("click", () => this.toNewest());
    list.addEventListener("scroll", () => this.#scrolled());
    new ResizeObserver(() => this.#following && this.#follow()).observe(list);
  }

  /** Plain copies, oldest first. */
  get entries() {
    return this.#entries.map(({ who, typed, pending, interrupted, segments }) => ({
      who,
      typed,
      pending,
      interrupted,
      text: segments.map((segment) => segment.text).join(" "),
      spoken: segments.map((segment) => segment.spoken).join(" ").trim(),
    }));
  }

  /** A new call: its segment numbers mean nothing to the old one's. */
  newCall() {
    this.#segments.clear();
    this.#spokenUpTo = -1;
    this.#bot = this.#speech = this.#response = null;
    this.#speaking = false;
  }

  /** Shows the newest line, and goes on to. */
  toNewest() {
    this.#following = true;
    this.#follow();
  }

  note(text) {
    this.#bot = this.#speech = null;
    this.#add({ who: "note", segments: [{ id: null, text, spoken: text, remaining: "" }] });
  }

  /**
   * What the user typed, shown at once; returns the entry, to be told when it has been sent. The bot's bubble stays
   * open: until the server has heard of it, what comes still belongs to the old answer.
   */
  typed(text, id = null) {
    this.#speech = null;
    const segments = [{ id: null, text, spoken: text, remaining: "" }];
    this.#following = true;
    return this.#add({ who: "user", typed: true, pending: true, id, segments });
  }

  /** It went out with this id, by which the server will confirm it. */
  sent(entry, id) {
    entry.id = id;
    this.#draw(entry);
  }

  userText({ text, final, typed, id }) {
    if (typed) this.#confirm(id, text);
    else this.#heard(text, final);
  }

  /**
   * A segment, or how far it has been spoken. Its first message waits on the server until the bot is heard. It may come
   * after messages about its spoken words, which stay as they are. Segments are spoken in the order of their numbers: one
   * before spoken words was said, and one that is announced after spoken words of a later number was cut off unheard.
   */
  botText({ id, text, spoken, remaining, first }) {
    const known = this.#segments.get(id);
    if (known ? known.entry.interrupted || first : text.trim() === "" || (id !== null && id < this.#spokenUpTo)) return;
    if (id !== null && spoken !== "") this.#spokenUpTo = id;
    const entry = known?.entry ?? this.#botEntry();
    const segment = known?.segment ?? this.#begin(entry, id, text);
    Object.assign(segment, { text, spoken, remaining });
    if (spoken !== "") entry.segments.slice(0, entry.segments.indexOf(segment)).forEach(finish);
    this.#speech = null;
    if (entry.response !== this.#response) Object.assign(entry, { response: this.#response, over: false });
    this.#draw(entry);
  }

  /** The bot starts on another answer. */
  thinking() {
    this.#bot = null;
  }

  botSpeaking(on) {
    this.#speaking = on;
  }

  /** The bot was cut off, if it was speaking at all: silence cannot be interrupted. */
  interrupted() {
    const entry = this.#lastBot();
    const unfinished = entry?.segments.some((segment) => segment.remaining !== "");
    if (entry && (unfinished || (this.#speaking && !entry.over))) this.#cutOff(entry);
    this.#bot = null;
  }

  /** The service's own word on a response; more certain than speaking or not, which pauses blur. */
  response({ event, id, reason }) {
    if (event === "started") this.#response = id;
    const entry = this.#lastBot();
    if (event !== "done" || entry?.response !== id) return;
    if (reason === "interrupted") this.#cutOff(entry);
    else entry.over = true;
  }

  #lastBot() {
    return this.#entries.findLast((entry) => entry.who === "bot");
  }

  /** What is left unsaid is struck through; an answer of which nothing was said goes. */
  #cutOff(entry) {
    entry.interrupted = true;
    if (this.#bot === entry) this.#bot = null;
    if (entry.segments.some((segment) => segment.spoken !== "")) this.#draw(entry);
    else this.#remove(entry);
  }

  #remove(entry) {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    this.#items.get(entry).remove();
  }

  #botEntry() {
    this.#bot ??= this.#add({ who: "bot", segments: [] });
    return this.#bot;
  }

  #confirm(id, text) {
    const entry = this.#entries.findLast((one) => one.typed && one.id === id) ?? this.typed(text, id);
    entry.pending = false;
    this.#draw(entry);
  }

  #begin(entry, id, text) {
    const segment = { id };
    entry.segments.push(segment);
    if (id !== null) this.#segments.set(id, { entry, segment });
    this.#announce(`Avatar: ${text}`);
    return segment;
  }

  /** Finals of one turn share a bubble; an interim text stands behind them until its final comes. */
  #heard(text, final) {
    if (text.trim() === "") return;
    this.#bot = null;
    this.#speech ??= this.#add({ who: "user", segments: [] });
    const { segments } = this.#speech;
    if (segments.at(-1)?.interim) segments.pop();
    segments.push({ id: null, text, spoken: text, remaining: "", interim: !final });
    this.#speech.pending = !final;
    if (final) this.#announce(`You: ${text}`);
    this.#draw(this.#speech);
  }

  #add(part) {
    const entry = { typed: false, pending: false, interrupted: false, response: null, over: false, ...part };
    this.#entries.push(entry);
    const item = element("li", entry.who);
    this.#items.set(entry, item);
    this.#list.append(item);
    this.#draw(entry);
    if (this.#entries.length > KEEP) this.#remove(this.#entries[0]);
    return entry;
  }

  #draw(entry) {
    const item = this.#items.get(entry);
    item.classList.toggle("pending", entry.pending);
    item.classList.toggle("cut", entry.interrupted);
    const parts = entry.who === "note" ? [] : [element("b", "who", this.#label(entry))];
    parts.push(...entry.segments.flatMap((segment) => this.#words(segment, entry.interrupted)));
    if (entry.interrupted) parts.push(element("span", "tag", "interrupted"));
    item.replaceChildren(...parts);
    this.#follow();
  }

  #label(entry) {
    if (entry.who === "bot") return "Avatar";
    if (!entry.typed) return "You";
    return entry.id === null ? "You, not sent yet" : "You, typed";
  }

  #words({ text, spoken, remaining }, cut) {
    const said = text.startsWith(spoken) ? spoken : text.slice(0, text.length - remaining.length);
    const rest = text.slice(said.length);
    const unsaid = element(cut ? "s" : "span", "unsaid", rest);
    return rest ? [element("span", "said", said), unsaid, " "] : [element("span", "said", text), " "];
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX;
    if (this.#following) this.#newest.hidden = true;
  }

  /** Keeps the newest line in view, unless the reader has scrolled back: then it is offered. */
  #follow() {
    if (this.#following) this.#list.scrollTop = this.#list.scrollHeight;
    this.#newest.hidden = this.#following;
  }

  #announce(text) {
    this.#announcer.append(element("span", "", `${text} `));
    while (this.#announcer.childElementCount > ANNOUNCED) this.#announcer.firstElementChild.remove();
  }
}
