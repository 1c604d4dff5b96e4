/**
 * What was done here and isn't acknowledged by the server yet: drafts and answers.
 *
 * Each entry lies in localStorage until the server has said that it is stored, so that a reload, a
 * lost connection or a killed browser loses nothing. Sending again is harmless: drafts carry a
 * growing version, and an answer sent twice is one answer. Entries go one at a time, so that a
 * draft never overtakes the answer to the same image.
 */
import * as api from "./api.js";

const PREFIX = "sfumato.out.";
const CALM = 250; // milliseconds without another edit until a draft goes
const FIRST = 500; // milliseconds until the first retry; doubled each time
const LONGEST = 15_000;
const LAPSED = 7 * 86_400_000; // milliseconds that marks without a lease are kept

/** Read the storage. It may be forbidden or full: then entries live as long as the page. */
function stored() {
  const found = new Map();
  try {
    for (const key of Object.keys(localStorage).filter((name) => name.startsWith(PREFIX))) {
      const entry = JSON.parse(localStorage.getItem(key));
      if (entry.since < Date.now() - LAPSED) localStorage.removeItem(key);
      else found.set(entry.token, entry);
    }
  } catch {
    // Nothing can be read: nothing was kept.
  }
  return found;
}

export class Outbox {
  /** `listener` gets `changed(state)`, `delivered(token, receipt)` and `refused(entry, failure)`. */
  constructor(listener) {
    this.listener = listener;
    this.entries = stored();
    // Answered here. A list of leases that the server made just before may still have them.
    const answers = [...this.entries.values()].filter(({ kind }) => kind === "answer");
    this.spent = new Set(answers.map(({ token }) => token));
    this.acknowledged = new Map(); // the last draft of each image that the server has stored
    this.durable = true;
    this.failures = 0;
    this.signedOut = false;
    this.timer = 0;
    this.sending = false;
    addEventListener("online", () => this.hurry());
    addEventListener("pagehide", () => this.hurry());
    document.addEventListener("visibilitychange", () => this.hurry());
  }

  /** Keep a draft and send it soon. Without an `edit` it only renews the lease. */
  draft(token, version, marks, edit = true) {
    if (this.answered(token)) return;
    this.#put(token, { kind: "draft", token, edit, body: { version, marks } });
    // After a failure the next try has its time already; an edit must not put it off.
    if (!this.failures) this.#later(CALM);
  }

  /** Keep an answer and send it now; it takes the place of the image's draft. */
  answer(token, body) {
    this.spent.add(token);
    this.#put(token, { kind: "answer", token, body });
    this.hurry();
  }

  /** Keep marks that weren't taken, e.g. too late: if the image comes again, so do they. */
  keep(token, marks) {
    this.spent.delete(token);
    this.#put(token, { kind: "kept", token, body: { version: 0, marks }, since: Date.now() });
  }

  answered(token) {
    return this.spent.has(token);
  }

  /**
   * Marks that are newer than a lease of this version: not sent yet, or stored by the server after
   * it made the list that the lease is from. Null if there are none.
   */
  newer(token, version) {
    const entry = this.entries.get(token);
    if (entry && entry.kind !== "answer") return entry.body;
    const last = this.acknowledged.get(token);
    return last && last.version > version ? last : null;
  }

  get waiting() {
    return this.#due.filter(({ kind }) => kind === "answer").length;
  }

  /** What is to be sent, answers first: the reviewer has finished with them. */
  get #due() {
    const due = [...this.entries.values()].filter(({ kind }) => kind !== "kept");
    return due.sort((one, other) => (other.kind === "answer") - (one.kind === "answer"));
  }

  /** "saved", "saving", "retrying" or "signed-out". */
  get state() {
    if (this.#due.length === 0) return "saved";
    if (this.signedOut) return "signed-out";
    return this.failures ? "retrying" : "saving";
  }

  /** Send what there is at once. */
  hurry() {
    if (this.#due.length) this.#later(0);
  }

  #put(token, entry) {
    this.entries.set(token, entry);
    try {
      localStorage.setItem(PREFIX + token, JSON.stringify(entry));
    } catch {
      this.durable = false;
    }
    this.listener.changed(this.state);
  }

  #drop(token) {
    const text = JSON.stringify(this.entries.get(token));
    this.entries.delete(token);
    try {
      // Another window may have put a newer one there.
      if (localStorage.getItem(PREFIX + token) === text) localStorage.removeItem(PREFIX + token);
    } catch {
      this.durable = false;
    }
  }

  #later(wait) {
    const backoff = Math.min(LONGEST, FIRST * 2 ** Math.min(this.failures, 6)) * (0.75 + Math.random() / 2);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#send(), wait ?? backoff);
  }

  async #send() {
    if (this.sending) return;
    this.sending = true;
    let pause = null;
    while (this.#due.length && pause === null) pause = await this.#deliver(this.#due[0]);
    this.sending = false;
    this.listener.changed(this.state);
    if (pause !== null) this.#later(pause || undefined);
  }

  /** Send one entry; null if the next may follow, else milliseconds to wait (0: as usual). */
  async #deliver(entry) {
    const current = () => this.entries.get(entry.token) === entry;
    try {
      const said = await api[entry.kind === "answer" ? "answer" : "save"](entry.token, entry.body);
      this.failures = 0;
      this.signedOut = false;
      if (entry.kind === "draft") this.acknowledged.set(entry.token, entry.body);
      if (!current()) return null; // edited again meanwhile: the newer one goes next
      const overtaken = entry.kind === "draft" && said.version > entry.body.version;
      if (overtaken && entry.edit) return this.#overtake(entry, said.version);
      this.#drop(entry.token);
      if (entry.kind === "answer") this.listener.delivered(entry.token, said);
      return null;
    } catch (failure) {
      if (!(failure instanceof api.Failure)) throw failure;
      this.signedOut = failure.signedOut;
      if (failure.again || failure.signedOut) {
        this.failures += 1;
        return failure.after;
      }
      if (current()) {
        if (failure.status === 409) this.#drop(entry.token);
        else this.keep(entry.token, entry.body.marks);
        this.listener.refused(entry, failure);
      }
      return null;
    }
  }

  /** Another window of the same person has saved more often: what was done last goes on top. */
  #overtake(entry, version) {
    this.#put(entry.token, { ...entry, body: { ...entry.body, version: version + 1 } });
    this.listener.overtaken(entry.token, version + 1);
    return null;
  }
}
