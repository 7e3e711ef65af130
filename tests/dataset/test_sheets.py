"""Label sheets as people have them: what comes out of each, to the last word."""

from __future__ import annotations

import datetime
import gzip
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyarrow
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from pyarrow import parquet

from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.sheet import Label, Rejection, SheetOptions
from emovid_dataset.builder.sheet.options import parse_column
from emovid_dataset.builder.sheet.paths import RawFiles
from emovid_dataset.builder.sheet.read import read_sheet
from emovid_dataset.schema.emotions import EMOTIONS
from emovid_dataset.schema.label_set import read_label_set
from emovid_dataset.schema.no_emotion import NO_EMOTION
from emovid_dataset.store import Store
from emovid_models.annotator.annotations import Annotation, write_annotations

NAMES = ("sticker/a.mp4", "sticker/b.mp4", "movie/c.mp4", "flat.mp4", "movie/Caf\u00e9.mp4", "cartoon/12.mp4")
DEFAULTS = {field.name: field.default for field in fields(Label)}
BARE = {"caption": "", "emotion_source": "human"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with raw files, of which nothing but the names is looked at, and room for a sheet."""
    for name in NAMES:
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(b"x")
    return tmp_path


def shown(row: Label | Rejection, options: SheetOptions) -> str:
    """A row in one line: its number, its file, its emotion, and every field that says something."""
    if isinstance(row, Rejection):
        return f"{row.row} {row.path!r} {row.reason}"
    emotion = NO_EMOTION if row.emotion is None else options.labels.taxonomy.names[row.emotion]
    line = f"{row.row} {row.path} {emotion}"
    for field in fields(Label):
        value = getattr(row, field.name)
        default = BARE.get(field.name, None if field.default is ... else DEFAULTS[field.name])
        if field.name in ("row", "path", "emotion") or value is None or value == default:
            continue
        if field.name != "content_type" or value != row.path.partition("/")[0]:
            line += f" {field.name}={value}"
    return line


@dataclass
class Outcome:
    rows: list[str]
    remarks: list[str]


def outcome(place: Path, sheet: Path | None, options: SheetOptions) -> Outcome:
    """What a build makes of a sheet before it looks at a video; paths of this machine as PLACE."""
    raw: Store = Store.at(place / "raw")
    raw = RawFiles.of(raw, options.allow_roots) if options.allow_roots else raw
    remarks: list[str] = []
    try:
        with Plan() as plan:
            for row in read_sheet(sheet, raw, options=options, tell=remarks.append):
                plan.add(row)
            plan.settle(options.min_agreement)
            rows = sorted([*plan.labels(), *plan.rejections()], key=lambda row: row.row)
            found = [shown(row, options) for row in rows]
    except ValueError as error:
        found = [f"refused: {error}"]
    here = str(place)
    return Outcome(
        [line.replace(here, "PLACE") for line in found], [r.replace(here, "PLACE") for r in remarks]
    )


def workbook(rows: Iterable[Iterable[Any]], pages: Iterable[str] = ()) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        from openpyxl import Workbook

        book = Workbook()
        for row in rows:
            book.active.append(list(row))
        for page in pages:
            book.create_sheet(page)
        book.save(path)

    return write


def table(rows: list[dict[str, Any]]) -> Callable[[Path], None]:
    return lambda path: parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def calculated(path: Path) -> None:
    """A workbook with a formula and its result, as spreadsheet programs save it."""
    made, sheet = path.with_suffix(".new"), "xl/worksheets/sheet1.xml"
    workbook([["path", "emotion", "n"], ["sticker/a.mp4", "awe", "=1+1"]])(made)
    with ZipFile(made) as old, ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, re.sub(rb"<v ?/>|<v></v>", b"<v>2</v>", data) if name == sheet else data)


def with_a_chart_in_front(path: Path) -> None:
    from openpyxl import Workbook
    from openpyxl.chart import BarChart

    book = Workbook()
    for row in (["path", "emotion"], ["sticker/a.mp4", "awe"]):
        book.active.append(row)
    book.create_chartsheet("pie").add_chart(BarChart())
    book.active = 1
    book.save(path)


def class_labels(path: Path) -> None:
    """What `to_parquet` of `datasets` writes: numbers that count the names in the schema."""
    kinds = Features({"path": Value("string"), "label": ClassLabel(names=["sadness", "fear", "awe"])})
    given = {"path": ["sticker/a.mp4", "movie/c.mp4", "flat.mp4"], "label": [1, 2, -1]}
    Dataset.from_dict(given, features=kinds).to_parquet(path)


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def where(name: str) -> str:
    return f"refused: label sheet PLACE/{name}"


A, B = "1 sticker/a.mp4 awe", "2 movie/c.mp4 fear"
KNOWN = "allowed: amusement, awe, contentment, excitement, anger, disgust, fear, sadness or 0..7, "
KNOWN += "or 'no specific emotion'"
TWO = "path,emotion\nsticker/a.mp4,awe\nmovie/c.mp4,fear\n"
LATIN = "label sheet PLACE/l.csv is not UTF-8 and was read as Latin-1; save it as UTF-8 if letters look wrong"
SOUGHT = "does not exist below the raw folder, beside the sheet or in the working directory"
OUTSIDE = "lies outside the raw folder; --allow-root DIR takes the files of DIR too"


@dataclass
class Case:
    """A sheet.

    Attributes:
        about: what is odd about it.
        name: of its file, below the folder that holds raw/.
        text: what is in it, or what writes it.
        rows: what comes out.
        remarks: what is told.
        options: of `SheetOptions`.
    """

    about: str
    name: str
    text: str | bytes | Callable[[Path], None]
    rows: list[str]
    remarks: list[str] | None = None
    options: dict[str, Any] | None = None


def no_0(name: str, header: str = "emotion") -> list[str]:
    return [f"label sheet PLACE/{name}: column {header!r} holds no 0; its numbers were read as 1 = awe ..."]


FORMATS = [
    Case("commas", "l.csv", TWO, [A, B]),
    Case("semicolons", "l.csv", TWO.replace(",", ";"), [A, B]),
    Case("tabs", "l.csv", TWO.replace(",", "\t"), [A, B]),
    Case("bars", "l.csv", TWO.replace(",", "|"), [A, B]),
    Case("tsv", "l.tsv", TWO.replace(",", "\t"), [A, B]),
    Case("tsv of commas", "l.tsv", TWO, [A, B]),
    Case("txt", "l.txt", TWO.replace(",", ";"), [A, B]),
    Case(
        "commas in captions, semicolons between cells",
        "l.csv",
        "path;emotion;caption\nsticker/a.mp4;awe;a, b, c, d\n",
        [A + " caption=a, b, c, d"],
    ),
    Case(
        "semicolons and bars in a quoted caption",
        "l.csv",
        'path,caption,emotion\nsticker/a.mp4,"x; y | z; w",awe\n',
        [A + " caption=x; y | z; w"],
    ),
    Case(
        "a line end in a caption",
        "l.csv",
        'path,caption,emotion\nsticker/a.mp4,"one\ntwo",awe\n',
        [A + " caption=one two"],
    ),
    Case("the separator in the first line", "l.csv", "sep=;\n" + TWO.replace(",", ";"), [A, B]),
    Case(
        "blank lines before the header and between rows", "l.csv", "\n\n" + TWO.replace("\n", "\n\n"), [A, B]
    ),
    Case("empty columns at the right", "l.csv", "path,emotion,,\nsticker/a.mp4,awe,,\n", [A]),
    Case(
        "rows without a cell, as spreadsheets leave them, are counted",
        "l.csv",
        "path,emotion\n,\nsticker/a.mp4,awe\n,\n,\n",
        ["2 sticker/a.mp4 awe"],
    ),
    Case(
        "a column without a name, as pandas writes its index",
        "l.csv",
        ",path,emotion\n0,sticker/a.mp4,awe\n",
        [A + ' extra={"column 1": "0"}'],
    ),
    Case(
        "one column name twice",
        "l.csv",
        "path,emotion,note,note\nsticker/a.mp4,awe,x,y\n",
        [where("l.csv has two columns 'note'; rename one")],
    ),
    Case(
        "a cell too many",
        "l.csv",
        TWO + "movie/c.mp4,awe,x\n",
        [A, B, "3 'movie/c.mp4' has more cells than the header: ['x']"],
    ),
    Case("UTF-8 with its mark", "l.csv", b"\xef\xbb\xbf" + TWO.encode(), [A, B]),
    Case("UTF-16 with its mark", "l.csv", TWO.encode("utf-16"), [A, B]),
    Case("UTF-16 without", "l.csv", TWO.encode("utf-16-be"), [A, B]),
    Case("UTF-16 of tabs, Excel's Unicode text", "l.txt", TWO.replace(",", "\t").encode("utf-16"), [A, B]),
    Case(
        "Latin-1",
        "l.csv",
        "path,emotion,caption\nsticker/a.mp4,awe,na\u00efve \u2013 f\u00fcr\n".encode("cp1252"),
        [A + " caption=na\u00efve \u2013 f\u00fcr"],
        [LATIN],
    ),
    Case("JSON array", "l.json", json.dumps([{"path": "sticker/a.mp4", "emotion": "awe"}]), [A]),
    Case("JSON Lines under .json", "l.json", lines({"path": "sticker/a.mp4", "emotion": "awe"}), [A]),
    Case(
        "JSON with its mark in UTF-16",
        "l.json",
        '[{"file": "sticker/a.mp4", "label": 1}]'.encode("utf-16"),
        [A],
        no_0("l.json", "label"),
    ),
    Case("JSON that is not UTF-8", "l.json", b'[{"path": "\xff"}]', [where("l.json is not UTF-8")]),
    Case(
        "JSON by columns, as pandas writes it",
        "l.json",
        json.dumps({"path": {"0": "sticker/a.mp4"}, "emotion": {"0": "awe"}}),
        [where("l.json holds columns, not rows; write it as an array of objects, one per clip")],
    ),
    Case(
        "JSON Lines whose rows have other keys",
        "l.jsonl",
        lines({"path": "sticker/a.mp4", "emotion": 1}, {"emotion": 6, "path": "movie/c.mp4", "caption": "x"}),
        [A, B + " caption=x"],
        no_0("l.jsonl"),
    ),
    Case(
        "a workbook: a number as text, an index of 6.0, empty rows, a time",
        "l.xlsx",
        workbook(
            [
                ["Path", "Emotion", "Start", "End"],
                ["sticker/a.mp4", "awe"],
                [],
                ["movie/c.mp4", 6.0, datetime.time(0, 0, 1), datetime.time(0, 0, 2, 500000)],
            ]
        ),
        [A, "3 movie/c.mp4 fear start=1.0 end=2.5"],
    ),
    Case(
        "a workbook of two pages",
        "l.xlsx",
        workbook([["path", "emotion"], ["sticker/a.mp4", "awe"]], ["old"]),
        [A],
        ["label sheet PLACE/l.xlsx has the pages Sheet, old; Sheet was read"],
    ),
    Case(
        "an empty workbook",
        "l.xlsx",
        workbook([]),
        [where("l.xlsx has no column path and emotion; it has: []; --column path=NAME says which it is")],
    ),
    Case(
        "a workbook saved with another page in front",
        "l.xlsx",
        workbook([["see the other page"]], ["labels"]),
        [
            where("l.xlsx has no column path and emotion; it has: ['see the other page']; ")
            + "--column path=NAME says which it is; label sheet PLACE/l.xlsx has the pages Sheet, labels; "
            "Sheet was read"
        ],
    ),
    Case(
        "a workbook with formulas that no program calculated",
        "l.xlsx",
        workbook([["path", "emotion", "n"], ["sticker/a.mp4", "awe", "=1+1"], ["movie/c.mp4", '="fe"&"ar"']]),
        [
            A + ' extra={"n": "=1+1"}',
            """2 'movie/c.mp4' emotion '="fe"&"ar"' is unknown; """ + KNOWN,
        ],
        [
            "label sheet PLACE/l.xlsx: 2 cells are formulas whose results were not saved, and are read as "
            "they are written; open the workbook in a spreadsheet program and save it, or write the values"
        ],
    ),
    Case("a workbook with formulas and their results", "l.xlsx", calculated, [A + ' extra={"n": 2}']),
    Case(
        "Parquet of datasets, whose class labels count names of their own",
        "l.parquet",
        class_labels,
        ["1 sticker/a.mp4 fear", "2 movie/c.mp4 awe", "3 'flat.mp4' has no emotion"],
    ),
    Case(
        "an array in a file of lines", "l.jsonl", json.dumps([{"path": "sticker/a.mp4", "label": "awe"}]), [A]
    ),
    Case(
        "an object over several lines",
        "l.json",
        json.dumps({"clips": [{"path": "sticker/a.mp4"}]}, indent=1),
        [where("l.json is one object; write it as an array of objects, one per clip")],
    ),
    Case(
        "an object with a key twice",
        "l.json",
        '[{"path": "sticker/a.mp4", "emotion": "awe", "emotion": "fear"}]',
        [where("l.json: an object has the key 'emotion' twice")],
    ),
    Case(
        "a line with a key twice",
        "l.jsonl",
        '{"path": "sticker/a.mp4", "emotion": "awe"}\n{"path": "movie/c.mp4", "label": 1, "label": 2}\n',
        [where("l.jsonl line 2: an object has the key 'label' twice")],
    ),
    Case(
        "JSON without end",
        "l.json",
        "[" * 100_000,
        [where("l.json is nested too deeply")],
    ),
    Case(
        "a cell of 200,000 letters",
        "l.csv",
        f"path,emotion,note\nsticker/a.mp4,awe,{'x' * 200_000}\n",
        [A + f' extra={{"note": "{"x" * 200_000}"}}'],
    ),
    Case("a file without a line", "l.csv", "\n\n", [where("l.csv is empty")]),
    Case(
        "bytes that seem to be UTF-16 and are not",
        "l.csv",
        b"\0p\xd8\x00\x00\x41",
        [
            where("l.csv has no column path and emotion; it has: ['\\\\x00p\u00d8\\\\x00\\\\x00A']; ")
            + f"--column path=NAME says which it is; {LATIN}"
        ],
    ),
    Case(
        "invisible marks that came along with a copied cell",
        "l.csv",
        "\u200bpath,emotion\u00a0\n\u202asticker/a.mp4,\u200bawe\u2060\nmovie/c.mp4\u00a0,\ufefffear\n",
        [A, B],
    ),
    Case(
        "Parquet with gaps, which make floats of whole numbers",
        "l.parquet",
        table([{"path": "sticker/a.mp4", "emotion": 1.0}, {"path": "movie/c.mp4", "emotion": float("nan")}]),
        [A, "2 'movie/c.mp4' has no emotion"],
        no_0("l.parquet"),
    ),
    Case(
        "Parquet with bytes",
        "l.parquet",
        table([{"path": "sticker/a.mp4", "emotion": "awe", "icon": b"png", "thumb": {"data": b"x", "w": 1}}]),
        [A],
        ["label sheet PLACE/l.parquet: bytes cannot be kept, the columns ['icon', 'thumb'] are left out"],
    ),
    Case(
        "a video column of datasets",
        "l.parquet",
        table([{"video": {"bytes": b"", "path": "sticker/a.mp4"}, "label": 1}]),
        [A],
        no_0("l.parquet", "label"),
    ),
    Case(
        "Excel's old format",
        "l.xls",
        b"\xd0\xcf",
        [
            where(
                "l.xls must end in .csv, .tsv, .txt, .xlsx, .json, .jsonl, .ndjson or .parquet; "
                "save it as .xlsx or .csv"
            )
        ],
    ),
]


def by_content(name: str, called: str) -> list[str]:
    return [f"label sheet PLACE/{name} is {called} by its content, and was read as such"]


CONTENT_CASES = [
    Case(
        "a workbook under another name",
        "l.csv",
        workbook([["path", "emotion"], ["sticker/a.mp4", "awe"]]),
        [A],
        by_content("l.csv", "a workbook"),
    ),
    Case(
        "cells under the name of a workbook", "l.xlsx", TWO, [A, B], by_content("l.xlsx", "a text of cells")
    ),
    Case(
        "a Parquet file under another name",
        "l.txt",
        table([{"path": "sticker/a.mp4", "emotion": "awe"}]),
        [A],
        by_content("l.txt", "a Parquet file"),
    ),
    Case(
        "JSON under another name",
        "l.csv",
        '[ {"path": "sticker/a.mp4", "emotion": "awe"}]',
        [A],
        by_content("l.csv", "JSON"),
    ),
    Case(
        "lines of JSON under another name",
        "l.parquet",
        lines({"path": "sticker/a.mp4", "emotion": "awe"}),
        [A],
        by_content("l.parquet", "JSON"),
    ),
    Case(
        "a packed sheet",
        "l.csv",
        gzip.compress(TWO.encode()),
        [where("l.csv is compressed; unpack it first")],
    ),
    Case(
        "a workbook with a password",
        "l.xlsx",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        [
            where("l.xlsx is a workbook in Excel's old format, or has a password; ")
            + "save it as .xlsx without one, or as .csv"
        ],
    ),
    Case("a workbook with a chart in front", "l.xlsx", with_a_chart_in_front, [A]),
    Case(
        "Parquet with blanks around its names",
        "l.parquet",
        table([{" Path ": "sticker/a.mp4", "emotion ": "awe", "": 3}]),
        [A + ' extra={"column 3": 3}'],
    ),
    Case(
        "a number of 5,000 digits",
        "l.csv",
        f"path,emotion\nsticker/a.mp4,{'9' * 5000}\n",
        [f"1 'sticker/a.mp4' emotion '{'9' * 5000}' is unknown; {KNOWN}"],
    ),
    Case("the sign by which old programs end a text", "l.csv", TWO.encode() + b"\x1a", [A, B]),
    Case("line ends of old Macs", "l.csv", TWO.replace("\n", "\r"), [A, B]),
    Case(
        "blanks behind the separators, and quotation marks behind them",
        "l.csv",
        'path, emotion, caption\n"sticker/a.mp4", "awe", "a, b"\nmovie/c.mp4, fear, a cup\n',
        [A + " caption=a, b", B + " caption=a cup"],
    ),
    Case(
        "a blank and a quotation mark in a caption",
        "l.csv",
        'path,caption,emotion\nsticker/a.mp4, "Stop" they cried,awe\n',
        [A + ' caption="Stop" they cried'],
    ),
    Case(
        "a quotation mark that is not doubled",
        "l.csv",
        TWO.replace("emotion", "emotion,note") + 'flat.mp4,awe,"he said "hi""\n',
        [where("l.csv is not a CSV file: in the row that begins in line 4: ") + "',' expected after '\"'"],
    ),
    Case(
        "a quotation mark that is never closed takes the next row with it",
        "l.tsv",
        'path\temotion\tcaption\nsticker/a.mp4\tawe\t"Stop\nmovie/c.mp4\tfear\tcried"\n',
        [A + " caption=Stop movie/c.mp4 fear cried"],
        [
            "label sheet PLACE/l.tsv: a cell between quotation marks holds lines that look like rows, "
            'in row 1; where a text itself begins with a quotation mark, write it as three: """'
        ],
    ),
    Case(
        "texts that some programs write for an empty cell",
        "l.csv",
        "path,emotion,group,caption\nsticker/a.mp4,awe,NA,\nmovie/c.mp4,fear,NA,None\n",
        [A + " group=NA", B + " caption=None group=NA"],
        [
            f"label sheet PLACE/l.csv: as {name}, which was taken as a text; leave empty what is not known"
            for name in ("group 2 cells hold 'NA'", "caption 1 cell holds 'None'")
        ],
    ),
]


