/** Before and after under one line, which is drawn aside with a pointer or the arrow keys. */
import { button, el } from "./page.js";

const APART_S = 0.08; // clips further apart than this are brought together

/**
 * An element that shows both. `after` is { src, width, height, format, clip }, `before` an address, or null if the
 * original is not kept any more.
 */
export function compare(name, before, after) {
  const sheet = el("div.sheet");
  const scroller = el("div.scroller", {}, sheet);
  const slider = el("input", { type: "range", ariaLabel: "Share of the original", oninput: place });
  const line = el("div.line");
  const tags = [el("span.tag", { textContent: "Before" }), el("span.tag.right", { textContent: "After" })];
  const stage = el("div.stage", {}, scroller, slider, line, ...tags);
  const zoom = button("Every pixel", magnify);
  const note = el("p.quiet", { role: "status" });
  stage.style.setProperty("--ratio", after.width / after.height || 4 / 3);
  stage.classList.toggle("clip", (zoom.hidden = after.clip));

  function place() {
    slider.ariaValueText = `${slider.value} % before, ${100 - slider.value} % after`;
    line.style.left = `${slider.value}%`;
    const at = line.getBoundingClientRect().left - sheet.getBoundingClientRect().left;
    sheet.style.setProperty("--at", `${Math.max(0, at)}px`);
  }

  /** Shows each pixel of the result as one of the screen, or the whole picture again. */
  function magnify() {
    const exact = stage.classList.toggle("exact");
    zoom.ariaPressed = String(exact);
    sheet.style.width = exact ? `${after.width / devicePixelRatio}px` : "";
    scroller.scrollTo((sheet.clientWidth - scroller.clientWidth) / 2, (sheet.clientHeight - scroller.clientHeight) / 2);
    place();
  }

  function show(kind, src, broken) {
    const clip = { muted: true, loop: true, playsInline: true, controls: kind === "after" };
    const node = el(`${after.clip ? "video" : "img"}.${kind}`, after.clip ? clip : { alt: `${name}, ${kind}` });
    node.onerror = broken;
    node.src = src;
    sheet.append(node);
    return node;
  }

  function alone() {
    stage.classList.add("alone");
    note.textContent = "The original is not kept any more, or this browser cannot show it.";
  }

  const result = show("after", after.src, () => {
    stage.hidden = zoom.hidden = true;
    note.textContent = `This browser cannot show the result (${after.format}). Download it instead.`;
  });
  const original = before ? show("before", before, alone) : alone();
  if (original && after.clip) keepTogether(result, original);
  scroller.onscroll = place;
  new ResizeObserver(place).observe(stage);
  return el("div", {}, stage, el("div.row", {}, zoom, note));
}

function keepTogether(lead, other) {
  lead.onplay = lead.onpause = lead.onseeked = lead.ontimeupdate = () => {
    if (Math.abs(other.currentTime - lead.currentTime) > APART_S) other.currentTime = lead.currentTime;
    if (lead.paused) other.pause();
    else if (other.paused) other.play();
  };
}
