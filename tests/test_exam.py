"""Exams are drawn as promised: no number twice, the same from the same seed, the key apart."""

import html
import io
import re
import subprocess
import zipfile
from collections import Counter
from itertools import combinations
from math import log
from operator import attrgetter
from random import Random
from xml.etree import ElementTree

import pytest
from as_gift import assert_gift_holds
from bs4 import BeautifulSoup
from test_items import anchors

from bookkit.__main__ import main
from bookkit.exam import make
from bookkit.exam.draw import draw, numbered_chapters
from bookkit.exam.platforms import gift, markdown, qti
from bookkit.exam.sheets import exam_sheet, key_sheet, letter
from bookkit.exam.template import HANDS, Question, Template, steps, template
from bookkit.exam.templates import CHAPTERS, TEMPLATES
from bookkit.exam.written import Number, fixed, linear, numbers, plain, significant, times, vector
from bookkit.gift import parts
from bookkit.places import ROOT
from explman_lite.items import as_html, load_items

SEEDS = [*range(40), *Random(0).sample(range(10**9), 40)]
BANK = {item.id: item for item in load_items()}
QTI = "{http://www.imsglobal.org/xsd/ims_qtiasiv1p2}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_hands_share_no_number_that_is_shown_and_no_answer(name):
    """A number in the text is either fixed, and the same in every version, or in one hand only."""
    hands = TEMPLATES[name].hands
    shown = [[[n for n, _ in numbers(v.question.text)] for v in hand] for hand in hands]
    (length,) = {len(found) for hand in shown for found in hand}
    drawn = 0
    for place in range(length):
        values = [{found[place] for found in hand} for hand in shown]
        if len(set.union(*values)) > 1:
            drawn += 1
            assert sum(map(len, values)) == len(set.union(*values)), (place, values)
    assert drawn >= len(TEMPLATES[name].numbers)
    answers = [{v.question.right[0] for v in hand} for hand in hands]
    assert sum(map(len, answers)) == len(set.union(*answers))


FEW = {"steps-until-bfloat16-moves": 797}
"""The templates with fewer than a thousand versions, and how many those have."""


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_has_a_thousand_versions_for_all_last_digits_alike(name):
    sizes = [len(hand) for hand in TEMPLATES[name].hands]
    assert sum(sizes) == FEW[name] if name in FEW else sum(sizes) >= 1000
    assert min(sizes) >= 60


def test_seeds_that_differ_in_their_last_digit_share_no_number_and_no_answer():
    """The promise, by way of exams: for every pair of many seeds."""
    exams = {seed: draw(seed, len(TEMPLATES), only_new=True).items for seed in SEEDS}
    for items in zip(
        *(sorted(items, key=attrgetter("id")) for items in exams.values()), strict=True
    ):
        assert len({item.id for item in items}) == 1
        shown = {s: numbers(item.question) for s, item in zip(SEEDS, items, strict=True)}
        right = {
            s: next(o.text for o in i.options if o.right) for s, i in zip(SEEDS, items, strict=True)
        }
        fixed_places = {
            place
            for place, several in enumerate(zip(*shown.values(), strict=True))
            if len(set(several)) == 1
        }
        for one, other in combinations(SEEDS, 2):
            if one % HANDS != other % HANDS:
                pairs = zip(shown[one], shown[other], strict=True)
                same = {place for place, (a, b) in enumerate(pairs) if a == b}
                assert same <= fixed_places, (one, other, items[0].id)
                assert right[one] != right[other], (one, other, items[0].id)


@pytest.mark.parametrize("name", TEMPLATES)
def test_options_differ_and_say_why(name):
    for version in (version for hand in TEMPLATES[name].hands for version in hand):
        answers = [version.question.right, *version.question.wrong]
        assert len(answers) == 4
        assert len({text for text, _ in answers}) == len(answers)
        assert len({why for _, why in answers}) == len(answers)
        for text in (version.question.text, *(part for answer in answers for part in answer)):
            assert not re.search(r"\$|\\|\*\*|<|\n|  |\d-|-\d|\b[eE]-\d|nan|inf\b", text), text


def test_templates_are_of_every_chapter_and_name_their_sections():
    counts = Counter(template.chapter for template in TEMPLATES.values())
    assert set(counts) == set(CHAPTERS) and min(counts.values()) >= 4
    assert not TEMPLATES.keys() & BANK.keys()
    for chapter in CHAPTERS:
        sections = {t.section for t in TEMPLATES.values() if t.chapter == chapter}
        assert not sections - anchors(chapter)


