/** What the page says: to eyes in the header, a toast and a notice; to ears in the live region. */

const SAID = 120; // milliseconds: of several things in a row, a screen reader gets the last
const SHOWN = 5000;
const STATES = {
  saved: "Saved",
  saving: "Saving…",
  retrying: "Not saved yet – retrying",
  "signed-out": "Not saved yet – open your link again",
};

const at = (id) => document.getElementById(id);

export class Status {
  constructor() {
    this.done = 0;
    this.left = null;
    this.saying = 0;
    this.hiding = 0;
    this.last = "saved";
  }

  /** Tell a screen reader. The same words again are said again. */
  say(words) {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => {
      const live = at("live");
      live.textContent = live.textContent === words ? `${words}\u00a0` : words;
    }, SAID);
  }

  /** Tell everybody, for a few seconds. */
  toast(words) {
    const toast = at("toast");
    toast.textContent = words;
    toast.hidden = false;
    clearTimeout(this.hiding);
    this.hiding = setTimeout(() => (toast.hidden = true), SHOWN);
    this.say(words);
  }

  /** Words in the place of the image; null takes them away. `again` offers a button. */
  notice(words, again = false) {
    const notice = at("notice");
    const changed = notice.hidden === (words !== null) || notice.firstElementChild.textContent !== words;
    notice.hidden = words === null;
    at("again").hidden = !again;
    if (words === null || !changed) return;
    notice.firstElementChild.textContent = words;
    this.say(words);
  }

  /** Whether everything is with the server; `waiting` answers aren't. */
  saved(state, waiting, durable) {
    const saved = at("saved");
    saved.dataset.state = state;
    const answers = waiting === 1 ? "1 answer" : `${waiting} answers`;
    const held = waiting && state !== "saving" ? ` (${answers})` : "";
    saved.textContent = STATES[state] + held;
    if (state === this.last) return;
    const lost = (one) => one === "retrying" || one === "signed-out";
    if (lost(state)) {
      const kept = durable ? "Your work is kept in this browser." : "Don't close this page.";
      this.toast(`${STATES[state]}. ${kept}`);
    } else if (state === "saved" && lost(this.reported)) {
      this.toast("Everything is saved again");
    }
    if (state !== "saving") this.reported = state;
    this.last = state;
  }

  counts(done, left) {
    [this.done, this.left] = [done, left];
    const progress = at("progress");
    progress.max = Math.max(1, done + left);
    progress.value = done;
    at("counts").textContent = `${done} done · ${left} left`;
  }

  /** One more is done. */
  count() {
    if (this.left !== null) this.counts(this.done + 1, Math.max(0, this.left - 1));
  }
}
