"""Write an exam and, apart, its key into a folder."""

from contextlib import ExitStack
from pathlib import Path

from bookkit.exam.draw import Exam
from bookkit.exam.platforms import gift, qti
from bookkit.exam.sheets import exam_sheet, key_sheet
from bookkit.paper.pdf import print_page
from bookkit.places import EXAMS
from explman_lite.results import make_folder, unfinished

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
    make_folder(folder)
    first, second = (folder / file for file in contents)
    # Both are written before either has its name: an exam without its key is of no use.
    with ExitStack() as both:
        for path, content in zip((first, second), contents.values(), strict=True):
            both.enter_context(unfinished(path)).write_bytes(content)
    return first, second
