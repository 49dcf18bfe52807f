"""The memory that the recipes' models need, computed from their shapes: nothing is downloaded.

python benchmarks/footprint.py

Weights, adapters and optimizer state are counted on models without memory; activations follow
:mod:`sport.memory`. These are sums, not measurements.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Qwen2Config, Qwen2VLConfig, Qwen3VLConfig

from sport.memory import footprint
from sport.recipes import load_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
GIB = 2**30

# The shapes of the published config.json files.
QWEN2_VL_7B = Qwen2VLConfig(
    text_config={
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    },
    vision_config={"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16},
    tie_word_embeddings=False,
)
QWEN3_VL_8B = Qwen3VLConfig(
    text_config={
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
    },
    vision_config={
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "out_hidden_size": 4096,
        "deepstack_visual_indexes": [8, 16, 24],
    },
    tie_word_embeddings=False,
)
QWEN2_5_7B = Qwen2Config(
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    vocab_size=152064,
    tie_word_embeddings=False,
)


def main() -> None:
    """Prints a row a model."""
    heads = ("recipe", "model", "weights, 1e9", "GiB: weights", "adapter", "activations", "tuning")
    print(" | ".join((*heads, "a token's keys and values, KiB")))
    rows: list[tuple[str, str, Any]] = [
        ("paper.toml", "Qwen2-VL-7B", QWEN2_VL_7B),
        ("paper.toml", "Qwen2.5-7B", QWEN2_5_7B),
        ("qwen3vl.toml", "Qwen3-VL-8B", QWEN3_VL_8B),
    ]
    for name, model, config in rows:
        found = footprint(load_recipe(str(RECIPES / name)), config)
        sizes = (found.weights, found.adapter, found.activations, found.tuning)
        told = " | ".join(f"{size / GIB:7.1f}" for size in sizes)
        print(f"{name:12} | {model:11} | {found.parameters / 1e9:13.2f} | {told} "
              f"| {found.cache / 1024:.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
