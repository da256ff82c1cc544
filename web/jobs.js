/** The board: every submission of this browser and of this address, followed while there is work. */
import { address, backOff, call, insist, reached, seen, sleep } from "./net.js";
import { el, find, recall, remember, say, tell } from "./page.js";
import { Row, share } from "./row.js";

const KEPT = 50; // submissions whose ids are remembered
const STREAMS = 2; // at once: a browser has few connections to one server
const BROKEN = 3; // streams in a row that broke; from then on we only ask
const LISTEN_S = 20; // a stream may fall silent, and other files have news, too: then we ask all the same

const cards = new Map(); // batch id -> Card
let streams = 0;

/** A submission; `fresh` if it was made here and now: a result of bearable size is then shown at once. */
class Card {
  rows = new Map(); // job id -> Row

  constructor(batch, fresh) {
    Object.assign(this, { batch, fresh });
    const day = new Date(batch.created_at).toLocaleString();
    this.title = el("summary");
    this.bar = el("progress", { ariaLabel: "The whole submission, done" });
    this.zip = el("a.button", { textContent: "Download all", download: "" });
    this.list = el("ul");
    this.details = el("details", { open: true }, this.title, this.bar, this.list);
    const head = el("div.row", {}, el("p.quiet", { textContent: day }), this.zip);
    this.element = el("li.card", { tabIndex: -1 }, head, this.details);
  }

  get jobs() {
    return [...this.rows.values()].map((row) => row.job);
  }

  get open() {
    return cards.get(this.batch.id) === this && this.jobs.some((job) => !job.settled);
  }

  /** Shows it as the server tells it, and returns whether anything is new. */
  show(batch) {
    const news = JSON.stringify(batch) !== JSON.stringify(this.batch);
    const there = new Set(batch.jobs.map(({ id }) => id));
    const zip = batch.links.results_zip;
    this.batch = batch;
    for (const id of this.rows.keys()) if (!there.has(id)) this.drop(id);
    for (const job of batch.jobs) this.update(job);
    this.title.textContent = batch.summary;
    this.details.classList.toggle("single", there.size === 1);
    this.zip.hidden = !zip || there.size === 1;
    if (zip) this.zip.href = address(zip);
    return news;
  }

  update(job) {
    const row = this.rows.get(job.id);
    if (row) {
      const done = job.settled && !row.job.settled;
      row.update(job);
      if (done) say(`${job.name}: ${job.summary}`);
      if (done && this.fresh && this.rows.size === 1 && job.facts.result_bytes < 3e7) row.toggle();
    } else {
      const fresh = new Row(job, (now) => (now ? this.update(now) : this.drop(job.id)));
      this.rows.set(job.id, fresh);
      this.list.append(fresh.element);
    }
    const { jobs } = this;
    this.bar.hidden = !this.open;
    this.bar.value = jobs.reduce((sum, each) => sum + share(each), 0) / jobs.length;
  }

  drop(id) {
    const row = this.rows.get(id);
    const focused = row.element.contains(document.activeElement);
    row.close();
    row.element.remove();
    this.rows.delete(id);
    if (!this.rows.size) forget(this.batch.id);
    if (focused) (this.rows.size ? this.element : find("jobs")).focus();
  }

  /** Keeps it up to date until all is done: by events while they come, else by asking less and less often. */
  async follow() {
    for (let quiet = 0, broken = 0; this.open; ) {
      await seen();
      await reached();
      const listens = broken < BROKEN && streams < STREAMS;
      if (listens) broken = (await this.#listen()) ? 0 : broken + 1;
      if (broken || !listens) await sleep(backOff(quiet));
      if (!document.hidden) quiet = (await this.#ask()) ? 0 : quiet + 1;
    }
  }

  /** Listens to the file in work for a while; returns whether the stream held. */
  async #listen() {
    const left = this.jobs.filter((job) => !job.settled);
    const stream = new EventSource(address((left.find((job) => job.stage) ?? left[0]).links.events));
    const { promise: held, resolve: end } = Promise.withResolvers();
    stream.addEventListener("job", ({ data }) => {
      const job = JSON.parse(data);
      if (this.open) this.update(job);
      if (job.settled) end(true);
    });
    stream.addEventListener("gone", () => end(true));
    stream.addEventListener("error", () => end(false));
    streams += 1;
    const well = await Promise.race([held, sleep(LISTEN_S).then(() => true)]);
    streams -= 1;
    stream.close();
    return well;
  }

  /** Asks how it is, and returns whether there is news. */
  async #ask() {
    try {
      return this.show(await call("GET", `/batches/${this.batch.id}`));
    } catch (problem) {
      if (problem.status === 404) forget(this.batch.id);
      else await sleep(problem.retryAfter);
      return false;
    }
  }
}

const remembered = () => recall("batches") ?? [];

function forget(id) {
  remember("batches", remembered().filter((each) => each !== id));
  cards.get(id)?.element.remove();
  cards.delete(id);
  find("jobs-none").hidden = cards.size > 0;
}

/** Puts a submission in its place on the board, and follows it; returns its element. */
function put(batch, fresh = false) {
  const card = new Card(batch, fresh);
  const next = [...find("board").children].find((each) => each.dataset.at < batch.created_at);
  card.element.dataset.at = batch.created_at;
  cards.set(batch.id, card);
  find("board").insertBefore(card.element, next ?? null);
  find("jobs-none").hidden = true;
  card.show(batch);
  card.follow();
  return card.element;
}

async function load(ids) {
  for (const id of ids) {
    if (cards.has(id)) continue;
    const batch = await insist(() => call("GET", `/batches/${id}`)).catch(({ status }) => status === 404 && forget(id));
    if (batch && !cards.has(id)) put(batch);
  }
}

/** Puts a submission that was just taken on the board, and remembers it. */
export function begin(batch) {
  remember("batches", [...new Set([batch.id, ...remembered()])].slice(0, KEPT));
  return cards.get(batch.id)?.element ?? put(batch, true);
}

export const restore = () => load(remembered());

let next = null; // asks for the page after the last one

/** Puts the address's own submissions on the board, from the newest on, or those that follow after `cursor`. */
export async function list(cursor) {
  const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
  const page = await insist(() => call("GET", `/images?limit=20${more}`), { anonymous: true });
  next = page.next;
  find("older").hidden = !next;
  tell(find("jobs-problem"), null);
  load(new Set(page.images.map(({ links }) => links.batch.split("/").pop())));
}

/** Empties the board: somebody else looks at it now. */
export function clear() {
  for (const id of [...cards.keys()]) forget(id);
  find("older").hidden = true;
}

find("older").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  await list(next).catch((problem) => tell(find("jobs-problem"), problem));
  target.disabled = false;
});
