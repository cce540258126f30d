"""What axe finds on a page: WCAG 2.2 up to AA, and axe's best practices."""

from importlib.resources import files

from playwright.sync_api import Page

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")

STRUCTURE = """
axe.run({
  resultTypes: ["violations"],
  preload: false,
  rules: { "color-contrast": { enabled: false } },
})
"""

# What a narrow screen adds: tables and code that can be scrolled, but not by the keyboard.
SCROLLING = """
axe.run({
  resultTypes: ["violations"],
  preload: false,
  runOnly: ["scrollable-region-focusable"],
})
"""

# Reading contrast is what takes axe its time, and a page repeats few pairings of ink and paper
# thousands of times: one of each is enough. Formulas have their colour from the text around them.
CONTRAST = """
() => {
  document.querySelectorAll("mjx-container").forEach((formula) => formula.remove());
  const papers = new Map([[null, ""]]);
  const paper = (element) => {
    if (!papers.has(element)) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(element);
      const own = `${backgroundColor} ${backgroundImage} ${opacity}`;
      const clear = own === "rgba(0, 0, 0, 0) none 1";
      papers.set(element, paper(element.parentElement) + (clear ? "" : own));
    }
    return papers.get(element);
  };
  const samples = new Map();
  for (const element of document.body.querySelectorAll("*")) {
    const written = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!written || !element.checkVisibility()) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    samples.set([color, fontSize, fontWeight, paper(element)].join(), element);
  }
  return axe.run([...samples.values()], {
    resultTypes: ["violations"],
    preload: false,
    runOnly: ["color-contrast"],
  });
}
"""

# What is cut off: text wider than its box, unless the box scrolls, and its bar is seen or expected.
CUT_OFF = """
() => {
  const found = [];
  for (const element of document.querySelectorAll("article *, .slide *")) {
    if (!element.checkVisibility() || element.closest("svg, mjx-container, .sr-only")) continue;
    const written = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!written) continue;
    const range = document.createRange();
    range.selectNodeContents(element);
    const text = range.getBoundingClientRect();
    for (let box = element; box && box !== document.body; box = box.parentElement) {
      const { overflowX } = getComputedStyle(box), edge = box.getBoundingClientRect();
      // What is a pixel wide is for screen readers.
      if (overflowX === "auto" || overflowX === "scroll" || edge.width <= 1) break;
      const cut = overflowX !== "visible" && text.right > edge.right + 1;
      if (cut || (!box.parentElement.closest("article, .slide") && text.right > innerWidth + 1)) {
        found.push(`cut off: ${element.outerHTML.slice(0, 150)}`);
        break;
      }
    }
  }
  return found;
}
"""

# Printed lines and formulas that a narrow screen scrolls instead of breaking them. Formulas of
# docstrings are written for wider places.
SCROLLED = """
() => [...document.querySelectorAll(
  ".cell_output .output:is(.stream, .text_plain) pre, div.math:not(dl.py *)")]
  .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
  .map((one) => `does not wrap: ${one.textContent.slice(0, 100)}`)
"""

# Letters of galleries and slides, in pixels.
TOO_SMALL = """
(smallest) => [...document.querySelectorAll(".explman-pictures *, .frame-slider *, .slide *")]
  .filter((element) => element.checkVisibility() && !element.closest("svg, mjx-container")
    && [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
    && parseFloat(getComputedStyle(element).fontSize) < smallest)
  .map((element) => `too small: ${element.outerHTML.slice(0, 150)}`)
"""

# Plots are drawn with letters of 10 points, 13.9 pixels on an inch of a hundred. Data on how wide
# they are shown tell how large these letters are.
PLOTS = """
(smallest) => [...document.querySelectorAll("img.explman-plot")]
  .filter((image) => image.checkVisibility())
  .filter((image) => {
    const inches = image.matches("figure > img") ? image.getAttribute("width") / 200
      : image.getAttribute("width") / 100;
    return 13.9 * image.getBoundingClientRect().width / (100 * inches) < smallest;
  })
  .map((image) => `letters are too small: ${image.alt.slice(0, 100)}`)
"""

# By night: which pictures are turned round, and which glare.
TURNED = """
() => [...document.querySelectorAll("article img")].flatMap((image) => {
  const turned = getComputedStyle(image).filter.includes("invert");
  const plot = image.matches(".explman-plot");
  return turned === plot ? [] : [`${turned ? "turned" : "glares"}: ${image.alt.slice(0, 100)}`];
})
"""


def findings(page: Page, check: str) -> list[str]:
    """Run axe on a page and say what it finds wrong, and where."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    return [
        f"{violation['id']}: {node['html'][:150]} {node['failureSummary']}"
        for violation in page.evaluate(check)["violations"]
        for node in violation["nodes"]
    ]
