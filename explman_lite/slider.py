"""A slider over figures that needs no kernel: on a static page, in Colab, in Jupyter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from explman_lite.embedding import Embedded, columns_of, of_figure, row
from explman_lite.figures import Gallery

_PAGE = """\
<figure class="frame-slider" id="{id}" style="margin: 0">
{pictures}
<figcaption>
<label for="{id}-range">{label}: <output for="{id}-range" aria-live="off">{value}</output></label>
<input type="range" id="{id}-range" min="0" max="{last}" value="0" hidden
 aria-valuetext="{value}: {alt}" style="display: block; width: 100%; max-width: 40em">
</figcaption>
</figure>
<script>
(() => {{
  const frames = {frames};
  for (const figure of document.querySelectorAll("#{id}")) {{
    const group = figure.querySelector(".explman-pictures");
    const pictures = group.querySelectorAll("figure img"), range = figure.querySelector("input");
    for (const picture of pictures) picture.dataset.first ??= picture.src;
    const show = () => {{
      const [value, description, parts] = frames[range.value];
      parts.forEach(([alt, caption, source], number) => {{
        const picture = pictures[number], text = picture.nextElementSibling;
        Object.assign(picture, {{ alt, src: source ?? picture.dataset.first }});
        if (text) text.textContent = caption;
      }});
      group.setAttribute("aria-label", description);
      figure.querySelector("output").textContent = value;
      range.setAttribute("aria-valuetext", `${{value}}: ${{description}}`);
    }};
    range.hidden = false;
    range.addEventListener("input", show);
    show();
  }}
}})();
</script>
"""


class FrameSlider:
    """Galleries or figures behind a slider, drawn as HTML where it is the last value of a cell.

    The pictures are part of the page, which needs neither a kernel nor a connection. Without
    JavaScript the first frame is shown. The slider is a plain range input: arrow keys, Home and End
    move it, and screen readers read out the value and the description of the frame.

    Parameters
    ----------
    frames : mapping of str to Gallery or Figure
        What is shown, by the value that the slider shows for it: galleries of equally many
        pictures, or figures, all of one size, which are closed.
    label : str
        The quantity that the slider changes, such as "step" or "β".
    alts : sequence of str
        A description of each frame for those who cannot see it.

    Raises
    ------
    ValueError
        If there are fewer than two frames, a frame has no description, or frames differ in form.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import explman_lite as el
    >>> frames = {}
    >>> for power in (1, 2):
    ...     frames[str(power)], ax = plt.subplots(figsize=(2, 2))
    ...     _ = ax.plot([0, 1, 2], [0, 1, 2**power])
    >>> el.FrameSlider(frames, "power", ["A straight line.", "A line that bends upwards."])
    FrameSlider of 2 frames over power
    """

    def __init__(
        self, frames: Mapping[str, Figure | Gallery], label: str, alts: Sequence[str]
    ) -> None:
        if len(frames) < 2:
            raise ValueError(f"a slider needs at least two frames, got {len(frames)}")
        if len(alts) != len(frames) or not all(alt.strip() for alt in alts):
            raise ValueError(
                f"describe each of the {len(frames)} frames, got {len(alts)} descriptions"
            )
        self.label, self.alts, self.values = label, list(alts), list(frames)
        drawn, cuts = list(frames.values()), None
        self._frames: list[list[Embedded]] = []
        for frame, alt in zip(drawn, alts, strict=True):
            if isinstance(frame, Gallery):
                self._frames.append(frame._embedded)
                continue
            cuts = cuts or columns_of(frame)
            parts = of_figure(frame, cuts)
            self._frames.append(parts if len(parts) > 1 else [replace(parts[0], alt=alt)])
            plt.close(frame)
        if len({len(frame) for frame in self._frames}) > 1:
            raise ValueError("all frames must hold equally many pictures")
        first = drawn[0]
        html = first._repr_html_() if isinstance(first, Gallery) else row(self._frames[0])
        described = f'role="group" aria-label="{escape(self.alts[0])}"'
        self._first = html.replace('role="group"', described, 1)

    def __repr__(self) -> str:
        """Return what stands in for the slider where there is only text."""
        return f"FrameSlider of {len(self.values)} frames over {self.label}"

    def _repr_html_(self) -> str:
        # The page holds the first pictures already, for those without JavaScript.
        first = [part.source for part in self._frames[0]]
        listed = []
        for value, alt, frame in zip(self.values, self.alts, self._frames, strict=True):
            parts = [
                [part.alt, part.caption, *([part.source] if part.source != source else [])]
                for part, source in zip(frame, first, strict=True)
            ]
            listed.append([value, alt, parts])
        frames = json.dumps(listed)
        return _PAGE.format(
            id="frames-" + hashlib.sha256((self._first + frames).encode()).hexdigest()[:12],
            pictures=self._first,
            alt=escape(self.alts[0]),
            value=escape(self.values[0]),
            label=escape(self.label),
            last=len(self.values) - 1,
            # A "</script>" inside a string would end the script.
            frames=frames.replace("<", "\\u003c"),
        )
