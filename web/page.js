/** Pieces of the page: elements, words for numbers, what is remembered, problems where they happened. */

export const find = (id) => document.getElementById(id);

/** A new element. What a user or the server wrote comes in as text, never as markup. */
export function el(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = Object.assign(document.createElement(name), properties);
  node.classList.add(...classes);
  node.append(...children);
  return node;
}

export const button = (textContent, onclick, ariaLabel = textContent) =>
  el("button", { type: "button", textContent, onclick, ariaLabel });

/** Says something to a screen reader. */
export function say(text) {
  find("say").textContent = text;
}

export function bytes(count) {
  const unit = count < 1e3 ? 0 : count < 1e6 ? 1 : count < 1e9 ? 2 : 3;
  const value = count / 1000 ** unit;
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${["bytes", "kB", "MB", "GB"][unit]}`;
}

export const files = (count) => `${count} ${count === 1 ? "file" : "files"}`;

/** A time as it is counted: 0:42, 12:05, 1:02:05. */
export function clock(seconds) {
  const two = (value) => String(Math.floor(value) % 60).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60)];
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** Shows in `node` the time that is left, as `text` says it, until it is over; returns what stops it. */
export function countDown(node, seconds, text) {
  const ends = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.max(0, Math.ceil((ends - Date.now()) / 1000));
    node.textContent = left ? text(clock(left)) : "";
    if (!left || !node.isConnected) clearInterval(timer);
  };
  const timer = setInterval(tick, 500);
  node.textContent = text(clock(seconds));
  return () => clearInterval(timer);
}

const memory = new Map(); // where the browser keeps nothing for us, it lasts until a reload

/** What was remembered under that name, or null. */
export function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(`irss.${name}`));
  } catch {
    return memory.get(name) ?? null;
  }
}

/** Remembers a value; null forgets it. */
export function remember(name, value) {
  memory.set(name, value);
  try {
    localStorage.setItem(`irss.${name}`, JSON.stringify(value));
  } catch {
    // Full or forbidden: the page works, and a reload forgets.
  }
}

/** Shows a problem, counting down to when it is worth another try, with buttons if given; null empties the box. */
export function tell(box, problem, actions = [], before = "You can try again in") {
  box.replaceChildren();
  if (!problem) return;
  const note = el("div.note.bad", {}, el("p", {}, el("b", { textContent: problem.title }), ` ${problem.detail}`));
  if (actions.length) note.append(el("div.row", {}, ...actions));
  box.append(note);
  if (!problem.retryAfter) return;
  const timer = el("p", { role: "timer" });
  note.append(timer);
  countDown(timer, problem.retryAfter, (time) => `${before} ${time}.`);
}