def kept_only(header: str, meaning: str, word: str | None = None) -> str:
    word = word or header
    start = f"label sheet PLACE/l.csv: column {header!r} is only kept in extra"
    return f"{start}; --column {meaning}={word} makes it the {meaning}"


COLUMN_CASES = [
    Case(
        "columns that seem to mean what others would",
        "l.csv",
        "path,emotion,Start (s),end_time,subset,film\nmovie/c.mp4,awe,1,2,test,S\n",
        [
            '1 movie/c.mp4 awe extra={"Start (s)": "1", "end_time": "2", "subset": "test", "film": "S"}',
        ],
        [
            kept_only("Start (s)", "start", "'Start (s)'"),
            kept_only("end_time", "end"),
            kept_only("subset", "split"),
        ],
    ),
    Case(
        "the same, kept on purpose or beside the column that is meant",
        "l.csv",
        "path,emotion,subset,description,caption\nsticker/a.mp4,awe,x,y,z\n",
        ["1 sticker/a.mp4 awe caption=z extra={\"description\": \"y\"} kept={'subset': 'x'}"],
        options={"keep_columns": ("subset",)},
    ),
    Case(
        "headers in any case",
        "l.csv",
        "PATH,Emotion ,Content-Type\nflat.mp4,awe,Sticker\n",
        ["1 flat.mp4 awe content_type=sticker"],
    ),
    Case(
        "imagefolder's sheet, beside its files",
        "raw/sticker/metadata.csv",
        "file_name,label\na.mp4,1\n",
        [A],
        no_0("raw/sticker/metadata.csv", "label"),
    ),
    *(
        Case(name, "l.csv", f"{name},label\nsticker/a.mp4,awe\n", [A])
        for name in ("file", "filename", "Video", "File Name")
    ),
    Case(
        "a column chosen",
        "l.csv",
        "clip_url,emotion\nsticker/a.mp4,awe\n",
        [A],
        options={"columns": "path=clip_url"},
    ),
    Case(
        "a column chosen over one of that name",
        "l.csv",
        "path,file,emotion\nx,sticker/a.mp4,awe\n",
        [A + ' extra={"path": "x"}'],
        options={"columns": "path=file"},
    ),
    Case(
        "two paths",
        "l.csv",
        "video,emotion,path\nsticker/a.mp4,awe,x\n",
        [
            where(
                "l.csv: columns 'video' and 'path' would both be the path; --column path=video says which is"
            )
        ],
    ),
    Case(
        "two emotions",
        "l.csv",
        "path,emotion,label\nsticker/a.mp4,awe,1\n",
        [
            where(
                "l.csv: columns 'emotion' and 'label' would both be the emotion; "
                "--column emotion=emotion says which is"
            )
        ],
    ),
    Case(
        "one name in two cases",
        "l.csv",
        "path,Path,emotion\nsticker/a.mp4,x,awe\n",
        [where("l.csv: columns 'path' and 'Path' would both be the path; --column path=path says which is")],
    ),
    Case(
        "a chosen column that is not there",
        "l.csv",
        TWO,
        [where("l.csv has no column 'url' for --column path=url; it has: ['path', 'emotion']")],
        options={"columns": "path=url"},
    ),
    Case(
        "no path",
        "l.csv",
        "clip,emotion\nsticker/a.mp4,awe\n",
        [where("l.csv has no column path; it has: ['clip', 'emotion']; --column path=NAME says which it is")],
    ),
    Case(
        "times of the clock",
        "l.csv",
        "path,emotion,start,end\nmovie/c.mp4,fear,00:01:02.500,1:03\n"
        'movie/c.mp4,fear,01:00:00,"01:00:01,250"\n'
        "movie/c.mp4,fear,90,1:99\n",
        [
            "1 movie/c.mp4 fear start=62.5 end=63.0",
            "2 movie/c.mp4 fear start=3600.0 end=3601.25",
            "3 'movie/c.mp4' end '1:99' is not a number of seconds, nor HH:MM:SS.mmm",
        ],
    ),
]

