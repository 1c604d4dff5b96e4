/** Mouse, pen and fingers on the stage: draw, move, resize; zoom and pan. */
import * as boxes from "./boxes.js";
import { FRAME } from "./drawing.js";

// CSS pixels: how far from a handle still takes it, how far from a box still takes the box, and
// how far a press may stray and still be a click.
const REACH = { mouse: 12, touch: 24 };
const NEAR = { mouse: 3, touch: 10 };
const CLICK = { mouse: 3, touch: 8 };
const WHEEL = 0.0016; // zoom per unit of the wheel: about 20 % a notch
const PINCH = 0.01; // a trackpad's pinch comes as small steps of a wheel with Ctrl

export class Gestures {
  /** `look()` is called when only the view has changed, `hover(point)` with the image's point. */
  constructor(stage, editor, { look, hover }) {
    this.stage = stage;
    this.editor = editor;
    this.view = editor.view;
    this.look = look;
    this.hover = hover;
    this.pointers = new Map();
    this.drag = null;
    this.over = false; // draw over boxes
    this.space = false;
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    stage.addEventListener("pointerup", (event) => this.#up(event));
    stage.addEventListener("pointercancel", (event) => this.#lost(event));
    stage.addEventListener("pointerleave", () => hover(null));
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    // The middle button would start the browser's own scrolling.
    stage.addEventListener("mousedown", (event) => event.button === 1 && event.preventDefault());
  }

  get dragging() {
    return this.drag !== null;
  }

  /** Esc: what was begun never happened. */
  cancel() {
    const { drag } = this;
    this.drag = null;
    if (drag?.marks) this.editor.revert(drag.before);
    return drag !== null;
  }

  hold(space) {
    this.space = space;
    this.stage.classList.toggle("panning", space);
  }

  #at(event) {
    const { left, top } = this.stage.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  #sort(event) {
    return event.pointerType === "touch" ? "touch" : "mouse";
  }

  #down(event) {
    if (!this.editor.sheet) return;
    const at = this.#at(event);
    const sort = this.#sort(event);
    this.editor.touch = sort === "touch";
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    if (this.pointers.size === 2) {
      this.cancel();
      this.drag = { act: "pinch" };
    } else if (this.pointers.size === 1) {
      if (event.button === 1 || (event.button === 0 && this.space)) this.drag = { act: "pan", at };
      else if (event.button === 0) this.drag = this.#grasp(at, sort);
    }
    event.preventDefault(); // no selecting of text; focus is set by hand
    this.stage.classList.toggle("panning", this.space || this.drag?.act === "pan");
  }

  /** What a press at this place takes hold of. */
  #grasp(at, sort) {
    const { editor, view } = this;
    const begun = { at, sort, before: editor.selected, strayed: false };
    const { mark } = editor;
    if (mark) {
      const frame = boxes.framed(view.boxToScreen(mark.box), FRAME[sort]);
      const handle = boxes.handleNear(frame, at, REACH[sort]);
      if (handle) return { ...begun, act: "resize", handle, id: mark.id, box: mark.box };
    }
    const point = view.toImage(at);
    const reach = NEAR[sort] / view.scale;
    const found = this.over ? [] : boxes.under(editor.marks, point, reach);
    if (found.length) {
      const taken = found.find(({ id }) => id === editor.selected) ?? found[0];
      return { ...begun, act: "move", id: taken.id, box: taken.box, found };
    }
    const dashed = boxes.under(editor.others, point, reach)[0]?.id ?? null;
    return { ...begun, act: "draw", dashed };
  }

  #move(event) {
    const at = this.#at(event);
    if (event.pointerType !== "touch" || this.drag) this.hover(this.view.toImage(at));
    if (!this.pointers.has(event.pointerId)) return this.#cursor(at);
    const before = new Map(this.pointers);
    this.pointers.set(event.pointerId, at);
    const { drag } = this;
    if (!drag) return;
    if (drag.act === "pinch") return this.#pinch([...before.values()], [...this.pointers.values()]);
    const by = [at[0] - drag.at[0], at[1] - drag.at[1]];
    if (drag.act === "pan") {
      this.view.pan(by);
      drag.at = at;
      return this.look();
    }
    drag.strayed ||= Math.hypot(...by) > CLICK[drag.sort];
    if (drag.strayed) this.#change(drag, at, by.map((part) => part / this.view.scale));
  }

  #change(drag, at, by) {
    const { editor, view } = this;
    const { size } = editor.sheet;
    if (drag.act === "draw") {
      editor.marks = editor.sheet.marks;
      const [marks, id] = editor.added(boxes.spanned(view.toImage(drag.at), view.toImage(at), size));
      Object.assign(drag, { marks, id });
    } else {
      const box = drag.act === "move"
        ? boxes.moved(drag.box, by, size)
        : boxes.resized(drag.box, drag.handle, by, size);
      drag.marks = editor.with(drag.id, box);
    }
    editor.preview(drag.marks, drag.id);
  }

  #pinch(before, now) {
    if (now.length < 2 || before.length < 2) return;
    const apart = ([a, b]) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
    const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const [from, to] = [middle(before), middle(now)];
    this.view.pan([to[0] - from[0], to[1] - from[1]]);
    this.view.zoom(apart(now) / apart(before), to);
    this.look();
  }

  #up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const { drag } = this;
    // One finger that stays after a pinch draws nothing.
    if (drag?.act === "pinch" && this.pointers.size > 0) return;
    this.drag = null;
    this.stage.classList.toggle("panning", this.space);
    if (!drag || drag.act === "pinch" || drag.act === "pan") return;
    if (drag.marks) this.#finish(drag);
    else this.#click(drag);
  }

  #finish(drag) {
    const { editor } = this;
    const mark = drag.marks.find(({ id }) => id === drag.id);
    const words = { draw: "New box", move: "Moved", resize: "Resized" }[drag.act];
    editor.commit(drag.marks, `${words}: ${editor.describe(mark)}`, { selected: drag.id });
    editor.drawing.focus(drag.id);
  }

  /** A press without a drag selects; on what is selected already, the next box below it. */
  #click(drag) {
    if (drag.act === "resize") return;
    if (drag.act === "draw") return this.editor.select(drag.dashed);
    const at = drag.found.findIndex(({ id }) => id === drag.before);
    this.editor.select(drag.found[(at + 1) % drag.found.length].id);
  }

  #lost(event) {
    this.pointers.delete(event.pointerId);
    this.cancel();
  }

  #wheel(event) {
    event.preventDefault();
    if (!this.editor.sheet) return;
    const lines = event.deltaMode === 1 ? 33 : 1; // Firefox counts lines
    const rate = event.ctrlKey ? PINCH : WHEEL;
    this.view.zoom(Math.exp(-event.deltaY * lines * rate), this.#at(event));
    this.look();
  }

  /** Show what a press here would do. */
  #cursor(at) {
    if (!this.editor.sheet || this.space) return;
    const grasp = this.#grasp(at, "mouse");
    const cursor = { move: "move", draw: "crosshair" }[grasp.act] ?? `${grasp.handle}-resize`;
    if (this.stage.style.cursor !== cursor) this.stage.style.cursor = cursor;
  }
}
