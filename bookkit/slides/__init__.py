"""A deck of slides from each notebook, and a page that lists the decks.

What goes onto slides is read in `chapter`, how it is spread over them decided in `layout`, and
written in `deck`. How a slide looks stands in ``templates/``.
"""
