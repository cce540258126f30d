"""The book on paper: one PDF of the built pages."""
