/* Pictures of numbers, and numbers from what a reader draws. A picture is planes of numbers from 0
   to 1, one plane for grey and three for colours; a map is one plane. */
(function (root) {
  "use strict";

  /* Put numbers on a canvas; "colour" gives red, green and blue, 0 to 255, of a pixel. */
  function paint(canvas, side, colour) {
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d"), picture = context.createImageData(side, side);
    for (let i = 0; i < side * side; i++) picture.data.set([...colour(i), 255], 4 * i);
    context.putImageData(picture, 0, 0);
  }

  function showPicture(canvas, x, side) {
    const plane = side * side, channels = x.length / plane;
    paint(canvas, side, (i) => [0, 1, 2].map((c) => 255 * x[(c % channels) * plane + i]));
  }

  function showMap(canvas, map, side, top, colours) {
    paint(canvas, side, (i) => {
      const at = 3 * Math.round(255 * Math.min(Math.max(map[i] / top, 0), 1));
      return colours.subarray(at, at + 3);
    });
  }

  /* The change of a picture, magnified, on grey. */
  function showChange(canvas, before, after, side, factor) {
    showPicture(canvas, after.map((v, i) => 0.5 + factor * (v - before[i])), side);
  }

  /* The relevance of the brightest colour: a few pixels above it would leave the rest dark. */
  function brightest(...maps) {
    return Math.max(...maps.map((map) => map.slice().sort()[Math.floor(0.995 * (map.length - 1))]));
  }

  /* 8 × 8 numbers to 32 × 32, straight lines between the middles of the blocks. */
  function enlarge(blocks) {
    const weigh = (k) => {
      const at = Math.max((k + 0.5) / 4 - 0.5, 0), from = Math.floor(at);
      return [from, Math.min(from + 1, 7), at - from];
    };
    return Float64Array.from({ length: 1024 }, (_, i) => {
      const [top, low, down] = weigh(Math.floor(i / 32)), [left, right, along] = weigh(i % 32);
      const mix = (row) => blocks[8 * row + left] * (1 - along) + blocks[8 * row + right] * along;
      return mix(top) * (1 - down) + mix(low) * down;
    });
  }

  /* As the digits were made that the network knows: ink on 32 × 32, counted in blocks of 4 × 4. */
  function digitFrom(ink) {
    const blocks = new Float64Array(64);
    ink.forEach((v, i) => (blocks[8 * Math.floor(i / 128) + Math.floor((i % 32) / 4)] += v / 16));
    return enlarge(blocks);
  }

  /* Words as a map, as large as they fit, one line below the other. */
  function writeWords(words, side) {
    const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const lines = words.trim().split(/\s+/);
    context.canvas.width = context.canvas.height = side;
    const fits = (size) => {
      context.font = `bold ${size}px sans-serif`;
      return lines.every((line) => context.measureText(line).width <= 0.96 * side);
    };
    let size = Math.floor((0.96 * side) / lines.length);
    while (size > 5 && !fits(size)) size--;
    Object.assign(context, { textAlign: "center", textBaseline: "middle", fillStyle: "white" });
    lines.forEach((line, k) =>
      context.fillText(line, side / 2, side / 2 + (k - (lines.length - 1) / 2) * size)
    );
    const { data } = context.getImageData(0, 0, side, side);
    return Float64Array.from({ length: side * side }, (_, i) => data[4 * i + 3] / 255);
  }

  /* Let a reader draw on a canvas with a pointer, or with arrow keys and the space bar. "ink" is
     what has been drawn, from 0 to 1; "drawn" is called after every change. */
  class Brush {
    constructor(canvas, { side, width, drawn }) {
      Object.assign(this, { canvas, side, width, drawn, ink: new Float64Array(side * side) });
      this.cursor = [side / 2, side / 2];
      this.listeners = {
        pointerdown: (event) => {
          canvas.setPointerCapture(event.pointerId);
          this.follow(event);
        },
        pointermove: (event) => canvas.hasPointerCapture(event.pointerId) && this.follow(event),
        keydown: (event) => this.obey(event),
      };
      for (const [kind, listen] of Object.entries(this.listeners)) canvas.addEventListener(kind, listen);
    }
    release() {
      for (const [kind, listen] of Object.entries(this.listeners)) this.canvas.removeEventListener(kind, listen);
    }
    clear() {
      this.ink.fill(0);
      this.drawn();
    }
    get empty() {
      return this.ink.every((v) => v === 0);
    }
    follow(event) {
      const box = this.canvas.getBoundingClientRect();
      this.cursor = [
        ((event.clientY - box.top) / box.height) * this.side,
        ((event.clientX - box.left) / box.width) * this.side,
      ];
      this.dab();
    }
    obey(event) {
      const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (event.key in moves) {
        const held = (v) => Math.min(Math.max(v, 0), this.side);
        this.cursor = this.cursor.map((v, k) => held(v + (this.width / 2) * moves[event.key][k]));
        if (event.shiftKey) this.dab();
        else this.drawn();
      } else if (event.key === " ") this.dab();
      else if (event.key === "Delete" || event.key === "Backspace") this.clear();
      else return;
      event.preventDefault();
    }
    dab() {
      const [y, x] = this.cursor, reach = this.width / 2;
      for (let i = 0; i < this.ink.length; i++) {
        const far = Math.hypot(Math.floor(i / this.side) + 0.5 - y, (i % this.side) + 0.5 - x);
        if (far <= reach) this.ink[i] = 1;
      }
      this.drawn();
    }
    /* Show a keyboard where it is. */
    mark() {
      if (document.activeElement !== this.canvas) return;
      const context = this.canvas.getContext("2d"), [y, x] = this.cursor;
      context.strokeStyle = "#56b4e9";
      context.strokeRect(x - this.width / 2, y - this.width / 2, this.width, this.width);
    }
  }

  Object.assign(root.explman, {
    showPicture, showMap, showChange, brightest, enlarge, digitFrom, writeWords, Brush,
  });
})(globalThis);
