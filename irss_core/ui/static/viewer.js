/*
 * Three custom elements that show results: <irss-compare> (two stills under one wipe), <irss-player> (a clip whose
 * panels are stacked in one video, so they cannot drift apart) and <irss-region> (choose a square of the original).
 *
 * Plain JavaScript, no dependency, no build step; may be inlined in a <script>. Everything lives in a shadow root, so
 * the host page's styles cannot break it; colours come from the --irss-* variables of viewer.css. Texts, labels and
 * addresses from attributes only ever become text nodes and checked URLs, never markup.
 */
(() => {
  "use strict";
  if (window.customElements.get("irss-compare")) return;

  const MAX_ZOOM = 32; // device pixels per picture pixel
  const PIXELS_FROM = 2; // from this zoom on, pixels are drawn as squares instead of being smoothed
  const ZOOM_STOPS = [0.05, 0.07, 0.1, 0.15, 0.25, 0.33, 0.5, 0.67, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32];
  const DRAG_THRESHOLD = 4; // CSS pixels; below it, a press is a click
  const TAP_MS = 250; // a shorter press of B toggles, a longer one holds
  const GLIDE_MS = 140;
  const WHEEL_LATCH_MS = 250;

  const ICONS = {
    minus: "M5 12h14",
    plus: "M12 5v14M5 12h14",
    swap: "M4 8h15m0 0-4-4m4 4-4 4M20 16H5m0 0 4-4m-4 4 4 4",
    enlarge: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
    shrink: "M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5",
    grip: "M9 7l-5 5 5 5M15 7l5 5-5 5",
    rowgrip: "M7 9l5-5 5 5M7 15l5 5 5-5",
    play: "M8 5l11 7-11 7z",
    pause: "M8 5v14M16 5v14",
    back: "M19 6l-9 6 9 6zM6 6v12",
    forward: "M5 6l9 6-9 6zM18 6v12",
    loop: "M17 3l3 3-3 3M4 11V9a3 3 0 0 1 3-3h13M7 21l-3-3 3-3M20 13v2a3 3 0 0 1-3 3H4",
    alert: "M12 8v5M12 16.5v.5M12 3 2.5 20h19z",
  };

  const CSS = `
:host { --bg: var(--irss-bg, #fff); --fg: var(--irss-fg, #1d2126); --muted: var(--irss-muted, #5a636e);
  --line: var(--irss-line, #d5d9df); --accent: var(--irss-accent, #1f5fc4); --hover: var(--irss-hover, #f0f2f5);
  --stage: var(--irss-stage, #e6e8eb); --check: var(--irss-stage-check, #dadde1); --danger: var(--irss-danger, #b3261e);
  --radius: var(--irss-radius, 10px);
  display: block; width: 100%; min-width: 0; container-type: inline-size; color: var(--fg); background: transparent;
  font-size: 14px; line-height: 1.4; font-weight: 400; letter-spacing: normal; text-align: left; text-transform: none; }
:host([hidden]) { display: none; }
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
.sr { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
svg { width: 18px; height: 18px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round;
  stroke-linejoin: round; display: block; flex: none; }
svg.solid path { fill: currentColor; }
.viewer { display: flex; flex-direction: column; gap: 10px; position: relative; }
.stage { position: relative; overflow: hidden; width: 100%; aspect-ratio: var(--ratio, 4 / 3); isolation: isolate;
  max-height: min(76vh, 900px); min-height: 200px; border-radius: var(--radius); background: var(--stage);
  touch-action: pan-y; user-select: none; -webkit-user-select: none; cursor: ew-resize; }
.stage::after { content: ""; position: absolute; inset: 0; border-radius: inherit; pointer-events: none; z-index: 5;
  box-shadow: inset 0 0 0 1px color-mix(in srgb, var(--line) 70%, transparent); }
.stage:focus-visible { outline-offset: 3px; }
.stage.zoomed { touch-action: none; cursor: grab; }
.stage.panning { cursor: grabbing; }
.stage.single:not(.zoomed) { cursor: default; }
.paper { position: absolute;
  background: repeating-conic-gradient(var(--check) 0 25%, transparent 0 50%) 0 0 / 20px 20px; }
.pane { position: absolute; inset: 0; overflow: hidden; pointer-events: none; }
.pane img { position: absolute; left: 0; top: 0; margin: 0; max-width: none; max-height: none; object-fit: fill;
  transform-origin: 0 0; visibility: hidden; -webkit-user-drag: none; }
.pane img.shown { visibility: visible; }
canvas, .film { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
.film { opacity: 0; }
.tag { position: absolute; top: 10px; padding: 3px 9px; border-radius: 99px; font-size: 12.5px; font-weight: 500;
  color: #fff; background: rgb(16 18 21 / .68); overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  pointer-events: none; }
.tag.peek { background: #f3c969; color: #1b1606; }
.tag:empty { display: none; }
.wipe, .row { position: absolute; z-index: 3; }
.wipe { top: 0; bottom: 0; width: 28px; margin-left: -14px; cursor: ew-resize; touch-action: pan-y; }
.wipe::before { content: ""; position: absolute; inset: 0 calc(50% - 1px); background: #fff;
  box-shadow: 0 0 0 1px rgb(0 0 0 / .35); }
.grip { position: absolute; display: grid; place-items: center; color: #22262b; background: rgb(255 255 255 / .94);
  border-radius: 50%; width: 34px; height: 34px; box-shadow: 0 0 0 1px rgb(0 0 0 / .3), 0 2px 8px rgb(0 0 0 / .3); }
.wipe .grip { left: 50%; bottom: 14px; margin-left: -17px; }
.wipe:focus-visible, .row:focus-visible { outline: none; }
.wipe:focus-visible::before, .row:focus-visible::before { background: var(--accent); }
.wipe:focus-visible .grip, .row:focus-visible .grip { outline: 3px solid var(--accent); outline-offset: 2px; }
.row { left: 0; right: 0; height: 24px; margin-top: -12px; cursor: ns-resize; touch-action: none;
  pointer-events: none; }
.row::before { content: ""; position: absolute; inset: calc(50% - 1px) 0; background: #f3c969;
  box-shadow: 0 0 0 1px rgb(0 0 0 / .4); }
.row .grip { left: 8px; top: -3px; height: 30px; width: auto; padding: 0 10px 0 6px; border-radius: 15px; display: flex;
  align-items: center; gap: 4px; background: #f3c969; color: #1b1606; font-size: 12px; font-weight: 500;
  pointer-events: auto; }
.row .grip svg { width: 15px; height: 15px; }
.notes { position: absolute; inset: 0; z-index: 2; display: flex; pointer-events: none; }
.half { flex: 1 1 0; min-width: 0; display: grid; place-items: center; padding: 12px; }
.note { display: flex; flex-direction: column; align-items: center; gap: 8px; max-width: 100%; padding: 9px 14px;
  border-radius: 10px; background: var(--bg); color: var(--fg); box-shadow: 0 0 0 1px var(--line);
  text-align: center; overflow-wrap: anywhere; font-size: 13px; }
.note.busy { flex-direction: row; color: var(--muted); padding: 6px 12px; border-radius: 99px; }
.note.bad svg { color: var(--danger); width: 22px; height: 22px; }
.note button { pointer-events: auto; }
.spin { width: 14px; height: 14px; border-radius: 50%; border: 2px solid var(--line); border-top-color: var(--accent);
  animation: spin .9s linear infinite; flex: none; }
@keyframes spin { to { transform: rotate(1turn); } }
.corner { position: absolute; right: 10px; bottom: 10px; z-index: 4; display: flex; gap: 6px; }
.corner button { width: 34px; height: 34px; padding: 0; border: 0; color: #fff; background: rgb(16 18 21 / .62); }
.corner button:hover { background: rgb(16 18 21 / .85); }
.corner button:focus-visible { outline-color: #fff; box-shadow: 0 0 0 5px var(--accent); }
.help { position: absolute; right: 10px; bottom: 10px; z-index: 6; max-width: calc(100% - 20px);
  max-height: calc(100% - 20px); overflow: auto; padding: 12px 18px 16px; border-radius: 10px; background: var(--bg);
  color: var(--fg); box-shadow: 0 0 0 1px var(--line), 0 8px 30px rgb(0 0 0 / .3); cursor: default;
  touch-action: auto; }
.help .top { display: flex; align-items: center; justify-content: space-between; gap: 12px; margin: 0 0 8px; }
.help strong { font-weight: 600; }
.help dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 14px; margin: 0; max-width: 620px; }
.help dt { margin: 0; } .help dd { margin: 0; color: var(--muted); }
kbd { font: inherit; font-size: 12px; padding: 1px 6px; border: 1px solid var(--line); border-radius: 5px;
  background: var(--hover); white-space: nowrap; }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 12px; }
.pair { display: flex; align-items: center; gap: 6px; flex: 1 1 320px; min-width: 0; }
.pair select { flex: 1 1 0; min-width: 0; max-width: 260px; }
.tools { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; margin-left: auto; }
button, select { font: inherit; color: inherit; height: 34px; border: 1px solid var(--line); border-radius: 8px;
  background: var(--bg); margin: 0; }
button { display: inline-flex; align-items: center; justify-content: center; gap: 6px; padding: 0 10px; line-height: 1;
  cursor: pointer; min-width: 34px; white-space: nowrap; touch-action: manipulation; }
button.icon { padding: 0; width: 36px; flex: none; }
select { padding: 0 28px 0 10px; text-overflow: ellipsis; cursor: pointer; appearance: none; -webkit-appearance: none;
  background-image: linear-gradient(45deg, transparent 50%, var(--muted) 50%),
    linear-gradient(-45deg, transparent 50%, var(--muted) 50%);
  background-size: 5px 5px; background-repeat: no-repeat;
  background-position: right 15px center, right 10px center; }
option { color: var(--fg); background: var(--bg); }
button:hover, select:hover { background-color: var(--hover); }
button:disabled { opacity: .45; cursor: default; }
button[aria-pressed="true"] { border-color: var(--accent); color: var(--accent);
  background: color-mix(in srgb, var(--accent) 12%, var(--bg)); }
.joined { display: flex; }
.joined > * { border-radius: 0; margin-left: -1px; position: relative; }
.joined > :first-child { border-radius: 8px 0 0 8px; margin-left: 0; }
.joined > :last-child { border-radius: 0 8px 8px 0; }
.joined > :focus-visible { z-index: 1; }
.joined output { display: grid; place-items: center; min-width: 58px; height: 34px; border: solid var(--line);
  border-width: 1px 0; font-variant-numeric: tabular-nums; color: var(--muted); font-size: 13px; line-height: 1; }
.transport { display: grid; grid-template-columns: auto 1fr auto auto; align-items: center; gap: 8px 12px; }
.transport .keys, .transport .ways { display: flex; align-items: center; gap: 6px; }
.transport select { padding-left: 8px; padding-right: 24px; }
.play { background: var(--fg); color: var(--bg); border-color: var(--fg); }
.play:hover { background: color-mix(in srgb, var(--fg) 85%, var(--bg)); }
.count { font-variant-numeric: tabular-nums; color: var(--muted); white-space: nowrap; text-align: right; }
input[type="range"] { width: 100%; min-width: 0; height: 28px; margin: 0; accent-color: var(--accent); cursor: pointer;
  background: transparent; }
.hint { color: var(--muted); font-size: 13px; }
.frame { position: relative; margin: 0 auto; overflow: hidden; border-radius: var(--radius); background: var(--stage);
  width: min(100%, 62vh * var(--aspect, 1.3333)); aspect-ratio: var(--ratio, 4 / 3); cursor: crosshair;
  user-select: none; -webkit-user-select: none; }
.frame img { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; max-width: none; object-fit: fill;
  -webkit-user-drag: none; }
.mark { position: absolute; cursor: move; touch-action: none; border-radius: 2px;
  box-shadow: 0 0 0 2px #fff, 0 0 0 3px rgb(0 0 0 / .55), 0 0 0 200vmax rgb(8 9 11 / .5); }
.mark::before { content: ""; position: absolute; left: 50%; top: 50%; width: max(100%, 44px); height: max(100%, 44px);
  transform: translate(-50%, -50%); }
.mark:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
.under { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 6px 12px; }
.numbers { font-variant-numeric: tabular-nums; }
:host(:fullscreen), :host([data-enlarged]) { background: var(--bg); }
:host([data-enlarged]) { position: fixed; inset: 0; z-index: 2147483000; }
:host(:fullscreen) .viewer, :host([data-enlarged]) .viewer { height: 100%; padding: 10px; }
:host(:fullscreen) .stage, :host([data-enlarged]) .stage { flex: 1 1 0; aspect-ratio: auto; max-height: none;
  min-height: 0; }
@media (pointer: coarse) {
  .wipe { width: 44px; margin-left: -22px; }
  button, select, .joined output { height: 40px; }
  button.icon { width: 40px; } .corner button { width: 38px; height: 38px; } button kbd { display: none; }
}
@container (max-width: 620px) {
  .pair { flex-basis: 100%; } .pair select { max-width: none; }
  .tools { flex: 1 1 100%; margin-left: 0; justify-content: space-between; }
  .stage { min-height: 150px; max-height: 68vh; }
  .help { inset: 0; max-width: none; max-height: none; border-radius: 0; }
  .tag { top: 8px; padding: 2px 8px; font-size: 12px; }
  .transport { grid-template-columns: auto 1fr auto; }
  .transport input { grid-column: 1 / -1; grid-row: 1; }
}
@media (prefers-reduced-motion: reduce) { .spin { animation: none; border-top-color: var(--line); } }
@media (forced-colors: active) { button[aria-pressed="true"] { outline: 2px solid Highlight; } }
`;
  const SHEET = new CSSStyleSheet();
  SHEET.replaceSync(CSS);

  // ---------------------------------------------------------------- small pieces

  const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
  const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  function el(tag, attributes = {}, ...children) {
    const [name, ...classes] = tag.split(".");
    const node = document.createElement(name);
    if (classes.length) node.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function icon(name) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", ICONS[name]);
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    if (["play", "back", "forward"].includes(name)) svg.setAttribute("class", "solid");
    svg.append(path);
    return svg;
  }

  /** Listens for space-separated event names. */
  function on(node, names, act, options) {
    for (const name of names.split(" ")) node.addEventListener(name, act, options);
  }

  function button(kind, label, content, action) {
    const node = el(kind, { type: "button", "aria-label": label, title: label }, content);
    on(node, "click", action);
    return node;
  }

  function select(label, options) {
    const node = el("select", { "aria-label": label });
    node.fill = (items) => node.replaceChildren(...items.map(([value, text]) => el("option", { value }, text)));
    node.fill(options);
    return node;
  }

  /** The absolute address when a picture or clip may be loaded from it, else null. */
  function safeUrl(text, kind) {
    if (!text) return null;
    try {
      const url = new URL(text, document.baseURI);
      if (["http:", "https:", "blob:"].includes(url.protocol)) return url.href;
      return url.protocol === "data:" && url.pathname.startsWith(`${kind}/`) ? url.href : null;
    } catch {
      return null;
    }
  }

  /** A list from a JSON attribute; null when it is not one. */
  function readList(text) {
    try {
      const value = JSON.parse(text || "[]");
      return Array.isArray(value) ? value : null;
    } catch {
      return null;
    }
  }

  /**
   * Sources or panels with text ids and labels; an entry without an id, or with one seen before, is left out. One with a
   * side ("left" or "right") is offered on that side only. `panel` is a panel's place in the video, its own if not given.
   */
  function readSources(text) {
    const list = readList(text);
    if (!list) return null;
    const seen = new Map();
    for (const item of list) {
      if (!item || item.id === undefined || item.id === null || seen.has(String(item.id))) continue;
      const id = String(item.id);
      const panel = Number.isInteger(item.panel) ? item.panel : seen.size;
      const side = ["left", "right"].includes(item.side) ? item.side : "";
      seen.set(id, { id, label: String(item.label ?? id), src: String(item.src ?? ""), side, panel });
    }
    return [...seen.values()];
  }

  function readNumber(node, name, fallback = 0) {
    const value = Number.parseFloat(node.getAttribute(name));
    return Number.isFinite(value) && value > 0 ? value : fallback;
  }

  /** Text put into the field that `selector` names (or that lies inside it) as if the visitor had typed it. */
  function fillField(root, selector, text) {
    let field = null;
    try {
      field = root.querySelector(selector) || document.querySelector(selector);
    } catch {
      return true; // not a selector: no use trying again
    }
    if (field && !field.matches("input, textarea")) field = field.querySelector("input, textarea");
    if (!field) return false;
    if (field.value === text) return true;
    const type = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(type.prototype, "value").set.call(field, text); // frameworks patch the instance
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return true;
  }

  /** Like fillField, patient for some seconds: the page may insert the field after this element. */
  function fillSoon(host, selector, text) {
    window.clearTimeout(host.fillTimer);
    if (!selector) return;
    let tries = 60;
    const attempt = () => {
      if (!host.isConnected || fillField(host.getRootNode(), selector, text) || !tries--) return;
      host.fillTimer = window.setTimeout(attempt, 100);
    };
    attempt();
  }

  function emit(host, name, detail) {
    host.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  // ---------------------------------------------------------------- geometry

  /** Where a width x height picture lies on a box: pure numbers, shared by both sides, so they cannot differ. */
  class Viewport {
    constructor() {
      Object.assign(this, { boxW: 1, boxH: 1, width: 1, height: 1, scale: 1, x: 0, y: 0, fitted: true });
    }

    get density() { return window.devicePixelRatio || 1; }
    get zoom() { return this.scale * this.density; }
    get fitScale() { return Math.min(this.boxW / this.width, this.boxH / this.height); }
    get pannable() {
      return this.width * this.scale > this.boxW + 0.5 || this.height * this.scale > this.boxH + 0.5;
    }

    /** The part of the box that the picture covers. */
    get bounds() {
      return {
        left: clamp(this.x, 0, this.boxW), right: clamp(this.x + this.width * this.scale, 0, this.boxW),
        top: clamp(this.y, 0, this.boxH), bottom: clamp(this.y + this.height * this.scale, 0, this.boxH),
      };
    }

    place(scale, x, y, fitted = false) {
      const snap = (value) => Math.round(value * this.density) / this.density; // 1:1 stays crisp on whole pixels
      const along = (size, box, at) => snap(size <= box ? (box - size) / 2 : clamp(at, box - size, 0));
      return {
        scale, fitted, x: along(this.width * scale, this.boxW, x), y: along(this.height * scale, this.boxH, y),
      };
    }

    fit() { return this.place(this.fitScale, 0, 0, true); }

    /** The place after zooming to `scale` with the picture's point under (px, py) held where it is. */
    zoomed(scale, px, py) {
      const low = Math.min(this.fitScale, 1 / this.density);
      const high = Math.max(MAX_ZOOM / this.density, this.fitScale);
      const next = clamp(scale, low, high);
      if (Math.abs(next - this.fitScale) < 1e-6 * next) return this.fit();
      const ratio = next / this.scale;
      return this.place(next, px - (px - this.x) * ratio, py - (py - this.y) * ratio);
    }

    moved(dx, dy) { return this.place(this.scale, this.x + dx, this.y + dy, this.fitted); }

    set(place) { Object.assign(this, place); }

    /** A new picture or box size: a fitted view stays fitted, any other keeps the point in its middle. */
    resize(boxW, boxH, width, height) {
      const same = width === this.width && height === this.height;
      const midX = (this.boxW / 2 - this.x) / this.scale;
      const midY = (this.boxH / 2 - this.y) / this.scale;
      Object.assign(this, { boxW, boxH, width, height });
      if (this.fitted || !same) this.set(this.fit());
      else this.set(this.place(this.scale, boxW / 2 - midX * this.scale, boxH / 2 - midY * this.scale));
    }
  }

  // ---------------------------------------------------------------- what all three share

  /** Calls `update(changed attribute names)` once on insertion and once after each burst of attribute changes. */
  class ViewerElement extends HTMLElement {
    constructor() {
      super();
      this.attachShadow({ mode: "open" }).adoptedStyleSheets = [SHEET];
      this.life = null; // aborted on removal: takes every listener outside the element with it
      this.pending = null;
    }

    connectedCallback() {
      this.life = new AbortController();
      this.update(new Set(this.constructor.observedAttributes));
    }

    disconnectedCallback() {
      this.life.abort();
      this.life = null;
      window.clearTimeout(this.fillTimer);
      this.release();
    }

    attributeChangedCallback(name, before, now) {
      if (before === now || !this.life) return;
      if (!this.pending) {
        this.pending = new Set();
        queueMicrotask(() => {
          const changed = this.pending;
          this.pending = null;
          if (this.life) this.update(changed);
        });
      }
      this.pending.add(name);
    }
  }

  // ---------------------------------------------------------------- what compare and player share

  /** A stage with two sides, a wipe between them, shared zoom and pan, pair selects, help and full screen. */
  class PairElement extends ViewerElement {
    static shared = ["data-left", "data-right", "data-width", "data-height", "data-baseline"];

    constructor() {
      super();
      this.view = new Viewport();
      this.split = 0.5;
      this.peeking = false;
      this.sources = [];
      this.left = null;
      this.right = null;
      this.pointers = new Map();
      this.build();
      this.resizer = new ResizeObserver(() => this.layout());
    }

    // -- building

    build() {
      this.stage = el("div.stage", { tabindex: "0", role: "group" });
      this.wipe = el("div.wipe", {
        role: "slider", tabindex: "0", "aria-label": "Dividing line", "aria-orientation": "horizontal",
        "aria-valuemin": "0", "aria-valuemax": "100",
      }, el("span.grip", {}, icon("grip")));
      this.tags = { left: el("span.tag", { "aria-hidden": "true" }), right: el("span.tag", { "aria-hidden": "true" }) };
      this.halves = { left: el("div.half"), right: el("div.half") };
      this.enlarge = button("button.icon", "Full screen (F)", icon("enlarge"), () => this.toggleFullscreen());
      this.helpButton = button("button.icon", "Keys and gestures (?)", "?", () => this.toggleHelp());
      this.help = el("div.help", { role: "dialog", "aria-label": "Keys and gestures", hidden: "" });
      this.live = el("div.sr", { "aria-live": "polite" });
      this.stage.append(
        ...this.buildStage(), el("div.notes", {}, this.halves.left, this.halves.right), this.wipe,
        el("div.corner", {}, this.helpButton, this.enlarge), this.help,
      );
      this.shadowRoot.append(
        el("div.viewer", {}, this.stage, ...this.buildTransport(), this.buildBar(), this.live),
      );
      this.listen();
    }

    buildTransport() { return []; }

    buildBar() {
      this.selects = { left: select("Shown on the left", []), right: select("Shown on the right", []) };
      for (const side of ["left", "right"]) {
        on(this.selects[side], "change", () => this.choose(side, this.selects[side].value));
      }
      this.swapButton = button("button.icon", "Swap left and right (S)", icon("swap"), () => this.swap());
      this.peekButton = button("button.peek", "Plain bicubic on the left (B): hold to glance, tap to keep", el("span"),
        () => this.peek(!this.peeking));
      this.peekButton.append(el("kbd", { "aria-hidden": "true" }, "B"));
      this.percent = el("output", { "aria-label": "Zoom" });
      const zoom = el("div.joined", { role: "group", "aria-label": "Zoom" },
        button("button.icon", "Zoom out (-)", icon("minus"), () => this.zoomStep(-1)), this.percent,
        button("button.icon", "Zoom in (+)", icon("plus"), () => this.zoomStep(1)),
        button("button", "One picture pixel on one screen pixel (Z)", "1:1", () => this.zoomTo(1 / this.view.density)),
        button("button", "Fit the whole picture (0)", "Fit", () => this.glide(this.view.fit())));
      return el("div.bar", {},
        el("div.pair", {}, this.selects.left, this.swapButton, this.selects.right),
        el("div.tools", {}, this.peekButton, zoom));
    }

    fillHelp() {
      const rows = [...this.helpRows(), ["Drag", "the line, or the picture when it is zoomed in"],
        ["Wheel, pinch", "zoom at the pointer"], ["Double click", "zoom in here, or back to fit"],
        ["+ − 0", "zoom in, out, fit"], ["Z", "one picture pixel on one screen pixel"],
        ...(this.fixed ? [] : [["1 … 9", "choose the left picture; with Shift the right one"],
          ["S", "swap left and right"]]),
        ...(this.baseline ? [["B", "plain bicubic on the left: hold to glance, tap to keep"]] : []),
        ["F", "full screen"]];
      const list = el("dl");
      for (const [key, text] of rows) {
        list.append(el("dt", {}, el("kbd", {}, key)), el("dd", {}, text));
      }
      const close = button("button", "Close", "Close", () => this.toggleHelp());
      this.help.replaceChildren(el("div.top", {}, el("strong", {}, "Keys and gestures"), close), list);
      return close;
    }

    listen() {
      const { stage, wipe } = this;
      on(stage, "pointerdown", (event) => this.pressed(event));
      on(stage, "pointermove", (event) => this.dragged(event));
      on(stage, "pointerup pointercancel", (event) => this.released(event));
      on(stage, "wheel", (event) => this.wheeled(event), { passive: false });
      on(stage, "dblclick", (event) => this.doubleClicked(event));
      // Two fingers are ours also while one finger may scroll the page.
      on(stage, "touchmove", (event) => {
        if (event.touches.length > 1 && event.cancelable) event.preventDefault();
      }, { passive: false });
      this.dragLine(wipe, (event, grab) => this.setSplitAt(this.point(event).x - grab.x));
      on(wipe, "dblclick", (event) => {
        event.stopPropagation();
        this.setSplit(0.5);
      });
      on(this.shadowRoot, "keydown", (event) => this.keyed(event));
    }

    /** Calls `move(event, grab)` while `line` is dragged; `grab` is where in the line the pointer took it. */
    dragLine(line, move, done = () => {}) {
      let grab = null;
      on(line, "pointerdown", (event) => {
        event.stopPropagation();
        if (event.button || grab) return;
        const box = line.getBoundingClientRect();
        grab = {
          id: event.pointerId, x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2,
        };
        line.setPointerCapture(event.pointerId);
      });
      on(line, "pointermove", (event) => {
        if (grab && event.pointerId === grab.id) move(event, grab);
      });
      on(line, "pointerup pointercancel", (event) => {
        if (!grab || event.pointerId !== grab.id) return;
        grab = null;
        done();
      });
    }

    // -- life

    connectedCallback() {
      super.connectedCallback();
      const { signal } = this.life;
      on(document, "fullscreenchange", () => this.fullscreenChanged(), { signal });
      on(document, "keydown", (event) => this.keyedElsewhere(event), { signal });
      on(window, "keyup", (event) => this.keyReleased(event), { signal });
      on(window, "blur", () => this.keyReleased(null), { signal });
      on(window, "wheel", (event) => {
        if (!event.composedPath().includes(this.stage)) this.wheelPassed = event.timeStamp;
      }, { signal, passive: true, capture: true });
      this.resizer.observe(this.stage);
    }

    release() {
      this.resizer.disconnect();
      window.cancelAnimationFrame(this.gliding);
      this.pointers.clear();
      this.held = null;
    }

    update(changed) {
      if (this.state) this.setState(this.state); // a page that writes the element anew takes it off
      const sources = readSources(this.getAttribute(this.constructor.listAttribute));
      this.sources = sources ?? [];
      const plain = this.getAttribute("data-baseline") || "bicubic";
      this.baseline = this.sources.find((item) => item.id === plain) ?? null;
      const wanted = (side) => {
        const asked = this.getAttribute(`data-${side}`);
        const kept = changed.has(`data-${side}`) ? [asked, this[side]] : [this[side], asked];
        return kept.find((id) => this.offers(side, id)) ?? null;
      };
      this.left = wanted("left") ?? this.sources[0]?.id ?? null;
      this.right = wanted("right");
      if (this.right === null || this.right === this.left) {
        this.right = this.offered("right").findLast((item) => item.id !== this.left)?.id ?? null;
      }
      for (const [side, choice] of Object.entries(this.selects)) {
        choice.fill(this.offered(side).map((item) => [item.id, item.label]));
        choice.disabled = this.offered(side).length < 2;
      }
      this.swapButton.hidden = this.fixed;
      this.peekButton.hidden = !this.baseline;
      this.peekButton.firstChild.textContent = this.baseline?.label ?? "";
      if (!this.baseline) this.peeking = false;
      if (!this.help.hidden) this.fillHelp();
      this.load(changed, sources !== null);
      this.layout();
      this.showPair();
    }

    // -- layout

    get size() { return [readNumber(this, "data-width", 0), readNumber(this, "data-height", 0)]; }

    layout() {
      const [width, height] = this.size;
      if (!width || !height) return;
      this.stage.style.setProperty("--ratio", `${width} / ${height}`);
      const { clientWidth, clientHeight } = this.stage;
      if (!clientWidth || !clientHeight) return; // in a closed tab: the observer calls again when it opens
      this.view.resize(clientWidth, clientHeight, width, height);
      this.render();
    }

    render() {
      const { view, stage, wipe } = this;
      const { left, right } = view.bounds;
      const at = left + this.split * (right - left);
      stage.classList.toggle("zoomed", view.pannable);
      stage.classList.toggle("single", this.right === null);
      wipe.style.left = `${at}px`;
      wipe.hidden = this.right === null;
      this.tags.left.style.left = `${left + 10}px`;
      this.tags.right.style.right = `${view.boxW - right + 10}px`;
      const room = Math.max(60, (right - left) / 2 - 16);
      for (const tag of Object.values(this.tags)) tag.style.maxWidth = `${room}px`;
      const percent = view.zoom * 100;
      this.percent.textContent = `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
      const share = Math.round(this.split * 100);
      wipe.setAttribute("aria-valuenow", String(share));
      wipe.setAttribute("aria-valuetext", `${share} percent, ${this.names}`);
      this.draw(this.right === null ? view.boxW : at);
    }

    // -- the pair

    /** Whether pictures have a side of their own, so that none may change over. */
    get fixed() { return this.sources.some((item) => item.side); }
    offered(side) { return this.sources.filter((item) => !item.side || item.side === side); }
    offers(side, id) { return this.offered(side).some((item) => item.id === id); }
    labelOf(id) { return this.sources.find((item) => item.id === id)?.label ?? ""; }
    get names() { return `${this.labelOf(this.shownLeft)} on the left, ${this.labelOf(this.right)} on the right`; }
    get shownLeft() { return this.peeking && this.baseline ? this.baseline.id : this.left; }

    choose(side, id) {
      if (!this.offers(side, id)) return;
      const other = side === "left" ? "right" : "left";
      if (this[other] === id) {
        const instead = [this[side], ...this.offered(other).map((item) => item.id)];
        this[other] = instead.find((wanted) => wanted !== id && this.offers(other, wanted)) ?? null;
      }
      this[side] = id;
      if (side === "left") this.peeking = false;
      this.pairChanged();
    }

    swap() {
      if (this.right === null || this.fixed) return;
      [this.left, this.right] = [this.right, this.left];
      this.peeking = false;
      this.pairChanged();
    }

    pairChanged() {
      this.showPair();
      this.live.textContent = `Left: ${this.labelOf(this.left)}. Right: ${this.labelOf(this.right)}.`;
      emit(this, "irss-pair", { left: this.left, right: this.right });
    }

    peek(on) {
      const next = Boolean(on && this.baseline);
      if (next === this.peeking) return;
      this.peeking = next;
      this.showPair();
      this.live.textContent = `Left: ${this.labelOf(this.shownLeft)}.`;
    }

    showPair() {
      for (const side of ["left", "right"]) this.selects[side].value = this[side] ?? "";
      this.swapButton.disabled = this.right === null;
      this.peekButton.setAttribute("aria-pressed", String(this.peeking));
      this.tags.left.classList.toggle("peek", this.peeking);
      const { kind } = this.constructor;
      this.stage.setAttribute("aria-label", `${kind}: ${this.names}. Press question mark for the keys.`);
      this.present();
      this.render();
    }

    setSplit(value) {
      this.split = clamp(value, 0, 1);
      this.render();
    }

    setSplitAt(x) {
      const { left, right } = this.view.bounds;
      if (right > left) this.setSplit((x - left) / (right - left));
    }

    // -- zoom

    glide(place) {
      window.cancelAnimationFrame(this.gliding);
      const from = { scale: this.view.scale, x: this.view.x, y: this.view.y };
      this.goal = place;
      const finish = () => {
        this.view.set(place);
        this.goal = null;
        this.render();
      };
      if (calm() || document.hidden) return finish();
      const start = performance.now();
      const frame = (now) => {
        const share = clamp((now - start) / GLIDE_MS, 0, 1);
        if (share >= 1) return finish();
        const eased = 1 - (1 - share) ** 3;
        const scale = from.scale * (place.scale / from.scale) ** eased;
        // Moving in step with the scale holds the point under the pointer still.
        const along = place.scale === from.scale ? eased : (scale - from.scale) / (place.scale - from.scale);
        const x = from.x + (place.x - from.x) * along;
        const y = from.y + (place.y - from.y) * along;
        this.view.set({ scale, x, y, fitted: place.fitted });
        this.render();
        this.gliding = window.requestAnimationFrame(frame);
      };
      this.gliding = window.requestAnimationFrame(frame);
      return undefined;
    }

    /** Sets the view at once, ending any glide. */
    jump(place) {
      window.cancelAnimationFrame(this.gliding);
      this.goal = null;
      this.view.set(place);
      this.render();
    }

    zoomTo(scale, px = this.view.boxW / 2, py = this.view.boxH / 2) { this.glide(this.view.zoomed(scale, px, py)); }

    zoomStep(direction) {
      const now = (this.goal?.scale ?? this.view.scale) * this.view.density;
      const fit = this.view.fitScale * this.view.density;
      const stops = [...ZOOM_STOPS.filter((stop) => Math.abs(stop / fit - 1) > 0.02), fit].sort((a, b) => a - b);
      const next = direction > 0
        ? stops.find((stop) => stop > now * 1.001) : stops.findLast((stop) => stop < now * 0.999);
      if (next !== undefined) this.zoomTo(next / this.view.density);
    }

    point(event) {
      const box = this.stage.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    }

    wheeled(event) {
      if (event.target.closest?.(".help")) return;
      const now = event.timeStamp;
      const { view } = this;
      const step = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 200 : 1);
      if (!step) return;
      // A scroll that began elsewhere goes on scrolling the page when the stage slides under the pointer.
      const latched = now - (this.wheelPassed ?? -1e9) < WHEEL_LATCH_MS;
      const atEnd = step > 0 && view.fitted && now - (this.wheelUsed ?? -1e9) > 2 * WHEEL_LATCH_MS;
      if (!event.ctrlKey && (latched || atEnd)) {
        this.wheelPassed = now;
        return;
      }
      event.preventDefault();
      this.wheelUsed = now;
      const { x, y } = this.point(event);
      const factor = clamp(Math.exp(-step * (event.ctrlKey ? 0.01 : 0.0018)), 0.4, 2.5);
      let scale = view.scale * factor;
      const { fitScale } = view;
      if (step > 0 && view.scale > fitScale && scale < fitScale * 1.02) scale = fitScale; // catches at fit
      if (step > 0 && view.fitted) return;
      this.jump(view.zoomed(scale, x, y));
    }

    doubleClicked(event) {
      if (event.target.closest("button, .help, .row")) return;
      const { x, y } = this.point(event);
      const { view } = this;
      if (!view.fitted) return this.glide(view.fit());
      const one = 1 / view.density;
      return this.zoomTo(one > view.fitScale * 1.3 ? one : view.fitScale * 3, x, y);
    }

    // -- pointers

    pressed(event) {
      if (event.button || event.target.closest("button, .help")) return;
      this.stage.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, this.point(event));
      this.gesture = { kind: this.pointers.size > 1 ? "pinch" : "", from: this.point(event) };
    }

    dragged(event) {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const here = this.point(event);
      const { gesture, view } = this;
      if (gesture.kind === "pinch") {
        const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
        this.pointers.set(event.pointerId, here);
        if (!other) return;
        const spread = (a, b) => Math.max(20, Math.hypot(a.x - b.x, a.y - b.y));
        const middle = { x: (here.x + other.x) / 2, y: (here.y + other.y) / 2 };
        view.set(view.zoomed((view.scale * spread(here, other)) / spread(before, other), middle.x, middle.y));
        this.jump(view.moved((here.x - before.x) / 2, (here.y - before.y) / 2));
        return;
      }
      if (!gesture.kind) {
        if (Math.hypot(here.x - gesture.from.x, here.y - gesture.from.y) < DRAG_THRESHOLD) return;
        gesture.kind = view.pannable ? "pan" : "wipe";
        this.stage.classList.toggle("panning", view.pannable);
      }
      this.pointers.set(event.pointerId, here);
      if (gesture.kind === "pan") this.jump(view.moved(here.x - before.x, here.y - before.y));
      else this.setSplitAt(here.x);
    }

    released(event) {
      if (!this.pointers.delete(event.pointerId)) return;
      this.stage.classList.remove("panning");
      if (this.pointers.size) this.gesture = { kind: this.view.pannable ? "pan" : "done", from: this.point(event) };
    }

    // -- keys

    keyed(event) {
      if (!event.key || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.composedPath()[0];
      if (target instanceof HTMLSelectElement && event.key !== "Escape") return;
      if (target instanceof HTMLInputElement && /^(Arrow|Home|End|Page)/.test(event.key)) return;
      if (target instanceof HTMLButtonElement && [" ", "Enter"].includes(event.key)) return;
      if (this.key(event, target)) event.preventDefault();
    }

    /** With nothing focused, the keys go to the viewer under the pointer. */
    keyedElsewhere(event) {
      const active = document.activeElement;
      if ((!active || active === document.body) && this.matches(":hover")) this.keyed(event);
    }

    /** Acts on a key; true when it was one of ours. */
    key(event, target) {
      const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1] ?? (/^[1-9]$/.test(event.key) ? event.key : null);
      if (digit !== null && !this.fixed) {
        const source = this.sources[Number(digit) - 1];
        if (source) this.choose(event.shiftKey ? "right" : "left", source.id);
        return Boolean(source);
      }
      const line = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10, ArrowDown: -1, ArrowUp: 1 };
      if (target === this.wipe && (event.key in line || event.key === "Home" || event.key === "End")) {
        if (event.key === "Home") this.setSplit(0);
        else if (event.key === "End") this.setSplit(1);
        else this.setSplit(Math.round(this.split * 100 + line[event.key] * (event.shiftKey ? 10 : 1)) / 100);
        return true;
      }
      if (event.key.startsWith("Arrow")) return this.arrow(event);
      const actions = {
        "+": () => this.zoomStep(1), "=": () => this.zoomStep(1), "-": () => this.zoomStep(-1),
        0: () => this.glide(this.view.fit()), z: () => this.zoomTo(1 / this.view.density), s: () => this.swap(),
        f: () => this.toggleFullscreen(), "?": () => this.toggleHelp(), b: () => this.peekPressed(event),
        escape: () => (this.help.hidden ? this.shrinkBack() : this.toggleHelp()),
      };
      const action = actions[event.key.toLowerCase()];
      if (action === undefined) return false;
      return action() !== false;
    }

    arrow(event) {
      const [dx, dy] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (this.view.pannable) {
        const step = event.shiftKey ? 200 : 50;
        this.jump(this.view.moved(dx * step, dy * step));
        return true;
      }
      if (!dx) return false; // nothing to pan: up and down go on scrolling the page
      this.setSplit(this.split - dx * (event.shiftKey ? 0.1 : 0.02));
      return true;
    }

    peekPressed(event) {
      if (!this.baseline) return false;
      if (event.repeat) return true;
      this.held = { at: event.timeStamp, was: this.peeking };
      this.peek(true);
      return true;
    }

    keyReleased(event) {
      if (!this.held || (event && event.key?.toLowerCase() !== "b")) return;
      const tapped = event && event.timeStamp - this.held.at < TAP_MS;
      this.peek(tapped && !this.held.was);
      this.held = null;
    }

    // -- full screen and help

    async toggleFullscreen() {
      if (document.fullscreenElement === this) return document.exitFullscreen();
      if (this.shrinkBack()) return undefined;
      try {
        await this.requestFullscreen();
      } catch {
        this.setAttribute("data-enlarged", ""); // phones without it, and frames that forbid it: fill the window
        this.fullscreenChanged();
      }
      return undefined;
    }

    shrinkBack() {
      if (!this.hasAttribute("data-enlarged")) return false;
      this.removeAttribute("data-enlarged");
      this.fullscreenChanged();
      return true;
    }

    fullscreenChanged() {
      const on = document.fullscreenElement === this || this.hasAttribute("data-enlarged");
      this.enlarge.replaceChildren(icon(on ? "shrink" : "enlarge"));
      this.enlarge.setAttribute("aria-pressed", String(on));
      this.enlarge.title = on ? "Leave full screen (F)" : "Full screen (F)";
      this.enlarge.setAttribute("aria-label", this.enlarge.title);
    }

    toggleHelp() {
      this.help.hidden = !this.help.hidden;
      if (this.help.hidden) this.helpButton.focus({ preventScroll: true });
      else this.fillHelp().focus({ preventScroll: true });
    }

    // -- notes on the stage

    /** Says on one half of the stage that something loads or failed; no text clears it. */
    note(side, { busy = "", bad = "", retry = null } = {}) {
      const half = this.halves[side];
      if (busy) {
        const wheel = this.sources.length ? [el("span.spin")] : []; // nothing to wait for, nothing to turn
        half.replaceChildren(el("div.note.busy", { role: "status" }, ...wheel, busy));
      } else if (bad) {
        const box = el("div.note.bad", { role: "alert" }, icon("alert"), bad);
        if (retry) box.append(button("button", "Try again", "Try again", retry));
        half.replaceChildren(box);
      } else {
        half.replaceChildren();
      }
    }

    setState(state) {
      if (this.getAttribute("data-state") === state) return;
      this.setAttribute("data-state", state);
      this.setAttribute("aria-busy", String(state === "loading"));
      if (state !== "loading" && state !== this.state) emit(this, `irss-${state}`, {});
      this.state = state;
    }
  }

  // ---------------------------------------------------------------- <irss-compare>

  /** One side of the stage: the pictures it has shown so far, one of them visible. */
  class Pane {
    constructor(side, tag, changed) {
      this.node = el(`div.pane.${side}`);
      this.node.append(tag);
      this.tag = tag;
      this.changed = changed;
      this.entries = new Map();
      this.shown = null;
    }

    /** The entry for a source; the first call begins its loading. */
    entry(source, eager = true) {
      let entry = this.entries.get(source.id);
      if (!entry) {
        const image = el("img", { decoding: "async", draggable: "false" });
        image.alt = source.label;
        entry = { image, source, state: "loading", refused: false };
        if (!eager) image.fetchPriority = "low";
        on(image, "load", () => {
          // Decoded before it is shown: no blank flash, and the old picture stays until then.
          image.decode().catch(() => {}).then(() => this.settle(entry, "ready"));
        });
        on(image, "error", () => this.settle(entry, "failed"));
        this.entries.set(source.id, entry);
        this.node.prepend(image);
        this.begin(entry);
      }
      return entry;
    }

    begin(entry) {
      const url = safeUrl(entry.source.src, "image");
      entry.state = url ? "loading" : "failed";
      entry.refused = !url;
      entry.image.removeAttribute("src");
      if (url) entry.image.src = url;
    }

    settle(entry, state) {
      if (this.entries.get(entry.source.id) !== entry) return;
      entry.state = state;
      this.changed();
    }

    show(entry) {
      this.shown = entry;
      for (const other of this.entries.values()) other.image.classList.toggle("shown", other === entry);
      this.tag.textContent = entry ? entry.source.label : "";
    }

    /** Forgets every picture that `sources` no longer has, or has from another address. */
    prune(sources) {
      for (const [id, entry] of this.entries) {
        const source = sources.find((item) => item.id === id);
        if (source && source.src === entry.source.src) {
          entry.source = source;
          entry.image.alt = source.label;
          continue;
        }
        this.entries.delete(id);
        if (this.shown === entry) this.show(null);
        entry.image.removeAttribute("src");
        entry.image.remove();
      }
    }
  }

  class CompareElement extends PairElement {
    static listAttribute = "data-sources";
    static observedAttributes = [...PairElement.shared, "data-sources"];
    static kind = "Picture comparison";

    buildStage() {
      const changed = () => {
        if (this.isConnected) this.present();
      };
      this.paper = el("div.paper");
      this.panes = {
        right: new Pane("right", this.tags.right, changed), left: new Pane("left", this.tags.left, changed),
      };
      return [this.paper, this.panes.right.node, this.panes.left.node];
    }

    helpRows() { return [["← → ↑ ↓", "move the picture, or the line when it fits or has the focus"]]; }

    load(changed, readable) {
      this.readable = readable;
      for (const pane of Object.values(this.panes)) pane.prune(this.sources);
    }

    release() {
      super.release();
      for (const pane of Object.values(this.panes)) pane.prune([]);
    }

    /** Without data-width and data-height, the size of the largest picture that has loaded. */
    get size() {
      const given = super.size;
      if (given[0] && given[1]) return given;
      const entries = Object.values(this.panes).flatMap((pane) => [...pane.entries.values()]);
      const sizes = entries.map(({ image }) => [image.naturalWidth, image.naturalHeight]);
      return sizes.reduce((best, size) => (size[0] > best[0] ? size : best), [0, 0]);
    }

    present() {
      if (!this.sources.length) {
        const unreadable = { bad: "The list of pictures cannot be read." };
        this.note("left", this.readable ? { busy: "Nothing to show yet" } : unreadable);
        this.note("right");
        this.setState(this.readable ? "empty" : "error");
        return;
      }
      const states = ["left", "right"].map((side) => this.presentSide(side));
      this.setState(states.includes("failed") ? "error" : states.includes("loading") ? "loading" : "ready");
      // Loaded ahead, so that B answers at once.
      if (!states.includes("loading") && this.baseline) this.panes.left.entry(this.baseline, false);
      this.layout();
    }

    presentSide(side) {
      const pane = this.panes[side];
      const id = side === "left" ? this.shownLeft : this.right;
      const source = this.sources.find((item) => item.id === id);
      if (!source) {
        pane.show(null);
        this.note(side);
        return "ready";
      }
      const entry = pane.entry(source);
      if (entry.state === "ready") {
        pane.show(entry);
        this.note(side);
      } else if (entry.state === "loading") {
        this.note(side, { busy: `Loading ${source.label}` });
      } else {
        pane.show(null);
        this.note(side, entry.refused
          ? { bad: `“${source.label}” has an address that cannot be shown here.` }
          : { bad: `“${source.label}” could not be loaded.`, retry: () => this.retry(pane, entry) });
      }
      return entry.state;
    }

    retry(pane, entry) {
      pane.begin(entry);
      this.present();
    }

    draw(at) {
      const { view, panes } = this;
      const { left, right, top, bottom } = view.bounds;
      Object.assign(this.paper.style, {
        left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px`,
      });
      // Both sides are clipped, so that nothing shines through where a picture is transparent.
      panes.left.node.style.clipPath = `inset(0 ${view.boxW - at}px 0 0)`;
      panes.right.node.style.clipPath = `inset(0 0 0 ${at}px)`;
      for (const pane of Object.values(panes)) {
        if (!pane.shown) continue;
        const { image, source } = pane.shown;
        image.style.width = `${view.width}px`;
        image.style.height = `${view.height}px`;
        image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
        image.style.imageRendering = source.id === "input" || view.zoom >= PIXELS_FROM ? "pixelated" : "auto";
      }
    }
  }

  // ---------------------------------------------------------------- <irss-player>

  const FRAME_CALLBACKS = "requestVideoFrameCallback" in HTMLVideoElement.prototype;

  class PlayerElement extends PairElement {
    static listAttribute = "data-panels";
    static observedAttributes = [...PairElement.shared, "data-panels", "data-src", "data-fps", "data-frames",
      "data-times", "data-row", "data-autoplay", "data-stack"];
    static kind = "Clip comparison";

    // -- building

    buildStage() {
      this.canvas = el("canvas");
      this.buffer = document.createElement("canvas"); // the last complete frame: redrawn from here, never half a seek
      this.film = el("video.film", { playsinline: "", preload: "auto", tabindex: "-1", "aria-hidden": "true" });
      this.film.muted = true;
      this.looping = true;
      this.waiting = [];
      this.rowText = el("span");
      this.rowLine = el("div.row", {
        role: "slider", tabindex: "0", "aria-label": "Row of the temporal profile", "aria-orientation": "vertical",
        "aria-valuemin": "0",
      }, el("span.grip", {}, icon("rowgrip"), this.rowText));
      this.listenFilm();
      return [this.film, this.canvas, this.tags.left, this.tags.right, this.rowLine];
    }

    buildTransport() {
      this.playButton = button("button.icon.play", "Play (space)", icon("play"), () => this.toggle());
      this.scrub = el("input", { type: "range", min: "0", max: "0", step: "1", value: "0", "aria-label": "Frame" });
      on(this.scrub, "input", () => this.showFrame(Number(this.scrub.value)));
      this.counter = el("output.count", { "aria-label": "Frame" });
      this.loopButton = button("button.icon", "Loop (L)", icon("loop"), () => this.setLoop(!this.looping));
      this.loopButton.setAttribute("aria-pressed", "true");
      this.speed = select("Speed", [0.25, 0.5, 1].map((rate) => [rate, `${rate}×`]));
      this.speed.value = "1";
      on(this.speed, "change", () => this.setSpeed());
      return [el("div.transport", { role: "group", "aria-label": "Playback" },
        el("div.keys", {}, button("button.icon", "One frame back (,)", icon("back"), () => this.step(-1)),
          this.playButton,
          button("button.icon", "One frame forward (.)", icon("forward"), () => this.step(1))),
        this.scrub, this.counter, el("div.ways", {}, this.loopButton, this.speed))];
    }

    helpRows() {
      return [["Space", "play or pause"], [", . or ← →", "one frame back or forward"],
        ["Home End", "first, last frame"], ["L", "loop"], ["Shift + arrows", "move the picture when it is zoomed in"]];
    }

    listenFilm() {
      const { film } = this;
      const when = (name, act) => on(film, name, () => {
        if (this.isConnected && film.hasAttribute("src")) act();
      });
      when("loadedmetadata", () => this.metadataRead());
      when("loadeddata", () => this.firstData());
      when("seeked", () => this.seeked());
      when("play", () => this.playChanged());
      when("pause", () => this.playChanged());
      when("waiting", () => {
        if (this.getAttribute("data-state") === "ready") this.note("left", { busy: "Loading the clip" });
      });
      when("playing", () => this.note("left"));
      when("error", () => {
        this.failed(film.error?.code === 2 ? "The clip stopped loading." : "The clip could not be loaded.");
      });
      this.dragLine(this.rowLine, (event, grab) => {
        const { y } = this.point(event);
        this.setRow(Math.floor((y - grab.y - this.view.y) / this.view.scale));
      }, () => this.rowChosen());
    }

    // -- loading

    load(changed) {
      const times = readList(this.getAttribute("data-times"));
      this.times = times?.length && times.every(Number.isFinite) ? times : null;
      if (changed.has("data-row")) {
        const asked = Number.parseInt(this.getAttribute("data-row"), 10);
        this.row = Number.isFinite(asked) ? asked : null;
      }
      this.rowLine.hidden = !this.hasAttribute("data-row");
      if (this.film.readyState) this.measure();
      if (!changed.has("data-src")) return;
      this.close();
      const url = safeUrl(this.getAttribute("data-src"), "video");
      if (!url) {
        if (this.getAttribute("data-src")) this.failed("The clip has an address that cannot be played here.", false);
        return;
      }
      this.open(url);
    }

    open(url) {
      this.note("left", { busy: "Loading the clip" });
      this.setState("loading");
      this.url = url;
      this.film.src = url;
      this.film.playbackRate = this.film.defaultPlaybackRate;
    }

    close() {
      this.film.pause();
      this.film.removeAttribute("src");
      this.film.load();
      this.stopTimers();
      if (this.blob) URL.revokeObjectURL(this.blob);
      Object.assign(this, { blob: null, fetching: false, url: null, index: 0 });
      Object.assign(this, { target: null, seekingTo: null, presented: -1 });
      this.buffer.width = this.buffer.height = 0;
      this.note("left");
      this.settleWaiting();
    }

    release() {
      super.release();
      this.close();
      this.canvas.width = this.canvas.height = 0;
      window.cancelAnimationFrame(this.drawing);
      this.drawing = 0;
    }

    stopTimers() {
      window.clearTimeout(this.seekTimer);
      window.cancelAnimationFrame(this.ticking);
      if (FRAME_CALLBACKS && this.frameHandle) this.film.cancelVideoFrameCallback(this.frameHandle);
      this.frameHandle = this.ticking = 0;
    }

    failed(text, again = true) {
      this.note("left", { bad: text, retry: again ? () => this.load(new Set(["data-src"])) : null });
      this.setState("error");
    }

    async metadataRead() {
      const { film } = this;
      const end = film.seekable.length ? film.seekable.end(film.seekable.length - 1) : 0;
      if (this.blob || !Number.isFinite(film.duration) || end + 0.05 >= film.duration) return;
      // A server without byte ranges: no seeking, so no stepping. The whole clip in memory can be stepped.
      const { url } = this;
      this.fetching = true;
      try {
        const answer = await fetch(url, { signal: this.life.signal });
        if (!answer.ok) throw new Error(String(answer.status));
        const blob = await answer.blob();
        if (this.url !== url || !this.isConnected) return;
        Object.assign(this, { fetching: false, target: null, seekingTo: null, presented: -1 });
        this.settleWaiting();
        this.blob = URL.createObjectURL(blob);
        film.src = this.blob;
      } catch {
        if (this.url === url && this.isConnected) this.failed("The clip stopped loading.");
      }
    }

    async firstData() {
      const { film } = this;
      if (this.fetching) return;
      this.buffer.width = film.videoWidth;
      this.buffer.height = film.videoHeight;
      this.layout();
      this.measure();
      this.setSpeed();
      if (FRAME_CALLBACKS) this.awaitFrame();
      await this.showFrame(Math.min(this.index, this.frames - 1));
      if (!this.isConnected || !this.url) return;
      this.note("left");
      this.setState("ready");
      if (this.hasAttribute("data-autoplay") && !calm()) this.play();
    }

    /** Brings scrub bar, counter and row line in line with what the attributes and the clip say. */
    measure() {
      this.scrub.max = String(this.frames - 1);
      this.count(this.index);
      this.setRow(this.row);
    }

    // -- panels

    get size() {
      const [width, height] = super.size;
      const { videoWidth, videoHeight } = this.film;
      return [width || videoWidth, height || Math.floor(videoHeight / this.stacked)];
    }

    /** Panels that the video carries; not all of them need be offered. */
    get stacked() { return readNumber(this, "data-stack", Math.max(1, this.sources.length)); }

    present() {
      this.tags.left.textContent = this.labelOf(this.shownLeft);
      this.tags.right.textContent = this.labelOf(this.right);
    }

    // -- time

    get frames() {
      const given = readNumber(this, "data-frames", 0) || this.times?.length;
      return Math.max(1, Math.round(given || (this.film.duration || 0) * readNumber(this, "data-fps", 24)));
    }

    /** Seconds at which frame n begins. */
    begins(n) {
      const { times, frames } = this;
      if (times && n < times.length) return times[n];
      const length = this.film.duration || 0;
      return n / (readNumber(this, "data-fps", 0) || (length ? frames / length : 24));
    }

    /** Seconds in the middle of frame n: a seek to there cannot fall to a neighbour by rounding. */
    middle(n) {
      const length = this.film.duration || 0;
      const start = this.begins(n);
      let end = n + 1 < this.frames ? this.begins(n + 1) : length;
      if (!(end > start)) end = start + (n ? start - this.begins(n - 1) : 0.02);
      return clamp((start + end) / 2, 0, length ? Math.max(start, length - 1e-4) : start);
    }

    /** The frame whose beginning is nearest to a presentation time. */
    frameAt(seconds) {
      let low = 0;
      let high = this.frames - 1;
      while (low < high) {
        const mid = (low + high) >> 1;
        if ((this.begins(mid) + this.begins(mid + 1)) / 2 > seconds) high = mid;
        else low = mid + 1;
      }
      return low;
    }

    get frame() { return this.index; }

    // -- stepping

    /** Pauses and shows frame n; resolves when its pixels are on the canvas. */
    showFrame(n) {
      if (!this.film.readyState) return Promise.resolve();
      this.target = clamp(Math.round(n), 0, this.frames - 1);
      this.count(this.target);
      const shown = new Promise((resolve) => this.waiting.push(resolve));
      if (!this.film.paused) this.film.pause();
      this.film.loop = false; // else Chromium takes a second seek to the last frame for its end and goes to the first
      this.seekOn();
      return shown;
    }

    step(by) { return this.showFrame((this.target ?? this.index) + by); }

    /** Seeks to the wanted frame unless a seek is under way; the newest wish is served when that one ends. */
    seekOn() {
      if (this.seekingTo !== null || this.target === null) return;
      this.seekingTo = this.target;
      this.film.currentTime = this.middle(this.seekingTo);
    }

    seeked() {
      if (this.seekingTo === null || this.film.seeking) return;
      if (this.presented === this.seekingTo) this.arrived();
      // The frame callback says when the picture is there; without one, two paints later it is.
      else this.arriveIn(FRAME_CALLBACKS ? 600 : 40);
    }

    arriveIn(milliseconds) {
      window.clearTimeout(this.seekTimer);
      this.seekTimer = window.setTimeout(() => this.arrived(), milliseconds);
    }

    arrived() {
      window.clearTimeout(this.seekTimer);
      const at = this.seekingTo;
      if (at === null) return;
      if (this.film.readyState < 2) return void this.arriveIn(50);
      this.seekingTo = null;
      this.snapshot(at);
      if (this.target !== null && this.target !== at) return void this.seekOn();
      this.target = null;
      this.settleWaiting();
    }

    settleWaiting() {
      for (const resolve of this.waiting.splice(0)) resolve();
    }

    awaitFrame() {
      this.frameHandle = this.film.requestVideoFrameCallback((now, data) => {
        this.awaitFrame();
        this.presented = this.frameAt(data.mediaTime);
        if (this.seekingTo === null) this.snapshot(this.presented);
        else if (this.film.seeking) return; // nothing to draw from yet: "seeked" follows
        else if (this.presented === this.seekingTo) this.arrived();
        else this.arriveIn(150); // the given times are off: take what there is
      });
    }

    /** Where there are no frame callbacks: looks at the clock on every paint while playing. */
    tick() {
      this.ticking = window.requestAnimationFrame(() => {
        if (this.film.paused || !this.isConnected) return;
        if (this.seekingTo === null) {
          let at = this.frameAt(this.film.currentTime);
          if (this.begins(at) > this.film.currentTime + 1e-3) at -= 1;
          this.snapshot(Math.max(0, at));
        }
        this.tick();
      });
    }

    snapshot(n) {
      const { film, buffer } = this;
      if (film.readyState < 2 || !buffer.width) return;
      buffer.getContext("2d").drawImage(film, 0, 0, buffer.width, buffer.height);
      const moved = n !== this.index;
      this.index = n;
      this.count(n);
      this.paint();
      if (moved) emit(this, "irss-frame", { frame: n });
    }

    count(n) {
      const text = `${n + 1} / ${this.frames}`;
      if (this.counter.textContent === text) return;
      this.counter.textContent = text;
      this.counter.style.minWidth = `${String(this.frames).length * 2 + 3}ch`;
      this.scrub.value = String(n);
      this.scrub.setAttribute("aria-valuetext", `Frame ${n + 1} of ${this.frames}`);
    }

    // -- playing

    async play() {
      if (!this.looping && this.index >= this.frames - 1) await this.showFrame(0);
      this.film.loop = this.looping;
      this.target = this.seekingTo = null;
      this.settleWaiting();
      try {
        await this.film.play();
      } catch (error) {
        if (error.name === "NotAllowedError") this.live.textContent = "Press play to start the clip.";
        else if (error.name !== "AbortError") this.failed("The clip cannot be played in this browser.");
      }
    }

    pause() { this.film.pause(); }

    toggle() {
      if (!this.url) return;
      if (this.film.paused) this.play();
      else this.pause();
    }

    playChanged() {
      const { film } = this;
      const label = film.paused ? "Play (space)" : "Pause (space)";
      this.playButton.replaceChildren(icon(film.paused ? "play" : "pause"));
      this.playButton.title = label;
      this.playButton.setAttribute("aria-label", label);
      if (this.getAttribute("data-state") === "ready") this.note("left");
      if (!film.paused) {
        if (!FRAME_CALLBACKS) this.tick();
      } else if (this.target === null) {
        // The clock stops between two pictures: land on one, so that counter and pixels agree.
        this.showFrame(film.ended ? this.frames - 1 : this.index);
      }
    }

    setLoop(on) {
      this.looping = on;
      if (!this.film.paused) this.film.loop = on;
      this.loopButton.setAttribute("aria-pressed", String(on));
    }

    setSpeed() { this.film.defaultPlaybackRate = this.film.playbackRate = Number(this.speed.value); }

    // -- drawing

    draw() {
      const { view, rowLine } = this;
      if (!rowLine.hidden) {
        const at = view.y + (this.row + 0.5) * view.scale;
        rowLine.style.top = `${at}px`;
        rowLine.style.visibility = at < 0 || at > view.boxH ? "hidden" : "visible";
        rowLine.style.left = `${view.bounds.left}px`;
        rowLine.style.right = `${view.boxW - view.bounds.right}px`;
      }
      this.drawing ||= window.requestAnimationFrame(() => {
        this.drawing = 0;
        this.paint();
      });
    }

    paint() {
      const { view, canvas, buffer, sources } = this;
      if (!buffer.width || !sources.length || !this.isConnected) return;
      const width = Math.max(1, Math.round(view.boxW * view.density));
      const height = Math.max(1, Math.round(view.boxH * view.density));
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, width, height);
      const { left, right } = view.bounds;
      const at = this.right === null ? width : Math.round((left + this.split * (right - left)) * view.density);
      this.paintPanel(context, this.shownLeft, 0, at);
      if (this.right !== null) this.paintPanel(context, this.right, at, width);
    }

    /** Draws one panel of the buffered frame between two columns of the canvas. */
    paintPanel(context, id, from, to) {
      const { view, buffer, canvas } = this;
      const panel = this.sources.find((item) => item.id === id)?.panel;
      if (panel === undefined || to <= from) return;
      const pitch = buffer.height / this.stacked; // may be more than the panel's own rows: codecs like even sizes
      const wide = Math.min(view.width, buffer.width);
      const high = Math.min(view.height, pitch);
      context.save();
      context.beginPath();
      context.rect(from, 0, to - from, canvas.height);
      context.clip();
      context.imageSmoothingEnabled = view.zoom < PIXELS_FROM;
      context.imageSmoothingQuality = "high";
      context.drawImage(buffer, 0, Math.round(panel * pitch), wide, high, view.x * view.density, view.y * view.density,
        view.width * view.zoom, view.height * view.zoom);
      context.restore();
    }

    // -- the row

    setRow(row) {
      const last = Math.max(0, this.size[1] - 1);
      this.row = clamp(row ?? Math.floor((last + 1) / 2), 0, last);
      this.rowText.textContent = `Row ${this.row}`;
      this.rowLine.setAttribute("aria-valuemax", String(last));
      this.rowLine.setAttribute("aria-valuenow", String(this.row));
      this.rowLine.setAttribute("aria-valuetext", `Row ${this.row} of ${last + 1}`);
      this.render();
    }

    rowChosen() {
      emit(this, "irss-row", { row: this.row });
      fillSoon(this, this.getAttribute("data-row-target"), String(this.row));
    }

    // -- keys

    key(event, target) {
      const rows = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
      if (target === this.rowLine && event.key in rows) {
        this.setRow(this.row + rows[event.key] * (event.shiftKey ? 10 : 1));
        this.rowChosen();
        return true;
      }
      const plain = target !== this.wipe && !event.shiftKey;
      const actions = {
        " ": () => this.toggle(), ",": () => this.step(-1), ".": () => this.step(1),
        l: () => this.setLoop(!this.looping), L: () => this.setLoop(!this.looping),
        ...(plain && { ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), Home: () => this.showFrame(0),
          End: () => this.showFrame(this.frames - 1) }),
      };
      if (!(event.key in actions)) return super.key(event, target);
      if (this.url) actions[event.key]();
      return true;
    }
  }

  // ---------------------------------------------------------------- <irss-region>

  class RegionElement extends ViewerElement {
    static observedAttributes = ["data-src", "data-width", "data-height", "data-size", "data-target", "data-x",
      "data-y", "data-label"];

    constructor() {
      super();
      this.image = el("img", { decoding: "async", draggable: "false" });
      this.mark = el("div.mark", { tabindex: "0", role: "application", "aria-roledescription": "movable region" });
      this.problem = el("div.notes", {}, el("div.half"));
      this.box = el("div.frame", {}, this.image, this.mark, this.problem);
      this.numbers = el("span.numbers");
      this.live = el("div.sr", { "aria-live": "polite" });
      this.shadowRoot.append(el("div.viewer", {}, this.box, el("div.under", {}, this.numbers,
        button("button", "Move the region to the middle", "Centre", () => this.centre())), this.live));
      this.listen();
    }

    listen() {
      const { box, mark, image } = this;
      let grab = null;
      const take = (event) => {
        const at = this.point(event);
        grab = { id: event.pointerId, x: at.x - this.x, y: at.y - this.y };
        mark.setPointerCapture(event.pointerId);
      };
      on(mark, "pointerdown", (event) => {
        if (event.button) return;
        event.stopPropagation();
        take(event);
      });
      on(mark, "pointermove", (event) => {
        if (!grab || event.pointerId !== grab.id) return;
        const at = this.point(event);
        this.moveTo(at.x - grab.x, at.y - grab.y);
      });
      on(mark, "pointerup pointercancel", () => {
        if (grab) this.chosen();
        grab = null;
      });
      on(mark, "click", (event) => event.stopPropagation());
      // A mouse may press anywhere and go on dragging; a finger taps, because a moving finger scrolls the page.
      on(box, "pointerdown", (event) => {
        if (event.button || event.pointerType !== "mouse" || !this.usable) return;
        event.preventDefault();
        this.centreOn(event);
        take(event);
        mark.focus({ preventScroll: true, focusVisible: false });
      });
      on(box, "click", (event) => {
        if (!this.usable) return;
        this.centreOn(event);
        this.chosen();
      });
      on(mark, "keydown", (event) => this.keyed(event));
      on(image, "error", () => this.failed("The preview could not be loaded."));
    }

    release() {
      window.clearTimeout(this.sayTimer);
      this.image.removeAttribute("src");
      this.image.remove(); // a picture left in the tree can keep all of it alive
      this.placed = false;
    }

    get usable() { return this.w > 0; }

    update(changed) {
      const whole = (name, fallback) => Math.floor(readNumber(this, name, fallback));
      this.width = whole("data-width", 0);
      this.height = whole("data-height", 0);
      const size = Math.max(1, whole("data-size", 192));
      this.w = Math.min(size, this.width);
      this.h = this.width ? Math.min(size, this.height) : 0;
      this.image.alt = this.getAttribute("data-label") || "Preview of the picture";
      if (changed.has("data-src")) this.load();
      if (!this.usable || !this.h) {
        this.w = 0;
        this.mark.hidden = true;
        this.numbers.textContent = "";
        return;
      }
      this.mark.hidden = false;
      this.box.style.setProperty("--ratio", `${this.width} / ${this.height}`);
      this.box.style.setProperty("--aspect", String(this.width / this.height));
      if (changed.has("data-width") || changed.has("data-height") || !this.placed) this.start();
      else if (changed.has("data-x") || changed.has("data-y")) this.start();
      else this.moveTo(this.x, this.y);
      this.placed = true;
      this.chosen();
    }

    load() {
      const text = this.getAttribute("data-src");
      const url = safeUrl(text, "image");
      this.problem.firstChild.replaceChildren();
      this.box.prepend(this.image);
      if (url) this.image.src = url;
      else this.image.removeAttribute("src");
      if (text && !url) this.failed("The preview has an address that cannot be shown here.");
    }

    failed(text) {
      if (!this.life) return;
      this.problem.firstChild.replaceChildren(el("div.note.bad", { role: "alert" }, icon("alert"), text));
    }

    /** The place that data-x and data-y ask for; the middle where they do not. */
    start() {
      const asked = (name, middle) => {
        const value = Number.parseInt(this.getAttribute(name), 10);
        return Number.isFinite(value) ? value : middle;
      };
      this.moveTo(asked("data-x", (this.width - this.w) / 2), asked("data-y", (this.height - this.h) / 2));
    }

    centre() {
      if (!this.usable) return;
      this.moveTo((this.width - this.w) / 2, (this.height - this.h) / 2);
      this.chosen();
    }

    /** A pointer's place in pixels of the original. */
    point(event) {
      const box = this.box.getBoundingClientRect();
      return {
        x: ((event.clientX - box.left) / box.width) * this.width,
        y: ((event.clientY - box.top) / box.height) * this.height,
      };
    }

    centreOn(event) {
      const { x, y } = this.point(event);
      this.moveTo(x - this.w / 2, y - this.h / 2);
    }

    moveTo(x, y) {
      this.x = clamp(Math.round(x), 0, this.width - this.w);
      this.y = clamp(Math.round(y), 0, this.height - this.h);
      const part = (value, of) => `${(value / of) * 100}%`;
      Object.assign(this.mark.style, {
        left: part(this.x, this.width), top: part(this.y, this.height),
        width: part(this.w, this.width), height: part(this.h, this.height),
      });
      this.numbers.textContent = `${this.w} × ${this.h} pixels at ${this.x}, ${this.y}`;
      this.mark.setAttribute("aria-label", `Region to try: ${this.numbers.textContent}. Move it with the arrow keys.`);
    }

    get value() { return { x: this.x, y: this.y, width: this.w, height: this.h }; }

    chosen() {
      const text = JSON.stringify(this.value);
      if (text !== this.sent) {
        this.sent = text;
        emit(this, "irss-region", this.value);
      }
      fillSoon(this, this.getAttribute("data-target"), text);
      window.clearTimeout(this.sayTimer);
      this.sayTimer = window.setTimeout(() => {
        this.live.textContent = this.numbers.textContent;
      }, 600);
    }

    keyed(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.usable) return;
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (way) {
        const shown = this.box.clientWidth || this.width;
        const step = Math.max(1, Math.ceil(this.width / shown)) * (event.shiftKey ? 10 : 1); // always a visible move
        this.moveTo(this.x + way[0] * step, this.y + way[1] * step);
        this.chosen();
      } else if (event.key === "Home") {
        this.centre();
      } else {
        return;
      }
      event.preventDefault();
    }
  }

  window.customElements.define("irss-compare", CompareElement);
  window.customElements.define("irss-player", PlayerElement);
  window.customElements.define("irss-region", RegionElement);
})();
