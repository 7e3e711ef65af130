"""The command `emovid build`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from emovid_dataset.builder.sheet.dataset import is_dataset, unpack
from emovid_dataset.builder.sheet.options import (
    SheetOptions,
    parse_column,
    parse_content_type,
    parse_names,
    parse_word,
)
from emovid_dataset.builder.splits import parse_ratios
from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    chosen_executor,
    even,
    existing_file,
    existing_folder,
    new_folder,
    number,
    one_of,
    parsed_by,
    share,
    whole,
)
from emovid_dataset.cli.build_preview import print_preview
from emovid_dataset.cli.counts import (
    print_benchmark,
    print_counts,
    print_problems,
    print_row_findings,
    print_unlabelled,
)
from emovid_dataset.cli.errors import FOUND_WRONG
from emovid_dataset.cli.sizes import parse_byte_size
from emovid_dataset.media.video_settings import HEIGHTS, HIGHEST_CRF, TRANSCODE, VideoSettings
from emovid_dataset.schema.card_info import CardInfo
from emovid_dataset.schema.clip import is_clip_id
from emovid_dataset.schema.label_set import MIKELS_LABELS, read_label_set
from emovid_dataset.schema.manifest import NONE_NAME, PAPER_CORPUS

Value = TypeVar("Value")


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``build``.
    """
    app.command("build", epilog="Example: emovid build clips/ --labels labels.csv --out emovid/ --workers 8")(
        build
    )


