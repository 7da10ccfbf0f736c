"use strict";
// Sliders: the input lies over the picture, so that it is dragged there, and has the keyboard's arrows by itself.
for (const range of document.querySelectorAll("input[type=range]")) {
  const show = () => range.parentElement.style.setProperty("--cut", range.value + "%");
  range.addEventListener("input", show);
  show(); // a reloaded page keeps its sliders' places
}
const rows = document.getElementById("rows"), order = document.getElementById("order");
if (order) order.addEventListener("change", () => {
  const name = order.value;
  const value = row => name ? -(JSON.parse(row.dataset.numbers)[name] ?? -Infinity) : Number(row.dataset.place);
  rows.append(...[...rows.children].sort((a, b) => value(a) - value(b)));
});
for (const strip of document.querySelectorAll(".strip"))
  strip.addEventListener("click", event => {
    const button = event.target.closest("button");
    if (!button) return;
    const row = strip.closest("article"), step = button.closest("li");
    for (const other of strip.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
    const picture = button.querySelector("img"), shown = row.querySelector(".after");
    if (picture && shown) { shown.src = picture.src; shown.alt = picture.alt; }
    row.querySelector(".step").replaceChildren(...step.querySelector("template").content.cloneNode(true).children);
  });
for (const button of document.querySelectorAll("button.copy"))
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code"), said = button.parentElement.querySelector("[role=status]");
    const select = () => { getSelection().selectAllChildren(code); return document.execCommand("copy"); };
    let copied = true;
    try { await navigator.clipboard.writeText(code.textContent); }
    catch { copied = select(); } // a page from a file may lack the clipboard
    said.textContent = copied ? "Copied" : "Selected: press Ctrl+C";
  });
