"""The corpus's `LICENSES.md`: the sources, their licences, and a line for each clip."""

from __future__ import annotations

from collections.abc import Sequence

from tools.mini_corpus.film import FILM_SIZE
from tools.mini_corpus.sources import SOURCES
from tools.mini_corpus.sticker import STICKER_SIZE

_LICENSES_HEAD = """\
# Sources and licences of the miniature corpus

Every clip is an adaptation: stickers were flattened on white and scaled to {sticker}x{sticker}, film was
cut and scaled to {width}x{height}, its sound mixed to mono, and all was encoded anew as H.264 (and AAC).
No author of a source endorses this.

- Labels are one rater's reading of what a clip conveys.
- All cartoon clips come from one film, a split by scene still shares characters.
- Two live-action clips only: a figure on them says nothing about movies.

## Sources

| package | registry | sha256 | file | licence | attribution |
|---|---|---|---|---|---|
"""
_LICENSES_TEXT = """
## Licences

**CC-BY-3.0**: Creative Commons Attribution 3.0, <https://creativecommons.org/licenses/by/3.0/>.

**CC0-1.0**: Creative Commons Zero 1.0, <https://creativecommons.org/publicdomain/zero/1.0/>.

**MIT**:

> Copyright (c) Microsoft Corporation. Copyright (c) 2023 LobeHub.
>
> Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
> associated documentation files (the "Software"), to deal in the Software without restriction,
> including without limitation the rights to use, copy, modify, merge, publish, distribute,
> sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
> furnished to do so, subject to the following conditions:
>
> The above copyright notice and this permission notice shall be included in all copies or substantial
> portions of the Software.
>
> THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
> NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
> NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
> OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
> CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

## Clips

| clip | source | licence | attribution |
|---|---|---|---|
"""


def licenses_page(rows: Sequence[Sequence[str]]) -> str:
    """The text of `LICENSES.md`: what the clips are, their sources, the licences, and a line per clip.

    Args:
        rows: as `label_rows` returns them.
    """
    sources = [
        f"| `{source.pinned}` | {source.registry} | `{source.sha256}` | `{'` in it `'.join(source.member)}` "
        f"| {source.license} | {source.attribution} |\n"
        for source in SOURCES
    ]
    clips = []
    for row in rows:
        path, license_name, origin = row[0], row[-2], row[-1]
        (source,) = (source for source in SOURCES if origin.startswith(f"{source.pinned}/"))
        clips.append(f"| `{path}` | `{origin}` | {license_name} | {source.attribution} |\n")
    width, height = FILM_SIZE
    head = _LICENSES_HEAD.format(sticker=STICKER_SIZE, width=width, height=height)
    return "".join((head, *sources, _LICENSES_TEXT, *clips))
