"""An exam as learning platforms import it: GIFT for Moodle, QTI 1.2 for Canvas and others."""

import re

from text2qti.config import Config
from text2qti.qti import QTI
from text2qti.quiz import Quiz

from bookkit.exam.draw import Exam
from bookkit.exam.sheets import lettered
from bookkit.gift import parts, question
from explman_lite.items import Item

SIGN = re.compile(r"[!-/:-@\[-`{-~]")
"""What Markdown might take for one of its signs: all of ASCII but letters, digits and spaces."""


def gift(exam: Exam) -> str:
    """Write an exam for Moodle's question bank, with its answers."""
    category = f"$CATEGORY: Explanations can be manipulated/exam {exam.label}\n\n"
    return category + "\n".join(map(question, exam.items))


def qti(exam: Exam) -> bytes:
    """Pack an exam, with its answers, as Canvas imports it."""
    lines = [f"Quiz title: Exam {exam.label}", "Shuffle answers: false"]
    for number, item in enumerate(exam.items, 1):
        lines += ["", f"Title: {item.id}", f"Points: {item.minutes}"]
        lines += [f"{number}.  {markdown(item.question)}", *_answers(item)]
    packed: bytes = QTI(Quiz("\n".join(lines), config=Config(), source_name="exam")).zip_bytes()
    return packed


def _answers(item: Item) -> list[str]:
    """Write an item's options with their reasons, or what to mark an essay by."""
    if not item.options:
        points = "; ".join(item.marking)
        return [f"... {markdown(f'{item.answer} {parts(item)} {points}.')}", "____"]
    lines = []
    for letter, option in lettered(item):
        lines += [f"{'*' if option.right else ''}{letter.lower()})  {markdown(option.text)}"]
        lines += [f"... {markdown(option.why)}"]
    return lines


def markdown(text: str) -> str:
    """Write an item's text so that Markdown takes none of it for its own signs."""
    parts = [SIGN.sub(lambda sign: f"&#{ord(sign[0])};", part) for part in text.split("`")]
    parts[1::2] = [f"<code>{code}</code>" for code in parts[1::2]]
    return "".join(parts)
