"""Emotion guidance: what our Wan2.1 pipelines add to the stock ones.

With a prompt, the same prompt with its emotion, and the negative prompt, a step predicts

    uncond + g * (prompt - uncond) + e * (emotional - prompt)

where g is `guidance_scale` and e is `intensity` times `emotion_guidance_scale`. Each of several emotions has
a prediction of its own, and `emotional` is their weighted mean: with the same weights for all latent frames
(a blend) or with weights for each latent frame (emotions over time). All branches go through the transformer
in one batched call. At e = g the plain prompt cancels out and is left away: that is the stock pipeline's
guidance with the emotional text. Part of the pipelines' remote code.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from diffusers.pipelines.wan.pipeline_wan import prompt_clean

from .adapters import EmotionAdapters
from .conditioning import check_intensity, check_wording, conditioning_text, fit_caption
from .inputs import check_frames, check_image, check_prompt, check_size, check_vae, is_out_of_memory
from .over_time import EmotionOverTime, frame_rate_of, read_emotion


def combine(
    uncond: torch.Tensor | None,
    prompt: torch.Tensor | None,
    emotional: Sequence[torch.Tensor],
    weights: Sequence[float | torch.Tensor],
    guidance_scale: float,
    emotion_scale: float,
) -> torch.Tensor:
    """Combine the branches of one step into the guided prediction.

    Args:
        uncond: prediction for the negative prompt, or None for no guidance by the prompt.
        prompt: prediction for the prompt, or None where it cancels out (`emotion_scale` equal to
            `guidance_scale`, or to 1 without `uncond`).
        emotional: a prediction for the prompt with each emotion, all of one shape.
        weights: of each emotion one number, or a tensor that broadcasts to a prediction; sum 1.
        guidance_scale: g of the formula, used with `uncond` only.
        emotion_scale: e of the formula.

    Returns:
        The prediction, of the same shape.

    >>> uncond, prompt, awe = (torch.tensor([value]) for value in (1.0, 2.0, 4.0))
    >>> combine(uncond, prompt, [awe], [1.0], guidance_scale=5.0, emotion_scale=2.0)
    tensor([10.])
    """
    blend = emotional[0]
    if len(emotional) > 1:
        blend = torch.stack([w * x for w, x in zip(weights, emotional, strict=True)]).sum(0)
    text = blend if prompt is None else prompt
    guided = text if uncond is None else uncond + guidance_scale * (text - uncond)
    return guided if prompt is None else guided + emotion_scale * (blend - prompt)


@dataclass(frozen=True, slots=True)
class _Request:
    """What a call asks for, and how strongly.

    The stock loop itself carries the prompts with the first emotion, so that a callback sees and changes what
    it would in the stock pipeline with that text.

    Attributes:
        plain: the prompts without an emotion.
        others: the prompts with each emotion after the first.
        weights: of each emotion one number, or one for each latent frame; sum 1.
        intensity: as asked.
        scale: e of the formula at intensity 1, or None for that of the guidance.
    """

    plain: list[str]
    others: tuple[list[str], ...]
    weights: tuple[float | tuple[float, ...], ...]
    intensity: float
    scale: float | None


@dataclass(frozen=True, slots=True)
class _Embeddings:
    """The encoded texts that the stock loop does not carry."""

    plain: torch.Tensor
    others: tuple[torch.Tensor, ...]
    negative: torch.Tensor | None


class EmotionConditioning(EmotionAdapters):
    """Adds `emotion`, `intensity` and emotion guidance to a Wan pipeline; stands before it among the bases.

    The stock `__call__` runs unchanged. Two forward hooks around the transformer turn its one prediction a
    step into the guided one, so that offload, schedulers, caches and callbacks stay the stock pipeline's.
    """

    _request: _Request | None = None
    _embeddings: _Embeddings | None = None

    @torch.no_grad()
    def __call__(
        self,
        *args: Any,
        emotion: str | int | Mapping[str, float] | Mapping[float, str] | None = None,
        intensity: float = 1.0,
        content_type: str | None = None,
        emotion_guidance_scale: float | None = None,
        wording: str | None = None,
        emotion_adapter: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Generate a video, with an emotion if one is named.

        Args:
            *args: as for the stock pipeline.
            emotion: one of the eight emotions, or a blend such as ``{"awe": 0.7, "fear": 0.3}``, or emotions
                over time such as ``{0: "sadness", 3.0: "awe"}``: each holds from its second of the video
                (16 frames; 24 of Wan2.2 TI2V) to that of the next, and the first also before its own. None
                is the stock pipeline's call.
            intensity: 0 is the base model's output, 1 the emotion as trained, more is more. It is the weight
                of the emotion LoRA up to 1, and it multiplies the emotion guidance. LoRAs of styles and
                characters keep their weight.
            content_type: "cartoon", "movie" or "sticker" to name the style where the wording does, or None.
            emotion_guidance_scale: e of the formula at intensity 1; None for `guidance_scale`.
            wording: "paper" or "mood", see `conditioning_text`; None for that of the emotion LoRA, and
                "paper" without one.
            emotion_adapter: name of the LoRA that the intensity moves, or names; None for the one that was
                trained with this project.
            **kwargs: as for the stock pipeline, all of its arguments. With an emotion a callback sees and
                changes the embeddings of the prompt with it; with several those of the first emotion, and
                others that it returns stand for all of them.

        Returns:
            What the stock pipeline returns.

        Raises:
            ValueError: an emotion, a time, prompt, size, number of frames, image, VAE or wording that does
                not work; LoRAs that disagree on the wording; two emotion LoRAs, none of them named.
            torch.OutOfMemoryError: memory ran out; the message says which settings to lower.
        """
        stock: Any = super()
        call = inspect.signature(stock.__call__).bind(*args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        self._check(given)
        check_intensity(intensity)
        weights = self._weights(emotion, given["num_frames"])
        scale = emotion_guidance_scale
        if scale is not None and not scale >= 0:
            raise ValueError(f"emotion_guidance_scale {scale!r} is not a number from 0 up")
        moved: tuple[str, ...] = ()
        if weights or intensity != 1 or emotion_adapter is not None:
            moved = self._emotion_of(emotion_adapter, intensity)
        if wording is not None:
            check_wording(wording)

        if weights or content_type is not None:
            if given["prompt"] is None:
                raise ValueError("emotion and content_type need prompt as text, not prompt_embeds alone")
            several = isinstance(given["prompt"], list)
            prompts = given["prompt"] if several else [given["prompt"]]
            say = partial(
                conditioning_text,
                content_type=content_type,
                intensity=intensity,
                wording=self.wording_of(wording),
            )
            prompts = [self._fitted(text, say, weights, given["max_sequence_length"]) for text in prompts]
            plain = [say(text) for text in prompts]
            shown = plain
            if intensity > 0 and weights:
                shown, *others = ([say(text, name) for text in prompts] for name in weights)
                self._request = _Request(plain, tuple(others), tuple(weights.values()), intensity, scale)
                if given["callback_on_step_end"] is not None:
                    self._follow_callback(given)
            given["prompt"] = shown if several else shown[0]
        try:
            with self._adapter_weight(moved, min(intensity, 1.0)), self._one_call_a_step():
                return stock.__call__(**given)
        except Exception as error:
            if is_out_of_memory(error):
                size = f"{given['width']}x{given['height']} and {given['num_frames']} frames"
                raise torch.OutOfMemoryError(
                    f"out of memory at {size}: lower num_frames or height and width, or call "
                    "enable_model_cpu_offload() and vae.enable_tiling()"
                ) from error
            raise
        finally:
            self._request = self._embeddings = None

    def _weights(
        self, emotion: str | int | Mapping[Any, Any] | None, num_frames: int
    ) -> Mapping[str, float | tuple[float, ...]]:
        """The emotions that are asked for, each with its weight, or with one for each latent frame."""
        asked = read_emotion(emotion)
        if not isinstance(asked, EmotionOverTime):
            return asked or {}
        pipeline: Any = self
        rate = frame_rate_of(pipeline.config)
        asked.check(num_frames, rate)
        weights = asked.latent_weights(num_frames, rate, pipeline.vae_scale_factor_temporal)
        return dict(zip(asked.names, weights, strict=True))

    def _fitted(self, text: str, say: Callable[..., str], emotions: Iterable[str], limit: int) -> str:
        """The prompt, shortened where it would push the sentences after it out of the text encoder."""
        tokenizer = self.tokenizer  # type: ignore[attr-defined]

        def tokens_of(whole: str) -> int:
            return len(tokenizer(prompt_clean(whole), verbose=False).input_ids)

        def texts_of(shown: str) -> Iterator[str]:
            yield from (say(shown), *(say(shown, name) for name in emotions))

        if tokenizer is None or list(texts_of(text)) == [text]:
            return text
        fitted = fit_caption(text, texts_of, tokens_of, limit)
        if fitted != text:
            warnings.warn(
                f"the prompt is cut after {fitted[-30:]!r}: the text encoder takes {limit} tokens, and what "
                "names the emotion or the style stands after it",
                stacklevel=4,
            )
        return fitted

    def _check(self, given: Mapping[str, Any]) -> None:
        pipeline: Any = self
        check_vae(pipeline.vae.config)
        check_prompt(given["prompt"])
        check_frames(given["num_frames"], pipeline.vae_scale_factor_temporal)
        transformer = pipeline.transformer if pipeline.transformer is not None else pipeline.transformer_2
        patch = max(transformer.config.patch_size[1:])
        check_size(given["height"], given["width"], max(16, pipeline.vae_scale_factor_spatial * patch))
        for name in ("image", "last_image"):
            if given.get(name) is not None:
                check_image(given[name], given["height"], given["width"], name=name)

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the stock loop runs the negative prompt itself; not where it is one of our branches."""
        return self._embeddings is None and super().do_classifier_free_guidance  # type: ignore[misc]

    def encode_prompt(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encode the prompts as the stock pipeline does, and beside them those that its loop does not carry.

        Args:
            *args: as for the stock pipeline.
            **kwargs: as for the stock pipeline.

        Returns:
            Embeddings [B, L, D] of the prompts and, with guidance, of the negative prompts.
        """
        encode = super().encode_prompt  # type: ignore[misc]
        prompt_embeds, negative_embeds = encode(*args, **kwargs)
        if self._request is not None:
            options = ("num_videos_per_prompt", "max_sequence_length", "device", "dtype")
            same = {name: kwargs[name] for name in options if name in kwargs}
            plain, *others = (
                encode(prompt=texts, do_classifier_free_guidance=False, **same)[0]
                for texts in (self._request.plain, *self._request.others)
            )
            self._embeddings = _Embeddings(plain, tuple(others), negative_embeds)
        return prompt_embeds, negative_embeds

    def _scales(self, module: torch.nn.Module) -> tuple[float, float]:
        """g and e of the formula at this step; read each time, since callbacks may change the guidance."""
        assert self._request is not None
        pipeline: Any = self
        guidance = pipeline._guidance_scale
        if module is getattr(pipeline, "transformer_2", None) and pipeline._guidance_scale_2 is not None:
            guidance = pipeline._guidance_scale_2
        guidance = max(guidance, 1.0)
        scale = guidance if self._request.scale is None else self._request.scale
        return guidance, self._request.intensity * scale

    def _join_branches(
        self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._embeddings is None:
            return None
        guidance, scale = self._scales(module)
        text = kwargs["encoder_hidden_states"]
        plain = [self._embeddings.plain] if scale != guidance else []
        texts = [*plain, text, *self._embeddings.others]
        if guidance > 1 and self._embeddings.negative is not None:
            texts.insert(0, self._embeddings.negative)
        joined = dict(kwargs)
        joined["encoder_hidden_states"] = torch.cat([branch.to(text) for branch in texts])
        for name in ("hidden_states", "timestep", "encoder_hidden_states_image"):
            if kwargs.get(name) is not None:
                joined[name] = torch.cat([kwargs[name]] * len(texts))
        return args, joined

    def _split_branches(
        self, module: torch.nn.Module, args: tuple[Any, ...], output: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        if self._embeddings is None or self._request is None:
            return None
        guidance, scale = self._scales(module)
        has_uncond = guidance > 1 and self._embeddings.negative is not None
        has_prompt = scale != guidance
        branches = list(output[0].chunk(has_uncond + has_prompt + 1 + len(self._embeddings.others)))
        uncond = branches.pop(0) if has_uncond else None
        prompt = branches.pop(0) if has_prompt else None
        # What a callback gave in the place of a blend stands for all of it.
        weights = self._request.weights if self._embeddings.others else (1.0,)
        shaped: list[float | torch.Tensor] = [
            branches[0].new_tensor(weight)[:, None, None] if isinstance(weight, tuple) else weight
            for weight in weights
        ]
        return (combine(uncond, prompt, branches, shaped, guidance, scale),)

    @contextmanager
    def _one_call_a_step(self) -> Iterator[None]:
        hooks = []
        if self._request is not None:
            for name in ("transformer", "transformer_2"):
                module = getattr(self, name, None)
                if module is not None:
                    hooks.append(module.register_forward_pre_hook(self._join_branches, with_kwargs=True))
                    hooks.append(module.register_forward_hook(self._split_branches))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _follow_callback(self, given: dict[str, Any]) -> None:
        """Let other embeddings that a callback returns reach our branches, as they reach stock's."""
        callback: Callable[..., dict[str, Any]] = given["callback_on_step_end"]
        names = getattr(callback, "tensor_inputs", None)
        if names is not None:
            given["callback_on_step_end_tensor_inputs"] = names

        def followed(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            shown = tensors.get("prompt_embeds")
            outputs = callback(pipeline, step, timestep, tensors)
            if self._embeddings is not None and outputs.get("negative_prompt_embeds") is not None:
                self._embeddings = replace(self._embeddings, negative=outputs["negative_prompt_embeds"])
            returned = outputs.get("prompt_embeds")
            if self._embeddings is not None and returned is not None and returned is not shown:
                self._embeddings = replace(self._embeddings, others=())
            return outputs

        given["callback_on_step_end"] = followed

    def to_json_string(self) -> str:
        """The pipeline's `model_index.json`; it names the stock class, so that every diffusers loads it."""
        index = json.loads(super().to_json_string())  # type: ignore[misc]
        index["_class_name"] = next(
            base.__name__ for base in type(self).__mro__ if base.__module__.startswith("diffusers.pipelines.")
        )
        return json.dumps(index, indent=2, sort_keys=True, allow_nan=False) + "\n"
