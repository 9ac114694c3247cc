"""Follows every link of the built book: `links.py FOLDER`.

The pages' own links are held by tests/docs.rs; this looks at what a reader gets, with what mdBook added: the
contents, the anchors it made, its styles and scripts. Links to other hosts are not followed.
"""

import pathlib
import sys
import urllib.parse
from html.parser import HTMLParser


class Page(HTMLParser):
    """The anchors of one page, and where it leads."""

    def __init__(self, text):
        super().__init__()
        self.anchors = set()
        self.links = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.html"))}
    broken, followed = [], 0
    for path, page in pages.items():
        # It is shown at whatever address is not there, and knows the book's own only.
        if path.name == "404.html":
            continue
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            followed += 1
            target = path if not parts.path else (path.parent / urllib.parse.unquote(parts.path)).resolve()
            if root not in target.parents or not target.is_file():
                broken.append(f"{path.relative_to(root)}: {link}: there is no such file")
            elif parts.fragment and target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].anchors:
                broken.append(f"{path.relative_to(root)}: {link}: there is no such anchor")
    print("\n".join(broken), file=sys.stderr, end="\n" if broken else "")
    print(f"{len(pages)} pages, {followed} links followed, {len(broken)} broken")
    return 1 if broken or followed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
