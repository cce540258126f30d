"""What makes the book of its chapters and recorded tables: pages, slides, archives, a PDF.

``python -m bookkit`` is its command line, behind ``make``. A module imports only from those above
it in this list, and all of them may use ``explman_lite``, which knows nothing of the book.

========== ==========================================================================
places     where the parts of the repository lie
address    the repository's address, and what follows from it
chapters   the list of chapters, and how to read one
drawings   the figures drawn for the pages, as SVG
templates  files with blanks to fill in
links      where a link of a page or chapter leads, on the site
execute    running the notebooks and storing their outputs
live       the pictures and networks of the live attack, as scripts for a page
gift       the item bank as learning platforms import it
recorded   tables and figures drawn from ``results/``
slides     a deck for each lecture and of each chapter, with their templates
archives   the notebooks packed for students and for instructors
challenge  a contest for a class: forging maps, and explainers that withstand it
paper      one PDF of the built pages
exam       exams drawn by a seed, with their keys
sphinx     what the pages need beyond Jupyter Book: the book's extension of Sphinx
========== ==========================================================================
"""
