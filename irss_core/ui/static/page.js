/*
 * What the page does beyond gradio and the viewers: a pasted picture goes where a dropped one would, a result that
 * appears out of sight is scrolled to, and keys answer a blind vote.
 */
(() => {
  "use strict";

  /** The upload box of the tab that is open, or null. */
  function openBox() {
    const boxes = document.querySelectorAll("#irss-image-file, #irss-clip-file");
    return [...boxes].find((box) => box.offsetParent !== null) ?? null;
  }

  /** The box's file input; an earlier file is taken out first, for gradio has no input while it shows one. */
  async function emptyInput(box) {
    box.querySelector('button[aria-label="Clear"], button[aria-label="Remove this file"]')?.click();
    for (let tries = 0; tries < 40; tries += 1) {
      const input = box.querySelector('input[type="file"]');
      if (input) return input;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return null;
  }

  /** Brings a result into view when it appears outside of it, as it does on a phone. */
  function showResults() {
    const seen = new WeakSet();
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    new MutationObserver(() => {
      for (const viewer of document.querySelectorAll("irss-compare, irss-player, [data-arrives]")) {
        if (seen.has(viewer)) continue;
        seen.add(viewer);
        requestAnimationFrame(() => {
          const { top } = viewer.getBoundingClientRect();
          if (top >= 0 && top < window.innerHeight * 0.5) return;
          viewer.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
        });
      }
    }).observe(document.body, { childList: true, subtree: true });
  }

  if (document.body) showResults();
  else document.addEventListener("DOMContentLoaded", showResults);

  /** 1, 2 and 3 answer a blind vote; a field that is typed into keeps its digits. */
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.composedPath()[0].matches?.("input:not([type=range]), textarea, select, [contenteditable]")) return;
    const buttons = document.querySelectorAll(`.irss-vote button[data-key="${CSS.escape(event.key)}"]`);
    [...buttons].find((button) => button.offsetParent !== null)?.click();
  });

  document.addEventListener("paste", async (event) => {
    if (event.target.closest?.("input, textarea, [contenteditable]")) return;
    const file = [...(event.clipboardData?.files ?? [])].find((item) => /^(image|video)\//.test(item.type));
    const box = file && openBox();
    if (!box) return;
    event.preventDefault();
    const input = await emptyInput(box);
    if (!input) return;
    const transfer = new DataTransfer();
    transfer.items.add(file);
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
})();
