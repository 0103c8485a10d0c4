// The list of examples. However many there are, only the rows that can be seen are in the document.
(() => {
  "use strict";
  const HEIGHT = 48; // as .item has it
  const SPARE = 6;
  const list = document.getElementById("list");
  const spacer = document.getElementById("spacer");
  const rows = document.getElementById("rows");
  let places = [];
  let examples = [];
  let current = -1;
  let pick = () => {};

  const line = (kind, ...parts) => {
    const element = document.createElement("div");
    element.className = kind;
    element.append(...parts);
    return element;
  };
  const told = (example) => {
    const element = document.createElement("span");
    element.textContent = example.told;
    if (example.told === "fell") element.className = "bad";
    if (example.told === "rose") element.className = "good";
    return element;
  };
  const row = (at) => {
    const example = examples[places[at]];
    const element = line("item", line("of", example.id, told(example)), line("what", example.title));
    element.role = "option";
    element.id = "item-" + at;
    element.ariaSelected = String(at === current);
    element.addEventListener("click", () => pick(at));
    return element;
  };
  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - SPARE);
    const last = Math.min(places.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + SPARE);
    const shown = [];
    for (let at = first; at < last; at++) shown.push(row(at));
    rows.style.transform = "translateY(" + first * HEIGHT + "px)";
    rows.replaceChildren(...shown);
  };
  let waiting = false;
  list.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }, { passive: true });
  addEventListener("resize", draw);

  window.spaReport.list = {
    show(chosen, all, selected) {
      places = chosen;
      examples = all;
      current = selected;
      spacer.style.height = places.length * HEIGHT + "px";
      const top = current * HEIGHT;
      if (current >= 0 && (top < list.scrollTop || top + HEIGHT > list.scrollTop + list.clientHeight)) {
        list.scrollTop = Math.max(0, top - list.clientHeight / 2);
      }
      if (current >= 0) list.setAttribute("aria-activedescendant", "item-" + current);
      else list.removeAttribute("aria-activedescendant");
      draw();
    },
    onPick(callback) { pick = callback; },
  };
})();
