"""The canonical form as text. Equal documents give equal texts."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

from tickwork.graph.document import Document

_NUMBERLIKE: Final = re.compile(r"[-+.]?[0-9]")
"""Texts that one reader of YAML or another takes for a number, a time or a date."""

_ESCAPED: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
"""Control characters, and line feeds that only some readers take for one."""


def as_json(document: Document) -> str:
    """The document as JSON, indented; ends with a line feed."""
    return json.dumps(document.plain(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_yaml(document: Document) -> str:
    """The document as YAML; texts that look like numbers are quoted."""
    import yaml  # noqa: PLC0415 - the help of the command line needs none

    text: str = yaml.dump(document.plain(), Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=120)
    return text


@cache
def _dumper() -> Any:
    """A dumper of plain values without aliases, which our reader refuses."""
    import yaml  # noqa: PLC0415

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def text(dumper: Any, value: str) -> Any:
        style = '"' if _ESCAPED.search(value) else "'" if _NUMBERLIKE.match(value) and "\n" not in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def number(dumper: Any, value: float) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:float", repr(value))

    Dumper.add_representer(str, text)
    Dumper.add_representer(float, number)
    return Dumper
