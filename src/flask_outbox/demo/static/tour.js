// Walks through the steps. The page holds all of it; only what is new is asked for.

const LOOK_MS = 250;
const PLAY_MS = 2500;

const $ = (id) => document.getElementById(id);
const rows = [...$("steps").rows];
const here = { step: 1, playing: null };

const happened = (step) => "happened" in rows[step - 1].dataset;

// ----------------------------------------------------------------------- one step on

/** Show the lesson as it is after a step, once that has really happened. */
function goTo(step) {
  if (step < 1 || step > rows.length || !happened(step)) return;
  here.step = step;
  for (const row of rows) row.hidden = rows.indexOf(row) >= step;
  show();
}

function show() {
  const { step } = here;
  showCaption();
  for (const element of document.querySelectorAll("[data-steps]")) light(element, step);
  for (const row of document.querySelectorAll("tr[id^=step-], tr[data-step]")) {
    mark(row, Number(row.dataset.step ?? row.id.slice(5)) === step);
  }
  for (const pip of document.querySelectorAll("#pips button")) {
    mark(pip, Number(pip.dataset.step) === step);
  }
  showVariables(step);
  showButtons();
  keepInView();
}

function showCaption() {
  const [, action, , , , what] = rows[here.step - 1].cells;
  $("step-title").textContent = `Step ${here.step} of ${rows.length}: ${action.textContent}`;
  $("step-what").replaceChildren(...[...what.childNodes].map((one) => one.cloneNode(true)));
}

/** Say what is new of this step, once it is over: a count that goes on is not read out. */
function refreshCaption() {
  const over = here.step === rows.length || happened(here.step + 1);
  const [, , , , , what] = rows[here.step - 1].cells;
  if (over && what.textContent !== $("step-what").textContent) showCaption();
}

function mark(element, current) {
  if (current) element.setAttribute("aria-current", "step");
  else element.removeAttribute("aria-current");
}

/** Light a stage of the flow or a line of code: ahead, now or done. */
function light(element, step) {
  const steps = element.dataset.steps.trim().split(" ").map(Number);
  let state = "ahead";
  if (steps.includes(step)) state = "now";
  else if (steps.some((one) => one < step)) state = "done";
  element.dataset.light = state;
}

function showVariables(step) {
  const columns = [...document.querySelectorAll(".variables [data-from]")];
  const reached = Math.max(
    ...columns.map((one) => Number(one.dataset.from)).filter((from) => from <= step),
  );
  for (const cell of columns) {
    const from = Number(cell.dataset.from);
    cell.dataset.light = from === reached ? "now" : from < reached ? "done" : "ahead";
    for (const value of cell.children) value.hidden = from > reached;
  }
}

/** What cannot be pressed now keeps the focus all the same. */
function showButtons() {
  const { step } = here;
  allow($("back"), step > 1);
  allow($("next"), step < rows.length && happened(step + 1));
  for (const pip of document.querySelectorAll("#pips button")) {
    allow(pip, happened(Number(pip.dataset.step)));
  }
}

function allow(button, possible) {
  button.setAttribute("aria-disabled", String(!possible));
}

/** Scroll the listings, not the page, to the line that runs. */
function keepInView() {
  for (const listing of document.querySelectorAll(".code pre")) {
    const line = listing.querySelector('[data-light="now"]');
    if (line) listing.scrollTop = line.offsetTop - listing.clientHeight / 3;
  }
}

// ---------------------------------------------------------------------------- playing

function play() {
  if (here.step === rows.length) goTo(1);
  here.playing = setInterval(() => {
    goTo(here.step + 1);
    if (here.step === rows.length) pause();
  }, PLAY_MS);
  showPlaying();
}

function pause() {
  clearInterval(here.playing);
  here.playing = null;
  showPlaying();
}

function showPlaying() {
  $("play").textContent = here.playing ? "Pause" : "Play";
}

/** Whoever steps by hand wants no more playing. */
function walk(step) {
  pause();
  goTo(step);
}

$("back").addEventListener("click", () => walk(here.step - 1));
$("next").addEventListener("click", () => walk(here.step + 1));
$("play").addEventListener("click", () => (here.playing ? pause() : play()));

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-step], #pips [data-step]");
  if (!link) return;
  event.preventDefault();
  walk(Number(link.dataset.step));
  if (link.matches("a")) $("step-title").focus();
});

const keys = {
  ArrowLeft: () => here.step - 1,
  ArrowRight: () => here.step + 1,
  Home: () => 1,
  End: () => rows.length,
};

$("step").addEventListener("keydown", (event) => {
  if (!(event.key in keys) || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  walk(keys[event.key]());
});

// ------------------------------------------------------------------ what is new on it

/** Ask for a page of the tour, and take over what has changed. */
async function takeOver(address, options) {
  const response = await fetch(address, options);
  const text = await response.text();
  if (!response.ok) throw new Error(text.trim());
  const page = new DOMParser().parseFromString(text, "text/html");
  for (const fresh of page.querySelectorAll("[data-live]")) {
    const old = document.querySelector(`[data-live="${fresh.dataset.live}"]`);
    if (old.innerHTML !== fresh.innerHTML) old.innerHTML = fresh.innerHTML;
    if ("happened" in fresh.dataset) old.dataset.happened = "";
  }
  $("trouble").hidden = true;
  return page;
}

function complain(error) {
  const gone = error instanceof TypeError; // fetch's word for: nobody is there
  $("trouble").textContent = gone
    ? "The demo does not answer: has it ended?"
    : error.message;
  $("trouble").hidden = false;
}

const unfinished = (page) => "unfinished" in page.querySelector("main").dataset;
let watching = false;

/** Look until nothing more happens by itself. */
async function watch(page) {
  if (watching) return;
  watching = true;
  while (unfinished(page)) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    try {
      page = await takeOver(location.pathname);
    } catch (error) {
      complain(error);
    }
    refreshCaption();
    showButtons();
  }
  watching = false;
}

$("crash").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams(new FormData(event.target, event.submitter));
  try {
    watch(await takeOver(event.target.action, { method: "POST", body }));
  } catch (error) {
    complain(error);
  }
});

$("quiz").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answers = new URLSearchParams(new FormData(event.target));
  try {
    await takeOver(`${location.pathname}?${answers}`);
  } catch (error) {
    complain(error);
  }
});

$("copy").hidden = false;
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("snapshot").textContent);
    $("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren($("snapshot"));
    $("copied").textContent = "Selected: press Ctrl+C.";
  }
});

// ------------------------------------------------------------------------- the start

$("step").hidden = false;
goTo(1);
if ("given" in document.querySelector("main").dataset) $("step-title").focus();
watch(document);
