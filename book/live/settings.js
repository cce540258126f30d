/* The settings of an attack: what a reader may choose, how it is written in an address, and the
   challenges. */
(function (root) {
  "use strict";

  /* Choices have "of", numbers "from" and "to", switches neither. The first value is the default. */
  const SETTINGS = {
    what: { value: "photograph", of: { photograph: "piece of a photograph", digit: "digit", drawn: "digit that you draw" } },
    picture: { value: 1, from: 0, to: 9 },
    target: { value: "map", of: { map: "map of another picture", painted: "map that you paint", words: "words" } },
    other: { value: 8, from: 0, to: 9 },
    words: { value: "NOT A CAT" },
    defence: { value: "none", of: { none: "none: ReLU", plain: "softplus", centred: "centred softplus" } },
    beta: { value: 1, from: 0.1, to: 1000, label: "its β", step: "any" },
    knows: { value: true, label: "the attacker knows of it" },
    limit: { value: 8, from: 1, to: 255, label: "grey levels that a pixel may change, of 255", step: "any" },
    steps: { value: 40, from: 1, to: 1000, label: "steps", step: 1 },
    rate: { value: 4, from: 0.01, to: 64, label: "largest step, in grey levels", step: "any" },
    gamma: { value: 4, from: 0, to: 1000, label: "weight γ of the output", step: "any" },
    start: { value: 5, from: 0.1, to: 1000, label: "β of the search, at first", step: "any" },
    end: { value: 100, from: 0.1, to: 1000, label: "β of the search, at last", step: "any" },
    rounded: { value: true, label: "pooling rounded off in the search" },
  };
  const DEFAULTS = Object.fromEntries(Object.entries(SETTINGS).map(([name, { value }]) => [name, value]));

  /* What a string says of a setting, or null if it says nothing that makes sense. */
  function parsed(name, text) {
    const { value, of, from, to } = SETTINGS[name];
    if (of) return text in of ? text : null;
    if (typeof value === "boolean") return { true: true, false: false }[text] ?? null;
    if (typeof value === "string") return text;
    const number = text.trim() === "" ? NaN : Number(text);
    return number >= from && number <= to ? number : null;
  }

  function readSettings(text) {
    const found = { ...DEFAULTS };
    for (const [name, said] of new URLSearchParams(text))
      if (name in SETTINGS) found[name] = parsed(name, said) ?? DEFAULTS[name];
    return found;
  }

  function writeSettings(settings) {
    const changed = Object.entries(settings).filter(([name, value]) => value !== DEFAULTS[name]);
    return new URLSearchParams(changed).toString();
  }

  const CHALLENGES = {
    "Forge it": { defence: "none" },
    "Break the centred softplus": { defence: "centred", picture: 4, other: 3 },
  };
  /* What counts: a map that ends so near to a target that it was far from, in so small a change, and
     smoothed with no larger β. */
  const PASS = { start: 0.5, pcc: 0.8, levels: 8, beta: 1 };

  Object.assign(root.explman, {
    CHALLENGES, DEFAULTS, PASS, SETTINGS, parsed, readSettings, writeSettings,
  });
})(globalThis);
