"""The dataset card with its typed YAML, and timm's `_info.json`: both from the manifest, never by hand.

With the card `load_dataset(DIR, config)` knows every type in advance and infers nothing, on every version
of `datasets` from 3.6 on and without remote code.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from emovid_dataset.report.tally import Tally
from emovid_dataset.schema.benchmark import LEAST_RATERS
from emovid_dataset.schema.emotions import VALENCES
from emovid_dataset.schema.features import FeatureType
from emovid_dataset.schema.file_names import CONTACT_SHEET, DATA_FOLDER, EMOTION_CHART
from emovid_dataset.schema.manifest import (
    ALL,
    PAPER_CORPUS,
    Manifest,
    ShardRecord,
)
from emovid_dataset.store import Store

REPO = "emovid/EmoVid"
"""The Hub repo that the card of the paper's corpus names in its examples."""

ANY_REPO = "OWNER/NAME"
"""Stands in the examples of any other card until `emovid push` knows the repo."""

CITATION = """\
@inproceedings{qiu2026emovid,
  title     = {EmoVid: A Multimodal Emotion Video Dataset for Emotion-Centric Video Understanding
               and Generation},
  author    = {Qiu, Zongyang and Wang, Bingyuan and Chen, Xingbei and He, Yingqing and Wang, Zeyu},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year      = {2026},
  note      = {arXiv:2511.11002}
}"""
"""The paper that this software implements, as BibTeX."""

GATE: dict[str, Any] = {
    "extra_gated_heading": "Terms of use",
    "extra_gated_prompt": (
        "Emotion labels are perceptions: what a viewer or a model saw in a clip, not the state of any "
        "person. You agree not to judge the inner state of a person by them, to keep to the licence of each "
        "clip (its field `license`), and to delete from your copies what is removed here."
    ),
    "extra_gated_fields": {
        "Name": "text",
        "Affiliation": "text",
        "Intended use": {"type": "select", "options": ["Research", "Education", "Creative work", "Other"]},
        "I agree to these terms": "checkbox",
    },
    "extra_gated_button_content": "Agree and ask for access",
}
"""What the Hub asks of a reader where the owner has gated the repo; elsewhere it shows none of it."""

