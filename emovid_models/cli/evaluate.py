"""The command `emovid evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from emovid_dataset.cli.arguments import (
    Engine,
    RayAddress,
    chosen_executor,
    existing_file,
    existing_folder,
    new_folder,
    number,
    one_of,
    whole,
)
from emovid_dataset.cli.errors import need
from emovid_dataset.cli.sizes import parse_frame_size
from emovid_dataset.schema.clip import CONTENT_TYPES, SPLITS
from emovid_dataset.store import joined
from emovid_models.cli.arguments import (
    MINI,
    annotator_source,
    annotator_taxonomy,
    base_folder,
    base_source,
    build_source,
    check_annotator,
    check_build,
    check_device,
    check_knows_the_eight,
    clip_source,
    device_name,
    frame_size,
    noise_seed,
    parse_loras,
    videomae_source,
    weighted_lora_source,
)
from emovid_models.cli.evaluate_scenes import judge_scenes
from emovid_models.cli.evaluate_systems import SystemOptions, evaluate_systems, refuse_others
from emovid_models.cli.evaluated import (
    DEFAULTS,
    MINI_DEFAULTS,
    ComparedLoras,
    asked_wording,
    frames_of_base,
    generate_models,
    hashes,
)
from emovid_models.cli.options import (
    Abstain,
    EmotionLora,
    Frames,
    Guidance,
    Judges,
    Steps,
    Systems,
    SystemsFile,
    Wording,
    Workers,
)

if TYPE_CHECKING:
    from emovid_models.evaluation import Prompt

PROTOCOLS = ("scenes", "paper")
TASKS = ("t2v", "i2v")


def register(app: typer.Typer) -> None:
    """Add the command.

    Args:
        app: gets ``evaluate``.
    """
    app.command(
        "evaluate",
        epilog="Examples: emovid evaluate --videos out/ --intended intended.csv --annotator REPO; "
        "emovid evaluate --base REPO --lora REPO --content-type sticker --out scores/; "
        "emovid evaluate --protocol paper --data BUILD --base REPO --lora REPO --clip REPO --videomae REPO "
        "--out scores/; "
        "emovid evaluate out/one out/two out/three --held-out BUILD --out scores/",
    )(evaluate)


def evaluate(
    systems: Systems = None,
    systems_file: SystemsFile = None,
    judge: Judges = None,
    videos: Annotated[
        str | None, typer.Option(help="Folder of videos, by any generator.", callback=existing_folder)
    ] = None,
    intended: Annotated[
        str | None,
        typer.Option(help="CSV with file, emotion, and perhaps prompt, seed; by default intended.csv there."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="With --videos: another model's videos for the same table, as the base.",
            callback=existing_folder,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Generate with this base: a folder, a Hub repo, or mini.", callback=base_source),
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            help="With --base: a LoRA to compare with the base, perhaps with a weight: style:0.8; may be "
            "repeated. Of several, the emotion's is compared; the others are on both.",
            callback=weighted_lora_source,
        ),
    ] = None,
    emotion_lora: EmotionLora = None,
    wording: Wording = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="scenes: the same scenes for all eight emotions, which none of them names. paper: the clips "
            "of --data's benchmark, each with its own emotion, and the paper's six columns; with --out and "
            "neither --base nor --videos only the prompts and first frames are written.",
            callback=one_of(PROTOCOLS),
        ),
    ] = "scenes",
    data: Annotated[
        str | None,
        typer.Option(help="With --protocol paper: a build with a benchmark split.", callback=build_source),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="With --protocol paper: t2v, or i2v from the clips' first frames.",
            show_default="t2v",
            callback=one_of(TASKS),
        ),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help="With --protocol paper: a CLIP for CLIP score and first-frame consistency, such as "
            "openai/clip-vit-base-patch32; with SYSTEM for prompt match.",
            callback=clip_source,
        ),
    ] = None,
    videomae: Annotated[
        str | None,
        typer.Option(
            help="With --protocol paper or SYSTEM: a VideoMAE for FVD, such as MCG-NJU/videomae-base.",
            callback=videomae_source,
        ),
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option(
            help="Whose prompts: cartoon, movie or sticker.",
            show_default="sticker",
            callback=one_of(CONTENT_TYPES),
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            help="Own prompts: JSON Lines or a JSON list of objects with id, emotion, content_type, prompt, "
            "and perhaps image, seed.",
            callback=existing_file,
        ),
    ] = None,
    per_emotion: Annotated[
        int | None, typer.Option(help="Only this many prompts of each emotion.", callback=whole(1))
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder of what is generated and judged; with --videos by default VIDEOS/judged.",
            callback=new_folder,
        ),
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option(
            help="Who judges: a folder, a Hub repo, or mini, the one that ships.",
            show_default="the miniature annotator",
            callback=annotator_source,
        ),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(
            help="A build with real clips that the annotator never saw: what it can reach at all.",
            callback=build_source,
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of --held-out.", callback=one_of(SPLITS))] = "test",
    size: Annotated[
        str | None,
        typer.Option(help="WIDTHxHEIGHT of videos; 832x480 if not given, mini: 64x64.", callback=frame_size),
    ] = None,
    frames: Frames = None,
    steps: Steps = None,
    guidance: Guidance = None,
    emotion_guidance: Annotated[
        float | None,
        typer.Option(help="Guidance by the emotion; as --guidance if not given.", callback=number(0)),
    ] = None,
    intensity: Annotated[
        float, typer.Option(help="Of the emotion, for base and LoRA.", callback=number(0))
    ] = 1.0,
    negative: Annotated[str | None, typer.Option(help="What the videos must not show.")] = None,
    seed: Annotated[
        int, typer.Option(help="Of the first scene; the next scene has the next one.", callback=noise_seed)
    ] = 0,
    offload: Annotated[bool, typer.Option("--offload", help="Less GPU memory, more time.")] = False,
    abstain: Abstain = None,
    batch_size: Annotated[
        int, typer.Option(help="Videos that the annotator sees at once.", callback=whole(1))
    ] = 8,
    workers: Workers = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    device: Annotated[
        str | None, typer.Option(help="Of the annotator; by default cuda if any.", callback=device_name)
    ] = None,
    allow_rejected: Annotated[
        bool,
        typer.Option(help="Exit 0 although videos are missing or cannot be judged; they count as wrong."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Score a generator: how often its videos show the emotion that was asked for (EA-8cls).

    Judges a folder of videos, or generates the videos of the protocol's prompts and judges those; with SYSTEM
    any number of them side by side, by any number of judges, into one result for emovid report. Videos that
    were made or judged already are not made or judged again.
    """
    runner = chosen_executor(engine, workers, ray_address)
    if systems or systems_file is not None:
        refuse_others(
            {
                "videos": videos,
                "intended": intended,
                "against": against,
                "base": base,
                "lora": lora,
                "emotion-lora": emotion_lora,
                "protocol": protocol if protocol != "scenes" else None,
                "data": data,
                "task": task,
                "abstain": abstain,
            }
        )
        evaluate_systems(
            SystemOptions(
                named=tuple(systems or ()),
                file=systems_file,
                judges=(*([] if annotator is None else [annotator]), *(judge or ())),
                out=out,
                held_out=held_out,
                split=split,
                content_type=content_type,
                prompts=prompts,
                per_emotion=per_emotion,
                settings={
                    "size": size,
                    "frames": frames,
                    "steps": steps,
                    "guidance": guidance,
                    "emotion_guidance": emotion_guidance,
                    "intensity": intensity,
                    "negative": negative,
                    "wording": wording,
                },
                seed=seed,
                offload=offload,
                batch_size=batch_size,
                clip=clip,
                videomae=videomae,
                engine=runner,
                device=device,
                allow_rejected=allow_rejected,
                as_json=as_json,
            )
        )
        return
    if judge:
        raise ValueError(f"--judge {' '.join(judge)} needs SYSTEM or --systems; of two it is --annotator")
    defaults = MINI_DEFAULTS if base == MINI else DEFAULTS
    size, steps = size or defaults["size"], steps or defaults["steps"]
    frames = defaults["frames"] if frames is None else frames
    guidance = defaults["guidance"] if guidance is None else guidance
    emotion_guidance = defaults["emotion_guidance"] if emotion_guidance is None else emotion_guidance
    from emovid_models import evaluation
    from emovid_models.wan.generate import check_orders

    loras = ComparedLoras(parse_loras(lora, emotion_lora), emotion_lora)
    prompts_alone = protocol == "paper" and out is not None and videos is None and base is None
    if (videos is None) == (base is None) and not prompts_alone:
        raise ValueError("give either --videos FOLDER or --base REPO")
    if protocol == "paper":
        said = {"intended": intended, "prompts": prompts, "content-type": content_type, "held-out": held_out}
        for option, value in said.items():
            if value is not None:
                raise ValueError(f"--{option} {value} needs --protocol scenes; here the benchmark says it")
        if data is None:
            raise ValueError("--protocol paper needs --data BUILD, whose benchmark says what is asked for")
        if wording is not None and base is None:
            raise ValueError(f"--wording {wording} needs --base")
        if (lora and base is None) or (against is not None and videos is None):
            raise ValueError("--lora needs --base, and --against needs --videos")
        from emovid_models.cli.evaluate_paper import PaperOptions, evaluate_paper

        evaluate_paper(
            PaperOptions(
                data=data,
                task="i2v" if task == "i2v" else "t2v",
                base=None if base is None else base_folder(base, image_to_video=task == "i2v"),
                loras=loras,
                wording=wording,
                videos=videos,
                against=against,
                out=out,
                per_emotion=per_emotion,
                annotator=annotator,
                clip=clip,
                videomae=videomae,
                size=size,
                frames=frames,
                steps=steps,
                guidance=guidance,
                emotion_guidance=emotion_guidance,
                intensity=intensity,
                negative=negative,
                seed=seed,
                offload=offload,
                batch_size=batch_size,
                abstain=abstain,
                engine=runner,
                device=device,
                allow_rejected=allow_rejected,
                as_json=as_json,
            )
        )
        return
    for option, value in {"data": data, "task": task, "clip": clip, "videomae": videomae}.items():
        if value is not None:
            raise ValueError(f"--{option} {value} needs --protocol paper")
    wanted: list[Prompt] = []
    if base is None:
        for name, given in (
            ("lora", " --lora ".join(lora) if lora else None),
            ("wording", wording),
            ("prompts", prompts),
            ("per-emotion", per_emotion),
        ):
            if given is not None:
                raise ValueError(f"--{name} {given} needs --base")
        assert videos is not None
        table = joined(videos, evaluation.INTENDED_NAME) if intended is None else intended
        evaluation.read_intended(table, annotator_taxonomy(annotator))
        out = joined(videos, "judged") if out is None else out
    else:
        if intended is not None or against is not None:
            raise ValueError("--intended and --against belong to --videos; with --base the prompts say it")
        if out is None:
            raise ValueError("--base needs --out FOLDER for what is generated")
        wanted = (
            evaluation.load_prompts(content_type or "sticker")
            if prompts is None
            else evaluation.read_prompts(prompts)
        )
        if per_emotion is not None:
            wanted = evaluation.take_per_emotion(wanted, per_emotion)
        base = base_folder(base, image_to_video=wanted[0].image is not None)
        orders = evaluation.plan_orders(wanted, seed=seed, intensity=intensity)
        check_orders(orders, *parse_frame_size(size))
        check_knows_the_eight(annotator, f"--base {base}")
    if held_out is not None:
        check_build("--held-out", held_out, (split,), taxonomy=annotator_taxonomy(annotator))
    need("models", "transformers", "safetensors", "evaluate")
    check_device(device)
    if annotator is not None:
        check_annotator("--annotator", annotator)

    generated: dict[str, Any] | None = None
    if base is None:
        assert videos is not None
        folders = {} if against is None else {"base": against}
        folders["videos"] = videos
        tables = dict.fromkeys(folders, table)
        tasks = ["t2v", "i2v"]
    else:
        frames = frames or frames_of_base(base)
        folders = generate_models(
            base,
            loras,
            wanted,
            out,
            wording=wording,
            size=size,
            seed=seed,
            intensity=intensity,
            offload=offload,
            engine=runner,
            progress=not as_json,
            num_frames=frames,
            num_inference_steps=steps,
            guidance_scale=guidance,
            emotion_guidance_scale=emotion_guidance,
            negative_prompt=negative,
        )
        tables = {name: joined(folder, evaluation.INTENDED_NAME) for name, folder in folders.items()}
        tasks = ["t2v" if wanted[0].image is None else "i2v"]
        generated = {
            "task": tasks[0],
            "weights": {
                "base": hashes(base, "**/*.safetensors"),
                "lora": loras.hashes(),
            },
            "settings": {
                "size": size,
                "num_frames": frames,
                "steps": steps,
                "guidance_scale": guidance,
                "emotion_guidance_scale": guidance if emotion_guidance is None else emotion_guidance,
                "negative_prompt": negative,
                "intensity": intensity,
                "wording": asked_wording(base, loras, wording),
                **loras.settings(),
                "seed": seed,
                "content_types": sorted({prompt.content_type for prompt in wanted}),
                "own_prompts": prompts is not None,
            },
        }

    judge_scenes(
        folders,
        tables,
        tasks,
        out=out,
        videos_out=out if base is None else None,
        generated=generated,
        annotator=annotator,
        held_out=held_out,
        split=split,
        abstain=abstain,
        batch_size=batch_size,
        device=device,
        engine=runner,
        allow_rejected=allow_rejected,
        as_json=as_json,
    )