def test_the_place_of_the_right_option_says_nothing():
    places = Counter(
        [option.right for option in item.options].index(True)
        for seed in SEEDS
        for item in draw(seed, 39, only_new=True).items
    )
    share = sum(places.values()) / 4
    assert all(abs(count - share) < 5 * share**0.5 for count in places.values()), places


@pytest.mark.parametrize("seed", SEEDS[::10])
def test_a_seed_draws_the_same_exam_and_another_another(seed):
    exam = draw(seed)
    assert exam == draw(seed) and exam.label == draw(seed).label
    assert exam.items != draw(seed + 1).items and exam.label != draw(seed + 1).label
    assert exam.minutes == exam.points == sum(item.minutes for item in exam.items)


@pytest.mark.parametrize("seed", SEEDS[::10])
@pytest.mark.parametrize("count", [1, 2, 8, 12, 24, 39])
def test_a_third_comes_from_the_bank_and_from_no_quiz(seed, count):
    items = draw(seed, count).items
    assert len(items) == len({item.id for item in items}) == count
    from_bank = [item for item in items if item.id in BANK]
    assert len(from_bank) == count // 3
    assert all(item == BANK[item.id] and not item.quiz for item in from_bank)
    places = [CHAPTERS.index(item.chapter) for item in items]
    assert places == sorted(places)
    counts = Counter(places)
    if count <= 24:
        assert max(counts.values()) - min(counts[place] for place in range(8)) <= 1
    assert not {item.id for item in draw(seed, count, only_new=True).items} & BANK.keys()


def test_every_template_comes_up_and_every_item_in_no_quiz_that_none_replaces():
    seen = {item.id for seed in range(80) for item in draw(seed, 48).items}
    replaced = {template.replaces for template in TEMPLATES.values() if template.replaces}
    assert all(BANK[t.replaces].chapter == t.chapter for t in TEMPLATES.values() if t.replaces)
    known = {item.id for item in BANK.values() if not item.quiz} - replaced
    assert seen == TEMPLATES.keys() | known


def test_chapters_are_named_by_number_or_name():
    assert list(numbered_chapters()) == ["1", "1b", "2", "3", "4", "5", "6", "7"]
    exam = draw(3, 6, chapters=["1b", "curvature_theory"])
    assert Counter(item.chapter for item in exam.items) == {"six_methods": 3, "curvature_theory": 3}
    assert exam == draw(3, 6, chapters=["4", "six_methods", "4"])
    assert draw(3, 6, minutes=90).minutes == 90


def soup(text: str) -> BeautifulSoup:
    return BeautifulSoup(text, "html.parser")


def plain_text(text: str) -> str:
    return soup(as_html(text)).get_text()


@pytest.mark.parametrize("seed", SEEDS[::8])
def test_the_sheet_asks_and_gives_nothing_away(seed):
    exam = draw(seed, 24)
    sheet = exam_sheet(exam)
    page = soup(sheet)
    questions = page.select(".questions > li")
    for item, asked in zip(exam.items, questions, strict=True):
        assert plain_text(item.question) in asked.get_text()
        offered = [option.get_text() for option in asked.select(".options li")]
        assert offered == [
            f"{name} {plain_text(option.text)}"
            for name, option in zip("ABCD", item.options, strict=False)
        ]
        assert bool(asked.select(".room")) == (not item.options)
        for secret in (item.answer, *item.marking, *(option.why for option in item.options)):
            assert not secret or secret in item.question or as_html(secret) not in sheet
        assert item.id not in sheet
    # Nothing in the markup sets the right options apart.
    starts = {str(option)[:32] for option in page.select(".options li")}
    assert starts == {'<li><span class="box"></span><b>'}
    assert f"seed {seed}" not in sheet.lower()
    assert not page.select("[src], link, script, a")


@pytest.mark.parametrize("seed", SEEDS[::8])
def test_the_key_has_all_that_marking_takes(seed):
    exam = draw(seed, 24)
    page = soup(key_sheet(exam))
    for item, shown in zip(exam.items, page.select(".questions > li"), strict=True):
        if item.options:
            (right,) = shown.select(".options li.right")
            assert right.find("b").get_text() == letter(item)
            (option,) = (option for option in item.options if option.right)
            assert plain_text(option.text) in right.get_text()
        text = shown.get_text()
        for given in (item.answer, *item.marking, *(option.why for option in item.options)):
            assert plain_text(given) in text
        assert bool(item.marking) == (parts(item) in text)
        assert ("from the item bank" in text) == (item.id in BANK)
    letters = [cell.get_text() for cell in page.select("td")]
    assert letters == [letter(item) for item in exam.items if item.options]
    assert f"Seed {seed}:" in page.get_text()
    assert exam.label in page.title.get_text() and exam.label in exam_sheet(exam)


