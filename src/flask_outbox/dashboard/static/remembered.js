// What the browser remembers of a person's choices. Where it may not store anything, a
// choice holds for one page.

export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    return;
  }
}
