// Which examples are shown: places in the list of a run, brought together from lists made beforehand.
(() => {
  "use strict";
  const runs = JSON.parse(document.getElementById("examples-data").textContent);
  const texts = new Map(); // run to the searched text of each example, made when first searched

  const searched = (run) => {
    if (!texts.has(run)) {
      texts.set(run, runs[run].examples.map((example) => [
        example.id,
        ...example.messages.map((each) => each.content),
        ...example.responses.map((each) => each.text),
      ].join("\n").toLowerCase()));
    }
    return texts.get(run);
  };

  // The places that a state asks for, in order.
  const choose = (state) => {
    const { examples, filters, reasons, stages } = runs[state.run];
    const asked = [[filters, state.filter], [reasons, state.reason], [stages, state.stage]]
      .filter(([, name]) => name)
      .map(([lists, name]) => (Object.hasOwn(lists, name) ? lists[name] : []));
    let found;
    if (asked.length) {
      asked.sort((a, b) => a.length - b.length);
      found = asked[0];
      for (const list of asked.slice(1)) {
        const has = new Uint8Array(examples.length);
        for (const place of list) has[place] = 1;
        found = found.filter((place) => has[place]);
      }
    } else {
      found = examples.map((_, place) => place);
    }
    if (state.search) {
      const wanted = state.search.toLowerCase();
      const text = searched(state.run);
      found = found.filter((place) => text[place].includes(wanted));
    }
    return found;
  };

  window.spaReport = { runs, choose };
})();
