/** Put the page together: images come from the tray, edits go to the outbox. */
import * as api from "./api.js";
import { centre, side } from "./boxes.js";
import * as completion from "./completion.js";
import * as controls from "./controls.js";
import { Drawing } from "./drawing.js";
import { Editor } from "./editor.js";
import { Gallery } from "./gallery.js";
import { Gestures } from "./gestures.js";
import * as keys from "./keys.js";
import { Lens } from "./lens.js";
import { Outbox } from "./outbox.js";
import { Status } from "./status.js";
import { Tray } from "./tray.js";
import { View } from "./view.js";

const TINY = 24; // CSS pixels: a selected box below this brings the magnifier
const ZOOM = 1.4; // by a key or a button
const RENEW = 240_000; // milliseconds: a lease lasts 15 minutes
const RETRY = 3_000; // milliseconds until images are asked for again

const at = (id) => document.getElementById(id);
const status = new Status();
const stage = at("stage");
const help = at("help");
const view = new View();
const lens = new Lens(at("lens"));
const local = {
  me: null, // what the server says of this person
  url: null, // of the image in view
  shown: null, // the token of the image in view, once it is there
  lens: false, // the magnifier was switched on
  over: null, // the pixel under the pointer
  since: 0, // when the image came into view
  sure: null, // the image for which "no face" was asked once
  retry: 0,
  renewed: Date.now(),
};

const outbox = new Outbox({
  changed: (state) => status.saved(state, outbox.waiting, outbox.durable),
  delivered: (token, receipt) => delivered(token, receipt),
  refused: (entry, failure) => refused(entry, failure),
  overtaken: (token, version) => {
    const sheet = tray.find(token);
    if (sheet) sheet.version = Math.max(sheet.version, version);
  },
});
const tray = new Tray(outbox);
const editor = new Editor(new Drawing(stage), view, {
  changed: edited,
  selected: (mark) => {
    controls.follow(mark);
    magnify();
  },
  say: (words) => status.say(words),
});
const gestures = new Gestures(stage, editor, {
  look: () => look(),
  hover: (point) => {
    local.over = point;
    if (local.lens) magnify();
  },
});
const gallery = new Gallery({
  say: (words) => status.say(words),
  toast: (words) => status.toast(words),
  confirmed: (leases, seconds) => leases.forEach((lease) => {
    outbox.answer(lease.token, { verdict: "accept", marks: lease.marks, seconds, scope: "crops" });
    status.count();
  }),
  opened: (leases) => {
    controls.press("gallery", false);
    tray.insert(leases);
    show();
    refocus();
    more();
  },
});

// The image in view

/** Show the current sheet, or say why there is none. */
async function show() {
  const sheet = tray.current;
  if (sheet !== editor.sheet) {
    count();
    local.shown = null;
    local.sure = null;
    delete stage.dataset.shown;
    stage.setAttribute("aria-busy", String(sheet !== null));
    editor.drawing.image(null);
    editor.open(sheet);
    controls.adjudicate(sheet);
  }
  if (!sheet) return empty();
  if (local.shown === sheet.token) return status.notice(null);
  if (!gallery.open) stage.focus({ preventScroll: true });
  try {
    const slow = setTimeout(() => sheet === tray.current && status.notice("The image is coming…"), 400);
    const url = await sheet.load().finally(() => clearTimeout(slow));
    if (sheet !== tray.current) return;
    local.url = url;
    editor.drawing.image(url);
    local.shown = sheet.token;
    stage.dataset.shown = sheet.token;
    stage.setAttribute("aria-busy", "false");
    local.since = performance.now();
    status.notice(null);
    greet(sheet);
    magnify();
  } catch (failure) {
    if (!(failure instanceof api.Failure)) throw failure;
    if (sheet === tray.current) unshown(sheet, failure);
  }
}

function unshown(sheet, failure) {
  if (failure.again || failure.signedOut) {
    status.notice(failure.signedOut ? signedOut : "The image can't be fetched. Trying again…", true);
    return again(show);
  }
  if (failure.gone) tray.remove(sheet.token);
  else tray.reject(sheet.token);
  status.toast(failure.gone ? "This image was taken back: its time had run out." : failure.message);
  return more();
}

function greet(sheet) {
  const place = tray.sheets.length > 1 ? `, ${tray.sheets.length - 1} more waiting` : "";
  const number = sheet.marks.length;
  status.say(`Image with ${number === 1 ? "1 box" : `${number} boxes`}${place}`);
}

const signedOut = "This page needs the link that you were given. Open the link again.";

