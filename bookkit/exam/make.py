"""Write an exam and, apart, its key into a folder."""

from pathlib import Path

from bookkit.exam.draw import Exam
from bookkit.exam.platforms import gift, qti
from bookkit.exam.sheets import exam_sheet, key_sheet
from bookkit.paper.pdf import print_page
from bookkit.places import EXAMS

FORMATS = ("html", "pdf", "gift", "qti")


def make_exam(exam: Exam, form: str = "html", folder: Path = EXAMS) -> tuple[Path, Path]:
    """Write an exam and its key.

    Parameters
    ----------
    exam
        As drawn.
    form
        ``html`` or ``pdf`` for paper; ``gift`` for Moodle or ``qti`` for Canvas, which need to hold
        the answers. The key is for people, as a PDF or else as HTML.
    folder
        Where both go; it is made if need be.

    Returns
    -------
    tuple of pathlib.Path
        Where the exam is, and where its key. Their names do not give the seed away.

    Raises
    ------
    OSError
        If the folder cannot be written into.
    """
    sheet, key = exam_sheet(exam), key_sheet(exam)
    contents: dict[str, bytes]
    name = f"exam-{exam.label}"
    match form:
        case "html":
            contents = {f"{name}.html": sheet.encode(), f"{name}-key.html": key.encode()}
        case "pdf":
            contents = {f"{name}.pdf": print_page(sheet), f"{name}-key.pdf": print_page(key)}
        case "gift":
            contents = {f"{name}.gift": gift(exam).encode(), f"{name}-key.html": key.encode()}
        case "qti":
            contents = {f"{name}-qti.zip": qti(exam), f"{name}-key.html": key.encode()}
        case _:
            raise ValueError(f"the format must be one of {', '.join(FORMATS)}, got {form!r}")
    folder.mkdir(parents=True, exist_ok=True)
    first, second = (_written(folder / file, content) for file, content in contents.items())
    return first, second


def _written(path: Path, content: bytes) -> Path:
    """Write a file, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        return unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
