"""NVILA-Lite on transformers' own SigLIP and Qwen2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, GenerationMixin, PreTrainedModel, Qwen2Model, SiglipVisionModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_nvila import NVILALiteConfig
from .projector_nvila import NVILALiteProjector
from .scoring_nvila import LabelScoring


class NVILALitePreTrainedModel(PreTrainedModel):
    """What the model with and without output embedding share: loading, and what the parts support."""

    config_class = NVILALiteConfig
    base_model_prefix = "model"
    input_modalities = ["video", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _no_split_modules = ["Qwen2DecoderLayer", "SiglipEncoderLayer", "SiglipVisionEmbeddings"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load from a folder or a Hub repo; the arguments are those of `PreTrainedModel.from_pretrained`.

        Only safetensors are read, since a pickle can run code, and no weight is invented.

        Raises:
            OSError: there are no safetensors, or they are in the published layout, to be converted first.
            ValueError: `use_safetensors=False` was asked for, or the checkpoint lacks weights.
        """
        if kwargs.setdefault("use_safetensors", True) is not True:
            raise ValueError("use_safetensors is False; allowed: True, pickle checkpoints are not loaded")
        folder = Path(str(pretrained_model_name_or_path), kwargs.get("subfolder") or "")
        if folder.is_dir() and not any(folder.glob("*.safetensors")):
            if (folder / "llm").is_dir():
                raise OSError(
                    f"{folder} is in the published layout; convert it first: "
                    f"python -m emovid_models.nvila.convert_vila {folder} OUT"
                )
            pickles = sorted(path.name for path in folder.glob("*.bin"))
            if pickles:
                raise OSError(
                    f"{folder} holds only pickle weights ({pickles[0]}); only safetensors are loaded"
                )
        wants_info = kwargs.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
        )
        model, info = loaded
        missing = sorted(info["missing_keys"])
        if missing:
            raise ValueError(
                f"{pretrained_model_name_or_path} lacks {len(missing)} weights of {cls.__name__}: "
                + ", ".join(missing[:3])
                + (", ..." if len(missing) > 3 else "")
            )
        # Loading puts new parameters in the place of the frozen ones.
        getattr(model, "model", model).freeze_unused_layers()
        return (model, info) if wants_info else model