function empty() {
  const { waiting } = outbox;
  const last = waiting === 1 ? "answer" : `${waiting} answers`;
  if (waiting) status.notice(`Sending your last ${last}…`);
  else if (tray.filling || tray.left === null) status.notice("Fetching images…");
  else status.notice("Nothing is left for you. Thank you!", true);
}

function again(what) {
  clearTimeout(local.retry);
  local.retry = setTimeout(what, RETRY);
}

/** Ask for images, and show what has come. */
async function more() {
  try {
    const known = local.me ?? introduce();
    const filling = tray.fill();
    if (!tray.current) show();
    await Promise.all([known, filling]);
    show();
  } catch (failure) {
    if (!(failure instanceof api.Failure)) throw failure;
    if (tray.current) show();
    else status.notice(failure.signedOut ? signedOut : `${failure.message} Trying again…`, true);
    again(more);
  }
}

async function introduce() {
  local.me = await api.me();
  status.counts(local.me.answered, local.me.left);
  keys.describe(at("keys"), local.me.role !== "reviewer");
  completion.look(local.me, status);
  if (local.me.tutorial) status.toast("The first images are for practice: after each you see a score.");
}

/** Count the time that the image was in view. */
function count() {
  const sheet = editor.sheet;
  const seen = sheet && local.shown === sheet.token && local.since;
  if (seen) sheet.seconds += (performance.now() - local.since) / 1000;
  local.since = document.hidden ? 0 : performance.now();
}

function look() {
  editor.draw();
  magnify();
}

/** The magnifier: at the pointer while it is on, and by itself for a tiny box. */
function magnify() {
  const { sheet, mark } = editor;
  const tiny = mark && side(mark.box) * view.scale < TINY;
  if (!sheet || local.shown !== sheet.token || (!local.lens && !tiny)) return lens.hide();
  const middle = sheet.size.map((length) => length / 2);
  const focus = tiny || (mark && !local.over) ? { box: mark.box } : { point: local.over ?? middle };
  const [x] = view.toScreen(focus.box ?? focus.point);
  at("lens").classList.toggle("left", x > view.stage[0] / 2);
  lens.show(sheet, local.url, { ...focus, scale: view.scale });
}

// Edits and answers

function edited(sheet) {
  sheet.edited();
  outbox.draft(sheet.token, sheet.version, sheet.marks);
}

function answer(verdict) {
  const sheet = tray.current;
  if (gallery.open || gestures.dragging) return;
  if (!sheet || local.shown !== sheet.token) return status.toast("Wait until the image is there");
  count();
  const accepted = verdict === "accept" && !sheet.untouched ? "correct" : verdict;
  const scope = local.me?.redact && !sheet.lease.whole ? "crops" : "whole";
  const seconds = Math.min(86_400, Math.round(sheet.seconds * 10) / 10);
  outbox.answer(sheet.token, { verdict: accepted, marks: sheet.marks, seconds, scope });
  status.count();
  tray.remove(sheet.token);
  show();
  more();
}

/** "No face here": what one has drawn oneself goes only when asked for twice. */
function none() {
  const sheet = tray.current;
  if (!sheet || local.shown !== sheet.token || gallery.open) return;
  const faces = sheet.marks.filter(({ kind }) => kind === "face");
  const drawn = faces.filter(({ proposal }) => !proposal).length;
  if (drawn && local.sure !== sheet.token) {
    local.sure = sheet.token;
    const words = drawn === 1 ? "a face" : `${drawn} faces`;
    return status.toast(`You drew ${words} here. Once more for “no face here”.`);
  }
  const rest = sheet.marks.filter(({ kind }) => kind !== "face");
  if (faces.length) editor.commit(rest, "No face here", { selected: null });
  answer("accept");
}

function delivered(token, receipt) {
  tray.finished(token);
  if (typeof receipt.score === "number") {
    status.toast(`Practice: your boxes agree to ${Math.round(100 * receipt.score)} % with the right ones.`);
  }
  completion.look(local.me, status);
  if (!tray.current && !gallery.open) more();
}

const REFUSED = {
  409: "Not taken: it was answered before, and the first answer stands.",
  410: "An image's time had run out. Your boxes are kept; if it comes again, so do they.",
};

/** The server doesn't want it, and never will as it is. */
function refused({ token, kind, body }, failure) {
  if (kind === "answer" && failure.code === "VERDICT_MISMATCH") {
    return outbox.answer(token, { ...body, verdict: "correct" });
  }
  if (failure.gone || failure.status === 409) tray.remove(token);
  status.toast(REFUSED[failure.gone ? 410 : failure.status] ?? `Not taken: ${failure.message}`);
  return gallery.open || more();
}

const inEditor = (act) => () => {
  if (editor.sheet && !gallery.open && !gestures.dragging) act();
};

