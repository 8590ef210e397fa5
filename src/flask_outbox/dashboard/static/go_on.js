// Goes on with what is done to all that match, until the person stops it. Without
// JavaScript they press the button.

const SEEN_MS = 300; // long enough to read how far it is, and to stop

const form = document.getElementById("go-on");
let timer = null;

addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) timer = setTimeout(() => form.submit(), SEEN_MS);
});
addEventListener("pagehide", () => clearTimeout(timer));
