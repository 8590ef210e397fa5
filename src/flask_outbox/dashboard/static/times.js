// Times in the zone of the person who looks. Without JavaScript they stay as the server
// wrote them, in UTC.

import { remember, remembered } from "./remembered.js";

const EVERY_MS = 5_000;
const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

const language = document.documentElement.lang;
const distance = new Intl.RelativeTimeFormat(language, { style: "short" });
const now = new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(0, "second");
const calendar = new Intl.DateTimeFormat(language, {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  weekday: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
  timeZoneName: "short",
});
const zone = calendar.resolvedOptions().timeZone;

/** The server's clock, which may be ahead of this one or behind. */
let ahead = 0;

function compareClocks() {
  const page = document.getElementById("live") ?? document.getElementById("main");
  ahead = Date.parse(page.dataset.now) - Date.now();
}

function parts(at) {
  return Object.fromEntries(
    calendar.formatToParts(at).map(({ type, value }) => [type, value]),
  );
}

function exact(at) {
  const is = parts(at);
  const day = `${is.year}-${is.month}-${is.day}`;
  return `${day} ${is.hour}:${is.minute}:${is.second} ${is.timeZoneName}`;
}

/** "3 min. ago", "in 2 hr.", "now" */
function relative(at) {
  const seconds = Math.trunc((at - Date.now() - ahead) / 1000);
  const [unit, size] =
    UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return seconds === 0 ? now : distance.format(Math.trunc(seconds / size), unit);
}

const REMEMBERED_AS = "outbox-times";
const exactly = document.getElementById("exact-times");

/** Show exact times in place of relative ones, or no longer. */
export function switchExact() {
  const pressed = exactly.ariaPressed !== "true";
  exactly.ariaPressed = String(pressed);
  remember(REMEMBERED_AS, pressed ? "exact" : "relative");
  showTimes();
}

/** `data-show` says what stands on the page; the rest is in the title. */
function showTime(element) {
  const at = new Date(element.dateTime);
  const stays = element.dataset.show === "offset";
  const isRelative = element.dataset.show === "relative" && exactly.ariaPressed !== "true";
  if (!stays) write(element, isRelative ? relative(at) : exact(at));
  element.title = `${stays || isRelative ? exact(at) : relative(at)}, ${zone}`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showPlotTimes() {
  for (const tick of document.querySelectorAll(".plot text[data-at]")) {
    const is = parts(new Date(tick.dataset.at));
    const day = tick.closest("[data-weekdays]") ? `${is.weekday} ` : "";
    write(tick, `${day}${is.hour}:${is.minute}`);
  }
  for (const bar of document.querySelectorAll(".plot rect[data-at]")) {
    const is = parts(new Date(bar.dataset.at));
    const when = `${is.weekday} ${is.hour}:${is.minute} ${is.timeZoneName}`;
    write(bar.querySelector("title"), `${when}: ${bar.dataset.words}`);
  }
}

function showTimes() {
  document.querySelectorAll("time[datetime]").forEach(showTime);
}

function nameZone() {
  const name = parts(new Date()).timeZoneName;
  write(document.getElementById("zone"), name === zone ? zone : `${zone} (${name})`);
}

function showAll() {
  compareClocks();
  showTimes();
  showPlotTimes();
}

exactly.ariaPressed = String(remembered(REMEMBERED_AS) === "exact");
exactly.hidden = false;
exactly.addEventListener("click", switchExact);
showAll();
nameZone();
document.addEventListener("htmx:after:swap", showAll);
setInterval(showTimes, EVERY_MS);