PATH_CASES = [
    Case(
        "addresses of files of this machine",
        "l.csv",
        "path,emotion\nfile://PLACE/raw/sticker/a.mp4,awe\nFILE://localhostPLACE/raw/movie/Caf%C3%A9.mp4,fear\n"
        "file://PLACE/other/d.mp4,awe\n",
        [A, "2 movie/Caf\u00e9.mp4 fear", f"3 'file://PLACE/other/d.mp4' {OUTSIDE}"],
    ),
    Case(
        "the address of a file of a Windows machine",
        "l.csv",
        "path,emotion\nfile:///D:/clips/sticker/a.mp4,awe\n",
        [A],
        ["paths that begin with D:/clips/ were looked up below the raw folder without it"],
    ),
    Case(
        "names that no disk takes",
        "l.csv",
        f"path,emotion\n{'x' * 5000}.mp4,awe\n{'d/' * 3000}a.mp4,awe\n",
        [
            f"{row} {path!r} cannot be read: File name too long"
            for row, path in ((1, "x" * 5000 + ".mp4"), (2, "d/" * 3000 + "a.mp4"))
        ],
    ),
    Case("beside the sheet", "raw/sticker/l.csv", "path,emotion\na.mp4,awe\n../movie/c.mp4,fear\n", [A, B]),
    Case(
        "with the raw folder's name, from the working directory",
        "l.csv",
        "path,emotion\nraw/sticker/a.mp4,awe\n",
        [A],
    ),
    Case("absolute", "l.csv", "path,emotion\nPLACE/raw/sticker/a.mp4,awe\n", [A]),
    Case("backslashes", "l.csv", "path,emotion\nsticker\\a.mp4,awe\n.\\movie\\c.mp4,fear\n", [A, B]),
    Case(
        "a drive of another machine",
        "l.csv",
        "path,emotion\nD:\\clips\\sticker\\a.mp4,awe\nD:\\clips\\movie\\c.mp4,fear\n",
        [A, B],
        ["paths that begin with D:/clips/ were looked up below the raw folder without it"],
    ),
    Case(
        "two folders of another machine, where names might meet",
        "l.csv",
        "path,emotion\nD:\\one\\flat.mp4,awe\nD:\\two\\flat.mp4,fear\n",
        [
            "1 'D:\\\\one\\\\flat.mp4' has no content type; allowed: cartoon, movie, sticker, "
            "in the column content_type, as the top folder, or by --content-type",
            "2 'D:\\\\two\\\\flat.mp4' does not lie in D:/one, as the paths of earlier rows do",
        ],
        ["paths that begin with D:/one/ were looked up below the raw folder without it"],
    ),
    Case(
        "the other Unicode form",
        "l.csv",
        "path,emotion\n" + unicodedata.normalize("NFD", "movie/Caf\u00e9.mp4") + ",awe\n",
        ["1 movie/Caf\u00e9.mp4 awe"],
    ),
    Case(
        "a number as a name",
        "l.xlsx",
        workbook([["path", "emotion"], ["cartoon/12.mp4", 1]]),
        ["1 cartoon/12.mp4 awe"],
        no_0("l.xlsx"),
    ),
    Case(
        "an address",
        "l.csv",
        "path,emotion\nhttps://example.org/a.mp4,awe\n",
        [
            "1 'https://example.org/a.mp4' is an address; download the file, "
            "or give the address of its folder as RAW"
        ],
    ),
    Case(
        "nowhere, but one of that name elsewhere",
        "l.csv",
        "path,emotion\nstickers/A.mp4,awe\n",
        [f"1 'stickers/A.mp4' {SOUGHT}; is it 'sticker/a.mp4'?"],
    ),
    Case(
        "nowhere, but one that looks alike",
        "l.csv",
        "path,emotion\nsticker/aa.mp4,awe\n",
        [f"1 'sticker/aa.mp4' {SOUGHT}; is it 'sticker/a.mp4'?"],
    ),
    Case(
        "names without their endings, and with other ones",
        "l.csv",
        "path,emotion\na,awe\nc.avi,awe\n",
        [
            f"1 'a' {SOUGHT}; is it 'sticker/a.mp4'?",
            f"2 'c.avi' {SOUGHT}; is it 'movie/c.mp4'?",
        ],
    ),
    Case("nowhere at all", "l.csv", "path,emotion\nqqqq.webm,awe\n", [f"1 'qqqq.webm' {SOUGHT}"]),
    Case(
        "absolute and nowhere",
        "l.csv",
        "path,emotion\n/mnt/x/a.mp4,awe\n",
        ["1 '/mnt/x/a.mp4' does not exist here; is it 'sticker/a.mp4'?"],
    ),
    Case(
        "a private file",
        "l.csv",
        "path,emotion\nPLACE/other/d.mp4,awe\n../other/d.mp4,awe\nother/d.mp4,awe\n",
        [
            f"{row} {path!r} {OUTSIDE}"
            for row, path in enumerate(("PLACE/other/d.mp4", "../other/d.mp4", "other/d.mp4"), 1)
        ],
    ),
    Case(
        "files of a folder that is allowed",
        "l.csv",
        "path,emotion,content_type\nPLACE/other/d.mp4,awe,movie\n"
        "sticker/link.mp4,awe,\nPLACE/l.csv,awe,movie\n",
        ["1 +other/d.mp4 awe content_type=movie", "2 sticker/link.mp4 awe", f"3 'PLACE/l.csv' {OUTSIDE}"],
        [
            "2 rows take files from outside the raw folder, which --allow-root PLACE/other allows: "
            "+other/d.mp4, sticker/link.mp4"
        ],
        {"allow_roots": ["other"]},
    ),
    Case(
        "a link out of the folder",
        "l.csv",
        "path,emotion\nsticker/link.mp4,awe\n",
        [f"1 'sticker/link.mp4' {OUTSIDE}"],
    ),
    Case(
        "a link to nothing, as before a download",
        "l.csv",
        "path,emotion\nsticker/gone.mp4,awe\n",
        ["1 'sticker/gone.mp4' does not exist: it is a link to nothing"],
    ),
]


