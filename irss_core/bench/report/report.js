/* What the report can do beyond being read: one average at a time, sorting, and pictures flipped in one place. */
(() => {
  "use strict";
  for (const part of document.querySelectorAll(".scripted")) part.hidden = false;

  // One average at a time.
  const averages = document.getElementById("averages");
  if (averages) {
    const show = () => {
      const chosen = averages.querySelector("input:checked").value;
      for (const table of document.querySelectorAll(".average")) table.hidden = table.dataset.average !== chosen;
    };
    averages.hidden = false;
    averages.addEventListener("change", show);
    show();
  }

  // Sorting: better values first, then worse ones, then the order of the run. What has no value stays last.
  const value = (row, column) => {
    const text = row.cells[column].dataset.value;
    if (column === 0 || text === "") return text;
    return text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text);
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a === b ? 0 : a < b ? -1 : 1);
  for (const table of document.querySelectorAll("table.scores")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.first;
        const second = first === "ascending" ? "descending" : "ascending";
        const now = head.getAttribute("aria-sort");
        const next = now === first ? second : now === second ? "" : first;
        for (const other of heads) other.removeAttribute("aria-sort");
        if (!next) return body.append(...original);
        head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const known = original.filter((row) => value(row, column) !== "");
        const unknown = original.filter((row) => value(row, column) === "");
        known.sort((a, b) => sign * compare(value(a, column), value(b, column)));
        body.append(...known, ...unknown);
      });
    });
  }

  // Pictures: enlarged by whole multiples, all of a row in the same place, so that flipping shows every difference.
  const dialog = document.getElementById("zoom");
  const large = dialog.querySelector("img");
  let row = [];
  let place = 0;
  const step = (by) => {
    place = (place + by + row.length) % row.length;
    const picture = row[place];
    large.src = picture.src;
    large.alt = picture.alt;
    const width = Math.max(...row.map((each) => each.naturalWidth));
    const height = Math.max(...row.map((each) => each.naturalHeight));
    const room = Math.min((innerWidth - 48) / width, (innerHeight - 150) / height);
    large.width = Math.round(width * (room > 1 ? Math.floor(room) : room));
    dialog.querySelector(".zoom-label").textContent = `${picture.alt} (${place + 1} of ${row.length})`;
  };
  for (const pictures of document.querySelectorAll(".pictures")) {
    const own = [...pictures.querySelectorAll("img")];
    own.forEach((picture, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "enlarge";
      button.title = "Enlarge";
      picture.replaceWith(button);
      button.append(picture);
      button.addEventListener("click", () => {
        [row, place] = [own, index];
        dialog.showModal();
        step(0);
      });
    });
  }
  for (const button of dialog.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
})();
