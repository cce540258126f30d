"""A quiz that needs neither a kernel nor JavaScript: on a static page, in Colab, in Jupyter."""

from __future__ import annotations

from explman_lite.items import LETTERS, Item, Option, as_html, items_of

# The tags carry their styles, since Jupyter drops style sheets from notebooks it does not trust.
# Colours are those of the page, light or dark.
_PAGE = """\
<div class="explman-quiz" role="group" aria-label="Quiz">
<p style="margin: 0 0 1em">{count} questions. Choose an answer, and it tells you whether it is \
right, and why.</p>
{questions}
</div>"""
_QUESTION = """\
<div role="group" aria-labelledby="quiz-{id}" style="margin: 0 0 1.5em">
<p id="quiz-{id}" style="margin: 0 0 0.5em; font-weight: bold">{number}. {question}</p>
{options}
</div>"""
_OPTION = """\
<details name="quiz-{id}-options" style="margin: 0 0 0.4em; padding: 0.3em 0.8em; \
border: 1px solid currentColor; border-radius: 0.4em">
<summary style="cursor: pointer">{letter}. {text}</summary>
<p style="margin: 0.4em 0"><strong>{verdict}</strong> {why}</p>
</details>"""


class Quiz:
    """The quiz of a chapter, drawn as HTML where it is the last value of a cell.

    Every option opens and says whether it is right, and why. It is made of the browser's own
    ``<details>``, so it works without a kernel, a connection or JavaScript, by keyboard and with a
    screen reader. Nothing is counted, and nothing is sent anywhere.

    Parameters
    ----------
    chapter : str
        A chapter of the book, such as ``"saliency_maps"``.

    Raises
    ------
    ValueError
        If there is no such chapter (the message lists those there are), or the file with the
        questions is damaged.

    Examples
    --------
    >>> import explman_lite as el
    >>> el.Quiz("saliency_maps")
    Quiz of 6 questions about saliency_maps
    """

    def __init__(self, chapter: str) -> None:
        self.chapter = chapter
        self.items = tuple(item for item in items_of(chapter) if item.quiz)

    def __repr__(self) -> str:
        """Return what stands in for the quiz where there is only text."""
        return f"Quiz of {len(self.items)} questions about {self.chapter}"

    def _repr_html_(self) -> str:
        questions = [_question(item, number) for number, item in enumerate(self.items, start=1)]
        return _PAGE.format(count=len(questions), questions="\n".join(questions))


def _question(item: Item, number: int) -> str:
    """Return one question with its options as HTML."""
    pairs = zip(LETTERS, item.options, strict=False)
    options = [_option(item, letter, option) for letter, option in pairs]
    return _QUESTION.format(
        id=item.id, number=number, question=as_html(item.question), options="\n".join(options)
    )


def _option(item: Item, letter: str, option: Option) -> str:
    """Return one option as HTML, folded; opening it closes its neighbours."""
    return _OPTION.format(
        id=item.id,
        letter=letter,
        text=as_html(option.text),
        verdict="Right." if option.right else "No.",
        why=as_html(option.why),
    )
