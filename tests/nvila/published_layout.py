"""Tiny checkpoints in the layout that NVILA is published in, with weights that anyone can make again.

Every weight follows from its key and shape alone, by NumPy's legacy generator, whose streams never change.
So a fixture needs to hold only what the original code computes with them. Needs numpy and safetensors only.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "[BOS]",
    "[PAD]",
    "<vila/sentinel>",
    "<image>",
    "<vila/video>",
)
MERGES = ("Ċ Ċ", "t h", "th e", "Ġ the", "i n", "Ġ a", "e r", "o u")
QWEN2_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages if message['content'] is not none %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a tiny checkpoint, and how it is laid out on disk."""

    name: str
    image_size: int
    patch_size: int
    vision_hidden: int
    vision_layers: int
    vision_heads: int
    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    vision_inner: int | None = None
    inner: int | None = None
    projector: str = "mlp_downsample_3x3_fix"
    feature_layer: int = -2
    vision_head: bool = False
    tied: bool = True
    shards: int = 1
    padded_rows: int = 0
    num_frames: int = 8
    aspect: str = "resize"
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def vision_intermediate(self) -> int:
        """Width of the vision tower's inner layers."""
        return self.vision_inner or 2 * self.vision_hidden

    @property
    def intermediate(self) -> int:
        """Width of the language model's inner layers."""
        return self.inner or 2 * self.hidden

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding."""
        return 256 + len(MERGES) + len(SPECIAL_TOKENS) + self.padded_rows


SHAPES = {
    shape.name: shape
    for shape in (
        # An 11 x 11 grid: one row and column of padding.
        Shape(
            name="tied",
            image_size=77,
            patch_size=7,
            vision_hidden=48,
            vision_layers=3,
            vision_heads=4,
            hidden=64,
            layers=2,
            heads=4,
            key_value_heads=2,
            shards=2,
        ),
        # A 7 x 7 grid: two of padding. The embedding has rows that the tokenizer does not know.
        Shape(
            name="untied",
            image_size=44,
            patch_size=6,
            vision_hidden=36,
            vision_layers=4,
            vision_heads=3,
            hidden=80,
            layers=3,
            heads=5,
            key_value_heads=1,
            vision_head=True,
            tied=False,
            shards=3,
            padded_rows=7,
            num_frames=5,
            aspect="dynamic",
            settings={"video_max_tiles": 1, "max_tiles": 12},
        ),
        # The other kind of projector, on an odd grid, and another layer.
        Shape(
            name="downsample2",
            image_size=40,
            patch_size=8,
            vision_hidden=32,
            vision_layers=2,
            vision_heads=2,
            hidden=48,
            layers=2,
            heads=3,
            key_value_heads=3,
            projector="mlp_downsample_2x2_fix",
            feature_layer=-1,
        ),
    )
}


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values of one weight: about as large as trained ones, so that every slip shows in the logits."""
    noise = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if "norm" in key and key.endswith("weight"):
        values = 1 + 0.2 * noise
    elif len(shape) == 1:
        values = 0.2 * noise
    elif "embed" in key or key.endswith("probe"):
        values = 0.25 * noise
    else:
        values = 1.6 * noise / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)