def raters(*given: str, header: str = "path,rater,emotion") -> str:
    return "\n".join([header, *given, ""])


TIE = "its 2 raters are in a tie: awe 1, fear 1; one more rating, or one fewer, decides"
TYPES = (
    "allowed: cartoon, movie, sticker, in the column content_type, as the top folder, or by --content-type"
)
NUMBERS = "column 'emotion' holds {} in row {}, but indices go from 0 (amusement) to 7 (sadness){}; name the "
NUMBERS += "emotions instead, or say what each number means: --map {}=amusement ..."
MOODS = {
    "name": "moods",
    "content_types": ["game", "sticker"],
    "labels": [
        {"name": "joy", "valence": 0, "synonyms": ["happy"]},
        {"name": "grief", "valence": 1, "synonyms": ["sad", "Sorrow"]},
    ],
}

WORD_CASES = [
    Case(
        "other words for the same emotion",
        "l.csv",
        "path,emotion\nsticker/a.mp4,Awed\nmovie/c.mp4,scared\n",
        [A, B],
    ),
    Case(
        "words that may mean several",
        "l.csv",
        "path,emotion\nsticker/a.mp4,happy\nsticker/b.mp4,neutral\n",
        [
            f"1 'sticker/a.mp4' emotion 'happy' is unknown; {KNOWN}; it may be amusement or contentment or "
            "excitement: --map happy=amusement says so",
            f"2 'sticker/b.mp4' emotion 'neutral' is unknown; {KNOWN}",
        ],
    ),
    Case(
        "words that a person explains",
        "l.csv",
        "path,emotion\nsticker/a.mp4,Happy\nsticker/b.mp4,neutral\n",
        ["1 sticker/a.mp4 contentment", "2 sticker/b.mp4 no specific emotion"],
        options={"words": {"happy": "contentment", "neutral": "no specific emotion"}},
    ),
    Case(
        "a word for no emotion of ours",
        "l.csv",
        TWO,
        ["refused: emotion 'bliss' is unknown; " + KNOWN],
        options={"words": {"joy": "bliss"}},
    ),
    Case(
        "indices",
        "l.csv",
        "path,emotion\nsticker/a.mp4,0\nmovie/c.mp4,7.0\n",
        ["1 sticker/a.mp4 amusement", "2 movie/c.mp4 sadness"],
    ),
    Case(
        "indices without a 0 are told",
        "l.csv",
        "path,emotion\nsticker/a.mp4,1\nmovie/c.mp4,6\n",
        [A, B],
        ["label sheet PLACE/l.csv: column 'emotion' holds no 0; its numbers were read as 1 = awe ..."],
    ),
    Case(
        "numbers from 1 to 8",
        "l.csv",
        "path,emotion\nsticker/a.mp4,1\nmovie/c.mp4,8\n",
        [where("l.csv: " + NUMBERS.format(8, 2, "; it seems to count from 1", 1))],
    ),
    Case(
        "a number that is none",
        "l.csv",
        "path,emotion\nsticker/a.mp4,awe\nmovie/c.mp4,-1\n",
        [where("l.csv: " + NUMBERS.format(-1, 2, "", -1))],
    ),
    Case(
        "numbers that a person explains",
        "l.csv",
        "path,emotion\nsticker/a.mp4,2\nmovie/c.mp4,8\n",
        ["1 sticker/a.mp4 awe", "2 movie/c.mp4 fear"],
        options={"words": {"2": "awe", "8": "fear"}},
    ),
    Case(
        "half an index",
        "l.csv",
        "path,emotion\nsticker/a.mp4,1.5\n",
        [f"1 'sticker/a.mp4' emotion '1.5' is unknown; {KNOWN}"],
    ),
    Case(
        "another taxonomy with its words and content types",
        "l.csv",
        "path,emotion,content_type\nsticker/a.mp4,Sorrow,\n"
        "sticker/b.mp4,0,game\nmovie/c.mp4,joy,\nflat.mp4,awe,game\n",
        [
            "1 sticker/a.mp4 grief",
            "2 sticker/b.mp4 joy content_type=game",
            "3 'movie/c.mp4' content_type 'movie' is unknown; allowed: game, sticker, "
            "in the column content_type, "
            "as the top folder, or by --content-type",
            "4 'flat.mp4' emotion 'awe' is unknown; allowed: joy, grief or 0..1, or 'no specific emotion'",
        ],
        options={"labels": MOODS},
    ),
]

