// Copying to the clipboard, also where the page was not loaded over HTTPS and
// the browser has no clipboard for it.
import { el } from "./dom.js";

async function write(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { /* not allowed here */ }
  }
  const field = el("textarea", { class: "sr", readonly: true, "aria-hidden": "true", tabindex: -1 });
  field.value = text;
  document.body.append(field);
  const before = document.activeElement;
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus();
  return done;
}

/** A button that copies what text() returns, and says so. */
export function copyButton(label, text) {
  const button = el("button", { type: "button", class: "quiet copy" }, label);
  let timer = 0;
  button.addEventListener("click", async () => {
    button.textContent = (await write(text())) ? "Copied" : "Could not copy";
    clearTimeout(timer);
    timer = setTimeout(() => { button.textContent = label; }, 2000);
  });
  return el("span", { role: "status" }, button);
}
