"""Write numbers from the recorded tables into prose: the role ``{number}`photos-class-lost```."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from bookkit.places import RESULTS
from bookkit.recorded.numbers import number


class Number(SphinxRole):
    """A number of `bookkit.recorded.numbers`, by its name."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Compute the number, and let Sphinx read the page anew when a table has changed."""
        for table in RESULTS.glob("*.csv"):
            self.env.note_dependency(str(table))
        try:
            return [nodes.Text(number(self.text))], []
        except ValueError as error:
            message = self.inliner.reporter.error(str(error), line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the role known."""
    app.add_role("number", Number())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
