/**
 * The image and its boxes as SVG, in pixels of the screen. Elements are kept by id and only
 * moved, so that the keyboard's focus and a screen reader's place survive every edit.
 */
import { HANDLES, framed, handleAt } from "./boxes.js";

const SVG = "http://www.w3.org/2000/svg";
/** Handles of a tiny box stand around it, this far apart, so that box and handles stay usable. */
export const FRAME = { mouse: 48, touch: 84 };

function element(name, attributes, parent) {
  const node = document.createElementNS(SVG, name);
  set(node, attributes);
  parent?.append(node);
  return node;
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
}

function place(rect, [x0, y0, x1, y1], grown) {
  set(rect, { x: x0 - grown, y: y0 - grown, width: x1 - x0 + 2 * grown, height: y1 - y0 + 2 * grown });
}

export class Drawing {
  constructor(stage) {
    this.stage = stage;
    this.photo = stage.querySelector("#photo");
    this.layer = stage.querySelector("#boxes");
    this.grips = stage.querySelector("#handles");
    this.nodes = new Map();
    this.handles = new Map(HANDLES.map((name) => {
      const grip = element("rect", { class: `handle ${name}`, "data-handle": name, rx: 2 }, this.grips);
      return [name, grip];
    }));
  }

  /** Show an image (an object URL), or none while it is still coming. */
  image(url) {
    if (url) set(this.photo, { href: url });
    else this.photo.removeAttribute("href");
  }

  /** Draw: `shown` are { id, box, kind, classes, label, tag }, in the order of the Tab key. */
  draw(view, shown, selected, touch) {
    const [x0, y0, x1, y1] = view.boxToScreen([0, 0, ...view.image]);
    set(this.photo, { x: x0, y: y0, width: x1 - x0, height: y1 - y0 });
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, node] of this.nodes) {
      if (!ids.has(id)) {
        node.group.remove();
        this.nodes.delete(id);
      }
    }
    shown.forEach((mark) => this.#mark(view, mark, mark.id === selected, touch));
    const chosen = shown.find(({ id, own }) => id === selected && own);
    this.grips.classList.toggle("none", !chosen);
    if (chosen) this.#handles(framed(view.boxToScreen(chosen.box), touch ? FRAME.touch : FRAME.mouse), touch);
  }

  focus(id) {
    (this.nodes.get(id)?.group ?? this.stage).focus({ preventScroll: true });
  }

  #mark(view, mark, selected, touch) {
    const node = this.nodes.get(mark.id) ?? this.#node(mark.id);
    const box = view.boxToScreen(mark.box);
    // Both lines lie outside of the box: what is to be covered stays in sight.
    place(node.dark, box, 1.5);
    place(node.light, box, 1.5);
    set(node.group, {
      class: `mark ${mark.classes}${selected ? " selected" : ""}`,
      "aria-label": mark.label,
      "aria-selected": selected,
    });
    // Beside the handles, which stand around a small box, so that it doesn't hide one.
    const [x, top, , bottom] = selected ? framed(box, touch ? FRAME.touch : FRAME.mouse) : box;
    const clear = selected && touch ? 14 : 6;
    set(node.tag, { x: x - 2, y: top > 14 + clear ? top - clear : bottom + 10 + clear });
    if (node.tag.textContent !== mark.tag) node.tag.textContent = mark.tag;
  }

  #node(id) {
    const group = element("g", { role: "option", tabindex: -1, "data-id": id }, this.layer);
    const node = {
      group,
      dark: element("rect", { class: "dark" }, group),
      light: element("rect", { class: "light" }, group),
      tag: element("text", { class: "tag", "aria-hidden": "true" }, group),
    };
    this.nodes.set(id, node);
    return node;
  }

  #handles(frame, touch) {
    const size = touch ? 16 : 9;
    for (const [name, grip] of this.handles) {
      const [x, y] = handleAt(frame, name);
      set(grip, { x: x - size / 2, y: y - size / 2, width: size, height: size });
    }
  }
}
