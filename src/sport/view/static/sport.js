// Keys for everything that a pointer can do. There is no state but the page's own.
"use strict";
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const first = (selector) => document.querySelector(selector);
  const follow = (selector) => first(selector)?.click();

  function move(selector, by) {
    const items = all(selector);
    if (!items.length) return;
    const here = items.findIndex((item) => item.contains(document.activeElement));
    const next = here < 0 ? (by > 0 ? 0 : items.length - 1) : here + by;
    const item = items[Math.max(0, Math.min(items.length - 1, next))];
    item.focus({ preventScroll: true });
    item.scrollIntoView({ block: item.matches(".step") ? "start" : "nearest", inline: "nearest" });
  }

  function columns(by) {
    const step = document.activeElement?.closest(".step") ?? first(".step");
    if (!step) return;
    const items = [...step.querySelectorAll(".column")];
    const here = items.findIndex((item) => item.contains(document.activeElement));
    const item = items[here < 0 ? (by > 0 ? 0 : items.length - 1) : Math.max(0, Math.min(items.length - 1, here + by))];
    item?.focus({ preventScroll: true });
    item?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function differences() {
    const found = all(".diff");
    const open = found.some((item) => !item.open);
    for (const item of found) item.open = open;
  }

  const keys = {
    j: () => move(first(".step") ? ".step" : "a[data-row]", 1),
    k: () => move(first(".step") ? ".step" : "a[data-row]", -1),
    l: () => columns(1),
    h: () => columns(-1),
    n: () => follow("a[data-next]"),
    p: () => follow("a[data-previous]"),
    u: () => (first("a[data-up]") ?? first("a.brand"))?.click(),
    d: differences,
    "/": () => first("#q")?.focus(),
    "?": () => first("#keys")?.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || first("dialog[open]")) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key !== "Escape") return;
      event.preventDefault(); // a search field would forget what was looked for
      event.target.blur();
      return;
    }
    const button = /^[0-9s]$/.test(event.key) && first(`button[data-key="${event.key}"]`);
    const action = button ? () => button.click() : keys[event.key];
    if (!action) return;
    event.preventDefault();
    if (button && event.repeat) return; // a key that is held must not judge the next step, too
    action();
  });

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    if (opener) document.getElementById(opener.dataset.open)?.showModal();
  });

  // What somebody has opened, or stands on, is not taken away by an update: it comes later.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = event.detail.target;
    if (part.id === "figures" && part.querySelector("details[open], :focus")) {
      event.detail.shouldSwap = false;
    }
  });

  document.addEventListener("input", (event) => {
    const selector = event.target.dataset?.filter;
    if (!selector) return;
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const row of all(selector)) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
})();
