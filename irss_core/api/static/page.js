/* Follows a job by its events, or a batch by asking; without either the page is as true as when it was loaded. */
"use strict";

const main = document.querySelector("main");
const FIRST_S = 2;
const LONGEST_S = 30;
let events = null;

for (const time of document.querySelectorAll("time")) {
  const when = new Date(time.dateTime);
  time.title = time.textContent;
  time.textContent = when.toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
}

for (const button of document.querySelectorAll("button[data-to]")) {
  button.hidden = false; // without this script it could do nothing
  button.addEventListener("click", () => act(button));
}

if (main.dataset.follow && main.dataset.final !== "true") follow();

/** Does what a button is for, and says why if that was refused. */
async function act(button) {
  const { method, to, sure } = button.dataset;
  if (sure && !confirm(sure)) return;
  const fault = document.getElementById("fault");
  fault.hidden = true;
  button.disabled = true;
  try {
    const answer = await fetch(to, { method, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    if (method === "DELETE") showDeleted();
    else location.reload();
  } catch (error) {
    fault.textContent = error instanceof TypeError ? "The server cannot be reached. Try again." : error.message;
    fault.hidden = false;
    button.disabled = false;
  }
}

function showDeleted() {
  events?.close();
  document.querySelector("h1").textContent = "Deleted";
  const text = Object.assign(document.createElement("p"), { textContent: "The file and its result are gone." });
  main.replaceChildren(document.querySelector("h1"), text, ...document.querySelectorAll("#whole"));
}

function follow() {
  if (!main.dataset.events) {
    ask();
    return;
  }
  events = new EventSource(main.dataset.events);
  events.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    show(job);
    if (job.status > 2) events.close(); // else the browser would connect anew when the stream ends
  });
  events.addEventListener("gone", () => {
    events.close();
    location.reload();
  });
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) ask(); // refused: it does not try again by itself
  });
}

/** Asks for the state again and again, less often while nothing changes, and not while nobody looks. */
async function ask() {
  let seconds = FIRST_S;
  let before = "";
  for (;;) {
    await new Promise((done) => setTimeout(done, seconds * 1000));
    if (document.hidden) await new Promise((done) => addEventListener("visibilitychange", done, { once: true }));
    seconds = Math.min(seconds * 1.3, LONGEST_S);
    try {
      const answer = await fetch(main.dataset.address, { headers: { Accept: "application/json" } });
      if (answer.status === 404) location.reload();
      if (!answer.ok) continue;
      const text = await answer.text();
      if (text !== before) seconds = FIRST_S + text.length / 100000; // a large batch is asked for less often
      before = text;
      const state = JSON.parse(text);
      show(state);
      if (state.settled && state.status !== 2) return;
    } catch {
      // Not reached this time.
    }
  }
}

/** Shows a job or a batch as it is now. What a result brings with it, the server writes best: the page is loaded anew. */
function show(state) {
  if (state.settled && main.dataset.settled !== "true") {
    location.reload();
    return;
  }
  document.getElementById("summary").textContent = state.summary;
  if (state.jobs) for (const job of state.jobs) showRow(job);
  else showSteps(state);
}

function showSteps(job) {
  const progress = document.getElementById("progress");
  if (!progress) return;
  if (job.stage) progress.value = job.progress;
  else progress.removeAttribute("value");
  const at = job.stages.indexOf(job.stage);
  for (const [place, step] of [...document.querySelectorAll("#steps li")].entries()) {
    step.className = place < at ? "done" : place === at ? "now" : "next";
    if (place === at) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  }
}

function showRow(job) {
  const row = document.getElementById(`job-${job.number}`);
  if (!row) return;
  row.className = `s${job.status}`;
  row.querySelector(".summary").textContent = job.summary;
  const blank = row.querySelector(".blank");
  if (blank && job.links.thumbnail) {
    const picture = Object.assign(new Image(40, 40), { src: job.links.thumbnail, alt: "" });
    blank.replaceWith(picture);
  }
  const last = row.lastElementChild;
  if (job.links.result && !last.firstElementChild) {
    const link = Object.assign(document.createElement("a"), { href: job.links.result, textContent: "Download" });
    link.download = "";
    last.append(link);
  }
}
