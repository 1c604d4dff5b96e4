/**
 * Boxes as pure geometry. A box is [x0, y0, x1, y1] in pixels of the upright image, x1 and y1
 * exclusive; every function returns a new box that lies inside the image.
 */

/** No side gets shorter than this many pixels of the image: less is an accident. */
export const LEAST = 2;

/** The eight handles, by compass; each letter names a side that it moves. */
export const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];

export const within = (value, low, high) => Math.min(Math.max(value, low), high);

const round = (value) => Math.round(value * 100) / 100;

export const side = (box) => Math.min(box[2] - box[0], box[3] - box[1]);

export const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);

export const centre = (box) => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];

export const same = (one, other) => one.every((value, index) => value === other[index]);

/** Move a box; at the image's border it stops and keeps its size. */
export function moved(box, [dx, dy], [width, height]) {
  const [x0, y0, x1, y1] = box;
  const right = within(dx, -x0, Math.max(-x0, width - x1));
  const down = within(dy, -y0, Math.max(-y0, height - y1));
  return [round(x0 + right), round(y0 + down), round(x1 + right), round(y1 + down)];
}

/**
 * Move the sides that a handle holds. Sides that it doesn't hold keep their exact value; a side
 * stops at the image's border and before the opposite side.
 */
export function resized(box, handle, [dx, dy], [width, height]) {
  let [x0, y0, x1, y1] = box;
  // A box that is thinner than LEAST already can only grow.
  if (handle.includes("w")) x0 = round(within(x0 + dx, 0, Math.max(x1 - LEAST, x0)));
  if (handle.includes("e")) x1 = round(within(x1 + dx, Math.min(x0 + LEAST, x1), width));
  if (handle.includes("n")) y0 = round(within(y0 + dy, 0, Math.max(y1 - LEAST, y0)));
  if (handle.includes("s")) y1 = round(within(y1 + dy, Math.min(y0 + LEAST, y1), height));
  return [x0, y0, x1, y1];
}

/** The box between two corners in any order, cut at the image's border and never degenerate. */
export function spanned([ax, ay], [bx, by], [width, height]) {
  const [x0, x1] = stretched(within(ax, 0, width), within(bx, 0, width), width);
  const [y0, y1] = stretched(within(ay, 0, height), within(by, 0, height), height);
  return [x0, y0, x1, y1].map(round);
}

function stretched(one, other, end) {
  const [low, high] = [Math.min(one, other), Math.max(one, other)];
  if (high - low >= LEAST) return [low, high];
  const start = within(low, 0, Math.max(0, end - LEAST));
  return [start, Math.min(end, start + LEAST)];
}

/** The box grown about its centre until each side has at least `least`: the frame of handles. */
export function framed(box, least) {
  const [x, y] = centre(box);
  const halfWidth = Math.max(box[2] - box[0], least) / 2;
  const halfHeight = Math.max(box[3] - box[1], least) / 2;
  return [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight];
}

/** Where a handle sits on a box. */
export function handleAt(box, handle) {
  const [x, y] = centre(box);
  return [
    handle.includes("w") ? box[0] : handle.includes("e") ? box[2] : x,
    handle.includes("n") ? box[1] : handle.includes("s") ? box[3] : y,
  ];
}

/** The handle nearest to a point, at most `reach` away (in each direction), or null. */
export function handleNear(box, [px, py], reach) {
  let best = null;
  let least = Infinity;
  for (const handle of HANDLES) {
    const [x, y] = handleAt(box, handle);
    const far = Math.max(Math.abs(px - x), Math.abs(py - y));
    if (far <= reach && far < least) [best, least] = [handle, far];
  }
  return best;
}

/**
 * The marks under a point, smallest box first: a face inside a large box can still be taken.
 * `reach` widens each box, so that a tiny one can be hit.
 */
export function under(marks, [x, y], reach) {
  return marks
    .filter(({ box }) => x >= box[0] - reach && x <= box[2] + reach)
    .filter(({ box }) => y >= box[1] - reach && y <= box[3] + reach)
    .sort((one, other) => area(one.box) - area(other.box));
}

/** Whether two lists of marks say the same: the same boxes of the same kinds, in any order. */
export function alike(ones, others) {
  const key = (mark) => JSON.stringify([mark.kind, mark.proposal, ...mark.box]);
  const [left, right] = [ones.map(key).sort(), others.map(key).sort()];
  return left.length === right.length && left.every((value, index) => value === right[index]);
}

/** An id for a new mark: "n1", "n2", … never one that is there. */
export function freshId(marks) {
  const numbers = marks.map(({ id }) => (/^n\d+$/.test(id) ? Number(id.slice(1)) : 0));
  return `n${Math.max(0, ...numbers) + 1}`;
}
