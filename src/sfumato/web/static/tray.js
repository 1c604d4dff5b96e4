/**
 * The images that are lent to this person: the one in view, those held beside it, and those
 * fetched ahead so that the next one shows at once.
 */
import * as api from "./api.js";
import { alike } from "./boxes.js";
import { History } from "./history.js";

const AHEAD = 3; // images fetched beyond the one in view
const MOST = 8; // leases that one request may ask for
const EPOCH = Date.UTC(2026, 0); // versions count from here
const TICK = 250; // milliseconds: as long as a draft waits, so that two drafts never share one
const FIRST = "sfumato.first."; // what an image came with: to tell "accepted" from "corrected"

/** What the image came with, also after a reload, when the server sends the draft instead. */
function original(lease) {
  const key = FIRST + lease.token;
  try {
    if (lease.version === 0) localStorage.setItem(key, JSON.stringify(lease.marks));
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return lease.version === 0 ? lease.marks : null;
  }
}

function forget(token) {
  try {
    localStorage.removeItem(FIRST + token);
  } catch {
    // What couldn't be stored needn't be removed.
  }
}

/** One image on the table, with its marks, their history and the time it was looked at. */
export class Sheet {
  /** `draft`: newer marks than the lease's, or null. */
  constructor(lease, draft) {
    this.lease = lease;
    this.token = lease.token;
    this.size = [lease.width, lease.height];
    this.version = Math.max(lease.version, draft?.version ?? 0);
    this.first = original(lease);
    this.history = new History(draft?.marks ?? lease.marks);
    this.seconds = 0;
    this.photo = null; // a promise of an object URL
  }

  /**
   * Count an edit. Versions are quarters of a second, or one more than the last: of two windows of
   * one person, the later edit has the larger one. They fit into 31 bits until 2042.
   */
  edited() {
    this.version = Math.max(this.version + 1, Math.floor((Date.now() - EPOCH) / TICK));
  }

  get marks() {
    return this.history.present;
  }

  get untouched() {
    return this.first !== null && alike(this.first, this.marks);
  }

  /** Fetch the image once; a failure is forgotten, so that the next call tries again. */
  load() {
    this.photo ??= api.image(this.lease.image).catch((failure) => {
      this.photo = null;
      throw failure;
    });
    return this.photo;
  }

  discard() {
    this.photo?.then(URL.revokeObjectURL, () => {});
    this.photo = null;
  }
}

export class Tray {
  constructor(outbox) {
    this.outbox = outbox;
    this.sheets = [];
    this.index = 0;
    this.left = null;
    this.unshown = new Set(); // images that can't be shown: they aren't tried again
    this.filling = null;
  }

  get current() {
    return this.sheets[this.index] ?? null;
  }

  find(token) {
    return this.sheets.find((sheet) => sheet.token === token) ?? null;
  }

  /** Ask for more images where fewer than wanted lie ahead; joined if already under way. */
  fill() {
    this.filling ??= this.#fill().finally(() => {
      this.filling = null;
    });
    return this.filling;
  }

  async #fill() {
    const missing = this.index + 1 + AHEAD - this.sheets.length;
    if (missing <= 0) return;
    // The server gives what is held first, and that includes images whose answer is on its way.
    const count = Math.min(MOST, this.sheets.length + this.outbox.waiting + missing);
    const { leases, left } = await api.next(count);
    this.left = left;
    leases.forEach((lease) => this.add(lease));
    this.prefetch();
  }

  /** Put a lease on the tray unless it is there or answered. */
  add(lease) {
    if (this.find(lease.token) || this.outbox.answered(lease.token) || this.unshown.has(lease.token)) return;
    this.sheets.push(this.#sheet(lease));
  }

  #sheet(lease) {
    const sheet = new Sheet(lease, this.outbox.newer(lease.token, lease.version));
    if (sheet.marks !== lease.marks) {
      sheet.edited();
      this.outbox.draft(sheet.token, sheet.version, sheet.marks);
    }
    return sheet;
  }

  /** Put leases in view before all others: the doubtful ones of the gallery, a refused answer. */
  insert(leases) {
    const known = leases.filter(({ token }) => !this.find(token));
    this.sheets.splice(this.index, 0, ...known.map((lease) => this.#sheet(lease)));
    this.prefetch();
  }

  prefetch() {
    for (const sheet of this.sheets.slice(this.index, this.index + 1 + AHEAD)) {
      sheet.load().catch(() => {}); // shown when it is its turn
    }
  }

  step(by) {
    const to = this.index + by;
    if (to < 0 || to >= this.sheets.length) return false;
    this.index = to;
    this.prefetch();
    return true;
  }

  /** Take an image off the tray; the one after it comes into view. */
  remove(token) {
    const at = this.sheets.findIndex((sheet) => sheet.token === token);
    if (at < 0) return;
    this.sheets.splice(at, 1)[0].discard();
    if (at < this.index || this.index >= this.sheets.length) this.index = Math.max(0, this.index - 1);
  }

  /** An image that can't be shown is nothing to answer: somebody else may try. */
  reject(token) {
    this.unshown.add(token);
    this.remove(token);
    api.giveBack(token).catch(() => {}); // else its time runs out
  }

  finished(token) {
    forget(token);
  }

  /** Save the sheets that are held once more, so that their time doesn't run out. */
  renew() {
    for (const sheet of this.sheets.filter(({ token }) => !this.outbox.newer(token, Infinity))) {
      this.outbox.draft(sheet.token, sheet.version, sheet.marks, false);
    }
  }
}