class NVILALiteModel(NVILALitePreTrainedModel):
    """Vision tower, projector and language model, without the output embedding.

    Args:
        config: sizes and the feature layer. The tower's weights beyond that layer are kept, so that no key
            of a checkpoint is lost, but never run, and are frozen.
    """

    def __init__(self, config: NVILALiteConfig) -> None:
        super().__init__(config)
        self.vision_tower = SiglipVisionModel._from_config(config.vision_config)
        self.multi_modal_projector = NVILALiteProjector(config)
        self.language_model = Qwen2Model._from_config(config.text_config)
        self.post_init()
        self.freeze_unused_layers()

    def freeze_unused_layers(self) -> None:
        """Freeze the tower's layers beyond the feature layer, which never get a gradient.

        Training on several GPUs would wait for it.
        """
        tower = self.vision_tower
        unused: list[nn.Module] = [*tower.encoder.layers[self.config.num_vision_layers_used :]]
        unused += [tower.post_layernorm, *([tower.head] if tower.use_head else [])]
        for module in unused:
            module.requires_grad_(False)

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_video_features(self, pixel_values_videos: torch.Tensor) -> torch.Tensor:
        """Tokens of frames, before the frames' ends are put between them.

        Args:
            pixel_values_videos: normalised frames, [frames, 3, image_size, image_size].

        Returns:
            [frames, tokens_per_frame, hidden size of the language model].

        Raises:
            ValueError: the frames have another shape.
        """
        size = self.config.vision_config.image_size
        expected = (self.config.vision_config.num_channels, size, size)
        if pixel_values_videos.ndim != 4 or tuple(pixel_values_videos.shape[1:]) != expected:
            raise ValueError(
                f"pixel_values_videos has shape {list(pixel_values_videos.shape)}, "
                f"not [frames, {', '.join(map(str, expected))}]"
            )
        # The tower's layers are called one by one, past the hook that would bring its input to its device.
        embeddings = self.vision_tower.embeddings
        place = next(embeddings.parameters()).device
        if place.type != "meta":  # else the weights are brought for each layer
            pixel_values_videos = pixel_values_videos.to(place)
        hidden = embeddings(pixel_values_videos)
        # The layers after the selected one would cost time and memory, and nothing reads them.
        for layer in self.vision_tower.encoder.layers[: self.config.num_vision_layers_used]:
            hidden = layer(hidden, None)
        return self.multi_modal_projector(hidden)

    def embed(
        self,
        input_ids: torch.Tensor,
        pixel_values_videos: torch.Tensor | None = None,
        video_features: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Embed a prompt: tokens by the language model's embedding, video tokens by the videos' features.

        Args:
            input_ids: [batch, length], as `NVILALiteProcessor` makes them.
            pixel_values_videos: the frames of all videos of the batch, in the order of their tokens.
            video_features: what `get_video_features` gave for them, instead of the pixels.

        Returns:
            [batch, length, hidden size].

        Raises:
            ValueError: both or neither of the two are given for a prompt with video tokens, or the number
                of video tokens is not that of the features.
        """
        if pixel_values_videos is not None and video_features is not None:
            raise ValueError("pixel_values_videos and video_features are both given; give one")
        is_video = input_ids == self.config.video_token_id
        # A media token may have no row of its own: the checkpoint's embedding may end before it.
        embeds = self.get_input_embeddings()(input_ids.masked_fill(is_video, 0))
        if pixel_values_videos is not None:
            video_features = self.get_video_features(pixel_values_videos)
        tokens, features = int(is_video.sum()), 0
        if video_features is not None:
            features = video_features.shape[0] * video_features.shape[1]
        if tokens != features:
            raise ValueError(
                f"the prompts hold {tokens} video tokens, but the videos have {features} "
                f"({self.config.tokens_per_frame} per frame)"
            )
        if video_features is None:
            return embeds
        places = is_video.unsqueeze(-1).to(embeds.device)
        return embeds.masked_scatter(places, video_features.to(embeds.device, embeds.dtype))

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        video_features: torch.Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast | tuple[Any, ...]:
        """Run the language model; the arguments are those of `NVILALiteForConditionalGeneration.forward`."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("input_ids and inputs_embeds are both given or both missing; give one")
        if input_ids is not None:
            inputs_embeds = self.embed(input_ids, pixel_values_videos, video_features)
        elif pixel_values_videos is not None or video_features is not None:
            raise ValueError("videos are given with inputs_embeds, which hold them already; give input_ids")
        assert inputs_embeds is not None
        # Spread over devices, the embedding's is where the language model begins.
        if attention_mask is not None:
            attention_mask = attention_mask.to(inputs_embeds.device)
        if position_ids is not None:
            position_ids = position_ids.to(inputs_embeds.device)
        if position_ids is None and attention_mask is not None and attention_mask.ndim == 2:
            position_ids = _positions(attention_mask)[:, -inputs_embeds.shape[1] :]
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        return outputs if _wants_dict(self, return_dict) else outputs.to_tuple()


class NVILALiteForConditionalGeneration(LabelScoring, NVILALitePreTrainedModel, GenerationMixin):
    """Video and text in, text out; and labels scored on one prefix.

    Args:
        config: see `NVILALiteConfig`.

    >>> config = NVILALiteConfig(
    ...     vision_config=dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2,
    ...                        num_attention_heads=2, image_size=32, patch_size=8),
    ...     text_config=dict(vocab_size=20, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
    ...                      num_attention_heads=2, num_key_value_heads=1),
    ...     video_token_id=19, image_token_id=None, sentinel_token_id=None, frame_end_token_ids=[1])
    >>> model = NVILALiteForConditionalGeneration(config).eval()
    >>> prompt = torch.tensor([[5] + ([19] * config.tokens_per_frame + [1]) * 2 + [7]])
    >>> frames = torch.zeros(2, 3, 32, 32)
    >>> model(input_ids=prompt, pixel_values_videos=frames).logits.shape
    torch.Size([1, 12, 20])
    >>> model.score_labels([[3], [4, 5]], input_ids=prompt, pixel_values_videos=frames).shape
    torch.Size([1, 2])
    """

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: NVILALiteConfig) -> None:
        super().__init__(config)
        self.model = NVILALiteModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.lm_head = value

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Give the model another number of tokens; see `PreTrainedModel.resize_token_embeddings`."""
        embedding = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
        if new_num_tokens is not None:
            self.config.num_tokens = new_num_tokens
        return embedding

    def get_video_features(self, pixel_values_videos: torch.Tensor) -> torch.Tensor:
        """See `NVILALiteModel.get_video_features`."""
        return self.model.get_video_features(pixel_values_videos)

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.lm_head(hidden)[..., : self.config.num_tokens]

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        video_features: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Logits of the next token at each place, and the loss.

        Args:
            input_ids: [batch, length], as `NVILALiteProcessor` makes them.
            attention_mask: [batch, length], 0 at padding; either side.
            position_ids: [batch, length]; by default counted from the first token that is not padding.
            past_key_values: keys and values of what went before.
            inputs_embeds: [batch, length, hidden size], instead of `input_ids` and the videos.
            labels: [batch, length], ids to predict, -100 where there is no loss.
            pixel_values_videos: the frames of all videos of the batch in the order of their tokens,
                [frames, 3, image_size, image_size].
            video_features: what `get_video_features` gave for them, instead of the pixels.
            use_cache: whether to return keys and values.
            logits_to_keep: number of last places, or the places, that logits are wanted for; 0 is all.
            return_dict: False returns a tuple, as does a config that says so.

        Returns:
            `CausalLMOutputWithPast`; logits are [batch, places, tokens].

        Raises:
            ValueError: the videos do not fit the video tokens.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values_videos=pixel_values_videos,
            video_features=video_features,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self._logits(hidden[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], **kwargs)
        found = CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return found if _wants_dict(self, return_dict) else found.to_tuple()

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Continue a prompt; media tokens are never written.

        Args:
            inputs: the prompt's ids, [batch, length], padded on the left; also as `input_ids`.
            generation_config: by default the model's own.
            **kwargs: as in transformers' `generate`, and `pixel_values_videos` or `video_features` as in
                `forward`.

        Returns:
            What transformers' `generate` returns: by default ids of the prompt and the answer.
        """
        settings = generation_config or self.generation_config
        suppressed = kwargs.pop("suppress_tokens", None) or settings.suppress_tokens or []
        known = self.config.num_tokens or self.config.text_config.vocab_size
        media = [token for token in self.config.media_token_ids if token < known]
        kwargs["suppress_tokens"] = sorted({*suppressed, *media}) or None
        return super().generate(inputs, generation_config, **kwargs)  # type: ignore[misc]

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: torch.Tensor, *, inputs_embeds: torch.Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """What one step of `generate` runs: the videos go with the tokens that stand for them.

        Args:
            input_ids: [batch, length] so far.
            inputs_embeds: as in transformers' `generate`; the videos are in them already.
            **kwargs: as there.

        Returns:
            The arguments of `forward`.
        """
        found = super().prepare_inputs_for_generation(  # type: ignore[misc]
            input_ids,  # type: ignore[arg-type]
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        ids = found.get("input_ids")
        # One token alone is one that was written, and no media token is.
        shown = ids is not None and ids.shape[1] > 1 and bool((ids == self.config.video_token_id).any())
        for name in _VIDEOS:
            found.pop(name, None)
            if shown and kwargs.get(name) is not None:
                found[name] = kwargs[name]
        return found

    def _expand_inputs_for_generation(  # type: ignore[override]
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Repeat whole prompts for beams and several answers: each with all frames of its videos."""
        pixels: Any = kwargs.pop(_VIDEOS[0], None)
        features: Any = kwargs.pop(_VIDEOS[1], None)
        prompts = input_ids
        input_ids, kwargs = super()._expand_inputs_for_generation(  # type: ignore[misc]
            expand_size,
            is_encoder_decoder,
            input_ids,  # type: ignore[arg-type]
            **kwargs,
        )
        if expand_size > 1 and prompts is not None and (pixels is not None or features is not None):
            if pixels is not None and features is None:
                pixels, features = None, self.get_video_features(pixels)
            tokens = (prompts == self.config.video_token_id).sum(1) // self.config.tokens_per_frame
            frames = tokens.tolist()
            if features is not None and sum(frames) == features.shape[0]:
                rows = [row for row in features.split(frames) for _ in range(expand_size)]
                features = torch.cat(rows)
        given = {name: value for name, value in zip(_VIDEOS, (pixels, features), strict=True)}
        return input_ids, {**kwargs, **{name: value for name, value in given.items() if value is not None}}


_VIDEOS = ("pixel_values_videos", "video_features")
"""The arguments by which videos come, in two forms."""


def _wants_dict(model: PreTrainedModel, asked: bool | None) -> bool:
    return bool(model.config.return_dict if asked is None else asked)


def _positions(attention_mask: torch.Tensor) -> torch.Tensor:
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
