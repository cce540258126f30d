"""The pictures that are explained, and target maps drawn from a sentence."""
