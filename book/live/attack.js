/* The element <explman-attack>: an attack on an explanation, run by whoever reads the page.

   Attributes: "settings", written as in an address, and "address" where the settings stand in the
   address of the page. What is inside is an example, shown until the reader presses Run, and
   without scripts; what is of class "fallback" is shown without scripts only. */
(function (root) {
  "use strict";

  const {
    CHALLENGES, DEFAULTS, PASS, SETTINGS, parsed, readSettings, writeSettings, startSession,
    Brush, brightest, bytesOf, digitFrom, enlarge, showChange, showMap, showPicture, writeWords,
  } = root.explman;
  const { crops, digits, colours } = root.explmanPictures;
  const COLOURS = bytesOf(colours);
  for (const set of [crops, digits]) set.bytes = bytesOf(set.pixels);
  const HERE = document.currentScript.src;
  const FACTOR = 10; // by which a change is magnified

  // ---------------------------------------------------------------- parts of the page

  /* A script that is loaded once, when it is first wanted. */
  const scripts = {};
  function load(name) {
    return (scripts[name] ??= new Promise((resolve, reject) => {
      const script = make("script", { src: new URL(name, HERE).href });
      script.addEventListener("load", resolve);
      script.addEventListener("error", () => {
        delete scripts[name];
        reject(new Error(`${name} could not be loaded`));
      });
      document.head.append(script);
    }));
  }

  function make(tag, given = {}, ...inside) {
    const svg = ["svg", "polyline", "line"].includes(tag);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(given))
      if (typeof value === "function") node.addEventListener(name, value);
      else if (value !== false) node.setAttribute(name, value === true ? "" : value);
    node.append(...inside);
    return node;
  }

  const round = (value, digits = 2) => value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  class ExplmanAttack extends HTMLElement {
    revision = 0; // of the settings: what was asked before they changed comes too late
    asked = 0;
    waiting = new Map(); // who waits for which answer

    connectedCallback() {
      if (this.form) return;
      this.settings = readSettings(this.getAttribute("settings") ?? "");
      this.querySelector(".fallback")?.remove();
      this.example = [...this.children];
      this.build();
      document.addEventListener("visibilitychange", () => this.mind());
      const stands = this.hasAttribute("address");
      if (stands) addEventListener("hashchange", () => this.readAddress());
      if (!(stands && this.readAddress())) this.settled();
    }

    // -------- settings

    /* Take the settings from the address, if there are any. */
    readAddress() {
      const said = location.hash.slice(1);
      if (!said.includes("=")) return false;
      this.settings = readSettings(said);
      this.settled();
      this.scrollIntoView();
      return true;
    }

    change(name, value) {
      this.settings[name] = value;
      this.settled();
      if (this.hasAttribute("address")) history.replaceState(null, "", `#${writeSettings(this.settings)}`);
    }

    /* Show the settings, and begin anew with them. */
    settled() {
      const { what, target, defence } = this.settings;
      const set = this.kind;
      for (const name of ["picture", "other"])
        this.controls[name].replaceChildren(...set.names.map((one, k) => make("option", { value: k }, one)));
      for (const [name, control] of Object.entries(this.controls))
        control[control.type === "checkbox" ? "checked" : "value"] = this.settings[name];
      const shown = {
        picture: what !== "drawn", other: target === "map", words: target === "words",
        beta: defence !== "none", knows: defence !== "none",
      };
      for (const [name, visible] of Object.entries(shown)) this.controls[name].parentElement.hidden = !visible;
      this.clearers.picture.hidden = what !== "drawn";
      this.clearers.target.hidden = target !== "painted";
      const page = this.hasAttribute("address") ? "" : new URL("../../book/live.html", HERE).href;
      this.link.href = `${page}#${writeSettings(this.settings)}`;
      this.brushes("picture", what === "drawn", 32, 4);
      this.brushes("target", target === "painted", set.side, set.side / 8);
      this.reset();
    }

    /* Let the reader draw on a canvas, or no longer. */
    brushes(place, wanted, side, width) {
      const canvas = this.canvases[place], old = this.brush[place];
      if (old?.side === side && wanted) return;
      old?.release();
      delete this.brush[place];
      canvas.classList.toggle("drawable", wanted);
      if (!wanted) {
        canvas.removeAttribute("tabindex");
        canvas.setAttribute("role", "img");
        return;
      }
      canvas.setAttribute("tabindex", 0);
      canvas.setAttribute("role", "application");
      this.brush[place] = new Brush(canvas, { side, width, drawn: () => this.reset() });
    }

    get kind() {
      return this.settings.what === "photograph" ? crops : digits;
    }

    get defence() {
      const { defence, beta } = this.settings;
      return defence === "none" ? null : { beta, centred: defence === "centred" };
    }

    /* The numbers of a picture that comes with the page; of a digit there are blocks. */
    given(index) {
      const { bytes, scale, names } = this.kind, size = bytes.length / names.length;
      const numbers = Float64Array.from(bytes.subarray(index * size, (index + 1) * size), (v) => v / scale);
      return this.kind === digits ? enlarge(numbers) : numbers;
    }

    get picture() {
      return this.settings.what === "drawn" ? digitFrom(this.brush.picture.ink) : this.given(this.settings.picture);
    }

    // -------- the attack

    /* Forget what was found. */
    reset() {
      this.revision++;
      this.laid = null;
      this.running = false;
      this.seen = this.latest = this.most = null;
      this.curve = [];
      this.session?.then(() => this.ask({ ask: "stop" }));
      this.say("Press Run.");
      this.draw();
      if (this.loaded && !this.brush.picture && !this.brush.target) this.begun();
    }

    say(sentence) {
      this.status.textContent = sentence;
    }

    async ask(request) {
      const port = await this.session;
      const id = ++this.asked;
      return new Promise((resolve) => {
        this.waiting.set(id, resolve);
        port.postMessage({ ...request, id });
      });
    }

    async connect() {
      const port = await startSession();
      port.onmessage = ({ data }) => this.hear(data);
      port.onerror = (event) => this.say(`The attack stopped: ${event.message}`);
      return port;
    }

    /* Lay the attack out, once for these settings; a failure may be tried again. */
    async begun() {
      const laid = (this.laid ??= this.begin());
      if (!(await laid) && this.laid === laid) this.laid = null;
      return laid;
    }

    /* Load what is needed, look at both pictures and lay the attack out. Says whether it is so. */
    async begin() {
      const missing = { picture: "Draw a digit first.", target: "Paint the target first." };
      for (const [place, brush] of Object.entries(this.brush))
        if (brush.empty) return this.say(missing[place]), false;
      if (this.settings.target === "words" && !this.settings.words.trim())
        return this.say("Write the words first."), false;
      const mine = this.revision, late = () => mine !== this.revision;
      const { network, side } = this.kind;
      if (!root.explmanNetworks?.[network]) this.say("Loading the network …");
      try {
        await load(`${network}.js`);
      } catch (error) {
        return this.say(`${error.message}. Is there a connection?`), false;
      }
      await (this.session ??= this.connect());
      if (late()) return false;
      if (this.loaded !== network) await this.ask({ ask: "network", given: root.explmanNetworks[network] });
      this.loaded = network;
      const { target, other, words, limit, rate, steps, gamma, start, end, rounded, knows } = this.settings;
      const defence = this.defence;
      const seen = await this.ask({ ask: "look", x: this.picture, defence });
      const goal = {
        map: async () => (await this.ask({ ask: "look", x: this.given(other), defence })).map,
        painted: () => this.brush.target.ink.slice(),
        words: () => writeWords(words, side),
      };
      const wanted = await goal[target]();
      if (late()) return false;
      if (wanted.every((v) => v === wanted[0]))
        return this.say("The target is the same everywhere: leave some of it free."), false;
      const unit = root.explman.mean(wanted) || 1;
      this.goal = wanted.map((v) => v / unit);
      const settings = {
        steps, gamma, defence, knows, lr: rate / 255, beta: [start, end],
        epsilon: limit < 255 ? limit / 255 : Infinity, pooling: rounded ? [20, 200] : null,
      };
      this.seen = seen;
      await this.ask({ ask: "attack", key: mine, seen, target: this.goal, settings });
      if (late()) return false;
      this.say(`The network says ${this.name(seen.label)}.${this.running ? "" : " Press Run."}`);
      this.draw();
      return true;
    }

    async go(steps) {
      if (this.latest?.done) this.reset();
      const mine = this.revision;
      this.running = steps > 1;
      this.paused = false;
      this.buttons();
      if (!(await this.begun())) {
        if (mine === this.revision) this.running = false;
        return this.buttons();
      }
      if (mine === this.revision && !this.paused) this.ask({ ask: "go", steps });
    }

    pause() {
      this.running = false;
      if (this.session) this.ask({ ask: "go", steps: 0 });
      this.buttons();
      this.paused = true;
      if (this.latest) this.say(this.sentence());
    }

    /* Stop while nobody looks. */
    mind() {
      if (document.hidden && this.running) {
        this.pause();
        this.interrupted = true;
      } else if (!document.hidden && this.interrupted) {
        this.interrupted = false;
        this.go(Infinity);
      }
    }

    hear(data) {
      if (!data.news) {
        this.waiting.get(data.id)?.(data);
        this.waiting.delete(data.id);
      } else if (data.key === this.revision && this.seen) {
        if (data.news === "chance") this.most = data.most;
        else {
          this.latest = data;
          this.curve.push(data);
          if (data.done) this.running = false;
        }
        if (!calm.matches || !this.running || data.step % 10 === 0) this.draw();
        if (!this.running || data.step % 10 === 0) this.say(this.sentence());
      }
    }

    // -------- what one sees

    name(label) {
      return this.kind.classes[label];
    }

    get levels() {
      const { x } = this.latest;
      return 255 * x.reduce((most, v, i) => Math.max(most, Math.abs(v - this.seen.x[i])), 0);
    }

    get winner() {
      const { probabilities } = this.latest;
      return probabilities.indexOf(Math.max(...probabilities));
    }

    sentence() {
      const { step, done, target, honest } = this.latest, winner = this.winner;
      const kept = winner === this.seen.label ? `still ${this.name(winner)}` : `no longer ${this.name(this.seen.label)} but ${this.name(winner)}`;
      return (
        (this.paused && !done ? "Paused. " : "") +
        `${done ? "Finished" : `Step ${step} of ${this.settings.steps}`}: the map correlates ${round(target)} with the target ` +
        `and ${round(honest)} with the honest map; ${kept}; no pixel changed by more than ${round(this.levels, 1)} grey levels.` +
        (this.most === null ? "" : ` By chance: ${round(this.most)}.`)
      );
    }

    draw() {
      const { side } = this.kind, { seen, latest, canvases } = this;
      const before = seen?.x ?? this.picture, after = latest?.x ?? before;
      const what = this.settings.what === "drawn" ? "your digit" : this.kind.names[this.settings.picture];
      const blank = new Float64Array(side * side), goal = this.brush.target?.ink ?? (seen ? this.goal : null);
      const top = seen ? brightest(seen.map, this.goal) : 1;
      const map = (place, values, scale = top) => showMap(canvases[place], values, side, scale, COLOURS);
      showPicture(canvases.picture, before, side);
      map("map", seen?.map ?? blank);
      if (goal) map("target", goal, this.brush.target ? 1 : top);
      else if (this.settings.target === "words") map("target", writeWords(this.settings.words, side), 1);
      else showPicture(canvases.target, this.given(this.settings.other), side);
      showPicture(canvases.forged, after, side);
      map("forgedMap", latest?.map ?? seen?.map ?? blank);
      showChange(canvases.change, before, after, side, FACTOR);
      const drawing = "with a pointer, or move by the arrow keys and press the space bar; Delete clears";
      this.describe("picture", this.brush.picture?.empty ? "draw here" : "the picture", this.brush.picture ? drawing : what);
      this.describe("map", "its map", seen ? `why ${this.name(seen.label)}` : "not computed yet");
      const lends = !goal && this.settings.target === "map";
      this.describe("target", this.brush.target?.empty ? "paint here" : lends ? "lends its map" : "the target", this.brush.target ? drawing : "what the map should show");
      this.describe("forged", "the picture now", latest ? `changed by at most ${round(this.levels, 1)} grey levels` : "unchanged");
      this.describe("forgedMap", "its map now", latest ? `correlation ${round(latest.target)} with the target` : "as before");
      this.describe("change", `the change × ${FACTOR}`, latest ? "grey is no change" : "none yet");
      Object.values(this.brush).forEach((brush) => brush.mark());
      this.chart();
      this.classes();
      this.judge();
      this.buttons();
      // The example is of the settings that a page begins with.
      this.pictures.hidden = this.example.length > 0 && !this.loaded && !writeSettings(this.settings);
      for (const node of this.example) node.hidden = !this.pictures.hidden;
      this.found.hidden = !seen;
    }

    describe(place, caption, text) {
      this.canvases[place].setAttribute("aria-label", `${caption}: ${text}`);
      this.canvases[place].parentElement.lastChild.textContent = caption;
    }

    chart() {
      const points = (key) =>
        [...(this.seen && this.curve.length ? [{ step: 0, target: this.atStart, honest: 1 }] : []), ...this.curve]
          .map((at) => `${(100 * at.step) / this.settings.steps},${100 - 100 * Math.max(at[key], 0)}`)
          .join(" ");
      for (const key of ["target", "honest"]) this.lines[key].setAttribute("points", points(key));
      const most = 100 - 100 * Math.max(this.most ?? -1, 0);
      for (const end of ["y1", "y2"]) this.lines.chance.setAttribute(end, most);
      this.lines.chance.toggleAttribute("hidden", this.most === null);
      const last = this.latest;
      this.legend.target.textContent = last ? round(last.target) : "";
      this.legend.honest.textContent = last ? round(last.honest) : "";
      this.legend.chance.textContent = this.most === null ? "" : round(this.most);
    }

    get atStart() {
      return root.explman.correlation(this.seen.map, this.goal);
    }

    classes() {
      const { seen, latest } = this, rows = [];
      if (seen) {
        const now = (latest ?? seen).probabilities;
        const order = [...now.keys()].sort((a, b) => Math.max(now[b], seen.probabilities[b]) - Math.max(now[a], seen.probabilities[a]));
        for (const label of order.slice(0, 3))
          rows.push(make("tr", {}, make("th", { scope: "row" }, this.name(label)),
            ...[seen.probabilities, now].map((p) => make("td", {}, `${round(100 * p[label], 1)} %`))));
      }
      this.table.replaceChildren(...rows);
    }

    /* The challenge: what is reached and what is missing, and the points. */
    judge() {
      const { what, defence, beta, knows } = this.settings, { latest } = this;
      const softplus = defence === "centred" && beta <= PASS.beta && knows;
      const counts = what === "photograph" && (defence === "none" || softplus);
      if (!counts) return void (this.verdict.textContent = "These settings are of no challenge.");
      const title = Object.keys(CHALLENGES)[defence === "none" ? 0 : 1];
      if (!latest) return void (this.verdict.textContent = `${title}: correlation ≥ ${PASS.pcc} with the target, at most ${PASS.levels} grey levels, class kept.`);
      const levels = this.levels, kept = this.winner === this.seen.label;
      const conditions = [
        [this.atStart < PASS.start, `began at ${round(this.atStart)}`],
        [latest.target >= PASS.pcc, `correlation ${round(latest.target)}`],
        [levels <= PASS.levels + 1e-6, `${round(levels, 1)} grey levels`],
        [kept, kept ? "class kept" : "class lost"],
      ];
      const passed = conditions.every(([good]) => good);
      const points = Math.round(100 * latest.target + 10 * Math.max(PASS.levels - levels, 0));
      if (passed && latest.done) this.best = { ...this.best, [title]: Math.max(this.best?.[title] ?? 0, points) };
      const marks = conditions.map(([good, text]) => `${good ? "✓" : "✗"} ${text}`).join(", ");
      const best = this.best?.[title] ? ` Your best: ${this.best[title]}.` : "";
      this.verdict.textContent = `${title}: ${marks}. ${passed ? `Passed: ${points} points.` : "Not passed."}${best}`;
    }

    buttons() {
      const { run, step, reset } = this.button;
      run.textContent = this.running ? "Pause" : "Run";
      step.disabled = this.running;
      reset.disabled = !this.latest;
      this.progress.value = this.latest?.step ?? 0;
      this.progress.max = this.settings.steps;
    }

    // -------- building

    control(name) {
      const { value, of, from, to, step, label } = SETTINGS[name];
      const choose = of ?? (name === "picture" || name === "other" ? {} : null);
      const options = Object.entries(choose ?? {}).map(([key, text]) => make("option", { value: key }, text));
      const kind = typeof value === "boolean" ? "checkbox" : typeof value === "number" ? "number" : "text";
      const control = choose ? make("select", {}, ...options)
        : make("input", { type: kind, min: from ?? false, max: to ?? false, step: step ?? false, maxlength: kind === "text" && 40 });
      control.addEventListener("change", () => {
        const said = kind === "checkbox" ? control.checked : parsed(name, control.value);
        control.setCustomValidity?.(said === null ? `a number from ${from} to ${to}` : "");
        if (said === null) return control.reportValidity();
        this.change(name, said);
      });
      this.controls[name] = control;
      const words = { what: "attack a", picture: "which", target: "towards the", other: "of", words: "which", defence: "the map is smoothed by" };
      const text = make("span", {}, label ?? words[name]);
      return kind === "checkbox" && !choose ? make("label", { class: "switch" }, control, text) : make("label", {}, text, control);
    }

    build() {
      Object.assign(this, { controls: {}, canvases: {}, brush: {}, clearers: {}, lines: {}, legend: {} });
      const group = (legend, ...inside) => make("fieldset", {}, make("legend", {}, legend), ...inside);
      const clearer = (place) => (this.clearers[place] = make("button", { type: "button", click: () => this.brush[place].clear() }, "Clear"));
      const figure = (place) => {
        this.canvases[place] = make("canvas", { role: "img", width: 64, height: 64 });
        return make("figure", {}, this.canvases[place], make("figcaption"));
      };
      const all = (...names) => names.map((name) => this.control(name));
      this.form = make("form", { submit: (event) => event.preventDefault() },
        group("Picture", ...all("what", "picture"), clearer("picture")),
        group("Target", ...all("target", "other", "words"), clearer("target")),
        group("Defence", ...all("defence", "beta", "knows")),
        group("Attacker", ...all("limit", "steps"),
          make("details", {}, make("summary", {}, "more"), ...all("rate", "gamma", "start", "end", "rounded"))));
      this.button = {
        run: make("button", { type: "button", class: "run", click: () => (this.running ? this.pause() : this.go(Infinity)) }, "Run"),
        step: make("button", { type: "button", click: () => this.go(1) }, "One step"),
        reset: make("button", { type: "button", click: () => this.reset() }, "Reset"),
      };
      this.link = make("a", { href: "#" }, "Link to these settings");
      const challenges = Object.entries(CHALLENGES).map(([title, settings]) =>
        make("button", { type: "button", click: () => {
          this.settings = { ...DEFAULTS, ...settings };
          this.change("what", "photograph");
        } }, title));
      this.progress = make("progress", { "aria-label": "steps of the attack", value: 0, max: 1 });
      this.status = make("p", { role: "status" });
      this.verdict = make("p", { class: "verdict" });
      for (const key of ["honest", "target"]) this.lines[key] = make("polyline", { class: key });
      this.lines.chance = make("line", { class: "chance", x1: 0, x2: 100 });
      const legend = (key, text) => make("li", { class: key }, `${text} `, (this.legend[key] = make("b")));
      this.table = make("tbody");
      this.pictures = make("div", { class: "pictures" },
        ...["picture", "map", "target", "forged", "forgedMap", "change"].map(figure));
      this.found = make("div", { class: "found" },
        make("div", { class: "chart" }, make("span", {}, "1"),
          make("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" }, ...Object.values(this.lines)),
          make("span", {}, "0")),
        make("div", {},
          make("p", {}, "Correlation of the map, step by step:"),
          make("ul", {}, legend("target", "with the target"), legend("honest", "with the honest map"), legend("chance", "with the target, by chance")),
          make("table", {}, make("thead", {}, make("tr", {}, ...["class", "before", "now"].map((text) => make("th", { scope: "col" }, text)))), this.table)));
      this.append(this.pictures,
        make("div", { class: "buttons" }, ...Object.values(this.button), this.progress, this.link),
        this.status, this.found, this.verdict,
        make("div", { class: "buttons" }, make("span", {}, "Challenges:"), ...challenges), this.form);
    }
  }

  customElements.define("explman-attack", ExplmanAttack);
})(globalThis);
