// Light, dark, or as the system says. Charts take their colours from the page, so nothing is drawn anew.
(() => {
  "use strict";
  const order = ["system", "light", "dark"];
  const button = document.getElementById("theme");
  const root = document.documentElement;
  let now = "system";
  try { now = localStorage.getItem("spa-report-theme") || now; } catch { /* kept for this visit only */ }
  const show = () => {
    if (now === "system") delete root.dataset.theme;
    else root.dataset.theme = now;
    button.textContent = "Theme: " + now;
  };
  button.addEventListener("click", () => {
    now = order[(order.indexOf(now) + 1) % order.length];
    try { localStorage.setItem("spa-report-theme", now); } catch { /* as above */ }
    show();
  });
  if (!order.includes(now)) now = "system";
  show();
})();
