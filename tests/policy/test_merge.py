from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from sport.pocket.model import build_model
from sport.policy.encode import encode
from sport.policy.forward import collate, pad_id
from sport.policy.local import load_model
from sport.policy.merge import write_merged
from sport.types import File, Message


def logits(model: Any, processor: Any, picture: File) -> torch.Tensor:
    chat = encode(processor, [Message(role="user", text="How many?", images=(picture,))])
    with torch.no_grad():
        found: torch.Tensor = model(**collate([chat], pad_id(processor), "cpu").inputs).logits
    return found


def test_a_merged_model_loads_by_auto_classes_and_gives_the_same_logits(
    tmp_path: Path, pictures: list[File]
) -> None:
    model, processor = build_model(hidden=64, layers=2, heads=2, vision_hidden=32, vision_layers=1)
    plain = logits(model, processor, pictures[0])
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "down_proj"])).eval()
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    expected = logits(tuned, processor, pictures[0])
    assert not torch.allclose(expected, plain, atol=1e-2), "the adapter does something"
    out = write_merged(tuned, processor, tmp_path / "merged")
    assert not (out / "adapter_config.json").exists()
    found = logits(*load_model(out), pictures[0])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert torch.equal(logits(tuned, processor, pictures[0]), expected), "it stays as it is"
    with pytest.raises(ValueError, match="is there already"):
        write_merged(tuned, processor, out)