const actions = {
  accept: () => (gallery.open ? gallery.confirm() : answer("accept")),
  none,
  unsure: () => answer("unsure"),
  previous: () => turn(-1),
  next: () => turn(1),
  create: inEditor(() => editor.create()),
  remove: inEditor(() => editor.remove()),
  face: inEditor(() => editor.kind("face")),
  private: inEditor(() => editor.kind("private")),
  kind: inEditor(() => editor.kind(null)),
  undo: inEditor(() => editor.undo()),
  redo: inEditor(() => editor.redo()),
  adopt: inEditor(() => editor.take()),
  digit: (number) => Boolean(editor.sheet && !gallery.open && editor.takeAll(number)),
  closer: inEditor(() => zoom(ZOOM)),
  farther: inEditor(() => zoom(1 / ZOOM)),
  closeUp: inEditor(() => {
    if (!editor.mark) return status.say("No box is selected");
    view.closeUp(editor.mark.box);
    look();
  }),
  fit: inEditor(() => (view.fit(), look())),
  peek: () => stage.classList.add("bare"),
  unpeek: () => stage.classList.toggle("bare", at("editor").dataset.bare === "true"),
  hide: () => {
    const bare = at("editor").dataset.bare !== "true";
    at("editor").dataset.bare = String(bare);
    controls.press("hide", bare);
    actions.unpeek();
  },
  lens: () => {
    local.lens = !local.lens;
    controls.press("lens", local.lens);
    status.say(local.lens ? "Magnifier on" : "Magnifier off");
    magnify();
  },
  draw: () => {
    gestures.over = !gestures.over;
    controls.press("draw", gestures.over);
    status.say(gestures.over ? "Dragging always draws" : "Dragging on a box moves it");
  },
  gallery: toGallery,
  help: () => help.showModal(),
  arrow,
};

function zoom(factor) {
  const { mark } = editor;
  view.zoom(factor, mark ? view.toScreen(centre(mark.box)) : undefined);
  look();
}

function turn(by) {
  if (gallery.open || gestures.dragging) return;
  if (tray.step(by)) show();
  else status.toast(`This is the ${by < 0 ? "first" : "last"} image that you hold`);
  more();
}

/** Arrows change the selected box; with none, left and right turn pages. */
function arrow(direction, event) {
  if (gallery.open || !editor.sheet || event.target.closest("button, dialog")) return false;
  const [alt, control] = [event.altKey, event.ctrlKey || event.metaKey];
  if (editor.arrow(direction, { alt, control, far: event.shiftKey })) {
    magnify();
    return true;
  }
  if (alt || control || direction[0] === 0) return false;
  if (!event.repeat) turn(direction[0]);
  return true;
}

async function toGallery() {
  if (gallery.open) return gallery.leave();
  try {
    if (await gallery.enter((token) => Boolean(tray.find(token)) || outbox.answered(token))) {
      controls.press("gallery", true);
      status.notice(null);
    } else status.toast("No faces wait for the gallery now");
  } catch (failure) {
    if (!(failure instanceof api.Failure)) throw failure;
    status.toast(failure.message);
  }
}

keys.listenOn(stage, {
  cycle: (by) => editor.cycle(by),
  leave: () => {
    if (gestures.cancel()) return false;
    editor.select(null);
    status.say("No box selected. Tab goes to the buttons.");
    return true;
  },
  pan: (on) => gestures.hold(on),
});
/** After a click with a pointer, Enter is the image's again and not the button's. */
function refocus() {
  if (!help.open && !gallery.open) editor.drawing.focus(editor.selected);
}

controls.listen(actions, refocus);
help.addEventListener("close", refocus);
at("again").addEventListener("click", () => more());

keys.listen(document, actions, { active: () => !help.open, letters: controls.letters(at("letters")) });

// Time and size

/** Keep what is held while somebody is here; after a long absence, learn what was taken back. */
function renew() {
  const now = Date.now();
  if (document.hidden || now - local.renewed < RENEW) return;
  local.renewed = now;
  tray.renew();
}

document.addEventListener("visibilitychange", count);
document.addEventListener("visibilitychange", renew);
setInterval(renew, RENEW / 8);
new ResizeObserver(([{ contentRect }]) => {
  if (contentRect.width === 0) return; // the gallery is in front
  view.resize([contentRect.width, contentRect.height]);
  look();
}).observe(stage);
addEventListener("beforeunload", (event) => {
  if (!outbox.durable && outbox.state !== "saved") event.preventDefault();
});

status.saved(outbox.state, outbox.waiting, true);
keys.describe(at("keys"), false);
controls.follow(null);
outbox.hurry();
more();