def build(
    context: typer.Context,
    raw: Annotated[
        str,
        typer.Argument(
            help="Folder or URL of videos and animations, whatever their containers and names; or a data set "
            "with a video column: hf://datasets/NAME, a folder of save_to_disk, or of Parquet files.",
            callback=existing_folder,
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            help="CSV, TSV, XLSX, JSON, JSON Lines or Parquet with at least path and emotion; by default "
            "folders named after emotions give the labels.",
            callback=existing_file,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="Folder or URL to write; --check alone needs none.", callback=new_folder),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Read the sheet and the heads of the files, say what would be built, what encoded and how "
            "large it gets, and end.",
        ),
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEANING=HEADER",
            help="Which column has a meaning, such as path=clip_url; may be repeated.",
            callback=parsed_by(parse_column),
        ),
    ] = None,
    allow_root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Take files of this folder too, which lies outside RAW; may be repeated.",
            callback=existing_folder,
        ),
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="Content type of clips for which neither a column nor their top folder gives one.",
            callback=parsed_by(parse_content_type),
        ),
    ] = None,
    word: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="WORD=EMOTION",
            help="What a word of the sheet means, such as happy=contentment; may be repeated.",
            callback=parsed_by(parse_word),
        ),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON with other emotions than Mikels' eight: names; valences, synonyms, content types.",
            callback=existing_file,
        ),
    ] = None,
    keep_columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Columns of the sheet that become fields of the clips, each of its type.",
            callback=parsed_by(parse_names),
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(help="Refuse clips of whose raters a smaller share agreed.", callback=share),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; by default one per core.", callback=whole(1))
    ] = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    shard_size: Annotated[
        str, typer.Option(help="Bytes aimed at for a shard.", callback=parsed_by(parse_byte_size))
    ] = "256MB",
    split: Annotated[
        str, typer.Option(help="Shares of train, validation and test.", callback=parsed_by(parse_ratios))
    ] = "80/10/10",
    seed: Annotated[int, typer.Option(help="Seed of splits and order.")] = 0,
    every: Annotated[
        int,
        typer.Option(help="The visual attributes are computed on every such frame.", callback=whole(1)),
    ] = 20,
    benchmark: Annotated[
        int | None,
        typer.Option(
            help="Set so many clips per emotion and content type aside as the split benchmark, of those "
            "that at least three people labelled who all agreed.",
            callback=whole(1),
        ),
    ] = None,
    benchmark_ids: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Set these clips aside instead: one id per line.", callback=existing_file
        ),
    ] = None,
    keep_none: Annotated[
        bool,
        typer.Option("--keep-none", help="Write clips labelled 'no specific emotion' too, into none/."),
    ] = False,
    corpus: Annotated[
        str | None,
        typer.Option(
            help="emovid: this is the corpus of the paper, and its card says who may use it.",
            callback=one_of((PAPER_CORPUS,)),
        ),
    ] = None,
    transcode: Annotated[
        str,
        typer.Option(
            help="needed: encode the pictures or the sound that do not fit as they are; always: encode all; "
            "never: refuse what would have to be encoded.",
            callback=one_of(TRANSCODE),
        ),
    ] = "needed",
    height: Annotated[
        int | None,
        typer.Option(help="Reduce pictures of more lines to so many.", callback=even(*HEIGHTS)),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Take so many frames per second of clips that have more.", callback=number(0, open_end=True)
        ),
    ] = None,
    crf: Annotated[
        int,
        typer.Option(
            help="Quality of what is encoded: 0 is lossless, more is smaller.",
            callback=whole(0, HIGHEST_CRF),
        ),
    ] = 18,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="Cut longer clips to so many seconds from their beginning.",
            callback=number(0, open_end=True),
        ),
    ] = None,
    group_duplicates: Annotated[
        bool,
        typer.Option(
            "--group-duplicates",
            help="Put near-duplicates into one group, so that they are never on two sides of a split.",
        ),
    ] = False,
    info: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML for the card: title, authors, citation, contact, language.",
            callback=existing_file,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite/--resume", help="Start anew, or go on where a run was interrupted.")
    ] = False,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add what is new in the sheet to the build in --out; its shards stay as they are.",
        ),
    ] = False,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="With --append: write clips again whose row says something else, with their shards only.",
        ),
    ] = False,
    restore: Annotated[
        bool,
        typer.Option("--restore", help="With --append: take clips in again that were removed."),
    ] = False,
    allow_rejected: Annotated[bool, typer.Option(help="Exit 0 although files were refused.")] = False,
    note: Annotated[
        list[Path] | None,
        typer.Option(help="Text file, one sentence per line, for the card.", callback=existing_file),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Build a verified, sharded dataset from a folder of clips and a label sheet."""
    sheet = SheetOptions(
        columns=dict(parse_column(text) for text in column or []),
        allow_roots=tuple(allow_root or ()),
        labels=MIKELS_LABELS if taxonomy is None else read_label_set(taxonomy),
        content_type=content_type,
        words=dict(parse_word(text) for text in word or []),
        keep_columns=parse_names(keep_columns or ""),
        min_agreement=min_agreement or 0.0,
    )
    for name, given in (("--update", update), ("--restore", restore)):
        if given and not append:
            raise ValueError(f"{name} needs --append")
    for name, given in (("--overwrite", overwrite), ("--check", check)):
        if given and append:
            raise ValueError(f"--append and {name} exclude each other")
    if transcode == "never":
        for option, value in (("--height", height), ("--fps", fps), ("--max-seconds", max_seconds)):
            if value is not None:
                raise ValueError(f"--transcode never and {option} {value} exclude each other")
    if labels is None and is_dataset(raw):
        unpacked = unpack(raw)
        raw, labels = str(unpacked.raw), str(unpacked.sheet)
    if check:
        video = VideoSettings(transcode, height, fps, crf, max_seconds)
        found = print_preview(
            raw, labels, sheet, keep_none=keep_none, video=video, split=split, as_json=as_json
        )
        if found.rejections and not allow_rejected:
            raise typer.Exit(FOUND_WRONG)
        return
    if out is None:
        raise ValueError("--out FOLDER is missing; --check alone writes nothing")
    notes = [sentence for path in note or [] for sentence in _lines(path, "--note")]
    if benchmark is not None and benchmark_ids is not None:
        raise ValueError(f"--benchmark {benchmark} and --benchmark-ids {benchmark_ids} exclude each other")
    ids = None if benchmark_ids is None else _ids(benchmark_ids)
    runner = chosen_executor(engine, workers, ray_address, default="processes")
    if append:
        from emovid_dataset.cli.append import append_rows

        def chosen(name: str, value: Value) -> Value | None:
            """The value of an option that was given, None for one that was not."""
            given = context.get_parameter_source(name)
            return value if given is not None and given.name != "DEFAULT" else None

        for name in ("transcode", "height", "fps", "crf", "max_seconds", "group_duplicates"):
            source = context.get_parameter_source(name)
            if source is not None and source.name != "DEFAULT":
                option = "--" + name.replace("_", "-")
                raise ValueError(f"--append and {option} exclude each other: the build has its own settings")
        append_rows(
            raw,
            labels,
            out,
            sheet=sheet,
            settings={
                "shard_size": chosen("shard_size", parse_byte_size(shard_size)),
                "ratios": chosen("split", parse_ratios(split)),
                "seed": chosen("seed", seed),
                "every": chosen("every", every),
                "benchmark": benchmark,
                "benchmark_ids": ids,
                "keep_none": chosen("keep_none", keep_none),
                "corpus": corpus,
                "notes": chosen("note", notes),
            },
            update=update,
            restore=restore,
            runner=runner,
            allow_rejected=allow_rejected,
            as_json=as_json,
        )
        return
    from emovid_dataset.builder.build import build as build_dataset
    from emovid_dataset.report.problems import to_json as problems_to_json

    report = build_dataset(
        raw,
        labels,
        out,
        sheet=sheet,
        engine=runner,
        shard_size=parse_byte_size(shard_size),
        ratios=parse_ratios(split),
        seed=seed,
        every=every,
        benchmark=benchmark,
        benchmark_ids=ids,
        keep_none=keep_none,
        corpus=corpus,
        transcode=transcode,
        height=height,
        fps=fps,
        crf=crf,
        max_seconds=max_seconds,
        group_duplicates=group_duplicates,
        info=CardInfo() if info is None else _card_info(info),
        overwrite=overwrite,
        notes=notes,
        progress=not as_json,
    )
    totals = {
        "clips": sum(shard.samples for shard in report.manifest.shards),
        "shards": len(report.manifest.shards),
        "bytes": sum(shard.size for shard in report.manifest.shards),
    }
    aside = report.manifest.benchmark
    if as_json:
        rows = [
            {"content_type": content_type, "emotion": emotion, "split": part, "clips": count}
            for (content_type, emotion, part), count in sorted(report.counts.items())
        ]
        body = {
            "out": str(out),
            **totals,
            "counts": rows,
            "unmet": report.unmet,
            "rejected": [asdict(rejection) for rejection in report.rejections],
            "without_emotion": [asdict(row) for row in report.without_emotion],
            "benchmark": None if aside is None else aside.to_json(),
            "left_out": [asdict(clip) for clip in report.left_out],
            "damaged": [asdict(clip) for clip in report.damaged],
            "problems": problems_to_json(report.problems),
            "corpus": report.manifest.corpus,
            "unlabelled": list(report.unlabelled),
            "remarks": list(report.remarks),
            "agreement": None if report.ratings.agreement is None else asdict(report.ratings.agreement),
            "reused": report.reused,
            "seconds": round(report.seconds, 3),
            "limit": None if report.limit is None else asdict(report.limit),
        }
        typer.echo(json.dumps(body, ensure_ascii=False, allow_nan=False))
    else:
        print_counts(report.counts, report.manifest)
        print_problems(report.problems)
        for line in report.unmet:
            typer.echo(f"split {split}: {line}")
        if aside is not None:
            print_benchmark(aside)
        if report.without_emotion:
            where = "their clips in none/" if report.manifest.none_shards else "their clips not kept"
            said = len(report.without_emotion)
            typer.echo(f"no specific emotion: {said} rows, listed in {NONE_NAME}, {where}")
        if report.ratings.agreement is not None:
            typer.echo(report.ratings.agreement.in_words())
        print_row_findings(report.remarks, report.rejections, report.damaged)
        print_unlabelled(report.unlabelled)
        done = "was built already" if report.reused else f"built in {report.seconds:.1f} s"
        done += "" if report.limit is None else f", {report.limit}"
        typer.echo(
            f"{out}: {totals['clips']} clips, {totals['shards']} shards, {totals['bytes'] / 1e6:.1f} MB, "
            f"{len(report.rejections)} refused; {done}"
        )
    if report.rejections and not allow_rejected:
        raise typer.Exit(FOUND_WRONG)


def _card_info(path: Path) -> CardInfo:
    import yaml

    try:
        return CardInfo.from_mapping(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"--info {path}: {' '.join(str(error).split())}") from error


def _lines(path: Path, option: str) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{option} {path} is not UTF-8 text") from error
    return [line.strip() for line in lines if line.strip()]


def _ids(path: Path) -> list[str]:
    ids = _lines(path, "--benchmark-ids")
    for line, key in enumerate(ids, 1):
        if not is_clip_id(key):
            raise ValueError(
                f"--benchmark-ids {path}: id {line} is {key!r}, not of the form sticker-0123456789abcdef"
            )
    if not ids:
        raise ValueError(f"--benchmark-ids {path} names no clip")
    return ids
