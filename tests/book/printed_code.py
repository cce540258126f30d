"""Code that pages print, found and made quick enough to be tested."""

import re
from collections.abc import Mapping


def blocks(page: str, language: str) -> list[str]:
    """Find a page's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def quickened(code: str, quicker: Mapping[str, str]) -> str:
    """Replace what makes code slow."""
    for slow, quick in quicker.items():
        code = code.replace(slow, quick)
    return code
