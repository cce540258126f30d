"""A slider over figures that needs no kernel: on a static page, in Colab, in Jupyter."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from html import escape

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

_PAGE = """\
<figure class="frame-slider" id="{id}" style="margin: 0">
<img src="{source}" alt="{alt}" width="{width}" height="{height}"
 style="max-width: 100%; height: auto; background: #fff">
<figcaption>
<label for="{id}-range">{label}: <output for="{id}-range" aria-live="off">{value}</output></label>
<input type="range" id="{id}-range" min="0" max="{last}" value="0" hidden
 aria-valuetext="{value}: {alt}" style="display: block; width: 100%; max-width: {width}px">
</figcaption>
</figure>
<script>
(() => {{
  const frames = {frames};
  for (const figure of document.querySelectorAll("#{id}")) {{
    const [picture, range] = figure.querySelectorAll("img, input");
    picture.dataset.first ??= picture.src;
    const show = () => {{
      const [value, alt, src = picture.dataset.first] = frames[range.value];
      Object.assign(picture, {{ alt, src }});
      figure.querySelector("output").textContent = value;
      range.setAttribute("aria-valuetext", `${{value}}: ${{alt}}`);
    }};
    range.hidden = false;
    range.addEventListener("input", show);
    show();
  }}
}})();
</script>
"""


class FrameSlider:
    """Figures behind a slider, drawn as HTML where it is the last value of a cell.

    The pictures are part of the page, which needs neither a kernel nor a connection. Without
    JavaScript the first frame is shown. The slider is a plain range input: arrow keys, Home and End
    move it, and screen readers read out the value and the description of the frame.

    Parameters
    ----------
    frames : mapping of str to Figure
        The figures, all of one size, by the values that the slider shows for them. They are closed.
    label : str
        The quantity that the slider changes, such as "step" or "β".
    alts : sequence of str
        A description of each frame for those who cannot see it.

    Raises
    ------
    ValueError
        If there are fewer than two frames, or a frame has no description.

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

    def __init__(self, frames: Mapping[str, Figure], label: str, alts: Sequence[str]) -> None:
        if len(frames) < 2:
            raise ValueError(f"a slider needs at least two frames, got {len(frames)}")
        if len(alts) != len(frames) or not all(alt.strip() for alt in alts):
            raise ValueError(
                f"describe each of the {len(frames)} frames, got {len(alts)} descriptions"
            )
        self.label, self.alts, self.values = label, list(alts), list(frames)
        first = next(iter(frames.values()))
        self.size = tuple(round(side) for side in first.get_size_inches() * first.dpi)
        self._sources = [data_uri(figure) for figure in frames.values()]

    def __repr__(self) -> str:
        """Return what stands in for the slider where there is only text."""
        return f"FrameSlider of {len(self.values)} frames over {self.label}"

    def _repr_html_(self) -> str:
        sources = self._sources
        first, *others = zip(self.values, self.alts, sources, strict=True)
        # The page holds the first picture already, for those without JavaScript.
        frames = json.dumps([first[:2], *others])
        width, height = self.size
        return _PAGE.format(
            id="frames-" + hashlib.sha256((sources[0] + frames).encode()).hexdigest()[:12],
            source=sources[0],
            alt=escape(self.alts[0]),
            value=escape(self.values[0]),
            label=escape(self.label),
            last=len(sources) - 1,
            width=width,
            height=height,
            # A "</script>" inside a string would end the script.
            frames=frames.replace("<", "\\u003c"),
        )


def data_uri(figure: Figure) -> str:
    """Turn a figure into a data URI and close it; WebP compresses noise, as in maps, best."""
    stream = io.BytesIO()
    figure.savefig(stream, format="webp", dpi=figure.dpi, pil_kwargs={"quality": 70})
    plt.close(figure)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