KIND_CASES = [
    Case(
        "a flat folder",
        "l.csv",
        "path,emotion\nflat.mp4,awe\n",
        [f"1 'flat.mp4' has no content type; {TYPES}"],
    ),
    Case(
        "a flat folder of one content type",
        "l.csv",
        "path,emotion,content_type\nflat.mp4,awe,\nsticker/a.mp4,awe,\nsticker/b.mp4,awe,cartoon\n",
        [
            "1 flat.mp4 awe content_type=movie",
            "2 sticker/a.mp4 awe",
            "3 sticker/b.mp4 awe content_type=cartoon",
        ],
        options={"content_type": "movie"},
    ),
    Case(
        "a content type of one's own",
        "l.csv",
        "path,emotion\nflat.mp4,awe\n",
        ["1 flat.mp4 awe content_type=vlog"],
        options={"content_type": "vlog"},
    ),
    Case(
        "splits under their names and others",
        "l.csv",
        "path,emotion,split\nsticker/a.mp4,awe,TRAIN\nsticker/b.mp4,awe,dev\n"
        "movie/c.mp4,fear,\nflat.mp4,awe,holdout\n"
        "cartoon/12.mp4,awe,benchmark\n",
        [
            "1 sticker/a.mp4 awe split=train",
            "2 sticker/b.mp4 awe split=validation",
            "3 movie/c.mp4 fear",
            "4 'flat.mp4' split 'holdout' is unknown; allowed: train, validation, test, val, valid, dev",
            "5 'cartoon/12.mp4' split 'benchmark' is unknown; allowed: train, "
            "validation, test, val, valid, dev; "
            "--benchmark or --benchmark-ids sets a benchmark aside",
        ],
        options={"content_type": "movie"},
    ),
    Case(
        "a group in two splits",
        "l.csv",
        "path,emotion,split,group\nsticker/a.mp4,awe,train,cups\n"
        "sticker/b.mp4,awe,test,cups\nmovie/c.mp4,fear,test,\n",
        [
            *(
                f"{row} 'sticker/{name}.mp4' its group 'cups' is given to test and train; "
                f"the clips of a group stay "
                "in one split"
                for row, name in ((1, "a"), (2, "b"))
            ),
            "3 movie/c.mp4 fear split=test",
        ],
    ),
    Case(
        "segments of a film in two splits",
        "l.csv",
        "path,emotion,split,start,end\nmovie/c.mp4,awe,train,0,1\nmovie/c.mp4,awe,test,1,2\n",
        [
            f"{row} 'movie/c.mp4' its group 'movie/c.mp4' is given to test and train; "
            f"the clips of a group stay in "
            "one split"
            for row in (1, 2)
        ],
    ),
]

