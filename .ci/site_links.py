"""Hook of mkdocs: links from a page to files outside of docs/ lead to the repository."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Return a page whose links all lead somewhere on the site or in the repository."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    base = f"{config.repo_url.rstrip('/')}/blob/main"

    def absolute(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        if target.startswith("docs/"):
            return match[0]
        return f"{match[1]}{base}/{target}{match[3]}"

    return _LINK.sub(absolute, markdown)