def llm_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Keys of the folder `llm`."""
    size, inner, head = shape.hidden, shape.intermediate, shape.hidden // shape.heads
    keys: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape.vocab_size, size)}
    for index in range(shape.layers):
        layer = f"model.layers.{index}."
        for name, rows in (("q", shape.heads), ("k", shape.key_value_heads), ("v", shape.key_value_heads)):
            keys[f"{layer}self_attn.{name}_proj.weight"] = (rows * head, size)
            keys[f"{layer}self_attn.{name}_proj.bias"] = (rows * head,)
        keys[f"{layer}self_attn.o_proj.weight"] = (size, size)
        keys[f"{layer}mlp.gate_proj.weight"] = (inner, size)
        keys[f"{layer}mlp.up_proj.weight"] = (inner, size)
        keys[f"{layer}mlp.down_proj.weight"] = (size, inner)
        keys[f"{layer}input_layernorm.weight"] = (size,)
        keys[f"{layer}post_attention_layernorm.weight"] = (size,)
    keys["model.norm.weight"] = (size,)
    if not shape.tied:
        keys["lm_head.weight"] = (shape.vocab_size, size)
    return keys


def vision_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Keys of the folder `vision_tower`."""
    size, inner, patch = shape.vision_hidden, shape.vision_intermediate, shape.patch_size
    root = "vision_model."
    keys: dict[str, tuple[int, ...]] = {
        f"{root}embeddings.patch_embedding.weight": (size, 3, patch, patch),
        f"{root}embeddings.patch_embedding.bias": (size,),
        f"{root}embeddings.position_embedding.weight": ((shape.image_size // patch) ** 2, size),
    }

    def linear(name: str, rows: int, columns: int) -> None:
        keys[f"{name}.weight"], keys[f"{name}.bias"] = (rows, columns), (rows,)

    def norm(name: str) -> None:
        keys[f"{name}.weight"] = keys[f"{name}.bias"] = (size,)

    for index in range(shape.vision_layers):
        layer = f"{root}encoder.layers.{index}."
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            linear(f"{layer}self_attn.{name}", size, size)
        norm(f"{layer}layer_norm1")
        norm(f"{layer}layer_norm2")
        linear(f"{layer}mlp.fc1", inner, size)
        linear(f"{layer}mlp.fc2", size, inner)
    norm(f"{root}post_layernorm")
    if shape.vision_head:
        head = f"{root}head."
        keys[f"{head}probe"] = (1, 1, size)
        keys[f"{head}attention.in_proj_weight"] = (3 * size, size)
        keys[f"{head}attention.in_proj_bias"] = (3 * size,)
        linear(f"{head}attention.out_proj", size, size)
        norm(f"{head}layernorm")
        linear(f"{head}mlp.fc1", inner, size)
        linear(f"{head}mlp.fc2", size, inner)
    return keys


def projector_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Keys of the folder `mm_projector`."""
    vision, text = shape.vision_hidden, shape.hidden
    if shape.projector == "mlp_downsample_3x3_fix":
        norms = {1: 9 * vision, 4: 3 * vision}
        linears = {2: (3 * vision, 9 * vision), 5: (text, 3 * vision), 7: (text, text)}
    else:
        norms = {1: 4 * vision}
        linears = {2: (text, 4 * vision), 4: (text, text)}
    keys: dict[str, tuple[int, ...]] = {}
    for index, width in norms.items():
        keys[f"layers.{index}.weight"] = keys[f"layers.{index}.bias"] = (width,)
    for index, (rows, columns) in linears.items():
        keys[f"layers.{index}.weight"], keys[f"layers.{index}.bias"] = (rows, columns), (rows,)
    return keys


def write_weights(folder: Path, shapes: dict[str, tuple[int, ...]], shards: int, salt: str) -> None:
    """Write a folder's safetensors: one file, or `shards` of them and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(shapes)
    # Norms of a plain Sequential have no name that says so.
    kind = {name: "norm" if len(shapes[name]) == 1 and name.endswith("weight") else "" for name in names}
    tensors = {name: weight(f"{salt}{kind[name]}/{name}", shapes[name]) for name in names}
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    index = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        index.update(dict.fromkeys(part, file))
    total = sum(tensor.nbytes for tensor in tensors.values())
    document = {"metadata": {"total_size": total}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))


def write_tokenizer(folder: Path) -> None:
    """Write a byte-level BPE tokenizer in Qwen2's own files."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = {byte: chr(byte) for byte in visible} | {b: chr(256 + i) for i, b in enumerate(hidden)}
    vocab = {letters[byte]: byte for byte in range(256)}
    for merge in MERGES:
        vocab[merge.replace(" ", "")] = len(vocab)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", encoding="utf-8")
    added = {token: len(vocab) + index for index, token in enumerate(SPECIAL_TOKENS)}
    decoder = {
        str(token_id): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for token, token_id in added.items()
    }
    write_json(folder / "added_tokens.json", added)
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "added_tokens_decoder": decoder,
            "bos_token": None,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "errors": "replace",
            "model_max_length": 32768,
            "pad_token": "<|endoftext|>",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    )


def write_json(path: Path, document: object) -> None:
    """Write a configuration file."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")


