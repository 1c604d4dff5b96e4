/** Requests to the server that this page came from. No other is ever asked. */

const PATIENCE = 20_000; // milliseconds until a request counts as lost
// Browsers take 64 KB for requests that outlive the page.
const OUTLIVES = 60_000;

/**
 * Why a request failed. `status` is 0 where there was no answer; `again` says whether the same
 * request may succeed later; `after` is the server's wish, in milliseconds.
 */
export class Failure extends Error {
  constructor(status, code, sentence, after = 0) {
    super(sentence);
    this.status = status;
    this.code = code;
    this.after = after;
  }

  get again() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** The link is used up, revoked or was never opened here. */
  get signedOut() {
    return this.status === 401 || this.status === 403;
  }

  /** The image is no longer lent to this person. */
  get gone() {
    return this.status === 404 || this.status === 410;
  }
}

async function failure(response) {
  const after = 1000 * (Number(response.headers.get("Retry-After")) || 0);
  let said = {};
  try {
    said = await response.json();
  } catch {
    // A proxy's page, or a connection cut in the middle: the status alone has to do.
  }
  const sentence = said.error || `The server answered ${response.status}.`;
  return new Failure(response.status, said.code || "", sentence, after);
}

async function request(method, path, body) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = method === "GET" ? {} : { "X-Sfumato": "1", "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: text,
      cache: "no-store",
      credentials: "same-origin",
      keepalive: method !== "GET" && (text?.length ?? 0) < OUTLIVES,
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new Failure(0, "OFFLINE", "The server can't be reached.");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

async function data(method, path, body) {
  const response = await request(method, path, body);
  try {
    return await response.json();
  } catch {
    throw new Failure(0, "OFFLINE", "The answer of the server was cut off.");
  }
}

const lease = (token) => `/api/lease/${encodeURIComponent(token)}`;

export const me = () => data("GET", "/api/me");
export const next = (count, gallery = false) => data("POST", "/api/next", { count, gallery });
export const save = (token, body) => data("PUT", lease(token), body);
export const answer = (token, body) => data("POST", `${lease(token)}/answer`, body);

export async function giveBack(token) {
  await request("DELETE", lease(token));
}

/** An image as an object URL; whoever asks for it revokes it. */
export async function image(path) {
  const response = await request("GET", path);
  try {
    return URL.createObjectURL(await response.blob());
  } catch {
    throw new Failure(0, "OFFLINE", "The image was cut off.");
  }
}
