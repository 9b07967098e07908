// What clients sent, as text that can be trusted to the eye: nothing in it is
// invisible, turns the line around, or pushes other things out of the page.
import { el } from "./dom.js";

// Characters that draw nothing, or change how others are drawn: controls, format
// characters (those for bidirectional text among them), separators, blanks other
// than the space, private and unassigned ones.
const odd = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}]|(?! )\p{Zs}/gu;

/** The sign that stands for an invisible character: ␊ for a line feed, U+202E for others. */
export function sign(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** text with every invisible character replaced by its sign. */
export const visible = (text) => text.replace(odd, (c) => (c.codePointAt(0) < 0x80 ? sign(c) : `⟨${sign(c)}⟩`));

/** text in parts: strings, and an element for each invisible character. */
function parts(text) {
  const out = [];
  let from = 0;
  for (const { 0: c, index } of text.matchAll(odd)) {
    if (index > from) out.push(text.slice(from, index));
    out.push(el("i", { class: "odd", title: `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` }, sign(c)));
    from = index + c.length;
  }
  if (from < text.length) out.push(text.slice(from));
  return out;
}

const longest = 160, head = 96, tail = 48; // characters

/** text without its middle, if it is long; null if it is not. */
export function shortened(text) {
  const characters = [...text];
  return characters.length <= longest ? null : [characters.slice(0, head).join(""), characters.slice(-tail).join("")];
}

/** An element with text, which can be opened where it is shortened in the middle. */
export function name(text) {
  const short = shortened(text);
  const node = el("bdi", { class: "name" });
  if (!short) {
    node.append(...parts(text));
    return node;
  }
  const left = [...text].length - head - tail;
  const button = el("button", { type: "button", class: "more", "aria-expanded": "false", "aria-label": `Show ${left} more characters`,
    onclick: () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      button.setAttribute("aria-label", open ? `Show ${left} more characters` : "Show less");
      button.textContent = open ? "…" : "less";
      fill(!open);
      button.focus();
    } }, "…");
  const fill = (open) => node.replaceChildren(...(open ? [...parts(text), " ", button] : [...parts(short[0]), button, ...parts(short[1])]));
  fill(false);
  return node;
}
