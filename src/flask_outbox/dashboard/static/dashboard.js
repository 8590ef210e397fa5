// What JavaScript adds to the pages: they follow what happens, whole tables can be
// ticked at once, and lines copied. Without it they are to be reloaded, and all else
// works the same. What they say is in attributes, in the language of the page.

const POLL_MS = 2_000;
const AGAIN_MS = 5_000; // until there may be room for a stream
const SLOW_MS = 15_000; // heartbeats, and times such as "3 min ago", bring no news

const live = document.getElementById("live");
const follow = document.getElementById("follow");

let source = null;
let timer = null;
let again = null;

function look() {
  htmx.trigger(live, "outbox-news");
}

function say(text) {
  if (follow.textContent !== text) follow.textContent = text;
}

function lookEvery(ms) {
  clearInterval(timer);
  timer = setInterval(look, ms);
}

/** Follow by a stream; while the server has none to spare, look again and again. */
function start() {
  source = new EventSource(live.dataset.stream);
  source.addEventListener("news", look);
  source.addEventListener("open", () => {
    say(follow.dataset.live);
    lookEvery(SLOW_MS);
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return;
    say(follow.dataset.polling.replace("#", POLL_MS / 1000));
    lookEvery(POLL_MS);
    again = setTimeout(start, AGAIN_MS);
  });
}

function stop() {
  source.close();
  clearInterval(timer);
  clearTimeout(again);
}

/** A page that nobody sees leaves the stream to one that somebody sees. */
function followOnlyWhenSeen() {
  document.addEventListener("visibilitychange", () => {
    stop();
    if (document.hidden) return;
    look();
    start();
  });
  addEventListener("pagehide", stop);
  start();
}

/** Rows that were not there before are shown for a moment. */
function markFreshRows() {
  let known = rowIds();
  document.addEventListener("htmx:after:swap", () => {
    for (const row of live.querySelectorAll("tr[id]"))
      if (!known.has(row.id)) row.classList.add("fresh");
    known = rowIds();
  });
}

function rowIds() {
  return new Set([...live.querySelectorAll("tr[id]")].map((row) => row.id));
}

/** One box that ticks all, and how many are ticked. */
function tickAll() {
  const bar = document.getElementById("chosen");
  if (!bar) return;
  const bulk = document.getElementById("bulk");
  const boxes = () => [...document.querySelectorAll('input[name="id"]')];
  document.addEventListener("change", ({ target }) => {
    if (target.id === "all")
      for (const box of boxes()) box.checked = target.checked;
    if (target.id === "all" || target.name === "id") offer();
  });
  document.addEventListener("htmx:after:swap", offer);
  addEventListener("pageshow", offer); // a browser that goes back restores the ticks
  offer();

  /** Only what can be done: nothing where no message is, or none is chosen. */
  function offer() {
    const ticked = boxes().filter((box) => box.checked).length;
    bulk.hidden = boxes().length === 0;
    for (const button of bulk.querySelectorAll("button"))
      button.disabled = ticked === 0;
    const said = ticked ? bar.dataset.words.replace("#", ticked) : "";
    if (bar.textContent !== said) bar.textContent = said;
  }
}

/** The values of the bar that is pointed at, written below its plot. */
function readPlots() {
  document.addEventListener("pointerover", ({ target }) => {
    const title = target.closest?.(".plot rect")?.querySelector("title");
    if (title)
      target.closest("figure").querySelector(".reading").textContent =
        title.textContent;
  });
}

const COPIED_MS = 2_000;

/** Buttons that copy what they name. */
function offerToCopy() {
  if (!navigator.clipboard) return; // it is there on safe pages only
  document.documentElement.classList.add("can-copy");
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-copy]");
    if (button) copy(button);
  });
}

async function copy(button) {
  const label = button.firstChild;
  button.dataset.label ??= label.data;
  const done = await navigator.clipboard.writeText(button.dataset.copy).then(
    () => button.dataset.copied,
    () => button.dataset.notCopied,
  );
  label.data = done;
  document.getElementById("said").textContent = done;
  setTimeout(() => {
    label.data = button.dataset.label;
    document.getElementById("said").textContent = "";
  }, COPIED_MS);
}

/** A form whose answer takes long is sent once. */
function sendOnce() {
  for (const form of document.querySelectorAll("form[data-once]")) {
    const button = form.querySelector("button");
    const label = button.textContent;
    form.addEventListener("submit", () => {
      button.disabled = true;
      button.textContent = form.dataset.once;
    });
    addEventListener("pageshow", () => {
      button.disabled = false;
      button.textContent = label;
    });
  }
}

if (live) {
  followOnlyWhenSeen();
  markFreshRows();
}
readPlots();
tickAll();
offerToCopy();
sendOnce();
