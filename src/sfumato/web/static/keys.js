/**
 * The keys: one table, from which the page both listens and writes its help.
 *
 * `key` is KeyboardEvent.key in lower case with its modifiers before it. `once`: holding the key
 * down doesn't repeat it, so that a sleepy finger can't answer ten images.
 */
export const GROUPS = [
  {
    title: "Answer",
    keys: [
      { key: ["enter"], action: "accept", once: true, label: "Everything is right as drawn: send, next image" },
      { key: ["0"], action: "none", once: true, label: "No face here: remove all face boxes, send" },
      { key: ["u"], action: "unsure", once: true, label: "Unsure: send as drawn and let others decide" },
      { key: ["pageup", ","], action: "previous", label: "Previous image that you hold, unanswered" },
      { key: ["pagedown", "."], action: "next", label: "Next image, without an answer to this one" },
    ],
  },
  {
    title: "Boxes",
    keys: [
      { key: ["tab", "shift+tab"], action: null, label: "From box to box; Esc leaves to the buttons" },
      { key: ["n"], action: "create", label: "New box in the middle of what you see" },
      { key: ["arrows"], action: null, label: "Move the box (with Shift ten times as far)" },
      { key: ["alt+arrows"], action: null, label: "Move its right and lower sides" },
      { key: ["ctrl+arrows"], action: null, label: "Move its left and upper sides" },
      { key: ["delete", "backspace"], action: "remove", label: "Delete the box" },
      { key: ["f"], action: "face", label: "It is a face" },
      { key: ["p"], action: "private", label: "It is something else that is private" },
      { key: ["k"], action: "kind", label: "Change between the two" },
      { key: ["ctrl+z"], action: "undo", label: "Undo" },
      { key: ["ctrl+y", "ctrl+shift+z"], action: "redo", label: "Redo" },
    ],
  },
  {
    title: "View",
    keys: [
      { key: ["+", "="], action: "closer", label: "Zoom in" },
      { key: ["-"], action: "farther", label: "Zoom out" },
      { key: ["z"], action: "closeUp", label: "Zoom to the box" },
      { key: ["home", "w"], action: "fit", label: "Whole image" },
      { key: ["h"], action: "peek", label: "Hold: hide all boxes" },
      { key: ["m"], action: "lens", label: "Magnifier on or off (it comes by itself for tiny boxes)" },
      { key: ["d"], action: "draw", label: "Draw over boxes: dragging always makes a new one" },
      { key: ["g"], action: "gallery", label: "Gallery: 50 faces at a glance" },
      { key: ["?"], action: "help", label: "This help" },
    ],
  },
];

export const ADJUDICATION = {
  title: "Other people's boxes (dashed)",
  keys: [
    { key: ["1 … 9"], action: null, label: "Take the boxes of that person instead of yours" },
    { key: ["a"], action: "adopt", label: "Add the dashed box that is selected (Tab reaches them)" },
  ],
};

const ARROWS = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };
const PRINTED = {
  enter: "Enter", pageup: "Page Up", pagedown: "Page Down", tab: "Tab", "shift+tab": "Shift+Tab",
  arrows: "Arrows", "alt+arrows": "Alt+Arrows", "ctrl+arrows": "Ctrl+Arrows", delete: "Delete",
  backspace: "Backspace", "ctrl+z": "Ctrl+Z", "ctrl+y": "Ctrl+Y", "ctrl+shift+z": "Ctrl+Shift+Z", home: "Home",
};

const table = new Map(
  [...GROUPS, ADJUDICATION].flatMap(({ keys }) =>
    keys.filter(({ action }) => action).flatMap((entry) => entry.key.map((key) => [key, entry])),
  ),
);

/** The name of what was pressed, as the table has it. */
function named(event) {
  const key = event.key.toLowerCase();
  const control = event.ctrlKey || event.metaKey;
  // Shift is part of the character in "?" and "+"; it counts with Ctrl only.
  return `${control ? "ctrl+" : ""}${control && event.shiftKey ? "shift+" : ""}${key}`;
}

/** Whether the browser's own meaning of a key comes first: buttons, links, fields. */
function native(event) {
  const field = event.target.closest?.("input, select, textarea");
  const pressed = event.target.closest?.("button, a, summary, [role=button]");
  return field || (pressed && ["Enter", " "].includes(event.key));
}

/**
 * Listen. `actions[name]()` is called for a key of the table, `actions.arrow(direction, event)`
 * for arrows, `actions.digit(n)` for 1 to 9; `letters()` says whether single keys are wanted.
 */
export function listen(target, actions, { active, letters }) {
  target.addEventListener("keydown", (event) => {
    if (!active() || native(event) || event.isComposing) return;
    const arrow = ARROWS[event.key.toLowerCase()];
    if (arrow && actions.arrow(arrow, event)) {
      event.preventDefault();
      return;
    }
    if (event.altKey) return;
    if (/^[1-9]$/.test(event.key) && letters() && actions.digit(Number(event.key))) return;
    const name = named(event);
    const entry = table.get(name);
    if (!entry || (name.length === 1 && !letters() && name !== "?")) return;
    event.preventDefault();
    if (event.repeat && (entry.once || entry.action === "peek")) return;
    actions[entry.action]();
  });
  target.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "h") actions.unpeek();
  });
  // A key that is let go in another window never comes up here.
  window.addEventListener("blur", () => actions.unpeek());
}

/**
 * The keys of the stage that aren't in the table. Tab goes round the boxes: `cycle(by)` says
 * whether there is one. After Esc (`leave()`, true unless it only ended a drag) the next Tab is
 * the browser's own and goes to the buttons, so that nobody is caught here. Space pans.
 */
export function listenOn(stage, { cycle, leave, pan }) {
  let left = false;
  stage.addEventListener("keydown", (event) => {
    const tab = event.key === "Tab" && !event.ctrlKey && !event.altKey;
    if (tab && !left && cycle(event.shiftKey ? -1 : 1)) event.preventDefault();
    if (event.key === "Escape") left = leave();
    else if (event.key !== "Tab" && event.key !== "Shift") left = false;
    if (event.key === " ") {
      pan(true);
      event.preventDefault();
    }
  });
  stage.addEventListener("keyup", (event) => event.key === " " && pan(false));
  stage.addEventListener("pointerdown", () => (left = false));
  stage.addEventListener("focus", () => (left = false));
  window.addEventListener("blur", () => pan(false));
}

/** Write the table into the help. */
export function describe(parent, adjudicator) {
  const groups = adjudicator ? [...GROUPS, ADJUDICATION] : GROUPS;
  parent.replaceChildren(...groups.map(({ title, keys }) => {
    const section = document.createElement("section");
    const heading = document.createElement("h3");
    heading.textContent = title;
    const list = document.createElement("dl");
    for (const { key, label } of keys) {
      const term = document.createElement("dt");
      term.append(...key.map((name) => {
        const cap = document.createElement("kbd");
        cap.textContent = PRINTED[name] ?? name.toUpperCase();
        return cap;
      }));
      const meaning = document.createElement("dd");
      meaning.textContent = label;
      list.append(term, meaning);
    }
    section.append(heading, list);
    return section;
  }));
}