TIMES = [
    Case(
        "times with a decimal comma",
        "l.csv",
        "path;emotion;start;end\nmovie/c.mp4;awe;0,5;1,25\nmovie/c.mp4;awe;0,500;1,500\n",
        ["1 movie/c.mp4 awe start=0.5 end=1.25", "2 'movie/c.mp4' end '1,500' may be 1.500 or 1500 seconds"],
    ),
    Case(
        "times of Parquet's own kinds",
        "l.parquet",
        lambda path: parquet.write_table(
            pyarrow.table(
                {
                    "path": ["movie/c.mp4"] * 2,
                    "emotion": ["awe", "awe"],
                    "start": pyarrow.array([1500, 1], pyarrow.duration("ms")),
                    "end": pyarrow.array([Decimal("3.50"), Decimal("2.25")]),
                }
            ),
            path,
        ),
        ["1 movie/c.mp4 awe start=1.5 end=3.5", "2 movie/c.mp4 awe start=0.001 end=2.25"],
    ),
    Case(
        "dates of a workbook, as moments and as texts",
        "l.xlsx",
        workbook(
            [
                ["path", "emotion", "start", "end", "day"],
                [
                    "movie/c.mp4",
                    "awe",
                    datetime.datetime(1899, 12, 30, 0, 0, 1),
                    datetime.timedelta(hours=25),
                    datetime.date(2024, 3, 1),
                ],
            ]
        ),
        ['1 movie/c.mp4 awe start=1.0 end=90000.0 extra={"day": "2024-03-01 00:00:00"}'],
    ),
]

