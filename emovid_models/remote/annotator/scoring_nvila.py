"""Labels scored on one shared prefix: the log-likelihood of each as the continuation of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache


class LabelScoring:
    """Adds `score_labels` to a model whose `model` runs prompts and whose `_logits` maps the states."""

    model: Any
    config: Any
    dtype: Any
    _logits: Any

    def score_labels(
        self,
        label_ids: Sequence[Sequence[int]],
        *,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        video_features: torch.Tensor | None = None,
        length_normalized: bool = True,
    ) -> torch.Tensor:
        """Log-likelihood of each label as the continuation of each prompt.

        Video and prompt are run once; their keys and values are then shared by all labels, which run
        together in a second pass. Run under `torch.inference_mode()` unless gradients are wanted.

        Args:
            label_ids: token ids of the labels, at least one per label; the same labels for every prompt.
            input_ids: [batch, length], padded on either side.
            attention_mask: [batch, length], 0 at padding; by default there is none.
            pixel_values_videos: see `forward`.
            video_features: see `forward`.
            length_normalized: divide by the number of the label's tokens.

        Returns:
            [batch, labels], natural logarithms in float32; `softmax(-1)` makes probabilities of them.

        Raises:
            ValueError: there is no label, or one without tokens.
        """
        lengths = [len(ids) for ids in label_ids]
        if not lengths or min(lengths) < 1:
            raise ValueError(
                f"label_ids has lengths {lengths}; at least one label, of at least one token each"
            )
        batch = input_ids.shape[0]
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        prefix = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            pixel_values_videos=pixel_values_videos,
            video_features=video_features,
            use_cache=True,
            return_dict=True,
        )
        # With padding on the right the last token is not in the last column.
        places = torch.arange(1, attention_mask.shape[1] + 1, device=attention_mask.device)
        last = (attention_mask * places).argmax(-1)
        # The parts of a model that is spread over devices give their outputs where they are.
        states = prefix.last_hidden_state
        hidden = states[torch.arange(batch, device=states.device), last.to(states.device)]
        first = self._logits(hidden).float().log_softmax(-1)
        device = first.device

        label_ids = [[int(token) for token in ids] for ids in label_ids]
        scores = first[:, [ids[0] for ids in label_ids]]
        counts = torch.tensor(lengths, device=device)
        if counts.max() > 1:
            run = self._run_tree if self._reads_any_mask else self._run_rows
            hidden = run(label_ids, prefix.past_key_values, attention_mask)
            targets = torch.tensor([token for ids in label_ids for token in ids[1:]], device=device)
            owners = torch.repeat_interleave(torch.arange(len(lengths), device=device), counts - 1)
            log_probs = self._logits(hidden).float().log_softmax(-1).to(device)
            found = log_probs[:, torch.arange(len(targets), device=device), targets]
            scores = scores.index_add(1, owners, found)
        return (scores / counts if length_normalized else scores).to(input_ids.device)

    @property
    def _reads_any_mask(self) -> bool:
        return self.config.text_config._attn_implementation in ("eager", "sdpa")

    def _run_tree(
        self, label_ids: Sequence[Sequence[int]], cache: Cache, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """Last states at all tokens of all labels but the last ones, [batch, tokens, hidden size].

        The labels follow one another, and each token sees its own label and the prompt, so that the prompt's
        keys and values need not be repeated.
        """
        device = attention_mask.device
        ids = [token for label in label_ids for token in label[:-1]]
        places = [place for label in label_ids for place in range(len(label) - 1)]
        owners = [row for row, label in enumerate(label_ids) for _ in label[:-1]]
        owner, place = torch.tensor(owners, device=device), torch.tensor(places, device=device)
        own = (owner.unsqueeze(1) == owner) & (place.unsqueeze(1) >= place)
        batch, count = attention_mask.shape[0], len(ids)
        seen = torch.cat(
            [attention_mask.bool().unsqueeze(1).expand(-1, count, -1), own.expand(batch, -1, -1)], dim=-1
        )
        bias = torch.zeros(seen.shape, dtype=self.dtype, device=device)
        return self.model(
            input_ids=torch.tensor([ids], device=device).expand(batch, -1),
            attention_mask=bias.masked_fill(~seen, torch.finfo(self.dtype).min).unsqueeze(1),
            position_ids=attention_mask.sum(-1, keepdim=True) + place,
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        ).last_hidden_state

    def _run_rows(
        self, label_ids: Sequence[Sequence[int]], cache: Cache, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """As `_run_tree`, for attention that supports padding masks only: each label is a row of its own."""
        device, count = attention_mask.device, len(label_ids)
        batch, longest = attention_mask.shape[0], max(map(len, label_ids)) - 1
        ids = torch.zeros(count, longest, dtype=torch.long, device=device)
        mask = torch.zeros(count, longest, dtype=attention_mask.dtype, device=device)
        for row, label in enumerate(label_ids):
            ids[row, : len(label) - 1] = torch.as_tensor(label[:-1])
            mask[row, : len(label) - 1] = 1
        cache.batch_repeat_interleave(count)
        repeated = attention_mask.repeat_interleave(count, 0)
        hidden = self.model(
            input_ids=ids.repeat(batch, 1),
            attention_mask=torch.cat([repeated, mask.repeat(batch, 1)], dim=1),
            position_ids=repeated.sum(-1, keepdim=True) + torch.arange(longest, device=device),
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        ).last_hidden_state
        return hidden.unflatten(0, (batch, count))[:, mask.bool().to(hidden.device)]
