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


def findings(page: Page, check: str) -> list[str]:
    """Run axe on a page and say what it finds wrong, and where."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    return [
        f"{violation['id']}: {node['html'][:150]} {node['failureSummary']}"
        for violation in page.evaluate(check)["violations"]
        for node in violation["nodes"]
    ]
