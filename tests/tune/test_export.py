import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from families import family
from PIL import Image
from tune_toys import branching_world
from typer.testing import CliRunner

from sport.cli import app
from sport.policy.encode import action_ids
from sport.policy.messages import history
from sport.recipes import parse_recipe
from sport.store import Run
from sport.tune import build_pairs
from sport.tune.export import FORMATS, export
from sport.tune.pair_report import in_words, pair_report


def written(tmp_path: Path, kind: Any) -> tuple[Path, list[Any], list[Any]]:
    told = branching_world(tmp_path / "blobs", images=True)
    pairs, _ = build_pairs(told)
    assert export(told, pairs, kind, tmp_path / kind) == len(pairs)
    return tmp_path / kind, told, pairs


@pytest.mark.parametrize("kind", ["trl", "parquet"])
def test_a_dataset_holds_pairs_and_pictures_in_order(tmp_path: Path, kind: str) -> None:
    datasets = pytest.importorskip("datasets")
    folder, told, pairs = written(tmp_path, kind)
    rows = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == len(pairs)
    for row, pair in zip(rows, pairs, strict=True):
        owner = next(t for t in told if t.task.id == pair.task_id)
        chat = history(owner.opening, owner.steps[: pair.step])
        texts = [m["content"][-1]["text"] for m in row["prompt"]]
        assert texts == [m.text for m in chat]
        places = [sum(p["type"] == "image" for p in m["content"]) for m in row["prompt"]]
        assert places == [len(m.images) for m in chat]
        expected = [Image.open(i.path).convert("RGB").tobytes() for m in chat for i in m.images]
        assert [image.convert("RGB").tobytes() for image in row["images"]] == expected
        step = owner.steps[pair.step]
        assert row["chosen"][0]["content"][0]["text"] == step.candidates[pair.chosen].action.text
        assert (
            row["rejected"][0]["content"][0]["text"] == step.candidates[pair.rejected].action.text
        )
        if kind == "parquet":
            assert (row["task_id"], row["step"]) == (pair.task_id, pair.step)
            assert row["reason"] == step.verdict.reason


def test_llamafactory_has_as_many_image_marks_as_images(tmp_path: Path) -> None:
    folder, _, pairs = written(tmp_path, "llamafactory")
    rows = json.loads((folder / "train.json").read_text())
    info = json.loads((folder / "dataset_info.json").read_text())["sport"]
    assert info["ranking"] and info["columns"]["messages"] == "conversations"
    assert len(rows) == len(pairs)
    for row in rows:
        marks = sum(turn["value"].count("<image>") for turn in row["conversations"])
        assert marks == len(row["images"]) > 0
        for name in row["images"]:
            Image.open(BytesIO((folder / name).read_bytes())).load()
        roles = [turn["from"] for turn in row["conversations"]]
        assert roles[-1] == "human" and set(roles) <= {"system", "human", "gpt"}


def test_a_written_out_image_mark_stays_text(tmp_path: Path) -> None:
    told = branching_world(tmp_path / "blobs", images=False)
    message = told[0].opening[-1].model_copy(update={"text": "what is <image>?"})
    told[0] = told[0].model_copy(update={"opening": (message,)})
    export(told, build_pairs(told)[0], "llamafactory", tmp_path / "out")
    assert "<image>" not in (tmp_path / "out" / "train.json").read_text()


def test_no_pairs_are_an_empty_file(tmp_path: Path) -> None:
    for kind in FORMATS:
        assert export([], [], kind, tmp_path / kind) == 0


@pytest.mark.slow
def test_trl_trains_on_the_export(tmp_path: Path) -> None:
    """Two steps of TRL's own trainer, pictures in prompt and observations included."""
    datasets, trl = pytest.importorskip("datasets"), pytest.importorskip("trl")
    from peft import LoraConfig

    folder, _, _ = written(tmp_path, "trl")
    rows = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    model, processor = family("llava")
    trainer = trl.DPOTrainer(
        model=model,
        processing_class=processor,
        train_dataset=rows,
        peft_config=LoraConfig(r=4, target_modules=r".*language_model.*(q_proj|v_proj)"),
        args=trl.DPOConfig(
            output_dir=str(tmp_path / "trl-out"),
            per_device_train_batch_size=2,
            max_steps=2,
            learning_rate=1e-2,
            max_length=None,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
        ),
    )
    pixels = []
    inner = model.model.get_image_features

    def watched(pixel_values: Any, **options: Any) -> Any:
        pixels.append(len(pixel_values))
        return inner(pixel_values=pixel_values, **options)

    model.model.get_image_features = watched
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert len(losses) == 2
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert losses[1] != losses[0]
    assert min(pixels) >= 2, "pictures reach the forward pass"


def test_a_run_is_exported_from_the_command_line(tmp_path: Path) -> None:
    run, count = a_run(tmp_path)
    done = CliRunner().invoke(app, ["export", str(run), "--format", "trl"])
    assert done.exit_code == 0, done.output
    assert f"{count} preference pairs" in done.output
    assert (run / "export" / "trl" / "train.parquet").is_file()


def test_export_without_a_wish_says_what_to_give(tmp_path: Path) -> None:
    run, _ = a_run(tmp_path)
    done = CliRunner().invoke(app, ["export", str(run)])
    assert done.exit_code != 0
    assert "--merged" in done.output


def a_run(tmp_path: Path) -> tuple[Path, int]:
    """A run's folder after tuning, as exporting sees it."""
    recipe = parse_recipe({"synthesis": {}}, "here")
    with Run.create(tmp_path / "run", recipe) as run:
        told = [
            t.model_copy(update={"round": 1})
            for t in branching_world(run.blobs.folder, images=True)
        ]
        pairs, reasons = build_pairs(told)
        run.append(run.path / "trajectories.jsonl", told)
        run.write_pairs(1, pairs, {"pairs": len(pairs), "reasons": reasons})
    return run.path, len(pairs)


def test_a_report_tells_fates_lengths_and_overlap(tmp_path: Path) -> None:
    told = branching_world(tmp_path, images=True)
    _, processor = family("llava")
    pairs, reasons = build_pairs(told)
    report = pair_report(processor, told, pairs, reasons)
    assert report["reasons"] == reasons
    assert report["pairs"] == len(pairs)
    lengths = [
        len(action_ids(processor, t.steps[p.step].candidates[p.chosen].action.text))
        for p in pairs
        for t in told
        if t.task.id == p.task_id
    ]
    assert report["chosen"]["max"] == max(lengths)
    assert report["chosen"]["mean"] == pytest.approx(sum(lengths) / len(lengths), abs=1e-3)
    assert 0 < report["overlap"]["mean"] < report["overlap"]["max"] < 1
    assert f"{len(pairs)} preference pairs" in in_words(report)
    assert pair_report(processor, [], [], reasons)["pairs"] == 0
