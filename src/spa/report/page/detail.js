// One example. All text of models and sources is set as text: nothing of it is ever read as HTML.
(() => {
  "use strict";
  const NAMES = { sample: "sample", refined: "refined", base: "before training" };

  const named = (by) => NAMES[by] || "after training (" + by + ")";
  const make = (tag, kind, ...parts) => {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    element.append(...parts.filter((part) => part !== null && part !== undefined && part !== ""));
    return element;
  };
  const number = (value) => (typeof value === "number" ? value.toFixed(2) : "–");
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

  // What a response is measured against: the best sample, or the mean of the answers before training.
  const measure = (example, response, name) => {
    if (response.by === "sample" || response.by === "base") return null;
    const refined = response.by === "refined";
    const known = example.responses.filter((each) => each.by === (refined ? "sample" : "base"))
      .map((each) => (each.scores[name] || [])[0]).filter((value) => typeof value === "number");
    if (!known.length) return null;
    return refined ? Math.max(...known) : known.reduce((sum, value) => sum + value, 0) / known.length;
  };
  const score = (example, response, name) => {
    const [value, reason] = response.scores[name];
    const element = make("span", "", name + " ", typeof value === "number" ? number(value) : "unscored: " + reason);
    const other = measure(example, response, name);
    if (typeof value === "number" && other !== null && Math.abs(value - other) > 0.005) {
      element.append(" ", make("span", value > other ? "good" : "bad", signed(value - other)));
    }
    return element;
  };
  const card = (example, response, objectives) => {
    const name = named(response.by);
    const cut = response.finish_reason === "length" ? ", cut at the token limit" : "";
    const scores = objectives.filter((each) => Object.hasOwn(response.scores, each));
    const dropped = example.verdict && (example.verdict.drop || []).includes(response.id) ? ", dropped" : "";
    return make("div", "card",
      make("b", "", response.id + ", " + name + cut + dropped),
      make("div", "scores", ...scores.map((each) => score(example, response, each))),
      response.system ? make("p", "reading", "system: " + response.system) : null,
      make("p", response.text ? "text" : "text dim", response.text || "(empty)"));
  };
  const facts = (title, lines) => (lines.length
    ? [make("h4", "", title), make("ul", "facts", ...lines.map((each) => make("li", "", each)))] : []);
  const details = (mapping) => Object.entries(mapping || {})
    .map(([key, value]) => key + " " + (typeof value === "number" ? Number(value.toPrecision(4)) : JSON.stringify(value)))
    .join(", ");
  const verdicts = (example) => {
    const verdict = example.verdict;
    if (!verdict) return [];
    const said = verdict.verdicts.map((each) =>
      each.denoiser + ": " + (each.keep ? "kept, " : "dropped, ") + each.reason + (details(each.details) ? " (" + details(each.details) + ")" : ""));
    return said.length ? said : [(verdict.keep ? "kept" : "lost at " + verdict.lost_at) + ": " + verdict.reason];
  };
  const pairs = (example) => example.pairs.map((each) =>
    each.chosen + " over " + each.rejected + (each.decided_by ? " by " + each.decided_by : "")
    + ", margin " + number(each.margin) + ", gap " + number(each.gap));
  const NO_FIGURES = ["prompt_id", "models"];
  // What evaluators noted, a table each: a row is a figure, a column a model.
  const noted = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4)))
    : value === null || value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));
  const evaluation = ([name, record]) => {
    const figures = new Map();
    for (const [key, value] of Object.entries(record)) {
      if (NO_FIGURES.includes(key)) continue;
      const model = (record.models || []).find((each) => key.startsWith(each + ":")) || "";
      const figure = model ? key.slice(model.length + 1) : key;
      figures.set(figure, { ...figures.get(figure), [model]: value });
    }
    const columns = ["", ...(record.models || [])].filter((model) =>
      [...figures.values()].some((values) => Object.hasOwn(values, model)));
    const row = ([figure, values]) => make("tr", "", make("td", "", figure.replaceAll("_", " ")),
      ...columns.map((model) => make("td", typeof values[model] === "string" ? "text" : "", noted(values[model]))));
    const head = make("tr", "", make("th", "", ""), ...columns.map((model) => make("th", "", model && named(model))));
    return make("div", "scroll", make("table", "numbers",
      make("caption", "", name), make("thead", "", head), make("tbody", "", ...[...figures].map(row))));
  };
  const evaluations = (example) => {
    const tables = Object.entries(example.evaluations)
      .filter(([name]) => !name.startsWith("judge-scores")) // they are in the scores above
      .filter(([, record]) => Object.keys(record).some((key) => !NO_FIGURES.includes(key)))
      .map(evaluation);
    return tables.length ? [make("h4", "", "Evaluation"), ...tables] : [];
  };

  window.spaReport.detail = (example, run) => {
    const turn = (each) => make("div", "turn", make("b", "", each.role), make("p", "text", each.content));
    const heldout = example.split === "heldout";
    const kind = heldout ? "held-out prompt" : "training prompt";
    const cards = (responses) => responses.map((each) => card(example, each, run.objectives));
    const models = [...new Set(example.responses.map((each) => each.by))];
    // Answers before training stand on one side and those after it on the other, however many.
    const responses = heldout
      ? make("div", "sides", ...models.map((model) =>
        make("div", "side", ...cards(example.responses.filter((each) => each.by === model)))))
      : make("div", "cards", ...cards(example.responses));
    const title = heldout ? "Answers before and after training; a difference is to the mean before"
      : "Responses; a difference is to the best sample";
    return [
      make("h3", "", example.id),
      make("p", "sub", kind + " of round " + run.round + (example.told ? ": " + example.told : "")
        + (example.flips ? "; the order of what was shown decided " + example.flips + (example.flips === 1 ? " time" : " times") : "")),
      ...example.messages.map(turn),
      models.length ? make("h4", "", title) : null,
      responses,
      ...facts("Denoising", verdicts(example)),
      ...facts("Pairs", pairs(example)),
      ...evaluations(example),
      ...facts("Failed", example.failures.map((each) => each.stage + " " + each.job + ": " + each.reason + ", " + each.message)),
    ].filter(Boolean);
  };
})();
