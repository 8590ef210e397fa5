// Sends, and shows what the app tells: /now and /messages/<id>, asked again and again.

const BUSY_MS = 200;
const QUIET_MS = 1000;
const PULSE_MS = 500;
const BEATS = 32;

const $ = (id) => document.getElementById(id);
const columns = ["step", "what", "background", "request", "output"];
const headings = [...document.querySelectorAll("thead th")].map((th) => th.textContent);

let picked = null; // the id of the message whose history a person wants; null: the newest
let shown = null; // the id of the message whose history is shown
let wake = () => {}; // ends the rest between two looks

// ------------------------------------------------------------------------ small tools

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  return element;
}

/** Set the text only where it changed, so that nothing is announced twice. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const ms = (number) => `${number < 100 ? number.toFixed(1) : Math.round(number)} ms`;

const rest = (milliseconds) =>
  new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, milliseconds);
  });

async function ask(address, options) {
  const response = await fetch(address, options);
  if (!response.ok) throw new Error((await response.text()).trim());
  return response;
}

const askJson = async (address) => (await ask(address)).json();

function complain(error) {
  const gone = error instanceof TypeError; // fetch's word for: nobody is there
  write($("trouble"), gone ? "The demo does not answer: has it ended?" : error.message);
  $("trouble").dataset.gone = gone;
  $("trouble").hidden = false;
}

async function post(address, body) {
  try {
    const response = await ask(address, { method: "POST", body });
    $("trouble").hidden = true;
    return response;
  } catch (error) {
    complain(error);
    return null;
  } finally {
    wake();
  }
}

// ----------------------------------------------------------------------------- sending

$("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const began = performance.now();
  const response = await post(event.target.action);
  if (!response) return;
  const text = await response.text();
  const browserMs = performance.now() - began;
  const appMs = Number(/dur=([\d.]+)/.exec(response.headers.get("Server-Timing"))[1]);
  showResponse(text, browserMs, appMs);
  picked = null;
  wake();
});

function showResponse(text, browserMs, appMs) {
  const times = document.createElement("dl");
  for (const [where, took] of [["in your browser", browserMs], ["in the app", appMs]]) {
    const one = document.createElement("div");
    one.append(make("dt", where), make("dd", ms(took)));
    times.append(one);
  }
  $("response").replaceChildren(make("p", `“${text}”`, { class: "said" }), times);
}

$("server").addEventListener("submit", (event) => {
  event.preventDefault();
  const body = new URLSearchParams({ behaviour: event.submitter.value });
  post(event.target.action, body);
});

$("retry").addEventListener("click", () => post(`/messages/${shown}/retry`));

// ----------------------------------------------------------------------------- showing

function showServer({ behaviour, paused }) {
  $("paused").hidden = !paused;
  write($("paused"), `The lane is paused: ${paused}`);
  for (const button of $("server").elements) {
    button.setAttribute("aria-pressed", button.value === behaviour);
  }
  for (const hint of document.querySelectorAll("[data-behaviour]")) {
    hint.hidden = hint.dataset.behaviour !== behaviour;
  }
}

function showHistory(history) {
  write($("history-of"), history.subject);
  write($("state"), history.state);
  $("state").dataset.state = history.state;
  $("state").hidden = false;
  write($("summary"), history.summary);
  $("retry").hidden = history.state !== "failed";
  for (const stage of history.stages) {
    const item = document.querySelector(`[data-stage="${stage.name}"]`);
    item.dataset.light = stage.state;
    write(item.querySelector(".stage-text"), stage.text);
  }
  showRows(history.rows);
}

function showRows(rows) {
  const body = $("rows");
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  rows.forEach((row, index) => showRow(body.rows[index] ?? addRow(body), row));
}

function addRow(body) {
  const line = body.appendChild(make("tr", "", { role: "row" }));
  for (const heading of headings) {
    line.append(make("td", "", { role: "cell", "data-heading": heading }));
  }
  return line;
}

function showRow(line, row) {
  columns.forEach((column, index) => {
    const text = String(row[column]);
    const cell = line.cells[index];
    if (column !== "step") write(cell, text);
    else if (cell.textContent !== text + row.after) {
      cell.replaceChildren(text, make("span", row.after, { class: "after" }));
    }
  });
}

/** Rebuild a list only when what it shows has changed, so that focus stays. */
function showList(list, items, build) {
  const shown = JSON.stringify(items);
  if (list.dataset.shown === shown || (!items.length && !list.dataset.shown)) return;
  list.dataset.shown = shown;
  const focused = list.contains(document.activeElement)
    ? document.activeElement.dataset.id
    : null;
  list.replaceChildren(...items.map(build));
  if (focused) list.querySelector(`[data-id="${focused}"]`)?.focus();
}

function buildMessage(message) {
  const button = make("button", "", {
    type: "button",
    "data-id": message.id,
    "aria-pressed": message.shown,
  });
  button.append(
    make("span", message.subject),
    make("span", message.state, { class: "state", "data-state": message.state }),
    make("span", message.summary, { class: "quiet" }),
  );
  button.addEventListener("click", () => {
    picked = message.id;
    wake();
  });
  return wrap(button);
}

function buildArrival(arrival) {
  const time = make("time", new Date(arrival.at).toLocaleTimeString(), {
    datetime: arrival.at,
    class: "quiet",
  });
  const link = make("a", arrival.subject, { href: `/arrived/${arrival.number}` });
  const again = arrival.again ? " – once more, under the same Message-ID" : "";
  const detail = make("code", arrival.known_as, { class: "quiet detail" });
  return wrap(link, " ", time, again, detail);
}

function wrap(...parts) {
  const item = document.createElement("li");
  item.append(...parts);
  return item;
}

// ---------------------------------------------------------------------------- watching

async function look() {
  const now = await askJson("/now");
  if (!now.messages.some((message) => message.id === picked)) picked = null;
  shown = picked ?? now.messages[0]?.id ?? null;
  for (const message of now.messages) message.shown = message.id === shown;
  showServer(now);
  showList($("messages"), now.messages, buildMessage);
  showList($("arrived"), now.arrived, buildArrival);
  if (shown) showHistory(await askJson(`/messages/${shown}`));
  return now.messages.some((message) => message.unfinished);
}

async function watch() {
  for (;;) {
    let busy = false;
    try {
      busy = await look();
    } catch (error) {
      complain(error);
    }
    await rest(busy ? BUSY_MS : QUIET_MS);
  }
}

const pulse = { count: 0, slowest: 0 };

async function beat() {
  const began = performance.now();
  try {
    await ask("/ping");
    showBeat(performance.now() - began);
    if ($("trouble").dataset.gone === "true") $("trouble").hidden = true;
  } catch (error) {
    write($("pulse-ms"), "no answer");
    complain(error);
  }
  setTimeout(beat, PULSE_MS);
}

function showBeat(took) {
  pulse.count += 1;
  pulse.slowest = Math.max(pulse.slowest, took);
  write($("pulse-ms"), ms(took));
  write(
    $("pulse-record"),
    `Asked twice a second, ${pulse.count} times so far; the slowest took ${ms(pulse.slowest)}.`,
  );
  const bar = make("span", "", took > 100 ? { class: "late" } : {});
  bar.style.height = `${Math.min(100, 8 + took)}%`;
  $("beats").append(bar);
  if ($("beats").children.length > BEATS) $("beats").firstElementChild.remove();
}

watch();
beat();