VOTES = (
    "emotion_scores=(0.0, {}, 0.0, 0.0, 0.0, 0.0, {}, 0.0) raters={} votes=(0, "
    "{}, 0, 0, 0, 0, {}, 0) agreement={}"
)
RATER_CASES = [
    Case(
        "one clip under three spellings of its path",
        "l.csv",
        "path,emotion\nsticker/a.mp4,awe\nsticker\\a.mp4,fear\nPLACE/raw/movie/../sticker/a.mp4,awe\n",
        [f"{A} {VOTES.format(2 / 3, 1 / 3, 3, 2, 1, 2 / 3)}"],
    ),
    Case(
        "counted votes in words that are known or explained",
        "l.csv",
        'path|emotion|votes\nsticker/a.mp4|awe|{"awed": 2, "bliss": 1, "no emotion": 1}\n'
        'movie/c.mp4|fear|{"scared": 1, "fear": 1}\nsticker/b.mp4|awe|{"happy": 1}\n',
        [
            f"{A} raters=4 votes=(0, 2, 1, 0, 0, 0, 0, 0) agreement=0.5",
            "2 'movie/c.mp4' votes {'scared': 1, 'fear': 1} names fear twice",
            f"3 'sticker/b.mp4' emotion 'happy' is unknown; {KNOWN}; it may be amusement or contentment or "
            "excitement: --map happy=amusement says so",
        ],
        options={"words": {"bliss": "contentment"}},
    ),
    Case(
        "three raters with names",
        "l.csv",
        raters("sticker/a.mp4,ann,awe", "sticker/a.mp4,bob,fear", "sticker/a.mp4,cid,awe"),
        [f"{A} {VOTES.format(2 / 3, 1 / 3, 3, 2, 1, 2 / 3)}"],
    ),
    Case(
        "rows without names are raters too",
        "l.csv",
        "path,emotion\nsticker/a.mp4,awe\nsticker/b.mp4,fear\nsticker/a.mp4,awe\n",
        [f"{A} {VOTES.format(1.0, 0.0, 2, 2, 0, 1.0)}", "2 sticker/b.mp4 fear"],
    ),
    Case(
        "one rater with a name",
        "l.csv",
        raters("sticker/a.mp4,ann,awe"),
        [A + " raters=1 votes=(0, 1, 0, 0, 0, 0, 0, 0) agreement=1.0"],
    ),
    Case(
        "a tie",
        "l.csv",
        "path,emotion\nsticker/a.mp4,awe\nsticker/a.mp4,fear\nmovie/c.mp4,fear\n",
        [f"1 'sticker/a.mp4' {TIE}", f"2 'sticker/a.mp4' {TIE}", "3 movie/c.mp4 fear"],
    ),
    Case(
        "most saw no emotion",
        "l.csv",
        raters("sticker/a.mp4,ann,no emotion", "sticker/a.mp4,bob,fear", "sticker/a.mp4,cid,no_emotion"),
        [f"1 sticker/a.mp4 no specific emotion raters=3 votes=(0, 0, 0, 0, 0, 0, 1, 0) agreement={2 / 3}"],
    ),
    Case(
        "a rater who says the same twice, and one who says two things",
        "l.csv",
        raters(
            "sticker/a.mp4,ann,awe",
            "sticker/a.mp4,ann,awe",
            "sticker/a.mp4,bob,awe",
            "sticker/a.mp4,bob,fear",
            "sticker/a.mp4,cid,awe",
        ),
        [
            f"{A} {VOTES.format(1.0, 0.0, 2, 2, 0, 1.0)}",
            "2 'sticker/a.mp4' is a duplicate of row 1: 'ann' says the same",
            "3 'sticker/a.mp4' rater 'bob' gave this clip several emotions; none of them counts",
            "4 'sticker/a.mp4' rater 'bob' gave this clip several emotions; none of them counts",
        ],
    ),
    Case(
        "captions and columns of all raters are kept",
        "l.csv",
        "path,emotion,caption,film,mood\nsticker/a.mp4,awe,a cup,S,1\nsticker/a.mp4,awe,a mug,S,2\n",
        [
            f"{A} caption=a cup {VOTES.format(1.0, 0.0, 2, 2, 0, 1.0)} "
            'extra={"captions": ["a cup", "a mug"], "film": "S", "mood": ["1", "2"]}'
        ],
    ),
    Case(
        "rows of a clip that differ in more than the emotion",
        "l.csv",
        "path,emotion,group\nsticker/a.mp4,awe,x\nsticker/a.mp4,awe,y\n",
        [
            f"{row} 'sticker/a.mp4' is of a clip whose group is 'x' in row 1 and 'y' in row 2"
            for row in (1, 2)
        ],
    ),
    Case(
        "little agreement",
        "l.csv",
        raters(
            "sticker/a.mp4,ann,awe", "sticker/a.mp4,bob,fear", "sticker/a.mp4,cid,awe", "movie/c.mp4,ann,fear"
        ),
        [
            "1 'sticker/a.mp4' agreement 0.67 is below --min-agreement 0.7",
            "4 movie/c.mp4 fear raters=1 votes=(0, 0, 0, 0, 0, 0, 1, 0) agreement=1.0",
        ],
        options={"min_agreement": 0.7},
    ),
]


