/** Many proposed faces at a glance: what is doubtful goes to the editor, the rest is confirmed. */
import * as api from "./api.js";

const COUNT = 50; // leases: what the server gives at most for a gallery
const at = (id) => document.getElementById(id);

export class Gallery {
  /** `listener`: `confirmed(leases, seconds)`, `opened(leases)`, `left()`, `say`, `toast`. */
  constructor(listener) {
    this.listener = listener;
    this.leases = [];
    this.tiles = [];
    this.since = 0;
    at("gallery-leave").addEventListener("click", () => this.leave());
    at("gallery-confirm").addEventListener("click", () => this.confirm());
    at("tiles").addEventListener("keydown", (event) => this.#key(event));
  }

  get open() {
    return !at("gallery").hidden;
  }

  /** Fetch a page of faces; false if there is none. `taken` says what lies in the editor already. */
  async enter(taken) {
    const { leases } = await api.next(COUNT, true);
    const shown = leases.filter(({ token, marks, version }) => !taken(token) && marks.length && version === 0);
    if (shown.length === 0) return false;
    this.leases = shown;
    this.since = performance.now();
    this.#build();
    at("editor").hidden = true;
    at("gallery").hidden = false;
    this.#count();
    this.#focus(0);
    return true;
  }

  #build() {
    const faces = this.leases.flatMap((lease) => lease.marks.map((mark) => ({ lease, mark })));
    this.tiles = faces.map(({ lease, mark }, index) => {
      const tile = document.createElement("button");
      tile.type = "button";
      tile.className = "tile";
      tile.setAttribute("aria-pressed", "false");
      tile.setAttribute("aria-label", `Face ${index + 1} of ${faces.length}: doubtful`);
      const image = document.createElement("img");
      image.alt = "";
      image.width = image.height = 160;
      image.src = `${lease.image}/face/${encodeURIComponent(mark.id)}`;
      // What can't be seen can't be confirmed.
      image.addEventListener("error", () => this.#doubt(index, true));
      tile.append(image);
      tile.addEventListener("click", () => {
        this.#doubt(index, !this.tiles[index].doubtful);
        this.#focus(index);
      });
      return { lease, tile, image, doubtful: false };
    });
    at("tiles").replaceChildren(...this.tiles.map(({ tile }) => tile));
    at("gallery-title").textContent = `${faces.length} proposed faces`;
  }

  #doubt(index, doubtful) {
    const face = this.tiles[index];
    face.doubtful = doubtful;
    face.tile.setAttribute("aria-pressed", String(doubtful));
    this.#count();
  }

  #count() {
    const doubtful = this.tiles.filter((face) => face.doubtful).length;
    at("doubts").textContent = `${doubtful} doubtful`;
    this.listener.say(`${doubtful} doubtful`);
  }

  /** One tile is in the order of the Tab key; arrows move among them. */
  #focus(index) {
    this.tiles.forEach(({ tile }, other) => (tile.tabIndex = other === index ? 0 : -1));
    this.tiles[index]?.tile.focus();
  }

  #key(event) {
    const now = this.tiles.findIndex(({ tile }) => tile === document.activeElement);
    const tops = this.tiles.map(({ tile }) => tile.offsetTop);
    const columns = Math.max(1, tops.filter((top) => top === tops[0]).length);
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (event.key === "Enter" && !event.repeat) this.confirm();
    else if (event.key === "Escape") this.leave();
    else if (event.key === "Home") this.#focus(0);
    else if (event.key === "End") this.#focus(this.tiles.length - 1);
    else if (by && this.tiles[now + by]) this.#focus(now + by);
    else if (!by && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Confirm every image without a doubt; open the others in the editor. */
  confirm() {
    if (!this.open) return;
    const unseen = ({ image, doubtful }) => doubtful || !image.complete || image.naturalWidth === 0;
    const doubtful = new Set(this.tiles.filter(unseen).map(({ lease }) => lease));
    const fine = this.leases.filter((lease) => !doubtful.has(lease));
    const seconds = (performance.now() - this.since) / 1000 / this.leases.length;
    this.#close();
    this.listener.confirmed(fine, seconds);
    this.listener.opened([...doubtful]);
    this.listener.toast(`${fine.length} images confirmed, ${doubtful.size} to look at`);
  }

  /** Back to the editor; what was lent for the gallery goes back to the queue. */
  async leave() {
    if (!this.open) return;
    const { leases } = this;
    this.#close();
    // What can't be given back now goes back when its time runs out.
    await Promise.allSettled(leases.map(({ token }) => api.giveBack(token)));
    this.listener.opened([]);
  }

  #close() {
    at("gallery").hidden = true;
    at("editor").hidden = false;
    // What is still coming needn't come: by then the image may be somebody else's.
    this.tiles.forEach(({ image }) => image.removeAttribute("src"));
    at("tiles").replaceChildren();
    this.leases = [];
    this.tiles = [];
  }
}
