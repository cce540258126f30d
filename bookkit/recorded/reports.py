"""What the sample reports of the teaching part state, by name."""

from bookkit.recorded.suites import decimals
from bookkit.recorded.tables import recorded

REPORTS = ("opinion", "smoothing", "secret")
"""Whose numbers ``results/report-….csv`` hold; they are called "opinion-found", for instance."""


def stated(report: str, name: str) -> str:
    """Write a number of a report, with the ends of its interval if it has one."""
    row = recorded(f"report-{report}").set_index("name").loc[name]
    value, *ends = (decimals(row[column], int(row.digits)) for column in ("value", "low", "high"))
    return value if "nan" in ends else f"{value}\u00a0({'–'.join(ends)})"


def names() -> list[tuple[str, str]]:
    """List the reports' numbers, each with its report."""
    return [(report, name) for report in REPORTS for name in recorded(f"report-{report}").name]
