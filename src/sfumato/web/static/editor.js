/** The marks of the image in view: which is selected, and every way to change them. */
import * as boxes from "./boxes.js";

const NEW = 0.18; // a box from the keyboard: this part of the shorter side of what is in sight
const EDGES = { "-1,0": "w", "1,0": "e", "0,-1": "n", "0,1": "s" };
const KINDS = { face: "face", private: "private" };

export class Editor {
  /** `listener`: `changed(sheet)` after an edit, `selected(mark)`, `say(words)`. */
  constructor(drawing, view, listener) {
    this.drawing = drawing;
    this.view = view;
    this.listener = listener;
    this.sheet = null;
    this.marks = [];
    this.selected = null;
    this.touch = matchMedia("(pointer: coarse)").matches;
  }

  open(sheet) {
    this.sheet = sheet;
    this.marks = sheet?.marks ?? [];
    this.selected = null;
    if (sheet) this.view.show(sheet.size);
    this.draw();
    this.listener.selected(null);
  }

  get others() {
    return (this.sheet?.lease.others ?? []).flatMap((marks, person) =>
      marks.map((mark, index) => ({ ...mark, id: `o${person + 1}-${index}`, person: person + 1 })));
  }

  get mark() {
    return this.marks.find(({ id }) => id === this.selected) ?? null;
  }

  draw() {
    const own = this.marks.map((mark, index) => ({
      ...mark, own: true, classes: mark.kind, label: this.describe(mark), tag: this.#tag(mark, index),
    }));
    const others = this.others.map((mark) => ({
      ...mark, classes: `other person${((mark.person - 1) % 4) + 1}`, tag: String(mark.person),
      label: `Dashed box of person ${mark.person}: ${this.#measures(mark)}`,
    }));
    // Dashed ones below, so that their lines never hide one's own.
    this.drawing.draw(this.view, [...own, ...others], this.selected, this.touch);
  }

