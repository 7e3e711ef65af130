"""Join labels and prepared clips: a row that was prepared becomes a clip, unless another has its content."""

from __future__ import annotations

import json

from emovid_dataset.builder.laid import Laid
from emovid_dataset.builder.plan import Plan
from emovid_dataset.builder.prepare import Prepared
from emovid_dataset.builder.sheet import Label, Rejection, printable
from emovid_dataset.report.problems import ProblemClip
from emovid_dataset.schema.clip import Clip
from emovid_dataset.schema.no_emotion import NO_EMOTION, ClipWithoutEmotion
from emovid_dataset.schema.taxonomy import Taxonomy

_CROP = "crop_bars"
"""Where a clip's `extra` says what was taken from the sides of its film's pictures."""


def join_clips(plan: Plan) -> list[tuple[ProblemClip, str]]:
    """Put labels and prepared clips together; the same source twice is one clip.

    Args:
        plan: in a transaction; it holds the labels and what was prepared, and gets the clips and refusals.

    Returns:
        The clips that are refused because their content has two emotions, and why.
    """
    contested: list[tuple[ProblemClip, str]] = []
    unsure: dict[int, str] = {}
    for label, record in plan.joined():

        def refuse(reason: str, label: Label = label) -> None:
            plan.reject(Rejection(label.row, printable(label.path), printable(reason)))

        if record is None or record["refused"] is not None:
            refuse("was not prepared" if record is None else record["refused"])
            continue
        prepared = Prepared(**record["clip"])
        clip = clip_of(label, prepared, plan.taxonomy)
        try:
            type(clip).from_mapping(
                clip.to_mapping(plan.features), features=plan.features, taxonomy=plan.taxonomy
            )
        except ValueError as error:  # such as a frame rate beyond all sense
            twin = plan.row_of(clip)
            refuse(str(error) if twin is None else _same_content(twin))
            continue
        video = label.path if prepared.verbatim else prepared.staged_name()
        twin = plan.add_clip(label.row, Laid(clip, prepared.size, video, prepared.verbatim), label.split)
        if twin is not None:
            conflict = _conflict(label, other := plan.label_at(twin), plan.taxonomy)
            refuse(_same_content(twin) + conflict)
            if conflict and twin not in unsure:
                unsure[twin] = _same_content(label.row) + _conflict(other, label, plan.taxonomy)
            if label.emotion != other.emotion:
                named = ProblemClip(clip.id, label.row, printable(label.path))
                contested.append((named, _same_content(twin) + conflict))
    for row, reason in unsure.items():
        plan.drop_clip(row)
        plan.reject(Rejection(row, printable(plan.label_at(row).path), printable(reason)))
    return contested


def _conflict(label: Label, other: Label, taxonomy: Taxonomy) -> str:
    """How the labels of one content differ, if they do: nobody can say which is right."""
    names = (*taxonomy.names, NO_EMOTION)  # None is the last one
    said = [(names[-1 if one.emotion is None else one.emotion], one.split) for one in (label, other)]
    if said[0][0] != said[1][0]:
        return f", which is labelled {said[1][0]}, not {said[0][0]}; neither is taken"
    if None not in (said[0][1], said[1][1]) and said[0][1] != said[1][1]:
        return f", which is in {said[1][1]}, not {said[0][1]}; neither is taken"
    return ""


def _same_content(row: int) -> str:
    return f"has the same content as row {row}"


def clip_of(label: Label, prepared: Prepared, taxonomy: Taxonomy) -> Clip | ClipWithoutEmotion:
    """The clip of a row.

    Args:
        label: the row.
        prepared: what was made of it.
        taxonomy: of the build.
    """
    whole = label.start is None
    start, end = (label.start, label.end) if prepared.cut is None else prepared.cut
    clip = Clip(
        id=prepared.id,
        content_type=label.content_type,
        emotion=taxonomy.names[label.emotion or 0],
        valence=taxonomy.valences[label.emotion or 0],
        emotion_source=label.emotion_source,
        emotion_scores=label.emotion_scores,
        caption=label.caption,
        brightness=prepared.brightness,
        colorfulness=prepared.colorfulness,
        hue=prepared.hue,
        luma=prepared.luma,
        colorfulness_m3=prepared.colorfulness_m3,
        hue_chroma=prepared.hue_chroma,
        width=prepared.width,
        height=prepared.height,
        fps=prepared.fps,
        num_frames=prepared.num_frames,
        duration=prepared.duration,
        has_audio=prepared.has_audio,
        source=label.source or label.path,
        # segments of one film stay together unless the sheet says which of them belong together
        group=label.group or (prepared.id if whole else label.path),
        license=label.license,
        start=start,
        end=end,
        sha256=prepared.sha256,
        raters=label.raters,
        votes=label.votes,
        agreement=label.agreement,
        color="; ".join(filter(None, (label.color, prepared.color))) or None,
        extra=_with_crop(label.extra, label.crop_bars),
        kept=label.kept or {},
        taxonomy=taxonomy,
    )
    return ClipWithoutEmotion.of(clip) if label.emotion is None else clip


def _with_crop(extra: str | None, crop: str | None) -> str | None:
    if crop is None:
        return extra
    held = {**json.loads(extra or "{}"), _CROP: crop}
    return json.dumps(held, ensure_ascii=False, allow_nan=False)


def crop_of(extra: str | None) -> str | None:
    """What was taken from the sides of a clip's film's pictures, as its `extra` says; None for nothing."""
    crop = json.loads(extra or "{}").get(_CROP)
    return crop if isinstance(crop, str) else None
