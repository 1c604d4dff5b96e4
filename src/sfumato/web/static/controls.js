/** The buttons: which are pressed, which have something to act on, and what a click does. */

const LETTERS = "sfumato.letters";
const all = (selector) => document.querySelectorAll(selector);

/** Show that something is on or off. */
export function press(action, on) {
  all(`[data-action="${action}"]`).forEach((button) => button.setAttribute("aria-pressed", String(on)));
}

/** Follow the selection: its kind is pressed, and without one nothing can be deleted. */
export function follow(mark) {
  all('[data-needs="box"]').forEach((button) => button.setAttribute("aria-disabled", String(!mark)));
  press("face", mark?.kind === "face");
  press("private", mark?.kind === "private");
}

/** Offer to take other people's boxes where there are any. */
export function adjudicate(sheet) {
  all('[data-needs="others"]').forEach((button) => (button.hidden = !sheet?.lease.others?.length));
}

/** Call `actions[name]` for the button of that name; `after` follows a click with a pointer. */
export function listen(actions, after) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (!button || button.getAttribute("aria-disabled") === "true") return;
    actions[button.dataset.action]();
    if (event.detail > 0) after();
  });
}

/** Whether single letters are shortcuts: a checkbox that this browser remembers. */
export function letters(box) {
  try {
    box.checked = localStorage.getItem(LETTERS) !== "off";
  } catch {
    box.checked = true;
  }
  box.addEventListener("change", () => {
    try {
      localStorage.setItem(LETTERS, box.checked ? "on" : "off");
    } catch {
      // It holds until the page is left.
    }
  });
  return () => box.checked;
}
