"""Exams that are not on the web: drawn by a seed, with numbers of their own, and a key apart.

========== ==========================================================================
written    numbers as a question shows them
template   questions whose numbers are drawn
templates  those of each chapter
draw       which questions an exam holds
sheets     the exam and its key on paper
platforms  the exam for Moodle, and for Canvas and others
make       all of it written into a folder
========== ==========================================================================
"""
