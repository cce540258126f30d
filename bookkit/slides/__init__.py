"""A deck of slides for each lecture and each notebook, and a page that lists the decks.

A lecture is written by hand, for speaking: `lecture` reads it. A chapter's deck is a handout: what
of the chapter goes onto slides is read in `chapter`, how it is spread over them decided in
`layout`. Both are written in `deck`. How a slide looks stands in ``templates/``.
"""
