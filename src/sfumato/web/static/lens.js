/**
 * The magnifier: a corner of the stage that shows a few pixels of the original, large.
 *
 * The image on the page is at most 1600 pixels long. Of a larger one, the lens fetches a piece at
 * the original's resolution and lays it over the image's own pixels.
 */
import * as api from "./api.js";
import { centre, within } from "./boxes.js";

const PIECE = 512; // pixels a side that the server gives at most
const GRID = 128; // pieces begin at multiples of this, so that one serves a whole neighbourhood
const SCREEN = 1600; // the longer side of what is shown already
const ROUND = 1.8; // of a box: how much around it is shown
const MOST = 6; // pieces that are kept
const SVG = "http://www.w3.org/2000/svg";

function node(name, className = "") {
  const made = document.createElementNS(SVG, name);
  made.setAttribute("class", className);
  return made;
}

function attributes(element, values) {
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
}

/** Lay an image over a part of the original's pixels. */
function show(image, href, [x0, y0, x1, y1]) {
  const [width, height] = [x1 - x0, y1 - y0];
  attributes(image, { href, x: x0, y: y0, width, height, preserveAspectRatio: "none" });
}

export class Lens {
  constructor(place) {
    this.place = place;
    this.svg = node("svg");
    this.base = node("image");
    this.piece = node("image");
    this.dark = node("rect", "dark");
    this.light = node("rect", "light");
    this.svg.append(this.base, this.piece, this.dark, this.light);
    place.append(this.svg);
    this.pieces = new Map();
    this.token = "";
  }

  hide() {
    this.place.hidden = true;
  }

  /** Show the neighbourhood of a box, or of a point; `url` is the image that the page has. */
  show(sheet, url, { box, point, scale }) {
    if (sheet.token !== this.token) this.#empty(sheet.token);
    const span = this.#span(sheet, box, scale);
    const middle = box ? centre(box) : point;
    // Inside the image; an image smaller than that is shown in the middle.
    const [left, top] = middle.map((value, axis) => {
      const room = sheet.size[axis] - span;
      return within(value - span / 2, Math.min(0, room / 2), Math.max(0, room));
    });
    attributes(this.svg, { viewBox: `${left} ${top} ${span} ${span}` });
    show(this.base, url, [0, 0, ...sheet.size]);
    for (const outline of [this.dark, this.light]) {
      outline.classList.toggle("none", !box);
      if (box) attributes(outline, { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] });
    }
    this.place.hidden = false;
    if (Math.max(...sheet.size) > SCREEN) this.#sharpen(sheet, middle);
  }

  /** How many pixels of the image are shown: at least twice as large as on the stage. */
  #span(sheet, box, scale) {
    const shown = this.place.clientWidth || 200;
    if (box) return within(ROUND * Math.max(box[2] - box[0], box[3] - box[1]), 16, PIECE);
    return within(shown / Math.max(2, 3 * scale), 16, Math.min(PIECE, Math.max(...sheet.size)));
  }

  #sharpen(sheet, point) {
    const corner = point.map((value, axis) => {
      const snapped = Math.round((value - PIECE / 2) / GRID) * GRID;
      return within(snapped, 0, Math.max(0, sheet.size[axis] - PIECE));
    });
    const end = corner.map((value, axis) => Math.min(value + PIECE, sheet.size[axis]));
    const key = [...corner, ...end].map(Math.round).join();
    this.wanted = key;
    if (!this.pieces.has(key)) this.#fetch(sheet, key);
    else this.#lay(key);
  }

  async #fetch(sheet, key) {
    this.pieces.set(key, null);
    try {
      const url = await api.image(`${sheet.lease.image}?crop=${key}`);
      if (sheet.token !== this.token) return URL.revokeObjectURL(url);
      this.pieces.set(key, url);
      if (this.pieces.size > MOST) this.#forget(this.pieces.keys().next().value);
      this.#lay(key);
    } catch (failure) {
      if (!(failure instanceof api.Failure)) throw failure;
      this.pieces.delete(key); // the image's own pixels have to do; the next look tries again
    }
  }

  #lay(key) {
    const url = this.pieces.get(key);
    if (!url || key !== this.wanted) return;
    show(this.piece, url, key.split(",").map(Number));
  }

  #forget(key) {
    const url = this.pieces.get(key);
    if (url) URL.revokeObjectURL(url);
    this.pieces.delete(key);
  }

  #empty(token) {
    [...this.pieces.keys()].forEach((key) => this.#forget(key));
    this.piece.removeAttribute("href");
    this.token = token;
  }
}
