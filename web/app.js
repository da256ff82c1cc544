/** The page: leads a submission from the chosen files to the board. */
import * as jobs from "./jobs.js";
import { call, insist, Problem } from "./net.js";
import * as options from "./options.js";
import { button, bytes, files, find, recall, remember, say, tell } from "./page.js";
import * as signin from "./signin.js";
import * as uploads from "./uploads.js";

const { at } = uploads;
const problems = find("start-problem");
let wanted = null; // the options of the submission that is on its way; null: none is
let handing = null; // stops what waits for the server to take it on

function start() {
  tell(problems, null);
  wanted = options.read();
  if (wanted) uploads.storeAll();
  advance();
  if (find("files").hasChildNodes()) return;
  tell(problems, new Problem("There are no files yet.", "Choose one or many first."));
  find("choose").focus();
}

/** Shows how far it is, and hands the files over once all of them are stored. */
function advance() {
  const sending = at("waiting", "sending");
  const busy = sending.length > 0 || handing !== null;
  find("start").disabled = busy;
  find("stop").hidden = find("whole").hidden = !busy;
  const [failed, stored] = [at("failed"), at("stored")];
  const going = [...sending, ...stored, ...failed];
  const total = going.reduce((sum, { file }) => sum + file.size, 0);
  const sent = going.reduce((sum, each) => sum + each.sent, 0);
  find("whole-bar").value = handing ? 1 : sent / total || 0;
  find("whole-text").textContent = handing
    ? "Your files are there. Waiting for the server to take them on."
    : `${stored.length} of ${files(going.length)} sent, ${bytes(sent)} of ${bytes(total)}`;
  if (sending.length) tell(problems, null);
  if (busy || !wanted) return;
  if (failed.length) {
    const actions = [button("Try again", start)];
    if (stored.length) actions.push(button("Go on without", () => uploads.drop(failed)));
    tell(problems, new Problem(`${files(failed.length)} could not be sent.`, "Nothing is started yet."), actions);
  } else if (stored.length) handOver({ uploads: stored.map(({ id }) => id), options: wanted });
}

/** Names a submission, so that it is done once however often it is asked for; randomUUID is for https only. */
const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

/** Asks until the server takes the work on. What is asked is remembered: a reload does not lose it. */
async function handOver(body) {
  const last = recall("pending");
  const key = JSON.stringify(last?.body) === JSON.stringify(body) ? last.key : newKey(); // it may have been taken
  remember("pending", { key, body });
  handing = new AbortController();
  const { signal } = handing;
  advance();
  const ask = () => call("POST", "/process-file", body, { headers: { "Idempotency-Key": key }, signal });
  try {
    takenOn((await insist(ask, { signal, box: problems })).batch);
  } catch (problem) {
    if (problem.status || signal.aborted) remember("pending", null);
    if (problem.status === 404) at("stored").forEach((each) => each.show("chosen")); // gone from there: sent anew
    tell(problems, signal.aborted ? null : problem);
  }
  wanted = handing = null;
  advance();
}

function takenOn(batch) {
  remember("pending", null);
  tell(problems, null);
  wanted = null;
  const card = jobs.begin(batch);
  uploads.drop(at("stored"));
  say(`${files(batch.jobs.length)} handed in.`);
  card.focus();
}

function stop() {
  wanted = null;
  handing?.abort();
  uploads.cancelAll();
  find("start").focus();
}

find("start").addEventListener("click", start);
find("stop").addEventListener("click", stop);
uploads.changed.act = advance;
window.addEventListener("beforeunload", (event) => {
  if (at("waiting", "sending").length) event.preventDefault(); // the files cannot be read again after it
});

async function listOwn() {
  try {
    await jobs.list();
    signin.showKnown();
  } catch (problem) {
    signin.showUnknown();
    if (problem.status !== 401) tell(find("jobs-problem"), problem);
  }
}

signin.changed.act = () => {
  jobs.clear();
  listOwn();
};

const pending = recall("pending");
if (pending) handOver(pending.body);
insist(() => call("GET", "/health")).then(({ models }) => options.offer(models), () => {});
listOwn();
jobs.restore();
