/** One file of a submission: how far it is, its result, and what can be done with it. */
import { compare } from "./compare.js";
import { address, call, insist } from "./net.js";
import { button, bytes, el, tell } from "./page.js";

/** How much of a job is done, 0 to 1. */
export function share({ progress, settled, stage, stages }) {
  if (settled) return 1;
  return Math.max(0, stages.indexOf(stage) + progress) / stages.length;
}

export class Row {
  /** `news` is told the job after a change, null when it is deleted. */
  constructor(job, news) {
    const { name } = job;
    this.news = news;
    this.thumb = el("img.thumb", { alt: "", loading: "lazy" });
    this.text = el("p.quiet");
    this.bar = el("progress", { ariaLabel: `${name}, done` });
    this.problem = el("div", { role: "alert" });
    this.panel = el("div");
    this.open = button("Compare", () => this.toggle(), `Compare ${name}`);
    this.load = el("a.button", { textContent: "Download", download: "", ariaLabel: `Download ${name}` });
    this.end = button("", () => (this.job.settled ? this.delete() : this.ask("POST", "/cancel")));
    const buttons = el("div.buttons", {}, this.open, this.load, this.end);
    const words = el("div.words", {}, el("p.name", { textContent: name }), this.text);
    const line = el("div.job", {}, this.thumb, words, buttons);
    this.element = el("li", {}, line, this.bar, this.problem, this.panel);
    this.update(job);
  }

  update(job) {
    this.job = job;
    const { facts, links, name, settled } = job;
    const picture = links.thumbnail ?? links.preview;
    const { result_width: width, result_height: height } = facts;
    const made = width && links.result ? `${width} × ${height}, ${bytes(facts.result_bytes)}` : "";
    this.text.textContent = `${job.summary} ${made}`;
    this.text.classList.toggle("bad", job.status === 4);
    this.bar.hidden = settled || !job.stage;
    this.bar.value = share(job);
    this.thumb.hidden = !picture;
    if (picture && this.thumb.src !== address(picture)) this.thumb.src = address(picture);
    this.open.hidden = this.load.hidden = !links.result;
    if (links.result) this.load.href = address(links.result);
    else this.close();
    this.end.textContent = settled ? "Delete" : "Cancel";
    this.end.ariaLabel = `${this.end.textContent} ${name}`;
    this.end.disabled = !settled && job.cancel_requested;
  }

  toggle() {
    if (this.panel.hasChildNodes()) return this.close();
    const { facts, links, name } = this.job;
    const after = {
      src: address(links.result),
      width: facts.result_width,
      height: facts.result_height,
      format: facts.result_format ?? "",
      clip: facts.kind === "clip",
    };
    this.open.ariaExpanded = "true";
    return this.panel.append(compare(name, links.original && address(links.original), after));
  }

  close() {
    this.panel.replaceChildren();
    this.open.ariaExpanded = "false";
  }

  delete() {
    if (window.confirm(`Delete ${this.job.name} and its result for good?`)) this.ask("DELETE", "");
  }

  ask(method, path) {
    this.end.disabled = true;
    insist(() => call(method, `/jobs/${this.job.id}${path}`), { box: this.problem })
      .finally(() => (this.end.disabled = false))
      .then((job) => {
        tell(this.problem, null);
        this.news(job);
      })
      .catch((problem) => tell(this.problem, problem));
  }
}
