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
    watch.textContent = watch.dataset.silent;
  }
}

function tell(digest) {
  if (digest === "varies") {
    watch.textContent = watch.dataset.varies;
    return;
  }
  if (seen !== null && digest !== seen) {
    location.reload();
    return;
  }
  seen = digest;
  watch.textContent = watch.dataset.watched;
}

async function goOn() {
  await look();
  setTimeout(goOn, EVERY_MS);
}

goOn();
