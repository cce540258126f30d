/* The attack of this book in plain JavaScript: a network, its gradient, and the gradient of a
   function of that gradient. No library, no build step; numbers are 64 bits wide throughout.

   Read it from top to bottom: layers, the network's three passes, the loss, the search.

   A layer is a function y = f(x) of pixels or activations, and knows four things:

     run(x, how)         y, and what the others need to know of x ("kept");
     along(kept, dx)     J dx: how y moves when x moves along dx;
     back(kept, g)       Jᵀ g: what a gradient by y is by x;
     bend(kept, dx, g, dy)   how Jᵀ g itself moves when x moves along dx, and y along dy;
                             zero where f is linear.

   The first three make up a gradient, the fourth makes an explanation differentiable
   (Pearlmutter, 1994, "Fast exact multiplication by the Hessian").

   "how" says how kinks are treated: { beta, centred } of the softplus in place of ReLU, and
   { pooling }, the sharpness of log-sum-exp in place of the maximum. Infinity keeps the kink.

   All of it is one function, whose text a page can hand to a worker. */
function explmanEngine(root) {
  "use strict";

  const KINKS = { beta: Infinity, centred: false, pooling: Infinity };

  // ---------------------------------------------------------------- layers

  /* Pixels in [0, 1] to the mean and the spread that the network was trained with. */
  class Normalise {
    constructor({ mean, std, side }) {
      this.plane = side * side;
      this.mean = mean;
      this.std = std;
    }
    run(x) {
      return { y: x.map((v, i) => (v - this.of(this.mean, i)) / this.of(this.std, i)) };
    }
    along(_, dx) {
      return dx.map((v, i) => v / this.of(this.std, i));
    }
    back(_, g) {
      return this.along(_, g);
    }
    of(values, i) {
      return values[Math.floor(i / this.plane)];
    }
  }

  /* A convolution of 3 × 3 with a margin of one. Its transpose is a convolution too, with the
     weights turned by half a circle and inputs and outputs exchanged: one kernel serves both. */
  class Convolution {
    constructor({ inputs, outputs, side }, weight, bias) {
      Object.assign(this, { inputs, outputs, side, weight, bias });
      this.turned = new Float64Array(weight.length);
      for (let o = 0; o < outputs; o++)
        for (let i = 0; i < inputs; i++)
          for (let t = 0; t < 9; t++)
            this.turned[(i * outputs + o) * 9 + t] = weight[(o * inputs + i) * 9 + 8 - t];
    }
    run(x) {
      const y = new Float64Array(this.outputs * this.side ** 2);
      for (let o = 0; o < this.outputs; o++)
        y.fill(this.bias[o], o * this.side ** 2, (o + 1) * this.side ** 2);
      return { y: convolve(x, this.weight, this.inputs, this.outputs, this.side, y) };
    }
    along(_, dx) {
      const y = new Float64Array(this.outputs * this.side ** 2);
      return convolve(dx, this.weight, this.inputs, this.outputs, this.side, y);
    }
    back(_, g) {
      const x = new Float64Array(this.inputs * this.side ** 2);
      return convolve(g, this.turned, this.outputs, this.inputs, this.side, x);
    }
  }

  /* Add to each plane of y the planes of x, weighted by 3 × 3 windows. */
  function convolve(x, weight, inputs, outputs, side, y) {
    const wide = side + 2;
    const framed = new Float64Array(inputs * wide * wide);
    for (let i = 0; i < inputs; i++)
      for (let row = 0; row < side; row++) {
        const from = (i * side + row) * side;
        framed.set(x.subarray(from, from + side), (i * wide + row + 1) * wide + 1);
      }
    for (let o = 0; o < outputs; o++)
      for (let i = 0; i < inputs; i++) {
        const k = (o * inputs + i) * 9;
        const a = weight[k], b = weight[k + 1], c = weight[k + 2];
        const d = weight[k + 3], e = weight[k + 4], f = weight[k + 5];
        const g = weight[k + 6], h = weight[k + 7], j = weight[k + 8];
        for (let row = 0; row < side; row++) {
          const top = (i * wide + row) * wide, middle = top + wide, low = middle + wide;
          let at = (o * side + row) * side;
          // Each number is read once for a row: the window slides along.
          let t0 = framed[top], t1 = framed[top + 1];
          let m0 = framed[middle], m1 = framed[middle + 1];
          let l0 = framed[low], l1 = framed[low + 1];
          for (let column = 2; column < wide; column++, at++) {
            const t2 = framed[top + column], m2 = framed[middle + column], l2 = framed[low + column];
            y[at] += a * t0 + b * t1 + c * t2 + d * m0 + e * m1 + f * m2 + g * l0 + h * l1 + j * l2;
            t0 = t1; t1 = t2; m0 = m1; m1 = m2; l0 = l1; l1 = l2;
          }
        }
      }
    return y;
  }

  class Dense {
    constructor({ inputs, outputs }, weight, bias) {
      Object.assign(this, { inputs, outputs, weight, bias });
    }
    run(x) {
      return { y: this.along(null, x).map((v, o) => v + this.bias[o]) };
    }
    along(_, dx) {
      const y = new Float64Array(this.outputs);
      for (let o = 0, k = 0; o < this.outputs; o++)
        for (let i = 0; i < this.inputs; i++, k++) y[o] += this.weight[k] * dx[i];
      return y;
    }
    back(_, g) {
      const x = new Float64Array(this.inputs);
      for (let o = 0, k = 0; o < this.outputs; o++)
        for (let i = 0; i < this.inputs; i++, k++) x[i] += this.weight[k] * g[o];
      return x;
    }
  }

  /* ReLU, or a softplus: log(1 + exp(βz)) / β, less log(2) / β where it is centred. */
  class Activation {
    run(z, { beta, centred }) {
      const y = new Float64Array(z.length), slope = new Float64Array(z.length);
      if (beta === Infinity) {
        for (let i = 0; i < z.length; i++)
          if (z[i] > 0) { y[i] = z[i]; slope[i] = 1; }
        return { y, slope, beta: 0 };
      }
      const shift = centred ? Math.LN2 / beta : 0;
      for (let i = 0; i < z.length; i++) {
        const small = Math.exp(-Math.abs(beta * z[i])); // of the two, the one that cannot overflow
        slope[i] = (z[i] > 0 ? 1 : small) / (1 + small);
        y[i] = Math.max(z[i], 0) + Math.log1p(small) / beta - shift;
      }
      return { y, slope, beta };
    }
    along({ slope }, dx) {
      return dx.map((v, i) => v * slope[i]);
    }
    back({ slope }, g) {
      return g.map((v, i) => v * slope[i]);
    }
    bend({ slope, beta }, dx, g) {
      return g.map((v, i) => v * beta * slope[i] * (1 - slope[i]) * dx[i]);
    }
  }

  /* The largest of 2 × 2, or log(Σ exp(τx)) / τ, which shares out 1 among the four as their
     derivative. τ is counted in standard deviations of x, and derivatives take it for constant. */
  class Pool {
    constructor({ channels, side }) {
      Object.assign(this, { channels, side, windows: channels * (side / 2) ** 2 });
      this.first = new Int32Array(this.windows); // the upper left number of each window
      for (let c = 0, k = 0; c < channels; c++)
        for (let row = 0; row < side; row += 2)
          for (let column = 0; column < side; column += 2, k++)
            this.first[k] = (c * side + row) * side + column;
      this.places = [0, 1, side, side + 1];
    }
    run(x, { pooling }) {
      const y = new Float64Array(this.windows), shares = new Float64Array(4 * this.windows);
      const sharpness = pooling === Infinity ? 0 : pooling / (spread(x) || 1);
      for (let k = 0; k < this.windows; k++) {
        let best = 0; // of equals the first wins, as in PyTorch
        for (let p = 1; p < 4; p++) if (this.at(x, k, p) > this.at(x, k, best)) best = p;
        y[k] = this.at(x, k, best);
        if (!sharpness) { shares[4 * k + best] = 1; continue; }
        let total = 0;
        for (let p = 0; p < 4; p++)
          total += shares[4 * k + p] = Math.exp(sharpness * (this.at(x, k, p) - y[k]));
        for (let p = 0; p < 4; p++) shares[4 * k + p] /= total;
        y[k] += Math.log(total) / sharpness;
      }
      return { y, shares, sharpness };
    }
    at(x, k, p) {
      return x[this.first[k] + this.places[p]];
    }
    along({ shares }, dx) {
      const dy = new Float64Array(this.windows);
      for (let k = 0; k < this.windows; k++)
        for (let p = 0; p < 4; p++) dy[k] += shares[4 * k + p] * this.at(dx, k, p);
      return dy;
    }
    back({ shares }, g) {
      const d = new Float64Array(4 * this.windows);
      for (let k = 0; k < this.windows; k++)
        for (let p = 0; p < 4; p++) d[this.first[k] + this.places[p]] = shares[4 * k + p] * g[k];
      return d;
    }
    bend(kept, dx, g, dy) {
      const d = new Float64Array(4 * this.windows);
      for (let k = 0; k < this.windows; k++)
        for (let p = 0; p < 4; p++) {
          const moved = kept.sharpness * kept.shares[4 * k + p] * (this.at(dx, k, p) - dy[k]);
          d[this.first[k] + this.places[p]] = moved * g[k];
        }
      return d;
    }
  }

  // ---------------------------------------------------------------- the network

  const LAYERS = { normalise: Normalise, conv: Convolution, dense: Dense, activation: Activation, pool: Pool };

  class Network {
    /* plan: a list of { kind, … }; weights: all weights and biases, layer by layer. */
    constructor(plan, weights) {
      let at = 0;
      const take = (count) => new Float64Array(weights.subarray(at, (at += count)));
      this.layers = plan.map((given) => {
        const taps = { conv: 9, dense: 1 }[given.kind];
        const parts = taps ? [take(given.inputs * given.outputs * taps), take(given.outputs)] : [];
        return new LAYERS[given.kind](given, ...parts);
      });
    }

    /* The logits, and what each layer kept. */
    forward(x, how = KINKS) {
      const kept = [];
      let y = x;
      for (const layer of this.layers) {
        kept.push(layer.run(y, how));
        y = kept.at(-1).y;
      }
      return { logits: y, kept };
    }

    /* The gradient by the pixels of <u, logits>, and what arrives at each layer on the way. */
    backward({ kept }, u) {
      const arriving = [];
      let g = u;
      for (let k = this.layers.length - 1; k >= 0; k--) {
        arriving[k] = g;
        g = this.layers[k].back(kept[k], g);
      }
      return { gradient: g, arriving };
    }

    /* How that gradient moves when the pixels move along v. The Hessian is symmetric, so it is also
       the gradient by the pixels of <v, gradient>. */
    second({ kept }, { arriving }, v) {
      const directions = [v]; // of what goes into each layer, and at last of the logits
      this.layers.forEach((layer, k) => directions.push(layer.along(kept[k], directions[k])));
      let h = new Float64Array(directions.at(-1).length);
      for (let k = this.layers.length - 1; k >= 0; k--) {
        const layer = this.layers[k];
        h = layer.back(kept[k], h);
        if (layer.bend)
          h = sum(h, layer.bend(kept[k], directions[k], arriving[k], directions[k + 1]));
      }
      return h;
    }
  }

  // ---------------------------------------------------------------- explanation and loss

  const mean = (a) => a.reduce((s, v) => s + v, 0) / a.length;
  const variance = (a, m = mean(a)) => a.reduce((s, v) => s + (v - m) ** 2, 0) / a.length;
  const spread = (a) => Math.sqrt(variance(a));
  const sum = (a, b) => a.map((v, i) => v + b[i]);
  const largest = (a) => a.reduce((best, v, i) => (v > a[best] ? i : best), 0);
  const one = (index, length) => Float64Array.from({ length }, (_, i) => (i === index ? 1 : 0));

  /* The Pearson correlation of two maps. */
  function correlation(a, b) {
    const ma = mean(a), mb = mean(b);
    const together = mean(a.map((v, i) => (v - ma) * (b[i] - mb)));
    return together / (spread(a) * spread(b));
  }

  /* Sum absolute gradients over the channels; scale to mean 1. */
  function relevance(gradient, channels) {
    const plane = gradient.length / channels, map = new Float64Array(plane);
    gradient.forEach((v, i) => (map[i % plane] += Math.abs(v)));
    const scale = mean(map) || 1;
    return { map: map.map((v) => v / scale), scale };
  }

  /* The map of a logit, from what a forward pass kept. */
  function explain(network, trace, channels, label) {
    const pass = network.backward(trace, one(label, trace.logits.length));
    return { ...relevance(pass.gradient, channels), pass };
  }

  /* ‖h − hᵗ‖² + γ ‖g − g⁰‖², each in units of its own, and its gradient by the pixels.

     "shown" is how the map is computed that the attacker aims at, "read" how the output is.
     Between its passes it yields, so that a page can breathe; `finish` gives what it returns. */
  function* loss(network, x, channels, { shown, read, label, target, logits0, gamma }) {
    const trace = network.forward(x, shown);
    yield;
    const { map, scale, pass } = explain(network, trace, channels, label);
    const pixels = map.length, error = map.map((h, i) => h - target[i]);
    const mapTerm = error.reduce((s, e) => s + e * e, 0) / pixels;
    // Through the scale to mean 1, which every pixel moves, and the absolute value.
    const common = error.reduce((s, e, i) => s + e * map[i], 0) / pixels;
    const v = pass.gradient.map(
      (g, i) => (2 * Math.sign(g) * (error[i % pixels] - common)) / (pixels * scale)
    );
    yield;
    const mapPart = network.second(trace, pass, v);
    yield;
    const output = shown === read ? trace : network.forward(x, read);
    const change = output.logits.map((z, i) => z - logits0[i]);
    const unit = logits0.length * (variance(logits0) || 1);
    const outputTerm = change.reduce((s, c) => s + c * c, 0) / unit;
    const u = change.map((c) => (2 * gamma * c) / unit);
    const gradient = sum(mapPart, network.backward(output, u).gradient);
    return { map, mapTerm, outputTerm, logits: output.logits, gradient };
  }

  function finish(passes) {
    let at = passes.next();
    while (!at.done) at = passes.next();
    return at.value;
  }

  // ---------------------------------------------------------------- the search

  /* A straight line up for a tenth of the run, and a straight line down. */
  const oneCycle = (f) => (f < 0.1 ? 0.04 + 9.6 * f : (1 - f) / 0.9);
  const grown = ([from, to], f) => from * (to / from) ** (f * f);

  const SETTINGS = {
    steps: 40, lr: 5e-3, gamma: 4, beta: [5, 100], pooling: [20, 200], epsilon: Infinity,
    momentum: [0.7, 0.9],
    defence: null, // { beta, centred } of the map that is shown, if it is smoothed
    knows: true, // whether the attacker knows of it
  };

  /* Adam on the pixels. Yields what it found at each picture before it takes the step, and nothing
     in the middle of one; returns the last picture. */
  function* attack(network, x0, channels, target, given = {}) {
    const set = { ...SETTINGS, ...given };
    const { logits } = network.forward(x0), label = largest(logits);
    yield;
    const unit = mean(target) || 1, goal = target.map((v) => v / unit);
    const x = Float64Array.from(x0);
    const first = new Float64Array(x.length), second = new Float64Array(x.length);
    const [keep1, keep2] = set.momentum;
    for (let step = 0; step < set.steps; step++) {
      const f = step / Math.max(set.steps - 1, 1), pooling = set.pooling ? grown(set.pooling, f) : Infinity;
      const beta = set.beta ? grown(set.beta, f) : Infinity;
      // A smoothed map is searched no sharper than the search itself; the output stays that of ReLU.
      const smooth = set.defence && set.knows;
      const read = { beta: smooth ? Infinity : beta, centred: false, pooling };
      const shown = smooth ? { ...set.defence, beta: Math.min(set.defence.beta, beta), pooling } : read;
      const found = yield* loss(network, x, channels, { shown, read, label, target: goal, logits0: logits, gamma: set.gamma });
      yield { step, beta, pooling, x, ...found };
      const rate = set.lr * oneCycle(f);
      for (let i = 0; i < x.length; i++) {
        const g = found.gradient[i];
        first[i] = keep1 * first[i] + (1 - keep1) * g;
        second[i] = keep2 * second[i] + (1 - keep2) * g * g;
        const direction = first[i] / (1 - keep1 ** (step + 1));
        const size = Math.sqrt(second[i] / (1 - keep2 ** (step + 1))) + 1e-8;
        const moved = x[i] - (rate * direction) / size;
        const near = Math.min(Math.max(moved, x0[i] - set.epsilon), x0[i] + set.epsilon);
        x[i] = Math.min(Math.max(near, 0), 1);
      }
    }
    return x;
  }

  root.explman = {
    Network, KINKS, SETTINGS, largest, mean, correlation, relevance, explain, loss, finish, attack,
  };
}

explmanEngine(globalThis);