def write_checkpoint(root: Path, shape: Shape) -> Path:
    """Write a whole checkpoint: the folders llm, vision_tower and mm_projector, and config.json."""
    llm, vision, projector = root / "llm", root / "vision_tower", root / "mm_projector"
    write_weights(llm, llm_shapes(shape), shape.shards, "llm")
    write_weights(vision, vision_shapes(shape), 1, "vision")
    write_weights(projector, projector_shapes(shape), 1, "projector")
    write_tokenizer(llm)
    first_special = 256 + len(MERGES)
    llm_config = {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": first_special,
        "eos_token_id": first_special + 2,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": 32768,
        "max_window_layers": 21,
        "model_max_length": 4096,
        "model_type": "qwen2",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.key_value_heads,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": shape.tied,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": shape.vocab_size,
    }
    vision_config = {
        "architectures": ["SiglipVisionModel"],
        "attention_dropout": 0.0,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": shape.vision_hidden,
        "image_size": shape.image_size,
        "intermediate_size": shape.vision_intermediate,
        "layer_norm_eps": 1e-06,
        "model_type": "siglip_vision_model",
        "num_attention_heads": shape.vision_heads,
        "num_channels": 3,
        "num_hidden_layers": shape.vision_layers,
        "patch_size": shape.patch_size,
        "torch_dtype": "float32",
        "vision_use_head": shape.vision_head,
    }
    projector_config = {
        "architectures": ["MultimodalProjector"],
        "mm_projector_type": shape.projector,
        "model_type": "v2l_projector",
        "torch_dtype": "float32",
    }
    write_json(llm / "config.json", llm_config)
    write_json(vision / "config.json", vision_config)
    write_json(projector / "config.json", projector_config)
    write_json(
        vision / "preprocessor_config.json",
        {
            "do_convert_rgb": None,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SiglipImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "processor_class": "SiglipProcessor",
            "resample": 3,
            "rescale_factor": 0.00392156862745098,
            "size": {"height": shape.image_size, "width": shape.image_size},
        },
    )
    (root / "qwen2.jinja").write_text(QWEN2_TEMPLATE)
    write_json(
        root / "config.json",
        {
            "architectures": ["VILAForCausalLM"],
            "chat_template": "qwen2",
            "dynamic_s2": False,
            "fps": 0.0,
            "hidden_size": shape.hidden,
            "image_aspect_ratio": shape.aspect,
            "image_encoder": {"_target_": "llava.model.encoders.BasicImageEncoder"},
            "llm_cfg": llm_config,
            "mm_hidden_size": shape.vision_hidden,
            "mm_projector_cfg": projector_config,
            "mm_vision_select_feature": "cls_patch",
            "mm_vision_select_layer": shape.feature_layer,
            "model_dtype": "torch.float32",
            "model_type": "vila",
            "num_video_frames": shape.num_frames,
            "s2": False,
            "video_encoder": {"_target_": "llava.model.encoders.BasicVideoEncoder"},
            "vision_tower_cfg": vision_config,
            **shape.settings,
        },
    )
    return root


def frames(count: int, height: int, width: int, seed: int) -> np.ndarray:
    """Frames to look at, uint8 [count, height, width, 3]: slopes, edges and noise, different in each."""
    noise = np.random.RandomState(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    result = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        for channel in range(3):
            slope = rows * (3 + channel) + columns * (5 - channel) + 17 * index
            edge = 90 * ((columns + 4 * index) // 9 % 2) + 40 * (rows // 7 % 2)
            result[index, :, :, channel] = (slope + edge + noise.randint(0, 40, (height, width))) % 256
    return result


@dataclass(frozen=True)
class Case:
    """Prompts of one batch: questions, and the videos (count, height, width, seed) in front of each."""

    name: str
    questions: tuple[str, ...]
    videos: tuple[tuple[tuple[int, int, int, int], ...], ...]


CASES = (
    Case("one video", ("What does the hero feel in there?",), (((4, 31, 50, 1),),)),
    Case(
        "batch",
        ("Why?\n\nSay it in the shortest way.", "Name an emotion."),
        (((3, 64, 40, 2),), ((5, 20, 33, 3),)),
    ),
    Case("two videos", ("\n\nWhich of the two is louder?",), (((2, 45, 45, 4), (3, 72, 96, 5)),)),
    Case("text only", ("Hello, who is there?",), ((),)),
)
GREEDY_TOKENS = 12
