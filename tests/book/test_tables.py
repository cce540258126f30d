"""A table that is wider than a phone says in each cell which column it is of."""

from pages import parse

from bookkit.sphinx.tables import FITS, stacked

WIDE = (
    '<table class="table"><thead>'
    "<tr><th>a</th><th>b &amp; c</th><th>d</th><th><p>e</p></th></tr></thead>"
    "<tbody><tr><td>1</td><td>2</td><td>3</td><td><code>4</code></td></tr></tbody></table>"
)


def test_a_wide_table_is_labelled():
    table = stacked(WIDE)
    assert table.startswith('<table role="table" class="stacks table"><thead role="rowgroup">')
    assert '<td role="cell" data-label="b &amp; c">2</td>' in table
    assert '<td role="cell" data-label="e"><code>4</code></td>' in table


def test_tables_that_fit_or_span_stay_as_they_are():
    narrow = WIDE.replace("<th><p>e</p></th>", "").replace("<td><code>4</code></td>", "")
    spanning = WIDE.replace("<td>1</td>", '<td rowspan="2">1</td>')
    assert [stacked(narrow), stacked(spanning)] == [narrow, spanning]


def test_no_wide_table_of_a_page_is_forgotten(html, written_pages):
    forgotten = []
    for name in (name for name in written_pages if name.startswith("book/")):
        for table in parse(html / name).select("table"):
            columns = len(table.select("thead tr:first-child th"))
            cells = table.select("tbody td")
            if columns > FITS and not all(cell.get("data-label") is not None for cell in cells):
                forgotten.append(f"{name}: {table.get_text(' ', strip=True)[:60]}")
    assert not forgotten, "\n".join(forgotten)