ACADEMIC_GATE: dict[str, Any] = {
    "extra_gated_heading": "For academic research only",
    "extra_gated_prompt": (
        "This is the corpus of the EmoVid paper. It is for non-commercial research by academic institutions, "
        "and may not be redistributed, in whole or in part. Emotion labels are perceptions: what a viewer or "
        "a model saw in a clip, not the state of any person. You agree to these terms, not to judge the "
        "inner state of a person by the labels, and to delete from your copies what is removed here."
    ),
    "extra_gated_fields": {
        "Name": "text",
        "Academic institution": "text",
        "Country": "country",
        "Research purpose": "text",
        "My use is non-commercial research at this institution": "checkbox",
        "I will not redistribute the clips": "checkbox",
        "I agree to these terms": "checkbox",
    },
    "extra_gated_button_content": "Agree and ask for access",
}
"""The same for the corpus of the paper, whose terms the paper sets."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_MEANINGS = {
    "id": "content type and the hash of the source, the sample's key",
    "content_type": "kind of video",
    "emotion": "name of the emotion",
    "valence": "0 positive, 1 negative, null neither",
    "emotion_source": "who gave the label: human or model",
    "emotion_scores": "a probability for each emotion, in the order of the emotions",
    "caption": "what is shown",
    "brightness": "mean V of HSV, 0 to 1, see below",
    "colorfulness": "mean S of HSV, 0 to 1, see below",
    "hue": "mean hue in degrees, unweighted, see below",
    "luma": "mean luma, 0 to 1, see below",
    "colorfulness_m3": "0 to about 1.5, see below",
    "hue_chroma": "mean hue in degrees, weighted by chroma, see below",
    "width": "pixels",
    "height": "pixels",
    "fps": "mean frames per second",
    "num_frames": "frames that the MP4 decodes to",
    "duration": "seconds",
    "has_audio": "whether the MP4 has sound",
    "source": "where the clip came from",
    "group": "clips of one group are on one side of the splits",
    "license": "licence of the clip",
    "start": "first second in the source film, null for a whole file",
    "end": "last second in the source film, null for a whole file",
    "sha256": "of the MP4's bytes",
    "raters": "people who labelled the clip",
    "votes": "how many of them chose each emotion, in the order of the emotions; the rest saw none of them",
    "agreement": "share of the raters that chose the clip's emotion, 0 to 1",
    "color": "what was done to the colours, such as `hdr-hlg -> bt709`",
    "extra": "other columns of the label sheet, a JSON object",
}

_FORMAT_1_MEANINGS = {
    "brightness": "0 to 1, see below",
    "colorfulness": "0 to about 1.5, see below",
    "hue": "degrees, see below",
}


def render_card(
    manifest: Manifest,
    build: Store | str | os.PathLike[str],
    *,
    notes: Sequence[str] = (),
    repo: str | None = None,
) -> str:
    """Write the text of the dataset's README.md.

    Args:
        manifest: of the finished build.
        build: the build or its folder; its metadata is read for the counts.
        notes: sentences about this corpus that a reader must know first, one bullet each.
        repo: the Hub repo that the examples name; by default `REPO` for the paper's corpus, else `ANY_REPO`.

    Returns:
        YAML front matter with configs, features and splits, then Markdown.

    Raises:
        ValueError: the manifest has no clips, so no config could be loaded.
        FileNotFoundError: a metadata file is missing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    if not manifest.shards:
        raise ValueError("the build holds no clips, so there is nothing to write a card about")
    store = build if isinstance(build, Store) else Store.find(build)
    tally = Tally.of(manifest, store)
    is_papers = manifest.corpus == PAPER_CORPUS
    example, types = list(manifest.config_types.items())[-1]
    example_split = next(iter(manifest.splits(example)))
    environment = Environment(
        loader=PackageLoader("emovid_dataset.report"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("card.md.jinja").render(
        manifest=manifest,
        is_restricted=is_papers,
        title=_title(manifest),
        authors=", ".join(map(_line, manifest.info.authors)),
        contact=_line(manifest.info.contact or ""),
        all_captioned=tally.captioned == tally.clips,
        captions=_captions(tally.captioned, tally.clips, _languages(manifest)),
        raters=tally.raters_in_words(manifest.taxonomy),
        record=_record(tally.first),
        chart=EMOTION_CHART if store.exists(EMOTION_CHART) else None,
        sheet=CONTACT_SHEET if store.exists(CONTACT_SHEET) else None,
        least_raters=LEAST_RATERS,
        benchmark=manifest.benchmark,
        none_clips=sum(shard.samples for shard in manifest.none_shards),
        yaml=front_matter(manifest),
        notes=[_line(note) for note in notes],
        repo=repo or (REPO if is_papers else ANY_REPO),
        configs=[f"`{name}`" for name in manifest.configs()],
        example=example,
        example_split=example_split,
        example_emotion=next(emotion for kind, _, emotion in tally.cells if kind in types),
        clips=f"{tally.clips:,}",
        duration=_duration(tally.seconds),
        size=_size(sum(shard.size for shard in manifest.shards)),
        shards=len(manifest.shards),
        folders="*" if all(shard.path.count("/") == 2 for shard in manifest.all_shards) else "**",
        audible=f"{tally.audible:,}",
        emotions=manifest.taxonomy.names,
        valences=[manifest.taxonomy.of_valence(index) for index in (*range(len(VALENCES)), None)],
        counts=_counts(tally.cells, manifest),
        ratios=" / ".join(f"{ratio:.0%}" for ratio in manifest.split_ratios),
        fields=list(_fields(manifest)),
        label_source=_label_source(tally.people, tally.clips - tally.people),
        label_counts=_label_counts(tally.people, tally.clips - tally.people),
        has_votes=bool(tally.votes),
        licenses=[
            (_cell(name or "not stated"), f"{count:,}")
            for name, count in sorted(tally.licenses.items(), key=_most_first)
        ],
        refused=(
            "nothing was refused"
            if manifest.rejected == 0
            else f"{manifest.rejected:,} rows and files were refused"
        ),
        balance=_balance(tally),
        citation=manifest.info.citation or (CITATION if is_papers else None),
    )


def front_matter(manifest: Manifest) -> str:
    """The card's YAML: configs with their files, and for each the typed features and the split sizes.

    The names are those that every version of `datasets` from 3.6 on reads: a list is a `sequence`, which
    newer versions still understand, while older ones do not know `list`.
    """
    import yaml

    configs: list[dict[str, Any]] = []
    infos: list[dict[str, Any]] = []
    for name in manifest.configs():
        splits = manifest.splits(name)
        configs.append(
            {
                "config_name": name,
                **({"default": True} if name == ALL else {}),
                "data_files": [{"split": split, "path": _files(manifest, name, split)} for split in splits],
            }
        )
        total = sum(split["bytes"] for split in splits.values())
        infos.append(
            {
                "config_name": name,
                "features": _features(manifest),
                "splits": [
                    {"name": split, "num_bytes": count["bytes"], "num_examples": count["samples"]}
                    for split, count in splits.items()
                ],
                "download_size": total,
                "dataset_size": total,
            }
        )
    clips = sum(shard.samples for shard in manifest.shards)
    is_restricted = manifest.corpus == PAPER_CORPUS
    card = {
        "pretty_name": _title(manifest),
        **({"language": list(_languages(manifest))} if _languages(manifest) else {}),
        "license": "other",
        "license_name": "academic-non-commercial" if is_restricted else "per-clip",
        "task_categories": ["video-classification", "text-to-video", "image-to-video"],
        "size_categories": [next((name for limit, name in _SIZES if clips < limit), "1M<n<10M")],
        "tags": ["emotion", "affective-computing", "emotion-recognition", "video", "webdataset"],
        **(ACADEMIC_GATE if is_restricted else GATE),
        "configs": configs,
        "dataset_info": infos,
    }
    # Without a width limit no value is folded, so that two builds' cards differ line by line.
    return yaml.dump(card, Dumper=_plain_dumper(), sort_keys=False, allow_unicode=True, width=1 << 20)


def info_json(manifest: Manifest) -> str:
    """The text of `_info.json`, in the form that timm's WebDataset reader reads.

    Args:
        manifest: of the build.

    Returns:
        JSON: ``splits`` maps a name to ``name``, ``num_samples``, ``filenames`` (below the build folder, with
        slashes) and ``shard_lengths``. The names are the splits of all clips ("train", ...) and those of each
        content type ("sticker-train", ...).

    Source: timm, `timm/data/readers/reader_wds.py`.
    """
    splits = {}
    for config in manifest.configs():
        for split in manifest.splits(config):
            name = split if config == ALL else f"{config}-{split}"
            splits[name] = _timm_split(name, manifest.select(config, split))
    return json.dumps({"splits": splits}, indent=1, allow_nan=False) + "\n"


def _timm_split(name: str, shards: Iterable[ShardRecord]) -> dict[str, Any]:
    shards = list(shards)
    return {
        "name": name,
        "num_samples": sum(shard.samples for shard in shards),
        "filenames": [shard.path for shard in shards],
        "shard_lengths": [shard.samples for shard in shards],
    }


def _files(manifest: Manifest, config: str, split: str) -> str | list[str]:
    """The shards of a config and split as a card names them: a pattern for each content type, one where all
    are meant, and the same again where there are subfolders."""
    shards = manifest.select(config, split)
    patterns = []
    for content_type in ("*",) if config == ALL else dict.fromkeys(shard.content_type for shard in shards):
        its_shards = (shard for shard in shards if content_type in ("*", shard.content_type))
        patterns += [
            f"{DATA_FOLDER}/{content_type}/{'*/' * (depth - 2)}{split}-*.tar"
            for depth in sorted({shard.path.count("/") for shard in its_shards})
        ]
    return patterns[0] if len(patterns) == 1 else patterns


def _fields(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Of every field its key, its type, and what it means in builds of this format."""
    meanings = _MEANINGS | _FORMAT_1_MEANINGS if manifest.format == 1 else _MEANINGS
    for name, kind in manifest.features.items():
        yield f"`{name}`", _type_name(kind), meanings.get(name, "")


def _features(manifest: Manifest) -> list[dict[str, Any]]:
    names = {str(index): name for index, name in enumerate(manifest.taxonomy.names)}
    fields = [{"name": key, **_yaml_type(kind)} for key, kind in manifest.features.items()]
    return [
        {"name": "mp4", "dtype": "video"},
        {"name": "json", "struct": fields},
        {"name": "txt", "dtype": "string"},
        {"name": "cls", "dtype": {"class_label": {"names": names}}},
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]


def _yaml_type(kind: FeatureType) -> dict[str, str]:
    """A field's type as `datasets` writes it; to import `datasets` for it would take longer than the card."""
    return {"sequence": kind[0]} if isinstance(kind, list) else {"dtype": kind}


def _type_name(kind: FeatureType) -> str:
    return " of ".join(part for pair in _yaml_type(kind).items() for part in pair if part != "dtype")


def _plain_dumper() -> Any:
    import yaml

    class PlainDumper(yaml.SafeDumper):
        """Writes equal lists out in full, for people and for parsers that know no YAML aliases."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return PlainDumper


def _title(manifest: Manifest) -> str:
    default = "EmoVid" if manifest.corpus == PAPER_CORPUS else "Emotion-labelled video clips"
    return default if manifest.info.title is None else _line(manifest.info.title)


def _languages(manifest: Manifest) -> tuple[str, ...]:
    """Of the captions, as far as it was told; the paper's are in English."""
    return manifest.info.language or (("en",) if manifest.corpus == PAPER_CORPUS else ())


def _record(row: Mapping[str, Any]) -> str:
    """A clip's fields as JSON, one a line; backticks, which might end the card's block, are escaped."""
    fields = (
        f" {json.dumps(name, allow_nan=False)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        for name, value in row.items()
    )
    return "{{\n{}\n}}".format(",\n".join(fields)).replace("`", "\\u0060")


def _counts(cells: Counter[tuple[str, str, str]], manifest: Manifest) -> list[tuple[str, ...]]:
    emotions = manifest.taxonomy.names
    held = {(content_type, split) for content_type, split, _ in cells}
    table = []
    for content_type in manifest.content_types:
        for split in manifest.split_names:
            if (content_type, split) in held:
                numbers = [cells[content_type, split, emotion] for emotion in emotions]
                table.append((content_type, split, *(f"{number:,}" for number in (*numbers, sum(numbers)))))
    numbers = [sum(count for cell, count in cells.items() if cell[2] == emotion) for emotion in emotions]
    return [*table, ("all", "", *(f"{number:,}" for number in (*numbers, cells.total())))]


def _balance(tally: Tally) -> str:
    """How unevenly emotions and content types are filled, in words; "" where all have as many clips."""
    fields = [
        (name, tally.by(place).most_common()) for name, place in (("emotions", 2), ("content types", 0))
    ]
    words = []
    for name, counts in fields:
        (most, high), (least, low) = counts[0], counts[-1]
        if high > low:
            words.append(f"among {name} {most} has {high:,} clips, {least} {low:,}")
    return "; ".join(words)


def _captions(captioned: int, clips: int, languages: Sequence[str]) -> str:
    """How many clips have a caption, and in which languages, as far as it was told.

    >>> _captions(7, 9, ("de", "en"))
    '7 of 9 clips have a caption. Captions say what is shown, in the languages de and en.'
    >>> _captions(9, 9, ()), _captions(0, 9, ("de",))
    ('Captions say what is shown.', 'No clip has a caption. The owner names the language de.')
    """
    told = f"the {'language' if len(languages) == 1 else 'languages'} {' and '.join(languages)}"
    if not captioned:
        return "No clip has a caption." + (f" The owner names {told}." if languages else "")
    some = f"{captioned:,} of {clips:,} clips have a caption. " if captioned < clips else ""
    return f"{some}Captions say what is shown{', in ' + told if languages else ''}."


def _label_counts(people: int, models: int) -> str:
    if people and models:
        return f"By the label file {people:,} are from people and {models:,} from a model."
    return f"By the label file all are from {'people' if people else 'a model'}."


def _label_source(people: int, models: int) -> str:
    if not models:
        return "people"
    return "people or a model" if people else "a model"


def _most_first(entry: tuple[str | None, int]) -> tuple[int, str]:
    return -entry[1], entry[0] or ""


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:,.1f} hours"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    """One table cell: a label file's words must not end the row nor start a column."""
    return _line(text).replace("|", "\\|")
