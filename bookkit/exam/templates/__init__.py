"""The templates of each chapter, in the order of the book."""

from importlib import import_module

from bookkit.exam.template import Template
from explman_lite.items import load_items

CHAPTERS = tuple(dict.fromkeys(item.chapter for item in load_items()))
_MODULES = [import_module(f"{__name__}.{chapter}") for chapter in CHAPTERS]
TEMPLATES: dict[str, Template] = {
    found.id: found
    for module in _MODULES
    for found in vars(module).values()
    if isinstance(found, Template)
}
