// Builds a preview anew when the code or the template that it is made of has changed.

const EVERY_MS = 1000;
const watch = document.getElementById("watch");
let seen = null;

async function look() {
  if (document.hidden) {
    return;
  }
  try {
    const answer = await fetch(watch.dataset.digest);
    if (!answer.ok) {
      throw new Error(answer.statusText);
    }
    const { digest } = await answer.json();
    tell(digest);
  } catch {
    watch.textContent = "The app does not answer. This page tries again.";
  }
}

function tell(digest) {
  if (digest === "varies") {
    watch.textContent =
      "This message differs each time it is built: reload the page to see a change.";
    return;
  }
  if (seen !== null && digest !== seen) {
    location.reload();
    return;
  }
  seen = digest;
  watch.textContent = "A change of the code or the template shows here at once.";
}

async function goOn() {
  await look();
  setTimeout(goOn, EVERY_MS);
}

goOn();
