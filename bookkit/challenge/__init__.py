"""A challenge for a class: who forges best, and whose explainer is hardest to forge?

``tool`` is what students get as ``challenge.py``, and knows nothing of the book; ``new`` makes a
challenge, ``cage`` runs a submitted explainer in a process of its own, ``score`` judges all that
was handed in, and ``report`` writes the table of results.
"""
