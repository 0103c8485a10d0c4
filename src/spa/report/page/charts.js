// Draws the charts. Expressions are interpreted, never compiled, so that the page may forbid eval.
(() => {
  "use strict";
  const specs = JSON.parse(document.getElementById("charts-data").textContent);
  const font = getComputedStyle(document.body).fontFamily;
  const config = {
    background: null,
    font,
    view: { stroke: "#888" },
    axis: { labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", labelLimit: 200 },
    legend: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", symbolOpacity: 1 },
    header: { labelFontSize: 12 },
    text: { fontSize: 11 },
  };
  const options = { actions: false, ast: true, config, mode: "vega-lite", renderer: "svg", tooltip: { theme: "custom" } };
  const follow = (_, item) => {
    const go = item && item.datum && item.datum.go;
    if (typeof go === "string" && go.startsWith("#")) location.hash = go;
  };
  const draw = async (element) => {
    const { view } = await vegaEmbed(element, specs[element.dataset.chart], options);
    view.addEventListener("click", follow);
  };
  const all = [...document.querySelectorAll("[data-chart]")].map((element) =>
    draw(element).catch((error) => {
      element.textContent = "This chart could not be drawn: " + error.message;
      console.error(error);
    }));
  Promise.all(all).then(() => { document.documentElement.dataset.charts = "drawn"; });
})();
