/** The chosen files and their way to the server: two at a time, each to be cancelled and tried again. */
import { address, call, insist, Problem, problemOf } from "./net.js";
import { button, bytes, el, files, find, say, tell } from "./page.js";

const AT_ONCE = 2;

let all = [];

/** `act` is called when the list or a file's state has changed. */
export const changed = {};

/** The files in one of these states: chosen, waiting, sending, stored, failed, cancelled. */
export const at = (...states) => all.filter((each) => states.includes(each.state));

class Upload {
  constructor(file) {
    this.file = file;
    this.sent = 0; // bytes
    this.bar = el("progress", { max: file.size || 1, ariaLabel: `${file.name}, sent` });
    this.text = el("span.quiet");
    this.problem = el("div", { role: "alert" });
    this.turn = button("Cancel", () => (this.busy ? this.cancel() : this.retry()));
    this.remove = button("Remove", () => this.drop(), `Remove ${file.name}`);
    const name = el("span.name", { textContent: file.name });
    this.row = el("li", {}, el("div.row", {}, name, this.text, this.turn, this.remove), this.bar, this.problem);
    this.show("chosen");
  }

  get busy() {
    return ["waiting", "sending"].includes(this.state);
  }

  show(state) {
    this.state = state;
    this.bar.value = this.sent;
    this.bar.hidden = state !== "sending";
    const size = bytes(this.file.size);
    this.text.textContent = state === "chosen" ? size : `${size}, ${state}`;
    this.turn.hidden = ["chosen", "stored"].includes(state);
    this.turn.textContent = this.busy ? "Cancel" : "Retry";
    this.turn.ariaLabel = `${this.turn.textContent} ${this.file.name}`;
    this.remove.hidden = this.busy;
    tell(this.problem, null);
    changed.act();
  }

  /** Brings the file to the server; at the end it is stored, failed or cancelled. */
  async store() {
    this.sent = 0;
    this.stop = new AbortController();
    const { signal } = this.stop;
    try {
      this.id = await insist(() => this.#send(signal), { signal, box: this.problem });
      this.sent = this.file.size;
      this.show("stored");
    } catch (problem) {
      if (signal.aborted) return;
      this.show("failed");
      tell(this.problem, problem);
    }
  }

  async #send(signal) {
    const { name, size, type } = this.file;
    this.show("sending");
    if (!size) throw new Problem("The file is empty.", "Choose another one.", 422);
    const asked = { name, size_bytes: size, content_type: type || "application/octet-stream" };
    const form = await call("POST", "/uploads", asked, { signal });
    await post(form, this.file, signal, (sent) => {
      this.sent = sent;
      this.show("sending");
    });
    return form.id;
  }

  cancel() {
    this.stop?.abort();
    this.sent = 0;
    this.show("cancelled");
    pump();
  }

  retry() {
    this.show("waiting");
    pump();
  }

  drop() {
    const next = this.row.nextElementSibling ?? this.row.previousElementSibling;
    drop([this]);
    (next?.querySelector("button:not([hidden])") ?? find("choose")).focus();
  }
}

/** Sends a form, its file last; `progress` is told how many bytes of it are out. */
function post(form, file, signal, progress) {
  const body = new FormData();
  for (const [name, value] of Object.entries(form.fields)) body.append(name, value);
  body.append("file", file, "file"); // its own name was told before and names nothing here
  const { promise, resolve, reject } = Promise.withResolvers();
  const request = new XMLHttpRequest();
  request.upload.onprogress = ({ loaded, total }) => signal.aborted || progress((file.size * loaded) / total);
  request.onload = () => {
    const { status, responseText } = request;
    if (status < 300) resolve();
    else reject(problemOf(status, responseText, request.getResponseHeader("Retry-After")));
  };
  request.onerror = async () => {
    await call("GET", "/health").catch(() => {}); // is it the server, or this file?
    reject(new Problem("The file did not get through.", "If it was moved or changed, choose it again."));
  };
  signal.addEventListener("abort", () => request.abort());
  request.open("POST", new URL(form.url, address("/")));
  request.send(body);
  return promise;
}

export function storeAll() {
  for (const each of at("chosen", "failed", "cancelled")) each.show("waiting");
  pump();
}

function pump() {
  for (const each of at("waiting").slice(0, Math.max(0, AT_ONCE - at("sending").length))) each.store().then(pump);
}

export function cancelAll() {
  for (const each of [...at("waiting"), ...at("sending")]) each.cancel();
}

export function drop(some) {
  for (const each of some) each.row.remove();
  all = all.filter((each) => !some.includes(each));
  changed.act();
}

function add(chosen) {
  const fresh = [...chosen].map((file) => new Upload(file));
  all.push(...fresh);
  find("files").append(...fresh.map((each) => each.row));
  say(`${files(fresh.length)} added.`);
  changed.act();
}

find("choose").addEventListener("change", ({ target }) => {
  add(target.files);
  target.value = ""; // the same file may be chosen again
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return; // text or a picture of a page
    event.preventDefault(); // beside the zone too, or the browser would leave this page for the file
    find("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
