/** The way to the API: answers, problems, waiting, and going on after a break. */
import { API } from "./config.js";
import { countDown, find, recall, say, tell } from "./page.js";

const BASE = new URL(`${API.replace(/\/+$/, "")}/`, location.href);
const TIMEOUT_MS = 60_000;
const TRIES = 5;

/** Whether the API is of another origin: then its cookie does not come along, and the token is sent instead. */
export const FOREIGN = BASE.origin !== location.origin;

export const address = (path) => new URL(path.replace(/^\//, ""), BASE).href;

/** Why something was not done. `status` 0: the server was not reached. */
export class Problem extends Error {
  constructor(title, detail = "", status = 0, retryAfter = 0) {
    super(title);
    Object.assign(this, { title, detail, status, retryAfter });
  }
}

/** The problem that an answer tells of: a problem document, a store's XML or a proxy's page. */
export function problemOf(status, text, header) {
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    told.detail = /<Message>([^<]*)/.exec(text)?.[1];
  }
  const title = told.title ?? `The server answered ${status}`;
  return new Problem(`${title}.`, told.detail ?? "", status, Number(told.retry_after ?? header) || 0);
}

/** Asks the API and returns what it says; throws a Problem. */
export async function call(method, path, body, { headers = {}, signal } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (body) sent["Content-Type"] = "application/json";
  if (FOREIGN && recall("token")) sent.Authorization = `Bearer ${recall("token")}`;
  let answer, text;
  try {
    answer = await fetch(address(path), {
      method,
      headers: sent,
      body: body && JSON.stringify(body),
      credentials: FOREIGN ? "omit" : "same-origin",
      cache: "no-store",
      signal: signal ?? AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await answer.text();
  } catch {
    if (!signal?.aborted) lost();
    throw new Problem("The server cannot be reached.", "Nothing is lost.");
  }
  away?.resolve();
  if (!answer.ok) throw problemOf(answer.status, text, answer.headers.get("Retry-After"));
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    throw new Problem("This is not the server's API.", `Check the address in config.js: ${BASE}`, 404);
  }
}

// --- waiting ---

const sleepers = new Set();
const wake = () => sleepers.forEach((end) => end());

/** Waits that long, or until the browser is online, the page seen, or the server back. */
export async function sleep(seconds) {
  const { promise, resolve } = Promise.withResolvers();
  const timer = setTimeout(resolve, Math.min(seconds * 1000, 2 ** 31 - 1));
  sleepers.add(resolve);
  await promise;
  clearTimeout(timer);
  sleepers.delete(resolve);
}

/** Seconds to the next try: 1 to 30, twice as long each time, spread so that not all come at once. */
export const backOff = (failures) => Math.max(1, Math.min(30, 2 ** failures) * (0.5 + Math.random() / 2));

/** Waits until somebody looks at the page. */
export async function seen() {
  while (document.hidden) await sleep(3600);
}

window.addEventListener("online", wake);
document.addEventListener("visibilitychange", () => document.hidden || wake());
find("net-now").addEventListener("click", wake);

// --- is the server there? ---

let away = null; // while it is not

/** Waits until nothing says that the server is away. */
export const reached = async () => away?.promise;

async function lost() {
  if (away) return;
  away = Promise.withResolvers();
  away.promise.then(() => {
    away = null;
    find("net").hidden = true;
    say("The server is there again.");
    wake();
  });
  find("net-title").textContent = navigator.onLine ? "The server does not answer." : "You are offline.";
  find("net").hidden = false;
  for (let failures = 0; away; failures += 1) {
    const seconds = backOff(failures);
    const stop = countDown(find("net-next"), seconds, (time) => `Next try in ${time}.`);
    await sleep(seconds);
    stop();
    await seen();
    if (away) await call("GET", "/health").catch(() => {});
  }
}

// --- going on ---

/** `renew` asks who it is; it resolves when somebody has signed in. */
export const session = {};

/**
 * Does something until it is done: again after signing in (not if `anonymous`), when the server is back, and after a
 * pause that it asked for, which is told in `box`. Gives up after some failures of another kind, and at `signal`.
 */
export function insist(act, { signal, ...how } = {}) {
  const { promise, reject } = Promise.withResolvers();
  signal?.addEventListener("abort", reject);
  return Promise.race([goOn(act, signal, how), promise]);
}

async function goOn(act, signal, { anonymous, box }) {
  for (let failures = 0; ; ) {
    try {
      return await act();
    } catch (problem) {
      const { retryAfter, status } = problem;
      const passing = [0, 429].includes(status) || status >= 500;
      if (signal?.aborted || (status === 401 ? anonymous : !passing)) throw problem;
      if (status === 401) await session.renew();
      else if (retryAfter) {
        if (box) tell(box, problem, [], "It goes on by itself in");
        await sleep(retryAfter);
      } else {
        failures += 1;
        if (failures === TRIES) throw problem;
        await sleep(backOff(failures - 1));
        await reached();
      }
      if (signal?.aborted) throw problem;
    }
  }
}
