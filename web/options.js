/** What is to be done with the files: the form's fields as the API's options. */
import { el, find } from "./page.js";

const form = find("options");
const { model, preset } = form.elements;

/** Shows the fields that the chosen task takes; those that it is about stand in front. */
function fit() {
  for (const field of form.querySelectorAll("[data-for]")) {
    field.hidden = !field.dataset.for.split(" ").includes(preset.value);
  }
  if (preset.value === "resize+thumbnail") find("basic").append(find("width"));
  else find("advanced").prepend(find("width"));
  if (preset.value === "filters") find("more").open = true;
}

/** The options as they stand, or null if a field has an impossible value, which is then pointed at. */
export function read() {
  const fields = [...form.elements].filter((field) => !field.closest("[hidden]"));
  const wrong = fields.find((field) => !field.checkValidity());
  if (wrong) {
    find("more").open = true;
    wrong.reportValidity();
    return null;
  }
  const options = {};
  for (const { checked, dataset, name, type, value } of fields) {
    if (type === "checkbox" && checked) options[name] = true;
    else if (type !== "checkbox" && value) options[name] = isNaN(value) ? value : value * (dataset.factor ?? 1);
  }
  return options;
}

export function offer(names) {
  model.append(...names.map((name) => el("option", { value: name, textContent: name })));
}

preset.addEventListener("change", fit);
form.addEventListener("submit", (event) => event.preventDefault());
fit();