  #tag(mark, index) {
    const kind = mark.kind === "private" ? "private" : "";
    return mark.id === this.selected ? `${index + 1} ${mark.kind}` : kind;
  }

  #measures({ kind, box }) {
    const [x0, y0, x1, y1] = box.map(Math.round);
    return `${KINDS[kind]}, ${x1 - x0} by ${y1 - y0} pixels, ${x0} from the left, ${y0} from the top`;
  }

  describe(mark) {
    const number = this.marks.findIndex(({ id }) => id === mark.id) + 1;
    return `Box ${number} of ${this.marks.length}: ${this.#measures(mark)}`;
  }

  // Selecting

  select(id, { focus = true } = {}) {
    if (this.selected === id && (!focus || document.activeElement?.dataset?.id === id)) return;
    const changed = this.selected !== id;
    this.selected = id;
    this.draw();
    if (focus) this.drawing.focus(id);
    if (changed) this.listener.selected(this.mark);
  }

  /** Go to the next or previous box, around the end; false where there is none. */
  cycle(by) {
    const ids = [...this.marks, ...this.others].map(({ id }) => id);
    if (ids.length === 0) return false;
    const at = ids.indexOf(this.selected);
    const to = at < 0 ? (by > 0 ? 0 : ids.length - 1) : (at + by + ids.length) % ids.length;
    const box = [...this.marks, ...this.others][to].box;
    this.view.reveal(box);
    this.select(ids[to]);
    return true;
  }

  // Changing

  /** Show marks without storing them: while something is dragged. */
  preview(marks, selected = this.selected) {
    this.marks = marks;
    const changed = this.selected !== selected;
    this.selected = selected;
    this.draw();
    this.listener.selected(changed || this.mark ? this.mark : null);
  }

  /** Store marks as one step of the history, and say it. */
  commit(marks, words, { selected = this.selected, group = null } = {}) {
    this.sheet.history.push(marks, group);
    this.#adopt(marks, selected, words);
  }

  /** Forget a preview. */
  revert(selected = this.selected) {
    const there = this.sheet.marks.some(({ id }) => id === selected);
    this.preview(this.sheet.marks, there ? selected : null);
  }

  #adopt(marks, selected, words) {
    this.marks = marks;
    const there = [...marks, ...this.others].some(({ id }) => id === selected);
    this.selected = there ? selected : null;
    this.draw();
    if (!there && document.activeElement?.dataset?.id === undefined) this.drawing.focus(null);
    this.listener.selected(this.mark);
    this.listener.changed(this.sheet);
    this.listener.say(words);
  }

  /** Replace one mark's box. */
  with(id, box) {
    return this.marks.map((mark) => (mark.id === id ? { ...mark, box } : mark));
  }

  /** A list with a new mark in it, and the mark's id. */
  added(box) {
    const id = boxes.freshId([...this.marks, ...this.sheet.marks]);
    return [[...this.marks, { id, box, kind: "face", proposal: "", score: null }], id];
  }

  create() {
    const [x0, y0] = this.view.toImage([0, 0]);
    const [x1, y1] = this.view.toImage(this.view.stage);
    const seen = boxes.spanned([x0, y0], [x1, y1], this.sheet.size);
    const [x, y] = boxes.centre(seen);
    const half = Math.max(boxes.LEAST, boxes.side(seen) * NEW) / 2;
    const box = boxes.spanned([x - half, y - half], [x + half, y + half], this.sheet.size);
    const [marks, id] = this.added(box);
    this.commit(marks, `New box, ${marks.length} in all`, { selected: id });
    this.drawing.focus(id);
  }

  remove() {
    const at = this.marks.findIndex(({ id }) => id === this.selected);
    if (at < 0) return this.listener.say("No box is selected");
    const marks = this.marks.filter(({ id }) => id !== this.selected);
    const next = marks[Math.min(at, marks.length - 1)]?.id ?? null;
    this.commit(marks, `Box deleted, ${marks.length} left`, { selected: next });
    this.drawing.focus(next);
  }

  kind(kind) {
    const { mark } = this;
    if (!mark) return this.listener.say("No box is selected");
    const to = kind ?? (mark.kind === "face" ? "private" : "face");
    if (to === mark.kind) return this.listener.say(`It is ${KINDS[to]} already`);
    const marks = this.marks.map((one) => (one.id === mark.id ? { ...one, kind: to } : one));
    this.commit(marks, to === "face" ? "Now a face" : "Now private, not a face");
  }

  undo() {
    const marks = this.sheet.history.undo();
    if (marks) this.#adopt(marks, this.selected, `Undone, ${marks.length} boxes`);
    else this.listener.say("Nothing to undo");
  }

  redo() {
    const marks = this.sheet.history.redo();
    if (marks) this.#adopt(marks, this.selected, `Done again, ${marks.length} boxes`);
    else this.listener.say("Nothing to redo");
  }

  /** An arrow key: move, or with `alt` and `control` move sides; false if nothing is selected. */
  arrow(direction, { alt, control, far }) {
    const { mark } = this;
    if (!mark) return false;
    // One pixel of the screen, never less than one of the image.
    const step = Math.max(1, Math.round(1 / this.view.scale)) * (far ? 10 : 1);
    const by = direction.map((part) => part * step);
    const held = alt ? "es" : control ? "wn" : null;
    const across = direction[0] === 0 ? 1 : 0;
    const box = held
      ? boxes.resized(mark.box, held[across], by, this.sheet.size)
      : boxes.moved(mark.box, by, this.sheet.size);
    if (boxes.same(box, mark.box)) {
      this.listener.say(held || EDGES[direction] === undefined ? "It ends here" : "At the border");
      return true;
    }
    const marks = this.with(mark.id, box);
    this.commit(marks, this.#measures({ ...mark, box }), { group: `${held ?? "move"} ${mark.id}` });
    this.view.reveal(box);
    this.draw();
    return true;
  }

  // Other people's boxes (adjudication)

  /** Take the boxes of one person instead of what is drawn. */
  takeAll(person) {
    const theirs = this.sheet?.lease.others?.[person - 1];
    if (!theirs) return false;
    const words = `The ${theirs.length} boxes of person ${person}`;
    this.commit(this.#renamed(theirs, []), words, { selected: null });
    return true;
  }

  /** Add the dashed box that is selected. */
  take() {
    const other = this.others.find(({ id }) => id === this.selected);
    if (!other) return this.listener.say("No dashed box is selected");
    const marks = this.#renamed([other], this.marks);
    this.commit(marks, `Taken from person ${other.person}`, { selected: marks.at(-1).id });
    this.drawing.focus(this.selected);
  }

  /** Marks with ids of one's own; a proposal stays one where it isn't there already. */
  #renamed(theirs, there) {
    return theirs.reduce((marks, { box, kind, proposal, score }) => {
      const known = proposal && !marks.some(({ id }) => id === proposal);
      const drawn = { id: boxes.freshId([...marks, ...this.sheet.marks]), proposal: "", score: null };
      const kept = { id: proposal, proposal, score: score ?? null };
      return [...marks, { box, kind, ...(known ? kept : drawn) }];
    }, there);
  }
}