CASES = [*FORMATS, *CONTENT_CASES, *COLUMN_CASES, *PATH_CASES, *WORD_CASES, *KIND_CASES, *TIMES, *RATER_CASES]


def read_options(given: dict[str, Any], place: Path) -> SheetOptions:
    values = dict(given)
    if "columns" in values:
        values["columns"] = dict([parse_column(values["columns"])])
    if "allow_roots" in values:
        values["allow_roots"] = tuple(place / name for name in values["allow_roots"])
    if "labels" in values:
        (place / "moods.json").write_text(json.dumps(values["labels"]))
        values["labels"] = read_label_set(place / "moods.json")
    return SheetOptions(**values)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_a_sheet_gives(place: Path, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (place / "other").mkdir()
    (place / "other" / "d.mp4").write_bytes(b"x")
    (place / "raw" / "sticker" / "link.mp4").symlink_to(place / "other" / "d.mp4")
    (place / "raw" / "sticker" / "gone.mp4").symlink_to(place / "raw" / "nothing.mp4")
    sheet = place / case.name
    if callable(case.text):
        case.text(sheet)
    else:
        text = case.text.replace("PLACE", str(place)).encode() if isinstance(case.text, str) else case.text
        sheet.write_bytes(text)
    found = outcome(place, sheet, read_options(case.options or {}, place))
    assert found == Outcome(case.rows, case.remarks or [])


# what an annotator wrote


def scores(**given: float) -> dict[str, float]:
    return {name: given.get(name, 0.0) for name in EMOTIONS}


def annotation(key: str, emotion: str | None, error: str | None = None, **given: float) -> Annotation:
    probabilities = None if emotion is None else tuple(scores(**given).values())
    return Annotation(key, "1-2", emotion, probabilities, "a cup" if emotion else None, error)


def test_an_annotators_file_is_a_sheet_and_corrections_are_a_persons(place: Path) -> None:
    said = [
        annotation("sticker/a.mp4", "awe", awe=0.75, fear=0.25),
        annotation("movie/c.mp4", "fear", awe=0.75, fear=0.25),
        annotation("sticker/b.mp4", None, "is truncated"),
    ]
    write_annotations(Store.at(place), "labels.parquet", said, "{}", EMOTIONS)
    given = "emotion_scores=(0.0, 0.75, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0)"
    rows = [
        f"1 sticker/a.mp4 awe caption=a cup emotion_source=model {given}",
        f"2 movie/c.mp4 fear caption=a cup {given}",
        "3 'sticker/b.mp4' the annotator failed: is truncated",
    ]
    assert outcome(place, place / "labels.parquet", SheetOptions()) == Outcome(rows, [])
    parquet.read_table(place / "labels.parquet").to_pandas().to_csv(place / "l.csv", index=False)
    assert outcome(place, place / "l.csv", SheetOptions()) == Outcome(rows, [])


def test_the_file_of_an_annotator_of_other_emotions_asks_for_their_taxonomy(place: Path) -> None:
    said = [Annotation("sticker/a.mp4", "1-2", "joy", (0.75, 0.25), "a cup", None)]
    write_annotations(Store.at(place), "labels.parquet", said, "{}", ("joy", "grief"))
    refused = where("labels.parquet was written by an annotator of other emotions, which does not know ")
    refused += f"{', '.join(EMOTIONS)}; --taxonomy FILE names those that it knows"
    assert outcome(place, place / "labels.parquet", SheetOptions()).rows == [refused]
    known = read_options({"labels": MOODS}, place)
    assert outcome(place, place / "labels.parquet", known).rows == [
        "1 sticker/a.mp4 joy caption=a cup emotion_source=model emotion_scores=(0.75, 0.25)"
    ]


def test_who_saw_no_specific_emotion_is_known(place: Path) -> None:
    """The annotator abstained from the first; a person took back what it said of the second."""
    said = [
        annotation("sticker/a.mp4", NO_EMOTION, awe=0.5, fear=0.5),
        annotation("movie/c.mp4", "awe", awe=1.0),
    ]
    write_annotations(Store.at(place), "labels.parquet", said, "{}", EMOTIONS)
    found = parquet.read_table(place / "labels.parquet").to_pandas()
    found["emotion"] = NO_EMOTION
    found.to_csv(place / "l.csv", index=False)
    first, second = outcome(place, place / "l.csv", SheetOptions()).rows
    assert first.startswith("1 sticker/a.mp4 no specific emotion caption=a cup emotion_source=model ")
    assert second.startswith("2 movie/c.mp4 no specific emotion caption=a cup emotion_scores=")


# folders without a sheet


def test_folders_named_after_emotions_are_labels(place: Path) -> None:
    for name in (
        "sticker/awe/1.mp4",
        "movie/Fear/2.mp4",
        "awe/3.mp4",
        "sticker/awe/deep/4.mp4",
        "awe/note.txt",
        "Test/awe/5.mp4",
    ):
        (place / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "raw" / name).write_bytes(b"x")
    assert outcome(place, None, SheetOptions()).rows == [
        f"1 'Test/awe/5.mp4' content_type 'test' is unknown; {TYPES}",
        f"2 'awe/3.mp4' content_type 'awe' is unknown; {TYPES}",
        "3 movie/Fear/2.mp4 fear",
        "4 sticker/awe/1.mp4 awe",
    ]
    typed = SheetOptions(content_type="sticker")
    assert outcome(place, None, typed).rows[:2] == [
        "1 Test/awe/5.mp4 awe content_type=sticker split=test",
        "2 awe/3.mp4 awe content_type=sticker",
    ]


def test_folders_that_say_nothing_are_refused(place: Path) -> None:
    says = "refused: PLACE/raw has no folder named after an emotion, such as awe/ or sticker/awe/; "
    assert outcome(place, None, SheetOptions()).rows == [says + "--labels FILE names the clips' labels"]
    (place / "raw" / "metadata.csv").write_text(TWO)
    assert outcome(place, None, SheetOptions()).rows == [
        says + "--labels PLACE/raw/metadata.csv names the clips' labels"
    ]
