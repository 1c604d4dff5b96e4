/** Where the image lies in the stage: screen = image * scale + offset (CSS pixels). */
import { within } from "./boxes.js";

const MARGIN = 14; // CSS pixels around an image that is fitted: room for handles at its border
const CLOSEST = 24; // CSS pixels that one pixel of the image may at most become
const KEPT = 48; // CSS pixels of the image that always stay in sight

export class View {
  constructor() {
    this.stage = [1, 1];
    this.image = [1, 1];
    this.scale = 1;
    this.offset = [0, 0];
    this.fitted = true;
  }

  /** The scale at which the whole image shows. */
  get whole() {
    const [width, height] = this.stage.map((length) => Math.max(1, length - 2 * MARGIN));
    return Math.min(width / this.image[0], height / this.image[1]);
  }

  fit() {
    // A small image is enlarged, but not to a mosaic.
    this.scale = Math.min(this.whole, 4);
    this.offset = this.stage.map((length, axis) => (length - this.image[axis] * this.scale) / 2);
    this.fitted = true;
  }

  show(image) {
    this.image = image;
    this.fit();
  }

  /** The stage has another size: a fitted image is fitted again, else the middle stays. */
  resize(stage) {
    const middle = this.toImage(this.stage.map((length) => length / 2));
    this.stage = stage;
    if (this.fitted) this.fit();
    else this.#place(middle, stage.map((length) => length / 2));
  }

  /** Zoom by a factor; the point `at` (CSS pixels of the stage) stays where it is. */
  zoom(factor, at = this.stage.map((length) => length / 2)) {
    const point = this.toImage(at);
    const least = Math.min(1, this.whole * 0.5);
    this.scale = within(this.scale * factor, least, Math.max(CLOSEST, this.whole));
    this.#place(point, at);
  }

  pan([dx, dy]) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
    this.#settle();
  }

  /** Bring a box into the middle, about a third of the stage wide. */
  closeUp(box) {
    const longest = Math.max(box[2] - box[0], box[3] - box[1]);
    this.scale = within(Math.min(...this.stage) / longest / 2.5, this.whole, CLOSEST);
    this.#place([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], this.stage.map((length) => length / 2));
  }

  /** Pan just so far that a box is in sight. */
  reveal(box) {
    const [x0, y0, x1, y1] = this.boxToScreen(box);
    const shift = ([low, high], length) => {
      if (low < 0) return MARGIN - low;
      return high > length ? length - high - MARGIN : 0;
    };
    const by = [shift([x0, x1], this.stage[0]), shift([y0, y1], this.stage[1])];
    // A box larger than the stage can't be in sight as a whole: leave it.
    const large = x1 - x0 > this.stage[0] || y1 - y0 > this.stage[1];
    if (!large && (by[0] !== 0 || by[1] !== 0)) this.pan(by);
  }

  toScreen([x, y]) {
    return [x * this.scale + this.offset[0], y * this.scale + this.offset[1]];
  }

  toImage([x, y]) {
    return [(x - this.offset[0]) / this.scale, (y - this.offset[1]) / this.scale];
  }

  boxToScreen(box) {
    return [...this.toScreen(box), ...this.toScreen(box.slice(2))];
  }

  #place(point, at) {
    this.offset = at.map((place, axis) => place - point[axis] * this.scale);
    this.#settle();
  }

  #settle() {
    this.fitted = false;
    this.offset = this.offset.map((offset, axis) => {
      const length = this.image[axis] * this.scale;
      return within(offset, KEPT - length, this.stage[axis] - KEPT);
    });
  }
}
