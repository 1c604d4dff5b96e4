/** The code that a service of paid work wants back: shown as soon as it is earned, then for good. */
import * as api from "./api.js";

const at = (id) => document.getElementById(id);

/** Ask for the code once enough is answered, or nothing is left. */
export async function look(me, status) {
  if (!me?.quota || !at("code").hidden) return;
  if (status.done < me.quota && status.left !== 0) return;
  let code;
  try {
    code = (await api.me()).completion;
  } catch (failure) {
    if (!(failure instanceof api.Failure)) throw failure;
    return; // it is asked for again with the next answer, and when the page is opened again
  }
  if (!code) return;
  at("code").hidden = false;
  at("code").lastElementChild.textContent = code;
  status.say(`You have done your part. Your code is ${code}`);
}
