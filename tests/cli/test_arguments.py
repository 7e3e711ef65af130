"""Every wrong argument is one line that names it and what is allowed, before anything heavy is imported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main
from one_process import run_all
from PIL import Image

from emovid_dataset import build
from emovid_dataset.cli import program

MINI = Path(__file__).parents[2] / "emovid_dataset" / "mini"
HEAVY = ("torch", "transformers", "diffusers", "peft")

RIGHT = {
    "build": ["RAW", "--labels", "labels.csv", "--out", "new"],
    "verify": ["made"],
    "proxy": ["made"],
    "remove": ["made", "--ids", "sticker-0123456789abcdef"],
    "repair": ["made"],
    "stats": ["made"],
    "analyse": ["made"],
    "label": ["labels.csv", "--raw", "RAW", "--rater", "anna", "--out", "new", "--json"],
    "agree": ["list.json"],
    "cut": ["film.mp4", "--out", "new/sheet.csv"],
    "annotate": ["made", "--model", "me/annotator", "--out", "new/a.parquet"],
    "generate": ["a cat", "--model", "me/wan", "--out", "new/a.mp4"],
    "sticker": ["picture.png", "--model", "me/wan", "--out", "new"],
    "evaluate": ["--base", "me/wan", "--out", "new"],
    "report": ["made"],
    "push": ["dataset", "made", "--repo-id", "me/clips"],
    "demo": [],
    "study build": ["one", "two", "--out", "new"],
    "study serve": ["asked", "--rater", "anna"],
    "study erase": ["r0001", "--study", "asked"],
    "study analyse": ["made"],
    "protocol paper": ["labels.csv", "--base", "me/annotator", "--out", "new"],
    "protocol draw": ["labels.csv", "--base", "me/annotator", "--out", "new"],
    "protocol agree": ["--out", "new"],
    "protocol train": ["--out", "new"],
    "protocol annotate": ["--out", "new"],
    "protocol audit": ["--out", "new"],
    "protocol report": ["--out", "new"],
    "train annotator": ["--data", "made", "--base", "me/annotator", "--out", "new"],
    "train lora": ["--task", "t2v", "--data", "made", "--base", "me/wan", "--out", "new"],
}
"""What a command needs, all of it right; what is wrong follows."""

FROM_1 = "it must be at least 1"
SEED = "it must be 0..4294967295"
ABOVE_0 = "it must be a number above 0"
SHARE = "it must be a number above 0 and at most 1"
FROM_0 = "it must be a number from 0 up"
TYPES = "allowed: cartoon, movie, sticker"
REPO = "is not a folder, and not a repo of the form owner/name"
WORDINGS = "allowed: paper, mood"
SPLITS = "allowed: train, validation, test"
OTHERS = "has the emotions of 'mikels' (amusement, joy, "

WRONG = {
    "build": [
        ("--labels none.csv", "--labels none.csv is not a file"),
        (
            "--column mood=tone",
            "--column: column 'mood=tone' must be MEANING=HEADER; meanings: path, emotion",
        ),
        ("--column path", "--column: column 'path' must be MEANING=HEADER"),
        ("--allow-root none", "--allow-root none is not a folder"),
        ("--content-type Vlog!", "--content-type: content type 'Vlog!' must be of a-z, 0-9 and _"),
        ("--map happy", "--map: word 'happy' must be WORD=EMOTION, such as happy=contentment"),
        ("--map happy=bliss", "emotion 'bliss' is unknown; allowed: amusement, awe"),
        ("--taxonomy none.json", "--taxonomy none.json is not a file"),
        ("--taxonomy file", "taxonomy file: Expecting value"),
        ("--info none.yaml", "--info none.yaml is not a file"),
        (
            "--info file",
            "--info file: is ",
            ", not a mapping with title, authors, citation, contact, language",
        ),
        ("--keep-columns a,,b", "--keep-columns: columns 'a,,b' must be names with commas between them"),
        ("--min-agreement 2", "--min-agreement is 2.0; it must be a number above 0 and at most 1"),
        ("--out file", "--out file is a file, not a folder"),
        ("--out file/below", "--out file/below cannot be made: ", "/file is not a folder"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
        ("--shard-size big", "--shard-size: size 'big' must be a number with B, KB, MB"),
        ("--split 80/20", "--split: split '80/20' must be three shares such as 80/10/10"),
        ("--every 0", f"--every is 0; {FROM_1}"),
        ("--seed one", "'--seed'", "given 'one'"),
        ("--benchmark 0", f"--benchmark is 0; {FROM_1}"),
        ("--benchmark-ids none.txt", "--benchmark-ids none.txt is not a file"),
        (
            "--benchmark-ids file",
            "--benchmark-ids file: id 1 is 'x', not of the form sticker-0123456789abcdef",
        ),
        ("--benchmark-ids latin1", "--benchmark-ids latin1 is not UTF-8 text"),
        ("--benchmark-ids file --benchmark 2", "--benchmark 2 and --benchmark-ids file exclude each other"),
        ("--corpus mine", "--corpus is 'mine'; allowed: emovid"),
        ("--transcode sometimes", "--transcode is 'sometimes'; allowed: needed, always, never"),
        ("--height 479", "--height is 479; it must be an even number 16..8192"),
        ("--height 8", "--height is 8; it must be an even number 16..8192"),
        ("--fps 0", f"--fps is 0.0; {ABOVE_0}"),
        ("--fps nan", f"--fps is nan; {ABOVE_0}"),
        ("--crf 52", "--crf is 52; it must be 0..51"),
        ("--max-seconds -1", f"--max-seconds is -1.0; {ABOVE_0}"),
        ("--transcode never --height 480", "--transcode never and --height 480 exclude each other"),
        ("--append --crf 20", "--append and --crf exclude each other: the build has its own settings"),
        ("--transcode never --fps 12", "--transcode never and --fps 12.0 exclude each other"),
        ("--transcode never --max-seconds 3", "--transcode never and --max-seconds 3.0 exclude each other"),
        ("--note none.txt", "--note none.txt is not a file"),
        ("--note latin1", "--note latin1 is not UTF-8 text"),
        ("--update", "--update needs --append"),
        ("--restore", "--restore needs --append"),
        ("--append --overwrite", "--append and --overwrite exclude each other"),
        ("--append --check", "--append and --check exclude each other"),
        ("--append", "new is not an EmoVid build: it has no manifest.json"),
        ("--append --out made --seed 5", "seed is 5, but ", "/made was built with 0; an append keeps"),
        ("--append --out made --split 80/10/10", "split is (0.8, 0.1, 0.1), but "),
    ],
    "proxy": [
        ("--short-side 255", "--short-side is 255; it must be an even number 16..8192"),
        ("--keyframe-every 0", "--keyframe-every is 0; it must be 1..1000"),
        ("--crf 52", "--crf is 52; it must be 0..51"),
        ("--byte-share 0", f"--byte-share is 0.0; {SHARE}"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
    ],
    "remove": [
        ("--ids sticker-1", "--ids: id 'sticker-1' is not of the form sticker-0123456789abcdef"),
        ("--ids ,", "--ids names no clip"),
        ("--where mood", "--where: condition 'mood' must be a field, one of = != < <= > >=, and a value"),
        ("--where mood=x", "condition 'mood=x': clips have no field 'mood'"),
        ("--where width=x", "condition 'width=x': 'x' is not of the type int64"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
        ("--source x", "/made holds no clip sticker-0123456789abcdef"),
    ],
    "repair": [
        ("--from none", "--from none is not a folder"),
        ("--from other --repo made", "--from other and --repo made exclude each other"),
        ("--repo nowhere", "nowhere is no folder, no Hub repo"),
        ("--revision main", "--revision main needs --repo"),
        ("--revision main --repo made", "revision"),
        ("--labels none.csv", "--labels none.csv is not a file"),
        ("--labels labels.csv", "--labels needs --from RAW"),
        ("--column mood=tone", "--column: column 'mood=tone' must be MEANING=HEADER"),
        ("--column path=file --from other", "--column needs --labels"),
        ("--allow-root none", "--allow-root none is not a folder"),
        ("--content-type Vlog!", "--content-type: content type 'Vlog!' must be of a-z, 0-9 and _"),
        ("--map happy", "--map: word 'happy' must be WORD=EMOTION, such as happy=contentment"),
        ("--taxonomy none.json", "--taxonomy none.json is not a file"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
    ],
    "verify": [
        ("--workers -1", f"--workers is -1; {FROM_1}"),
        ("--sample 0", f"--sample is 0.0; {SHARE}"),
        ("--sample 1.5", f"--sample is 1.5; {SHARE}"),
        ("--sample nan", f"--sample is nan; {SHARE}"),
        ("--sample 0.5", "--sample 0.5 is a share of the clips that are decoded; it needs --decode"),
    ],
    "stats": [
        ("--html made", "--html made is a folder; name a file"),
        ("--seed x", "'--seed'", "given 'x'"),
        ("--clips 101", "--clips is 101; it must be 0..100"),
        ("--frames 0", "--frames is 0; it must be 1..16"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
    ],
    "analyse": [
        ("--html made", "--html made is a folder; name a file"),
        ("--features none.parquet", "--features none.parquet is not a file"),
        ("--features file", "file is not a file of video features"),
        ("--film title", "--film is 'title'; allowed: source, group"),
        ("--gap -1", f"--gap is -1.0; {FROM_0}"),
        ("--bins 0", "--bins is 0; it must be 1..100"),
        ("--seed -1", f"--seed is -1; {SEED}"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
    ],
    "label": [
        ("--rater ../anna", "--rater: rater '../anna' must not contain '/'"),
        ("--rater --", "--rater: rater '--' is not a name; it needs a letter or a digit"),
        ("--rater anna", "--rater anna is given twice"),
        ("--out file", "--out file is a file, not a folder"),
        ("--raw none", "--raw none is not a folder"),
        ("--allow-root none", "--allow-root none is not a folder"),
        ("--column mood=tone", "--column: column 'mood=tone' must be MEANING=HEADER"),
        ("--column path=clip", "sheet labels.csv has no column 'clip' for --column path=clip"),
        ("--content-type Vlog!", "--content-type: content type 'Vlog!' must be of a-z, 0-9 and _"),
        ("--taxonomy none.json", "--taxonomy none.json is not a file"),
        ("--taxonomy unclear.json", "has the emotion 'unclear', which the page gives for unclear"),
        ("--order best", "--order is 'best'; allowed: uncertain, random, disagreement"),
        ("--order uncertain", "order 'uncertain' needs scores of an annotator; none of the clips has any"),
        ("--order disagreement", "--order disagreement goes by the answers in --out new: new does not exist"),
        ("--scores none.csv", "--scores none.csv is not a file"),
        ("--scores labels.csv", "scores labels.csv has scores of none of the clips"),
        ("--repeats 1.5", "--repeats is 1.5; it must be a number from 0 to 1"),
        ("--seed x", "'--seed'", "given 'x'"),
        ("--limit 0", f"--limit is 0; {FROM_1}"),
        ("--host nowhere.invalid", "--host nowhere.invalid is not an address of this machine"),
        ("--host 192.0.2.1", "cannot listen at 192.0.2.1:0: "),
        ("--port 65536", "--port is 65536; it must be 0..65535"),
        ("--host-name a/b", "--host-name: name 'a/b' is not the name of a machine"),
        ("--tls-cert file", "a certificate and its key come together: --tls-cert and --tls-key"),
        ("--tls-key none", "--tls-key none is not a file"),
        ("--tls-cert file --tls-key file", "--tls-cert file and --tls-key file cannot be used"),
    ],
    "study build": [
        ("--videos-root none", "--videos-root none is not a folder"),
        ("--out file", "--out file is a file, not a folder"),
        ("--out made", "--out made is not empty; a study that has begun is not built over"),
        ("--together 1", "--together is 1; it must be 2..26"),
        ("--together 3", "--together is 3; there are 2 systems"),
        ("--question mood", "--question: question 'mood'; allowed: emotion, quality, overall"),
        ("--trials 0", f"--trials is 0; {FROM_1}"),
        ("--trials 9", "--trials is 9; there are 2 different ones"),
        ("--checks 3", "--checks is 3; a rater has 2 trials"),
        ("--most-failed-checks -1", "--most-failed-checks is -1; it must be at least 0"),
        ("--practice 4", "the systems have 4 scenes in common; --practice 4 leaves no others"),
        ("--seconds 0", "--seconds is 0; it must be 1..3600"),
        ("--preferred 1", "--preferred is 1.0; it must be a number between 0 and 1"),
        ("--preferred 0.5", "preferred 0.5 is not between 0.5 and 1, both excluded"),
        ("--power nan", "--power is nan; it must be a number between 0 and 1"),
        ("--alpha 0", "--alpha is 0.0; it must be a number between 0 and 1"),
        ("--correlation 2", "--correlation is 2.0; it must be a number from 0 to 1"),
        ("--seed -1", "--seed is -1; it must be at least 0"),
    ],
    "study serve": [
        ("--rater ../anna", "--rater: rater '../anna' must not contain '/'"),
        ("--rater anna", "--rater anna is given twice"),
        ("--prolific", "--prolific needs --completion-code, the code that Prolific has for the study"),
        ("--completion-code a&b", "--completion-code: code 'a&b' is not 1..40 letters and digits"),
        ("--host nowhere.invalid", "--host nowhere.invalid is not an address of this machine"),
        ("--port 65536", "--port is 65536; it must be 0..65535"),
        ("--host-name a/b", "--host-name: name 'a/b' is not the name of a machine"),
        ("--tls-cert file", "a certificate and its key come together: --tls-cert and --tls-key"),
        ("--tls-key none", "--tls-key none is not a file"),
        ("--tls-cert file --tls-key file", "--tls-cert file and --tls-key file cannot be used"),
    ],
    "study erase": [
        ("--study none", "--study none is not a folder"),
        ("--study made", "made is not the folder of a study: it has no study.json"),
    ],
    "agree": [
        ("--out made", "--out made is a folder; name a file"),
        ("--out labels.txt", "--out labels.txt must end in .csv or .jsonl"),
        ("--out file/a.csv", "--out file/a.csv", "/file is not a folder"),
        ("--look https://x.org/a.csv", "--look: ", "https"),
        ("--look a.xlsx", "--look a.xlsx must end in .csv or .jsonl"),
        ("--out a.csv --look a.csv", "--look a.csv is also --out; name another file"),
        ("--html made", "--html made is a folder; name a file"),
        ("--sheet none.csv", "--sheet none.csv is not a file or folder"),
        ("--raw none", "--raw none is not a folder"),
        ("--raw other", "--raw other needs --sheet"),
        ("--least 0", f"--least is 0; {FROM_1}"),
        ("--raters a,,b", "--raters: raters 'a,,b' must be names of columns with commas between them"),
        ("--taxonomy none.json", "--taxonomy none.json is not a file"),
        ("--taxonomy file", "taxonomy file: Expecting value"),
        ("--source crowd", "--source is 'crowd'; allowed: human, model"),
        ("--draws -1", "--draws is -1; it must be at least 0"),
        ("--seed x", "'--seed'", "given 'x'"),
        ("--draws 1", "list.json answer 1: has no rater and no id"),
    ],
    "cut": [
        ("--out made", "--out made is a folder; name a file"),
        ("--out file/sheet.csv", "--out file/sheet.csv", "/file is not a folder"),
        ("--detector ai", "--detector is 'ai'; allowed: auto, transnet, adaptive, content"),
        ("--min 0", f"--min is 0.0; {ABOVE_0}"),
        ("--min 6", "--max 10 must be at least twice --min 6"),
        ("--max nan", f"--max is nan; {ABOVE_0}"),
        ("--content-type Vlog!", "--content-type: content type 'Vlog!' must be of a-z, 0-9 and _"),
        ("--html made", "--html made is a folder; name a file"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
    ],
    "annotate": [
        ("--out a.CSV", "--out a.CSV: the file is Parquet; give it a name that ends in .parquet"),
        ("--features f.jsonl", "--features f.jsonl: the file is Parquet; give it a name that ends in .parq"),
        ("--timeline --window 0", "--window is 0.0; it must be a number above 0"),
        ("--timeline --stride nan", "--stride is nan; it must be a number above 0"),
        ("--window 4", "--window 4.0 needs --timeline"),
        ("--stride 1", "--stride 1.0 needs --timeline"),
        ("--segments s.csv", "--segments s.csv needs --timeline"),
        ("--plot p.png", "--plot p.png needs --timeline"),
        ("--html p.html", "--html p.html needs --timeline"),
        ("--timeline --segments made", "--segments made is a folder"),
        ("--timeline --plot made", "--plot made is a folder"),
        ("--timeline --html made", "--html made is a folder"),
        ("--timeline --html a.html --plot ./a.html", "--html a.html is also --plot"),
        ("--timeline --caption", "--caption is not for --timeline"),
        ("--timeline --features f.parquet", "--features f.parquet is not for --timeline"),
        ("--timeline --build new", "--build new is not for --timeline"),
        ("--timeline --keep-human", "--keep-human is not for --timeline"),
        ("--model nowhere", f"--model 'nowhere' {REPO}"),
        ("--model made", "--model made cannot be loaded: it has no config.json"),
        ("--model other", "--model other cannot be loaded: it is of type 'gpt2'"),
        ("--out made", "--out made is a folder; name a file"),
        ("--out file/a.parquet", "--out file/a.parquet", "/file is not a folder"),
        ("--batch-size 0", f"--batch-size is 0; {FROM_1}"),
        ("--frames 0", f"--frames is 0; {FROM_1}"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
        ("--device gpu", "--device is 'gpu'; allowed: cpu, cuda, cuda:N"),
        ("--abstain 1.5", "--abstain is 1.5; allowed: 0 to 1"),
        ("--abstain nan", "--abstain is nan; allowed: 0 to 1"),
        ("--features made", "--features made is a folder; name a file"),
        ("--features new/a.parquet", "--features new/a.parquet is also --out; name another file"),
        ("--build file", "--build file is a file, not a folder"),
        ("--build made", "made", "is not empty"),
        ("--keep-human", "--keep-human needs --build FOLDER"),
    ],
    "generate": [
        ("--prompts none.json", "--prompts none.json is not a file"),
        ("--prompts file", "give either a prompt or --prompts FILE"),
        ("--emotion joy", "--emotion: emotion 'joy' is unknown; allowed: amusement, awe"),
        ("--emotion awe=x", "--emotion: emotion 'awe=x' is not of the form awe=0.7,fear=0.3"),
        ("--emotion awe=0", "--emotion: emotion weight 0.0 of 'awe' is not a number above 0"),
        ("--emotion awe@1s,joy@2s", "--emotion: emotion 'joy' is unknown; allowed: amusement, awe"),
        ("--emotion awe@x", "--emotion: emotion 'awe@x' is not of the form sadness@0s,awe@3s"),
        ("--emotion awe@-1s", "-1.0 is not a time in seconds from 0 up"),
        ("--emotion awe@1s,fear@1", "--emotion: emotion 'awe@1s,fear@1' names the time 1 s twice"),
        ("--intensity nan", f"--intensity is nan; {FROM_0}"),
        ("--content-type bad", f"--content-type is 'bad'; {TYPES}"),
        ("--wording poem", f"--wording is 'poem'; {WORDINGS}"),
        ("--image none.png", "--image none.png is not a file"),
        ("--image file", "image file", "Pillow"),
        ("--model nowhere", f"--model 'nowhere' {REPO}"),
        ("--model made", "--model made has no model_index.json"),
        ("--lora file", "--lora file is not a safetensors file"),
        ("--lora made", "--lora made holds no safetensors file"),
        ("--lora no/such/lora", "--lora 'no/such/lora' is not a file or folder, and not a repo"),
        ("--lora me/style:nan", "--lora: weight nan of me/style is not a finite number"),
        ("--lora me/style:heavy", "--lora 'me/style:heavy' is not a file or folder, and not a repo"),
        ("--lora me/a --lora me/a:0.5", "--lora me/a is given twice"),
        ("--emotion-lora me/a", "--emotion-lora me/a is not given by --lora; given: none"),
        ("--lora me/a:0.5 --emotion-lora me/b", "--emotion-lora me/b is not given by --lora; given: me/a"),
        ("--out a.avi", "--out 'a.avi' does not end in .mp4"),
        ("--out file/a.mp4", "--out file is a file, not a folder"),
        ("--size big", "--size: size 'big' is not of the form WIDTHxHEIGHT"),
        ("--size 833x480", "--size: width 833 is not a multiple of 16; the nearest are 832 and 848"),
        ("--frames 16", "--frames: num_frames 16 is not 4k+1; the nearest are 13 and 17"),
        ("--guidance-2 -1", f"--guidance-2 is -1.0; {FROM_0}"),
        ("--model mini --guidance-2 4", "--guidance-2 4.0 is for a base with two transformers, and "),
        ("--frames 0", "--frames: num_frames 0 is not 4k+1"),
        ("--steps 0", f"--steps is 0; {FROM_1}"),
        ("--guidance -1", f"--guidance is -1.0; {FROM_0}"),
        ("--emotion-guidance inf", f"--emotion-guidance is inf; {FROM_0}"),
        ("--seed 9223372036854775808", "--seed is 9223372036854775808; it must be -9223372036854775808.."),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
    ],
    "sticker": [
        ("--out file", "--out file is a file, not a folder"),
        ("--emotion joy", "--emotion: emotion 'joy' is unknown; allowed: all, amusement, awe"),
        ("--emotion awe,", "--emotion: emotion '' is unknown; allowed: all, amusement, awe"),
        ("--format apng", "--format is 'apng'; allowed: webp, gif, mp4"),
        ("--background blur", "--background is 'blur'; allowed: auto, keep, remove"),
        ("--background remove", "the picture holds nothing but its background; keep it instead"),
        ("--tolerance 256", "--tolerance is 256; it must be 0..255"),
        ("--intensity nan", f"--intensity is nan; {FROM_0}"),
        ("--model nowhere", f"--model 'nowhere' {REPO}"),
        ("--model made", "--model made has no model_index.json"),
        ("--lora file", "--lora file is not a safetensors file"),
        ("--lora me/style:nan", "--lora: weight nan of me/style is not a finite number"),
        ("--lora me/a --lora me/a:0.5", "--lora me/a is given twice"),
        ("--emotion-lora me/a", "--emotion-lora me/a is not given by --lora; given: none"),
        ("--wording poem", f"--wording is 'poem'; {WORDINGS}"),
        ("--size 833x480", "--size: width 833 is not a multiple of 16; the nearest are 832 and 848"),
        ("--frames 16", "--frames: num_frames 16 is not 4k+1; the nearest are 13 and 17"),
        ("--steps 0", f"--steps is 0; {FROM_1}"),
        ("--guidance -1", f"--guidance is -1.0; {FROM_0}"),
        ("--emotion-guidance inf", f"--emotion-guidance is inf; {FROM_0}"),
        ("--seed x", "'--seed'", "given 'x'"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
    ],
    "report": [
        ("--videos-root none", "--videos-root none is not a folder"),
        *(
            (f"--{option} made", f"--{option} made is a folder; name a file")
            for option in ("html", "markdown", "latex", "csv", "model-index")
        ),
        ("--system one", "--model-index FILE and --system NAME go together"),
        ("--model-index new", "--model-index FILE and --system NAME go together"),
    ],
    "evaluate": [
        ("--systems none", "--systems none is not a file"),
        ("--systems file", "--base me/wan does not go with SYSTEM and --systems"),
        ("--judge other", "--judge other cannot be loaded: it is of type 'gpt2'"),
        ("--judge me/judge", "--judge me/judge needs SYSTEM or --systems"),
        ("--abstain -0.1", "--abstain is -0.1; allowed: 0 to 1"),
        ("--videos none", "--videos none is not a folder"),
        ("--videos made", "give either --videos FOLDER or --base REPO"),
        ("--intended file", "--intended and --against belong to --videos"),
        ("--against none", "--against none is not a folder"),
        ("--base made", "--base made has no model_index.json"),
        ("--lora file", "--lora file is not a safetensors file"),
        ("--lora me/style:nan", "--lora: weight nan of me/style is not a finite number"),
        ("--lora me/a --lora me/a:0.5", "--lora me/a is given twice"),
        ("--emotion-lora me/a", "--emotion-lora me/a is not given by --lora; given: none"),
        ("--wording poem", f"--wording is 'poem'; {WORDINGS}"),
        ("--protocol own", "--protocol is 'own'; allowed: scenes, paper"),
        ("--protocol paper", "--protocol paper needs --data BUILD"),
        ("--protocol paper --data made", "--data made has no clip in the split 'benchmark'; it has: train"),
        ("--protocol paper --data other", "other is not an EmoVid build: it has no manifest.json"),
        ("--protocol paper --data made --prompts list.json", "--prompts list.json needs --protocol scenes"),
        ("--protocol paper --data made --held-out made", "--held-out made needs --protocol scenes"),
        (
            "--protocol paper --data made --content-type movie",
            "--content-type movie needs --protocol scenes",
        ),
        ("--protocol paper --data made --against made", "--against needs --videos"),
        ("--data nowhere", f"--data 'nowhere' {REPO}"),
        ("--data made", "--data made needs --protocol paper"),
        ("--task v2v", "--task is 'v2v'; allowed: t2v, i2v"),
        ("--task i2v", "--task i2v needs --protocol paper"),
        ("--clip nowhere", f"--clip 'nowhere' {REPO}"),
        ("--clip made", "--clip made cannot be loaded: it has no config.json"),
        ("--clip other", "--clip other cannot be loaded: it is of type 'gpt2', and a CLIP of type 'clip'"),
        ("--clip bare", "--clip bare cannot be loaded: it has no safetensors file"),
        ("--clip me/clip", "--clip me/clip needs --protocol paper"),
        ("--videomae other", "--videomae other cannot be loaded: it is of type 'gpt2', and a VideoMAE"),
        ("--videomae bare", "--videomae bare cannot be loaded: it is of type 'clip'"),
        ("--content-type gif", f"--content-type is 'gif'; {TYPES}"),
        ("--prompts none", "--prompts none is not a file"),
        ("--prompts file", "file, line 1 is not JSON"),
        ("--prompts picture.jsonl", "image", "Pillow"),
        ("--per-emotion 0", f"--per-emotion is 0; {FROM_1}"),
        ("--out file", "--out file is a file, not a folder"),
        ("--annotator other", "--annotator other cannot be loaded: it is of type 'gpt2'"),
        ("--held-out nowhere", f"--held-out 'nowhere' {REPO}"),
        ("--held-out other", "other is not an EmoVid build: it has no manifest.json"),
        ("--held-out moods", f"--held-out moods {OTHERS}"),
        ("--protocol paper --data moods", f"--data moods {OTHERS}"),
        ("--held-out made --split test", "--held-out made has no clip in the split 'test'; it has: train"),
        ("--split dev", f"--split is 'dev'; {SPLITS}"),
        ("--size 8x8", "--size: height 8 is not a multiple of 16"),
        ("--frames 80", "--frames: num_frames 80 is not 4k+1"),
        ("--steps 0", f"--steps is 0; {FROM_1}"),
        ("--guidance nan", f"--guidance is nan; {FROM_0}"),
        ("--emotion-guidance -1", f"--emotion-guidance is -1.0; {FROM_0}"),
        ("--intensity -1", f"--intensity is -1.0; {FROM_0}"),
        ("--seed x", "'--seed'", "given 'x'"),
        ("--batch-size 0", f"--batch-size is 0; {FROM_1}"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
        ("--device gpu", "--device is 'gpu'; allowed: cpu, cuda, cuda:N"),
    ],
    "study analyse": [
        ("--result other", "--result other has no result.json, which emovid evaluate SYSTEM... --out"),
        ("--html made", "--html made is a folder; name a file"),
        ("--latex file/a.tex", "--latex file/a.tex", "/file is not a folder"),
        ("--json", "made is not the folder of a study: it has no study.json"),
    ],
    "push": [
        ("--repo-id x", "--repo-id is 'x'; it must be owner/name"),
        ("--namespace a/b", "--namespace is 'a/b'; it must be the name of a user or organisation"),
        ("--gated yes", "--gated is 'yes'; allowed: auto, manual"),
        ("--revision a..b", "--revision is 'a..b'; it must be a name that git allows"),
        ("--tag v:1", "--tag is 'v:1'; it must be a name that git allows"),
        ("--tag v1 --no-tag", "--tag 'v1' and --no-tag exclude each other"),
        ("--out new", "--out new needs --dry-run; without it the files go to the Hub"),
        ("--dry-run --out made", "--out made is not empty; name a new folder"),
        ("--dry-run --out file", "--out file is a file, not a folder"),
        ("--commit-size many", "--commit-size: size 'many' must be a number with B, KB, MB"),
    ],
    "demo": [
        ("--port 0", "--port is 0; it must be 1..65535"),
        ("--dataset no/such/build", f"--dataset 'no/such/build' {REPO}"),
        ("--annotator other", "--annotator other cannot be loaded: it is of type 'gpt2'"),
        ("--base-t2v made", "--base-t2v made has no model_index.json"),
        ("--base-i2v made", "--base-i2v made has no model_index.json"),
        ("--lora-t2v file", "--lora-t2v file is not a safetensors file"),
        ("--lora-t2v me/style:nan", "--lora-t2v: weight nan of me/style is not a finite number"),
        ("--lora-t2v me/a --lora-t2v me/a:0.5", "--lora-t2v me/a is given twice"),
        ("--lora-i2v me/lora", "--lora-i2v me/lora needs --base-i2v"),
        ("--size big", "--size: size 'big' is not of the form WIDTHxHEIGHT"),
        ("--frames 2", "--frames: num_frames 2 is not 4k+1"),
        ("--steps 0", f"--steps is 0; {FROM_1}"),
        ("--guidance 0.5", "--guidance is 0.5; it must be a number from 1 up"),
        ("--emotion-guidance 0", "--emotion-guidance is 0.0; it must be a number from 1 up"),
    ],
    "train annotator": [
        ("--data nowhere", f"--data 'nowhere' {REPO}"),
        ("--data moods", "--data moods has no clip in the split 'validation'"),
        ("--data other", "other is not an EmoVid build: it has no manifest.json"),
        (
            "--content-type sticker",
            "made has no clip of content type 'sticker' in the split 'validation'",
        ),
        ("--base other", "--base other cannot be loaded: it is of type 'gpt2'"),
        ("--out file", "--out file is a file, not a folder"),
        ("--method half", "--method is 'half'; allowed: lora, full"),
        ("--epochs 0", f"--epochs is 0.0; {ABOVE_0}"),
        ("--batch-size 0", f"--batch-size is 0; {FROM_1}"),
        ("--accumulate 0", f"--accumulate is 0; {FROM_1}"),
        ("--learning-rate nan", f"--learning-rate is nan; {ABOVE_0}"),
        ("--rank 0", f"--rank is 0; {FROM_1}"),
        ("--targets mixed", "--targets is 'mixed'; allowed: auto, hard, soft"),
        ("--patience 0", f"--patience is 0; {FROM_1}"),
        ("--seed -1", f"--seed is -1; {SEED}"),
        ("--content-type gif", f"--content-type is 'gif'; {TYPES}"),
        ("--train-tower", "train_tower needs method full"),
    ],
    "train lora": [
        ("--task v2v", "--task is 'v2v'; allowed: t2v, i2v"),
        ("--data nowhere", f"--data 'nowhere' {REPO}"),
        ("--data moods", f"--data moods {OTHERS}"),
        ("--transformer middle", "--transformer is 'middle'; allowed: high, low, both"),
        ("--split test", "--data made has no clip in the split 'test'; it has: train"),
        ("--base made", "--base made has no model_index.json"),
        ("--out file", "--out file is a file, not a folder"),
        ("--split dev", f"--split is 'dev'; {SPLITS}"),
        ("--content-type gif", f"--content-type is 'gif'; {TYPES}"),
        ("--wording poem", f"--wording is 'poem'; {WORDINGS}"),
        ("--cache file", "--cache file is a file, not a folder"),
        ("--workers 0", f"--workers is 0; {FROM_1}"),
        ("--steps 0", f"--steps is 0; {FROM_1}"),
        ("--batch-size 0", f"--batch-size is 0; {FROM_1}"),
        ("--accumulation 0", f"--accumulation is 0; {FROM_1}"),
        ("--learning-rate 0", f"--learning-rate is 0.0; {ABOVE_0}"),
        ("--warmup -1", "--warmup is -1; it must be at least 0"),
        ("--rank 0", f"--rank is 0; {FROM_1}"),
        ("--alpha 0", f"--alpha is 0.0; {ABOVE_0}"),
        ("--size 832", "--size: size '832' is not of the form WIDTHxHEIGHT"),
        ("--max-frames 80", "--max-frames: num_frames 80 is not 4k+1"),
        ("--min-frames 0", f"--min-frames is 0; {FROM_1}"),
        ("--min-frames 82", "min_frames 82 is not in 1..81"),
        ("--emotion-dropout -0.1", f"--emotion-dropout is -0.1; {FROM_0}"),
        ("--caption-dropout nan", f"--caption-dropout is nan; {FROM_0}"),
        (
            "--text-dropout 1.1",
            "dropout are (0.0, 0.0, 1.1): each must be 0 or more, their sum at most 1",
        ),
        (
            "--text-dropout 0.9 --recipe light",
            "dropout are (0.1, 0.1, 0.9): each must be 0 or more, their sum at most 1",
        ),
        ("--recipe heavy", "--recipe is 'heavy'; allowed: paper, light"),
        ("--modules all", "--modules is 'all'; allowed: attention-ffn, attention"),
        ("--framing middle", "--framing is 'middle'; allowed: prefix, buckets"),
        ("--epochs 0", f"--epochs is 0; {FROM_1}"),
        ("--epochs 2 --steps 5", "steps 5 and epochs 2 exclude each other"),
        ("--max-per-type film=3", "--max-per-type: content type 'film' is unknown; ", TYPES),
        ("--max-per-type movie=0", "--max-per-type: 'movie=0' is not of the form movie=COUNT, once"),
        ("--max-per-type movie=1,movie=2", "--max-per-type: 'movie=2' is not of the form movie=COUNT, once"),
        ("--split benchmark", "--split: split 'benchmark' is set aside for judging"),
        ("--optimizer sgd", "--optimizer is 'sgd'; allowed: auto, adamw, adamw8bit"),
        ("--checkpoint-every 0", f"--checkpoint-every is 0; {FROM_1}"),
        ("--validate-every -1", "--validate-every is -1; it must be at least 0"),
        ("--validate-every 5", "validate_every needs validation_prompts"),
        ("--validation-steps 0", f"--validation-steps is 0; {FROM_1}"),
        ("--export onnx", "--export is 'onnx'; allowed: comfyui"),
        ("--seed 4294967296", f"--seed is 4294967296; {SEED}"),
    ],
}
"""For every command: what is wrong, and the pieces of the line that says so."""

SHARED_OUT = (
    "build",
    "verify",
    "proxy",
    "remove",
    "repair",
    "stats",
    "analyse",
    "cut",
    "annotate",
    "generate",
    "sticker",
    "evaluate",
    "train lora",
)
for _command in SHARED_OUT:
    WRONG[_command] += [
        ("--engine slurm", "--engine is 'slurm'; allowed: processes, serial, ray"),
        ("--ray-address host:6379", "--ray-address host:6379 needs --engine ray"),
        ("--ray-address auto --engine serial", "--ray-address auto needs --engine ray"),
        ("--engine ray --ray-address head", "the Ray address is 'head'; it must be host:port or auto"),
        (
            "--engine ray --ray-address 127.0.0.1:1",
            "no Ray cluster answers at 127.0.0.1:1: Connection refused",
        ),
    ]

for _command in ("protocol paper", "protocol draw"):
    WRONG[_command] = [
        ("--base nowhere", f"--base 'nowhere' {REPO}"),
        ("--base other", "--base other cannot be loaded: it is of type 'gpt2'"),
        ("--out file", "--out file is a file, not a folder"),
        ("--raw none", "--raw none is not a folder"),
        ("--share 0", f"--share is 0.0; {SHARE}"),
        ("--audit-share 2", f"--audit-share is 2.0; {SHARE}"),
        ("--raters 0", f"--raters is 0; {FROM_1}"),
        ("--least 4", "--least is 4; it must be 1..3, the raters"),
        ("--seed -1", f"--seed is -1; {SEED}"),
        ("--method half", "--method is 'half'; allowed: lora, full"),
        ("--epochs 0", f"--epochs is 0.0; {ABOVE_0}"),
        ("--batch-size 0", f"--batch-size is 0; {FROM_1}"),
        ("--learning-rate nan", f"--learning-rate is nan; {ABOVE_0}"),
    ]
for _command in ("agree", "train", "annotate", "audit", "report"):
    WRONG[f"protocol {_command}"] = [
        ("--out file", "--out file is a file, not a folder"),
        ("--out made", "made holds no run of the protocol; it begins with: emovid protocol draw SHEET"),
    ]

ALONE: list[tuple[list[str], str]] = [
    (["build", "file", "--labels", "labels.csv", "--out", "new"], "RAW file is not a folder"),
    (["build", str(MINI), "--labels", "labels.csv"], "--out FOLDER is missing; --check alone writes nothing"),
    (["build", "bare", "--check"], "bare has no folder named after an emotion, such as awe/ or sticker/awe/"),
    (["annotate", "none", "--model", "me/m", "--out", "new/a"], "input none does not exist"),
    (["generate"], "give either a prompt or --prompts FILE"),
    (["generate", " "], "prompt ' ' is empty"),
    (["generate", "--prompts", "list.json", "--emotion", "awe"], "--emotion awe is for a single prompt"),
    (["generate", "--prompts", "list.json", "--out", "new"], "list.json, entry 0: seed is 'x'"),
    (["sticker", "none.png", "--out", "new"], "PICTURE none.png is not a file"),
    (["sticker", "file", "--out", "new"], "picture file is not an image that Pillow reads"),
    (["sticker", "picture.png", "--out", "new", "--prompt", " "], "--prompt: prompt ' ' is empty"),
    (["evaluate"], "give either --videos FOLDER or --base REPO"),
    (["evaluate", "--base", "me/wan"], "--base needs --out FOLDER"),
    (["evaluate", "none", "--out", "new"], "system none is not a folder"),
    (["evaluate", "made", "--out", "new"], "system made: made/intended.csv is not a file"),
    (["evaluate", "made"], "SYSTEM needs --out FOLDER for the result"),
    (["evaluate", "--systems", "file", "--out", "new"], "file is not a mapping of names to systems"),
    (
        ["study", "serve", "blank", "--open-link", "--host", "0.0.0.0"],
        "the consent in blank/texts has blanks to fill in: en: [name]; delete the files of languages that",
    ),
    (["report", "made"], "result.json does not exist; emovid evaluate SYSTEM... --out FOLDER writes one"),
    (["report", "none"], "none"),
    (["evaluate", "--videos", "made", "--lora", "me/lora"], "--lora me/lora needs --base"),
    (
        ["evaluate", "--videos", "made", "--lora", "me/a", "--lora", "me/b", "--emotion-lora", "me/c"],
        "--emotion-lora me/c is not given by --lora; given: me/a, me/b",
    ),
    (["evaluate", "--videos", "made", "--wording", "mood"], "--wording mood needs --base"),
    (["evaluate", "--videos", "made"], "intended.csv is not a file"),
    (["remove", "made"], "nothing is to be removed; give --ids, --where or --source"),
    (["remove", "file", "--source", "x"], "FOLDER file is a file, not a folder"),
    (["remove", "none", "--source", "x"], "none is not an EmoVid build: it has no manifest.json"),
    (["proxy", "file"], "FOLDER file is a file, not a folder"),
    (["proxy", "none"], "none is not an EmoVid build: it has no manifest.json"),
    (["repair", "none"], "none is not an EmoVid build: it has no manifest.json"),
    (["stats", "none"], "none is no folder, no Hub repo"),
    (["analyse", "none"], "none is no folder, no Hub repo"),
    (["label", "none", "--rater", "anna"], "SHEET_OR_BUILD none does not exist"),
    (
        ["label", "labels.csv", "--rater", "anna", "--json"],
        "labels.csv has no clip that can be rated: row 1 ",
    ),
    (["label", "file", "--rater", "anna"], "sheet file must end in .csv, .tsv"),
    (["label", "made", "--rater", "anna", "--raw", "made"], "--raw made is for a sheet; made is a build"),
    (["label", "other", "--rater", "anna"], "other is not an EmoVid build: it has no manifest.json"),
    (["study", "build", "one", "--out", "new"], "a study compares 2 to 26 systems; RESULT has one"),
    (["study", "build", "one", "bare", "--out", "new"], "bare holds neither intended.csv nor result.json"),
    (["study", "serve", "asked"], "nobody could take part: give --rater NAME, --open-link or --prolific"),
    (["study", "serve", "none", "--open-link"], "STUDY none is not a folder"),
    (["study", "serve", "made", "--open-link"], "made is not the folder of a study"),
    (["study", "erase", "r0001", "--study", "asked"], "RATER r0001 is not one of this study's: nobody has"),
    (
        ["generate", "a cat", "--emotion", "awe@0s,fear@9s", "--out", "new/a.mp4"],
        "emotion 'fear' from 9 s is outside the video: the last of its 17 frames is at 1 s",
    ),
    (["study", "analyse", "none"], "STUDY none is not a folder"),
    (["agree", "none.jsonl"], "ANSWERS... none.jsonl is not a file or folder"),
    (["cut", "none.mp4", "--out", "new/sheet.csv"], "film none.mp4 does not exist"),
    (["cut", "bare", "--out", "new/sheet.csv"], "there is no film in bare; endings: "),
    (["protocol", "draw", "none.csv", "--base", "me/m", "--out", "new"], "SHEET none.csv is not a file"),
    (["push", "model", "made", "--repo-id", "me/x"], "KIND is 'model'; allowed: dataset, annotator, lora"),
    (["push", "dataset", "none", "--repo-id", "me/x"], "SOURCE none is not a folder"),
    (
        ["push", "metric", "made", "--repo-id", "me/x", "--purge"],
        "--purge is for a dataset, not for a metric",
    ),
    (["push", "demo", "made", "--repo-id", "me/x", "--gated", "auto"], "gated is for datasets and models"),
]
"""Whole commands, where an argument has no option or is missing."""

ANYTHING = {
    "--prompt": "a text, of which the empty one is tried as a whole command",
    "--negative": "a text",
    "--validation-prompt": "a text",
    "--host": "an address, which the system knows",
    "--base-revision": "a name, which the Hub knows",
}
"""Options that take any text, and why."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file, a build with clips in one split, and a model of another kind."""
    folder = tmp_path_factory.mktemp("arguments")
    (folder / "file").write_text("x", encoding="utf-8")
    (folder / "latin1").write_bytes("für".encode("latin1"))
    (folder / "list.json").write_text('[{"prompt": "a cat", "seed": "x"}]', encoding="utf-8")
    Image.new("RGB", (8, 8), "white").save(folder / "picture.png")
    entry = {"id": "a", "emotion": "awe", "content_type": "movie", "prompt": "a cat", "image": "file"}
    (folder / "picture.jsonl").write_text(json.dumps(entry), encoding="utf-8")
    (folder / "labels.csv").write_text("path,emotion\nsticker/1f602.mp4,amusement\n", encoding="utf-8")
    build(MINI, folder / "labels.csv", folder / "made", engine="serial", ratios=(1, 0, 0))
    (folder / "moods").mkdir()
    manifest = (folder / "made" / "manifest.json").read_text(encoding="utf-8")
    (folder / "moods" / "manifest.json").write_text(manifest.replace('"awe"', '"joy"'), encoding="utf-8")
    (folder / "unclear.json").write_text(
        '{"name": "moods", "labels": [{"name": "unclear", "valence": 0}]}', encoding="utf-8"
    )
    for system in ("one", "two"):
        (folder / system).mkdir()
        for row in range(4):
            (folder / system / f"{row}.mp4").write_bytes(b"x")
        rows = "".join(f"{row}.mp4,awe,a cat,{row}\n" for row in range(4))
        (folder / system / "intended.csv").write_text(f"file,emotion,prompt,seed\n{rows}", encoding="utf-8")
    (folder / "asked" / "texts").mkdir(parents=True)
    videos = {"one": "v00001", "two": "v00002"}
    scene = {"id": "s0001", "prompt": "a cat", "emotion": "awe", "seed": 0, "videos": videos}
    plan = {"format": 1, "systems": ["one", "two"], "scenes": [scene], "practice": [], "left_out": []}
    (folder / "asked" / "study.json").write_text(
        json.dumps({**plan, "questions": ["emotion"], "per_rater": 1, "checks": 1}, allow_nan=False), "utf-8"
    )
    words = Path(__file__).parents[2] / "emovid_models" / "study" / "texts" / "en.json"
    (folder / "asked" / "texts" / "en.json").write_bytes(words.read_bytes())
    (folder / "asked" / "texts" / "consent.en.txt").write_text("I agree.", encoding="utf-8")
    shutil.copytree(folder / "asked", folder / "blank")
    (folder / "blank" / "texts" / "consent.en.txt").write_text("I agree, [name].", encoding="utf-8")
    (folder / "bare").mkdir()
    (folder / "bare" / "config.json").write_text('{"model_type": "clip"}', encoding="utf-8")
    (folder / "other").mkdir()
    (folder / "other" / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    return folder


def cases() -> Iterator[tuple[list[str], Sequence[str]]]:
    for command, wrong in WRONG.items():
        right = [str(MINI) if word == "RAW" else word for word in RIGHT[command]]
        for more, *says in wrong:
            yield [*command.split(), *right, *more.split()], says
    yield from ((arguments, [says]) for arguments, says in ALONE)


def test_wrong_arguments_are_one_line_each_before_anything_heavy(place: Path) -> None:
    before = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
    table = list(cases())
    told = run_all([words for words, _ in table], heavy=HEAVY, cwd=place)
    wrong = []
    for (arguments, says), (code, out, err, loaded) in zip(table, told, strict=True):
        one_line = len(err.splitlines()) == 1 and err.startswith("emovid: ")
        if (code, out) != (2, "") or not one_line or loaded or not all(part in err for part in says):
            wrong.append((arguments, code, out, err, loaded))
    assert wrong == []
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*")) == before, "something was made"


def test_every_option_that_takes_a_value_is_tried() -> None:
    untried = []
    for name, command in _commands(typer.main.get_command(program())):
        tried = {words.split()[0] for words, *_ in WRONG[name]}
        for param in command.params:
            if param.param_type_name == "option" and not getattr(param, "is_flag", False):
                option = max(param.opts, key=len)
                if option not in tried and option not in ANYTHING:
                    untried.append(f"{name} {option}")
    assert untried == []


def _commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def test_a_device_that_is_not_here_is_refused_before_a_model_is_loaded(place: Path) -> None:
    folder = place.parent / "annotator"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "nvila_lite"}', encoding="utf-8")
    commands = [
        ["annotate", "made", "--model", str(folder), "--out", "a.parquet"],
        ["evaluate", "--base", "me/wan", "--annotator", str(folder), "--out", "scores"],
    ]
    loaders = (".annotator.loading", ".modeling_nvila")
    told = run_all([[*command, "--device", "cuda:99"] for command in commands], heavy=loaders, cwd=place)
    for command, (code, out, err, loaded) in zip(commands, told, strict=True):
        assert (code, out, loaded) == (2, "", []), command
        assert err.startswith("emovid: --device cuda:99 cannot be used here: ") and err.count("\n") == 1