@pytest.mark.parametrize("seed", SEEDS[::8])
def test_gift_gives_every_item_back(seed):
    exam = draw(seed, 24)
    assert gift(exam).startswith(
        f"$CATEGORY: Explanations can be manipulated/exam {exam.label}\n\n"
    )
    assert_gift_holds(gift(exam), exam.items)


def unpacked(packed: bytes) -> tuple[ElementTree.Element, ElementTree.Element]:
    """Read the manifest and the assessment that it names."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        manifest = ElementTree.fromstring(archive.read("imsmanifest.xml"))
        files = [e.get("href") for e in manifest.iter() if e.tag.endswith("}file")]
        assert set(files) <= set(archive.namelist())
        (name,) = (file for file in files if not file.endswith("assessment_meta.xml"))
        return manifest, ElementTree.fromstring(archive.read(name))


def text_of(element: ElementTree.Element) -> str:
    """Read a piece of HTML within XML as plain text."""
    return soup(element.find(f".//{QTI}mattext").text).get_text().strip()


def check_qti(items, packed: bytes) -> None:
    found = unpacked(packed)[1].findall(f".//{QTI}item")
    for item, asked in zip(items, found, strict=True):
        fields = {
            f.find(f"{QTI}fieldlabel").text: f.find(f"{QTI}fieldentry").text
            for f in asked.iter(f"{QTI}qtimetadatafield")
        }
        assert asked.get("title") == item.id
        assert float(fields["points_possible"]) == item.minutes
        presentation = asked.find(f"{QTI}presentation")
        assert text_of(presentation.find(f"{QTI}material")) == plain_text(item.question)
        feedback = {f.get("ident"): text_of(f) for f in asked.findall(f"{QTI}itemfeedback")}
        if not item.options:
            assert fields["question_type"] == "essay_question"
            assert plain_text(item.answer) in feedback["general_fb"]
            marked_by = (parts(item), *item.marking)
            assert all(plain_text(text) in feedback["general_fb"] for text in marked_by)
            continue
        assert fields["question_type"] == "multiple_choice_question"
        labels = presentation.findall(f".//{QTI}response_label")
        (right,) = (
            condition.find(f".//{QTI}varequal").text
            for condition in asked.iter(f"{QTI}respcondition")
            if condition.find(f"{QTI}setvar") is not None
        )
        for option, label in zip(item.options, labels, strict=True):
            assert text_of(label) == plain_text(option.text)
            assert (label.get("ident") == right) == option.right
            assert feedback[f"{label.get('ident')}_fb"] == plain_text(option.why)
        code = [html.unescape(c) for c in re.findall("`([^`]+)`", item.question)]
        shown = soup(presentation.find(f".//{QTI}mattext").text).find_all("code")
        assert [c.get_text() for c in shown] == code


@pytest.mark.parametrize("seed", SEEDS[::8])
def test_qti_gives_every_item_back(seed):
    exam = draw(seed, 24)
    check_qti(exam.items, qti(exam))


def test_qti_gives_the_whole_bank_back():
    """Whatever signs its texts hold."""
    exam = draw(0, 1)
    whole = type(exam)(0, tuple(BANK.values()), 1)
    check_qti(whole.items, qti(whole))


def test_markdown_takes_nothing_for_its_own_signs():
    assert markdown("2. *a* `b_c*d` <x> & $y$ #") == (
        "2&#46; &#42;a&#42; <code>b&#95;c&#42;d</code> &#60;x&#62; &#38; &#36;y&#36; &#35;"
    )


@pytest.mark.parametrize("form", ["html", "gift", "qti"])
def test_files_are_written_and_the_same_again(tmp_path, capsys, form):
    folder = tmp_path / "a folder"
    for _ in range(2):
        assert main(["exam", "--seed", "7", "--format", form, "--out", str(folder)]) == 0
        printed = capsys.readouterr().out
        assert "12 items" in printed and "the key, not for students" in printed
        names = sorted(path.name for path in folder.iterdir())
        assert len(names) == 2 and all(draw(7).label in name for name in names)
        assert all(str(folder / name) in printed for name in names)
    exam, key = make.make_exam(draw(7), form, tmp_path / "again")
    assert (folder / key.name).read_bytes() == key.read_bytes()
    if form == "qti":  # its manifest bears the date
        assert ElementTree.tostring(unpacked((folder / exam.name).read_bytes())[1]) == (
            ElementTree.tostring(unpacked(exam.read_bytes())[1])
        )
    else:
        assert (folder / exam.name).read_bytes() == exam.read_bytes()


def test_what_is_written_is_whole_or_not_there(tmp_path, monkeypatch, capsys):
    def fail_for_the_key(path, content):
        path.touch()
        if "-key" in path.name:
            raise OSError("No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail_for_the_key)
    assert main(["exam", "--seed", "7", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "bookkit: error: No space left on device\n"
    assert not list(tmp_path.iterdir())


def test_a_pdf_is_printed_of_each_page(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "print_page", str.encode)
    exam, key = make.make_exam(draw(7), "pdf", tmp_path)
    assert exam.name == f"exam-{draw(7).label}.pdf" and exam.read_text("utf-8") == exam_sheet(
        draw(7)
    )
    assert key.name == f"exam-{draw(7).label}-key.pdf" and key.read_text("utf-8") == key_sheet(
        draw(7)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], "the seed must not be negative, got -1"),
        (["--seed", "7", "--items", "0"], "at least one item, got 0"),
        (["--seed", "7", "--minutes", "0"], "at least one minute, got 0"),
        (["--seed", "7", "--chapters", "9"], "no chapter '9'; there are 1 (saliency_maps), 1b"),
        (
            ["--seed", "7", "--chapters", "3", "--items", "12"],
            "12 items are too many: these chapters have 5 questions with numbers, and 4 items of "
            "the bank for a third of an exam, which is enough for 7",
        ),
        (
            ["--seed", "7", "--items", "40", "--only-new"],
            "40 items are too many: these chapters have 39 questions with numbers",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(tmp_path, capsys, arguments, message):
    assert main(["exam", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_as_many_as_the_message_says_can_be_drawn():
    assert len(draw(7, 7, chapters=["3"]).items) == 7
    with pytest.raises(ValueError, match="too many"):
        draw(7, 8, chapters=["3"])


def test_a_folder_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("mine", "utf-8")
    assert main(["exam", "--seed", "7", "--out", str(tmp_path / "file")]) == 2
    assert "is no folder to write to" in capsys.readouterr().err
    assert main(["exam", "--seed", "7", "--out", str(tmp_path / "file" / "below")]) == 2
    assert "is no folder to write to" in capsys.readouterr().err
    assert (tmp_path / "file").read_text("utf-8") == "mine"


@pytest.mark.parametrize("arguments", [[], ["--seed", "seven"], ["--seed", "1", "--format", "doc"]])
def test_the_command_line_knows_its_options(arguments):
    with pytest.raises(SystemExit) as caught:
        main(["exam", *arguments])
    assert caught.value.code == 2


def test_exams_lie_where_nothing_publishes_or_cleans():
    assert make.EXAMS.parent == ROOT
    assert (
        subprocess.run(["git", "check-ignore", "-q", make.EXAMS / "exam.html"], cwd=ROOT).returncode
        == 0
    )
    (removed,) = re.findall(
        r"^clean:.*\n\trm -rf (.*)", (ROOT / "Makefile").read_text("utf-8"), re.M
    )
    assert "_build" in removed.split() and "exams" not in removed.split()


def test_numbers_are_written_as_one_writes_them():
    assert [plain(x) for x in (3.0, -0.5, 0.1 + 0.2, 1234567, 2.50)] == [
        "3", "−0.5", "0.3", "1,234,567", "2.5",
    ]  # fmt: skip
    assert [fixed(x, 2) for x in (0.125, -0.125, 2, -0.001)] == ["0.13", "−0.13", "2.00", "0.00"]
    assert [significant(x) for x in (0.0012345, 0.9996, 99.96, 12345, -0.05, 0)] == [
        "0.00123", "1.00", "100", "12,300", "−0.0500", "0",
    ]  # fmt: skip
    assert f"{Number(-2)} {Number(0.25)} {Number(1.5):.2f}" == "−2 0.25 1.50"
    assert vector(1, -2.5) == "(1, −2.5)" and vector(1, -2.5, places=2) == "(1.00, −2.50)"
    assert times(2, -3, 0.5) == "2 · (−3) · 0.5" and times(-2, 3) == "−2 · 3"
    assert linear(x=2, y=-3, one=-1) == "2x − 3y − 1"
    assert numbers("f(x₁, w2) = −1,200.5 · 0.30, z⁺ and bfloat16") == [(-1200.5, 1), (0.3, 2)]


def test_a_number_needs_values_enough_for_every_hand():
    with pytest.raises(ValueError, match="x needs 10 values or more, all different"):
        template("some-section", x=range(9))(lambda x: None)
    with pytest.raises(ValueError, match="x needs 10"):
        template("some-section", x=[1] * 10)(lambda x: None)


def test_unfair_questions_and_answers_of_another_hand_are_left_out():
    def ask(x):
        """Ask for the last digit but one: many values have the same."""
        tens = x // 10
        return Question("?", (plain(tens), "so"), [(plain(tens + x % 4), "no"), ("99", "nor")])

    hands = Template("t", "c", "s", 1, 1, None, {"x": range(100)}, ask).hands
    kept = [(hand, v.values["x"]) for hand, versions in enumerate(hands) for v in versions]
    assert all(x % 4 >= 2 for _, x in kept)  # 0 is the same answer, 1 as close as rounding
    assert all(len({hand for hand, x in kept if x // 10 == tens}) <= 1 for tens in range(10))


PAGE = (ROOT / "book" / "teach" / "exams.md").read_text("utf-8")


def test_the_page_shows_what_the_seed_draws():
    shown = " ".join(PAGE.replace("\n> ", "\n").split())
    name, seed = re.search(r"Question `([\w-]+)`, as the seed (\d+) asks it", shown).groups()
    item = TEMPLATES[name].item(int(seed))
    assert item.question in shown
    for place, option in zip("ABCD", item.options, strict=True):
        row = [place, option.text, "right" if option.right else "no", option.why]
        if option.right:
            row[:3] = [f"**{cell}**" for cell in row[:3]]
        assert f"| {' | '.join(row)} |" in shown


def test_the_page_counts_the_templates():
    assert re.findall(r"(\d+)\s+questions of this book are templates", PAGE) == [
        str(len(TEMPLATES))
    ]


def test_the_page_counts_the_versions_and_names_the_exceptions():
    (claim,) = re.findall(r"more than a thousand versions; only.*?\.", " ".join(PAGE.split()))
    stated = re.findall(r"`([\w-]+)` has (\d+)", claim)
    assert {name: int(count) for name, count in stated} == FEW


def test_the_page_says_how_lengths_differ(monkeypatch):
    monkeypatch.setattr("bookkit.exam.draw.load_items", lambda: list(BANK.values()))
    shown = " ".join(PAGE.split())
    for options, pattern in [
        ({}, r"twelve questions take (\d+) to (\d+) minutes, (\d+) on average"),
        ({"only_new": True}, r"with `--only-new` (\d+) to (\d+), (\d+) on average"),
    ]:
        exams = [draw(seed, **options) for seed in range(200)]
        minutes = [exam.minutes for exam in exams]
        found = [min(minutes), max(minutes), round(sum(minutes) / len(minutes))]
        in_words = [sum(not item.options for item in exam.items) for exam in exams]
        assert [min(in_words), max(in_words)] == ([0, 0] if options else [0, 4])
        assert [*map(int, re.search(pattern, shown).groups())] == found
    assert "none to four of them are to be answered in words" in shown


def test_the_page_lists_the_options(capsys):
    with pytest.raises(SystemExit):
        main(["exam", "--help"])
    known = set(re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    assert set(re.findall(r"^\| `(--[\w-]+)` \|", PAGE, re.MULTILINE)) == known
    assert known >= set(re.findall(r"--[a-z][\w-]+", PAGE))


def test_the_page_shows_how_to_write_a_template():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {"template": template, "steps": steps, "Question": Question}
    names |= {"significant": significant, "log": log, "__name__": "templates.softplus_defense"}
    exec(code, names)
    written = names["surplus_of_some_units"]
    assert min(map(len, written.hands)) >= 3
    assert written.id not in TEMPLATES


def exams_named() -> list[tuple[str, list[str]]]:
    """Find the chapters that the pages for lecturers draw exams of."""
    found = []
    for path in (ROOT / "book" / "teach").glob("*.md"):
        text = path.read_text("utf-8")
        found += [(path.stem, c.split()) for c in re.findall(r"--chapters ((?:\d\w? ?)+)", text)]
    return found


def test_syllabi_grade_by_exams_that_can_be_drawn():
    assert {name for name, _ in exams_named()} >= {"one_lecture", "two_lectures", "six_weeks"}
    for name, chapters in exams_named():
        count = 12 if len(chapters) > 2 else 6
        exam = draw(482130597, count, chapters=chapters)
        assert len(exam.items) == count, name
