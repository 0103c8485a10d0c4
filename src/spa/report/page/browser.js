// The browser of examples: the page's address holds what is shown, and all else follows from it.
(() => {
  "use strict";
  const { runs, choose, list, detail } = window.spaReport;
  const field = (name) => document.getElementById(name);
  const [runField, filterField, reasonField, stageField] = ["run", "filter", "reason", "stage"].map(field);
  const [search, count, pane] = ["search", "count", "detail"].map(field);
  const WORDS = {
    regressions: "regressions", flips: "order flips", unscored: "without a score", heldout: "held-out prompts",
    train: "training prompts", paired: "with pairs", dropped: "dropped", failed: "failed",
  };
  let state = { run: 0, filter: "", reason: "", stage: "", search: "", example: "" };
  let places = [];
  let at = -1;

  const option = (value, text) => {
    const element = document.createElement("option");
    element.value = value;
    element.textContent = text;
    return element;
  };
  const options = (select, lists, all, words, value) => {
    const found = Object.entries(lists).map(([name, list]) => option(name, (words[name] || name) + " (" + list.length + ")"));
    if (value && !Object.hasOwn(lists, value)) found.push(option(value, value + " (0)"));
    select.replaceChildren(option("", all), ...found);
    select.value = value;
  };
  const fromAddress = () => {
    const query = new URLSearchParams(location.hash.slice(1));
    const run = Number(query.get("run") || 0);
    return {
      run: Number.isInteger(run) && run >= 0 && run < runs.length ? run : 0,
      filter: query.get("filter") || "", reason: query.get("reason") || "", stage: query.get("stage") || "",
      search: query.get("search") || "", example: query.get("example") || "",
    };
  };
  const toAddress = () => {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(state)) if (value) query.set(name, value);
    history.replaceState(null, "", "#" + query);
  };

  const show = () => {
    const run = runs[state.run];
    options(filterField, run.filters, "all examples", WORDS, state.filter);
    options(reasonField, run.reasons, "any reason", {}, state.reason);
    options(stageField, run.stages, "any stage", {}, state.stage);
    runField.value = String(state.run);
    if (search.value !== state.search) search.value = state.search;
    places = choose(state);
    at = places.findIndex((place) => run.examples[place].id === state.example);
    count.textContent = places.length.toLocaleString("en") + " of " + run.examples.length.toLocaleString("en");
    if (at < 0 && places.length) at = 0;
    render();
  };
  const render = () => {
    const run = runs[state.run];
    list.show(places, run.examples, at);
    if (at < 0) {
      const nothing = document.createElement("p");
      nothing.className = "missing";
      nothing.textContent = "No example fits. Esc shows all.";
      pane.replaceChildren(nothing);
    } else {
      pane.replaceChildren(...detail(run.examples[places[at]], run));
      pane.scrollTop = 0;
    }
  };
  const go = (place) => {
    if (place < 0 || place >= places.length) return;
    at = place;
    state = { ...state, example: runs[state.run].examples[places[at]].id };
    toAddress();
    render();
  };
  const change = (part) => {
    state = { ...state, ...part };
    toAddress();
    show();
  };

  runField.replaceChildren(...runs.map((run, place) => option(String(place), run.name)));
  runField.parentElement.hidden = runs.length < 2;
  runField.addEventListener("change", () => change({ run: Number(runField.value), filter: "", reason: "", stage: "" }));
  filterField.addEventListener("change", () => change({ filter: filterField.value }));
  reasonField.addEventListener("change", () => change({ reason: reasonField.value }));
  stageField.addEventListener("change", () => change({ stage: stageField.value }));
  search.addEventListener("input", () => change({ search: search.value }));
  field("filters").addEventListener("submit", (event) => event.preventDefault());
  list.onPick(go);

  const isTyping = (target) => target instanceof HTMLElement && target.matches("input, select, textarea");
  const MOVES = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
      change({ filter: "", reason: "", stage: "", search: "" });
    } else if (isTyping(event.target)) {
      return;
    } else if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.key in MOVES && (event.key.length === 1 || inView())) {
      event.preventDefault();
      go(at + MOVES[event.key]);
    }
  });
  // Arrows scroll the page until the examples are there.
  const inView = () => field("examples").getBoundingClientRect().top < innerHeight / 2;

  const follow = () => {
    if (!location.hash.includes("=")) return; // the place of a section
    state = fromAddress();
    show();
    field("examples").scrollIntoView();
  };
  addEventListener("hashchange", follow);
  show();
  follow();
  document.documentElement.dataset.examples = "shown";
})();
