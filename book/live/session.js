/* What runs beside the page, in a worker or, where there may be none, in the page itself: it holds
   a network and an attack on it, and tells what it finds. A port brings requests { ask, id, … }
   and takes answers { id, … } and news { news, key, … } of the attack of that key.

   Like the engine it is one function, whose text a page can hand to a worker. */
function explmanSession(root) {
  "use strict";

  const { Network, KINKS, attack, correlation, explain, largest } = root.explman;

  /* Let whatever waits have its turn. A timer would wait for at least 4 ms. */
  function breather() {
    const { port1, port2 } = new MessageChannel(), waiting = [];
    port1.onmessage = () => waiting.shift()();
    return () => new Promise((resolve) => { waiting.push(resolve); port2.postMessage(null); });
  }

  /* The same change in other places of the picture: as long and of the same spectrum, but aimless. */
  function shifted(x0, x, side, times) {
    const plane = side * side;
    return Array.from({ length: times }, (_, k) => {
      const down = Math.round((side * (k + 1)) / (times + 1)), right = (down * 5) % side;
      return x0.map((v, i) => {
        const row = Math.floor((i % plane) / side), column = i % side;
        const from = i - (i % plane) + ((row + down) % side) * side + ((column + right) % side);
        return Math.min(Math.max(v + x[from] - x0[from], 0), 1);
      });
    });
  }

  function bytesOf(packed) {
    const letters = atob(packed), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    return bytes;
  }

  root.explman.bytesOf = bytesOf;
  root.explman.serve = function serve(port) {
    const breathe = breather();
    let held = null, search = null, working = false; // held: a network, and the channels of its pictures

    const probabilities = (logits) => {
      const most = Math.max(...logits), powers = logits.map((z) => Math.exp(z - most));
      const total = powers.reduce((s, p) => s + p, 0);
      return powers.map((p) => p / total);
    };
    /* What a viewer sees of a picture: the class by the network as it is, and the map of a class. */
    function* look(x, defence, label) {
      const { network, channels } = held;
      const read = network.forward(x);
      yield;
      const named = label ?? largest(read.logits);
      const trace = defence ? network.forward(x, { ...KINKS, ...defence }) : read;
      yield;
      const { map } = explain(network, trace, channels, named);
      return { x, map, label: named, probabilities: probabilities(read.logits) };
    }

    /* Go through passes with a breath after each. */
    async function paced(passes) {
      let at = passes.next();
      while (!at.done) {
        await breathe();
        at = passes.next();
      }
      return at.value;
    }

    async function work() {
      if (working) return;
      working = true;
      while (search?.left > 0) {
        const mine = search;
        const { value, done } = mine.steps.next();
        await breathe();
        if (search !== mine) continue;
        // Pictures come with what was found there, before the step away from them; the first is known.
        if (!done && !value?.step) continue;
        const x = Float64Array.from(done ? value : value.x);
        const seen = await paced(look(x, mine.defence, mine.label));
        if (search !== mine) continue;
        mine.left = done ? 0 : mine.left - 1;
        const step = done ? mine.of : value.step;
        const found = { target: correlation(seen.map, mine.target), honest: correlation(seen.map, mine.map) };
        port.postMessage({ news: "step", key: mine.key, step, done, ...seen, ...found });
        await breathe();
        if (done) await chance(mine, x);
      }
      working = false;
    }

    async function chance(mine, x) {
      let most = -1;
      for (const other of shifted(mine.x, x, Math.sqrt(mine.map.length), 8)) {
        const { map } = await paced(look(other, mine.defence, mine.label));
        most = Math.max(most, correlation(map, mine.target));
        if (search !== mine) return;
      }
      port.postMessage({ news: "chance", key: mine.key, most });
    }

    const answers = {
      network({ given }) {
        const weights = new Float32Array(bytesOf(given.weights).buffer);
        held = { network: new Network(given.plan, weights), channels: given.channels };
        return {};
      },
      look: ({ x, defence }) => paced(look(x, defence)),
      /* Begin an attack; it waits to be told to go. "seen" is the picture as `look` saw it. */
      attack({ key, seen, target, settings }) {
        const steps = attack(held.network, seen.x, held.channels, target, settings);
        const { x, map, label } = seen;
        search = { key, steps, x, map, label, target, defence: settings.defence, of: settings.steps, left: 0 };
        return {};
      },
      go({ steps }) {
        if (search) search.left = steps;
        work();
        return {};
      },
      stop() {
        search = null;
        return {};
      },
    };
    port.onmessage = async ({ data }) =>
      port.postMessage({ id: data.id, ...(await answers[data.ask](data)) });
    port.postMessage({ news: "ready" });
  };
}

explmanSession(globalThis);

/* A worker that has said that it is ready, or the same on the page where none may start. */
explman.startSession = function startSession() {
  return new Promise((resolve) => {
    const onThePage = () => {
      const { port1, port2 } = new MessageChannel();
      explman.serve(port1);
      resolve(port2);
    };
    try {
      const source = [explmanEngine, explmanSession].map((part) => `(${part})(globalThis);`);
      const blob = new Blob([...source, "explman.serve(globalThis);"], { type: "text/javascript" });
      const worker = new Worker(URL.createObjectURL(blob));
      worker.onmessage = () => resolve(worker);
      worker.onerror = (event) => {
        event.preventDefault();
        onThePage();
      };
    } catch {
      onThePage();
    }
  });
};
