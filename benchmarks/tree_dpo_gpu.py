"""Trees and TRL's DPOTrainer on a GPU: a model of the shape of Qwen2-VL-7B with random weights.

python benchmarks/tree_dpo_gpu.py [--tiny] [--json] [--peak-tflops 989]

Each tunes once on the pairs of one trajectory (4 steps, 5 candidates, a prompt of 1,000 tokens and
two pictures) in bfloat16 by LoRA, after one run to warm up. Printed are tokens a second, the peak
memory of the GPU, and the utilisation: the operations that the tokens need (two for each weight in
a forward pass, and as many for gradients of activations; frozen weights need none of their own)
over what the GPU could do. ``--tiny`` does the same on a CPU in seconds, to see that it runs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from tree_dpo_arms import status_mb, tune_by_trl, tune_by_us
from tree_dpo_worlds import VOCABULARY, Case, build_tokenizer, build_trajectory

from sport.policy.image_only import QwenImageProcessor

PASSES = 3
"""Forward passes' worth of operations: the reference's, the policy's, and the gradients'."""

SPECIAL = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
SEVEN_B: dict[str, Any] = {
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152_064,
}
TINY: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a small model on the CPU")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--peak-tflops", type=float, default=989.0, help="the GPU's bfloat16 peak; an H100 has 989"
    )
    options = parser.parse_args()
    device = "cpu" if options.tiny else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU here: see the small form with --tiny")
    case = Case(2, 60, images=1) if options.tiny else Case(4, 1000, images=2)
    arms = ("tree-gc", "trl-b1-gc")
    found = {arm: measure(arm, case, options.tiny, device, options.peak_tflops) for arm in arms}
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU, the tiny form"
    if options.json:
        print(json.dumps({"machine": name, **found}, indent=1))
        return
    print(f"{name}, torch {torch.__version__}")
    for arm, row in found.items():
        print(f"{arm:<12}" + "".join(f"  {k} {v:g}" for k, v in row.items()))


def measure(arm: str, case: Case, tiny: bool, device: str, peak_tflops: float) -> dict[str, float]:
    """Seconds, tokens a second, peak memory and utilisation of one tuning, after one to warm up."""
    tune = tune_by_trl if arm.startswith("trl") else tune_by_us
    for _ in range(2):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model, processor, weights = build_model(tiny, device)
            trajectory = build_trajectory(case, folder / "blobs")
            job = tune(arm, case, model, processor, trajectory, folder, device)
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
            facts = job()
            seconds = time.perf_counter() - began
            memory = _peak_mb(device)
            del model, job
    work = 2 * PASSES * weights * facts["tokens"]
    return {
        "seconds": round(seconds, 3),
        "tokens": facts["tokens"],
        "tokens_per_s": round(facts["tokens"] / seconds, 1),
        "peak_mb": round(memory, 1),
        "utilisation": float(f"{work / seconds / (peak_tflops * 1e12):.3g}"),
    }


def _peak_mb(device: str) -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else status_mb("VmHWM")


def build_model(tiny: bool, device: str) -> tuple[Any, Any, int]:
    """Model, processor, and the number of the language model's weights that multiply."""
    words: Any = build_tokenizer(*SPECIAL)
    shape = TINY if tiny else SEVEN_B
    half = shape["hidden_size"] // shape["num_attention_heads"] // 2
    sections = [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections}
    vision = {"embed_dim": 64, "depth": 2, "num_heads": 4} if tiny else {}
    ids = dict(
        zip(
            ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id"),
            words.convert_tokens_to_ids(list(SPECIAL)),
            strict=True,
        )
    )
    config = Qwen2VLConfig(
        text_config={
            **shape,
            "max_position_embeddings": 32_768,
            "rope_parameters": rope,
            "bos_token_id": None,
            "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id,
        },
        vision_config={"hidden_size": shape["hidden_size"], **vision},
        tie_word_embeddings=False,
        **ids,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if tiny else torch.bfloat16)
    try:
        with torch.device(device):
            model: Any = Qwen2VLForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(before)
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 448 * 448})
    decoder: Any = model.get_decoder()
    embeddings = decoder.get_input_embeddings().weight.numel()
    weights = sum(p.numel() for p in decoder.parameters()) - embeddings
    return model, QwenImageProcessor(images, words, words.chat_template), weights


if __name__ == "__main__":
    main()
