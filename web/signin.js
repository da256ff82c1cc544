/** The first step: an address, and the code that was mailed to it. */
import { call, FOREIGN, Problem, session } from "./net.js";
import { clock, find, recall, remember, say, tell } from "./page.js";

const [known, ask, confirm] = ["known", "ask", "confirm"].map(find);
const problems = find("who-problem");
let waiting = null; // for a session

/** `act` is called when somebody signed in or out. */
export const changed = {};

function show(form, focus) {
  for (const each of [known, ask, confirm]) each.hidden = each !== form;
  tell(problems, null);
  if (focus) find(focus).focus();
}

export function showKnown() {
  find("known-address").textContent = recall("address") ?? "your address";
  show(known);
}

/** Asks who it is; a code that was mailed just before a reload can still be given. */
export function showUnknown(focus) {
  const asked = recall("asked");
  if (asked?.ends > Date.now()) {
    find("asked-address").textContent = asked.address;
    find("code-life").textContent = clock((asked.ends - Date.now()) / 1000);
    show(confirm, focus && "code");
  } else show(ask, focus && "address");
  if (waiting) tell(problems, new Problem("Please confirm your address.", "Then it goes on by itself."));
}

session.renew = () => {
  if (!waiting) {
    waiting = Promise.withResolvers();
    showUnknown(true);
  }
  return waiting.promise;
};

/** Does what a form is for, its buttons off meanwhile, and tells what went wrong. */
async function submit(event, form, act) {
  event.preventDefault();
  tell(problems, null);
  const buttons = form.querySelectorAll("button");
  for (const each of buttons) each.disabled = true;
  try {
    await act();
  } catch (problem) {
    tell(problems, problem);
  }
  for (const each of buttons) each.disabled = false;
  if (!form.hidden) form.querySelector("input")?.focus();
}

async function sendCode() {
  const to = find("address").value.trim() || recall("asked").address;
  const { expires_in_s: seconds } = await call("POST", "/verify", { address: to });
  remember("asked", { address: to, ends: Date.now() + seconds * 1000 });
  find("code").value = "";
  showUnknown(true);
  say(`A code is on its way to ${to}.`);
}

async function confirmCode() {
  const { address } = recall("asked");
  const { token } = await call("POST", "/verify/confirm", { address, code: find("code").value.trim() });
  if (FOREIGN) remember("token", token);
  remember("address", address);
  remember("asked", null);
  show(known);
  find(waiting ? "jobs" : "choose").focus();
  say("Your address is confirmed.");
  waiting?.resolve();
  waiting = null;
  changed.act();
}

async function signOut() {
  await call("POST", "/sign-out");
  for (const name of ["token", "address", "asked", "pending"]) remember(name, null);
  changed.act();
}

ask.addEventListener("submit", (event) => submit(event, ask, sendCode));
confirm.addEventListener("submit", (event) => submit(event, confirm, confirmCode));
find("again").addEventListener("click", (event) => submit(event, confirm, sendCode));
find("back").addEventListener("click", () => show(ask, "address"));
find("out").addEventListener("click", (event) => submit(event, known, signOut));
