// Keyboard shortcuts: single keys, which their sheet switches off, and which do nothing
// while somebody types or holds a modifier.

import { remember, remembered } from "./remembered.js";
import { switchExact } from "./times.js";

const REMEMBERED_AS = "outbox-keys";
const TYPED_INTO =
  'input:not([type="checkbox"], [type="radio"]), select, textarea, [contenteditable]';

const sheet = document.getElementById("keys");
const use = document.getElementById("keys-used");
const opener = document.getElementById("keys-open");

const ACTIONS = {
  "?": () => sheet.showModal(),
  s: () => focus(document.querySelector('main input[type="search"]')),
  j: () => goRows(+1),
  k: () => goRows(-1),
  x: () => rowOf(document.activeElement)?.querySelector(".choose input")?.click(),
  n: () => document.querySelector('main a[rel="next"]')?.click(),
  p: () => document.querySelector('main a[rel="prev"]')?.click(),
  c: () => document.querySelector("main [data-copy]")?.click(),
  t: switchExact,
};

function focus(element) {
  element?.focus();
}

function rowOf(element) {
  return element.closest("main tbody tr");
}

function goRows(step) {
  const links = [...document.querySelectorAll("main tbody th a")].filter((link) =>
    link.checkVisibility(),
  );
  const rows = links.map(rowOf);
  const here = rows.indexOf(rowOf(document.activeElement));
  focus(links[here < 0 && step < 0 ? links.length - 1 : here + step]);
}

function goTo(key) {
  document.querySelector(`.top a[data-key="${CSS.escape(key)}"]`)?.click();
}

/** Whether the key before was the "g" that begins "go to". */
let going = false;

function press(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (!use.checked || sheet.open || target.closest(TYPED_INTO)) return;
  const act = going ? () => goTo(key) : ACTIONS[key];
  going = !going && key === "g";
  if (!act) return;
  event.preventDefault();
  act();
}

use.checked = remembered(REMEMBERED_AS) !== "off";
use.addEventListener("change", () =>
  remember(REMEMBERED_AS, use.checked ? "on" : "off"),
);
opener.hidden = false;
opener.addEventListener("click", () => sheet.showModal());
document.addEventListener("keydown", press);
