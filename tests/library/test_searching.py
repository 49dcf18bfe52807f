"""Searching a library in words, and by meaning with a real embedding model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from library.sample_pictures import PICTURES
from sport.library import Library, LibraryError
from sport.library.embed import SentenceFolder
from sport.library.fuse import fuse
from sport.library.place import Folder
from sport.library.records import Caption, Picture
from sport.library.tables import INDEXED, Tables

SPACE = "the universe far away, full of stars"  # Shares no word with a caption.


def names(hits) -> list[str]:
    return [Path(hit.file.source).stem for hit in hits]


@pytest.fixture(scope="session")
def embedder(model) -> SentenceFolder:
    return SentenceFolder(model)


@pytest.fixture
def dense(photos, tmp_path, embedder) -> Library:
    library = Library.open(tmp_path / "library", embedder)
    assert library.add([photos]).embedded == 9
    return library


def test_words_in_any_form_and_marks_of_a_query_language(library, photos) -> None:
    library.add([photos])
    assert names(library.search("STANDING rockets?")) == ["rocket"]
    assert names(library.search('caption:"cat" AND (NOT -dog*', n=1)) == ["chelsea"]
    assert library.search("zebra") == []
    assert len(library.search("greek cat temple rocket espresso", n=3)) == 3


def test_a_request_by_meaning(dense, library) -> None:
    assert names(library.search(SPACE)) == []
    for mode in (None, "dense", "hybrid"):
        hits = dense.search(SPACE, n=2, mode=mode)
        assert names(hits)[0] == "hubble_deep_field" and len(hits) == 2
    assert dense.search(SPACE, mode="text") == []


def test_a_least_similarity_leaves_out_what_is_not_close(dense) -> None:
    everything = dense.search(SPACE, mode="dense")
    assert len(everything) == 9
    similarities = [hit.similarity for hit in everything]
    assert similarities == sorted(similarities, reverse=True)
    limit = similarities[1]
    for mode in ("dense", "hybrid"):
        assert len(dense.search(SPACE, min_similarity=limit, mode=mode)) == 2
    assert dense.search(SPACE, min_similarity=0.95) == []
    # By words alone a caption is found, but it is not what was meant.
    assert names(dense.search("a cat", mode="text"))[0] == "chelsea"
    assert dense.search("a camera", min_similarity=0.9, mode="text") == []


def test_every_hit_has_the_similarity_of_its_caption(dense, embedder) -> None:
    [request] = embedder.embed(["old money"], request=True)
    for mode in ("text", "dense", "hybrid"):
        for hit in dense.search("old money", mode=mode):
            [caption] = embedder.embed([hit.caption])
            assert hit.similarity == pytest.approx(float(request @ caption), abs=1e-4)


def test_vectors_are_those_of_the_model(embedder) -> None:
    texts = ["a cat", "a kitten", "the stock market fell sharply on Monday"] * 40
    vectors = embedder.embed(texts)
    assert vectors.shape == (120, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[0], embedder.embed(["a cat"])[0], atol=1e-5)
    # What sentence-transformers 6.2 itself makes of this model and these texts.
    np.testing.assert_allclose(vectors[0][:3], [0.06173372, 0.04145978, 0.00876332], atol=1e-6)
    assert float(vectors[0] @ vectors[1]) == pytest.approx(0.7662766, abs=1e-5)
    assert float(vectors[0] @ vectors[2]) == pytest.approx(0.0885204, abs=1e-5)


def test_an_embedding_model_can_come_later_and_captions_can_change(
    library, photos, tmp_path, embedder
) -> None:
    library.add([photos])
    dense = Library.open(tmp_path / "library", embedder)
    with pytest.raises(LibraryError, match="has no vectors of the model"):
        dense.search("cat")
    report = dense.add([photos])
    assert (report.known, report.embedded) == (9, 9)
    (photos / "coins.txt").write_text("a steam train crosses a bridge")
    report = dense.add([photos])
    assert (report.recaptioned, report.embedded) == (1, 1)
    assert names(dense.search("railway", n=1, mode="dense")) == ["coins"]
    assert dense.stats().vectors == {embedder.name: 9}


def test_what_needs_a_model_says_so(library, photos) -> None:
    library.add([photos])
    for options in ({"min_similarity": 0.5}, {"mode": "dense"}, {"mode": "hybrid"}):
        with pytest.raises(LibraryError, match="needs an embedding model"):
            library.search("cat", **options)
    with pytest.raises(LibraryError, match="request is empty"):
        library.search("  ")
    with pytest.raises(LibraryError, match="n must be at least 1"):
        library.search("cat", n=0)


def test_a_folder_that_is_no_model(tmp_path, model) -> None:
    with pytest.raises(LibraryError, match=r"no config\.json"):
        Library.open(tmp_path / "library", tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    modules = json.loads((copy / "modules.json").read_text())
    modules.append({"idx": 3, "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(LibraryError, match="a module Dense"):
        SentenceFolder(copy)
    (copy / "modules.json").unlink()
    (copy / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(LibraryError, match="no embedding model that loads"):
        SentenceFolder(copy)


def test_pooling_and_prompts_of_the_folder_are_heeded(tmp_path, model, embedder) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    (copy / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    prompts = {"prompts": {"query": "query: ", "passage": "passage: "}}
    (copy / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    other = SentenceFolder(copy)
    assert other.name != embedder.name
    (copy / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    prompted = SentenceFolder(copy)
    assert not np.allclose(other.embed(["a cat"]), prompted.embed(["a cat"]), atol=0.01)
    for request, prompt in ((True, "query: a cat"), (False, "passage: a cat")):
        given = prompted.embed(["a cat"], request=request)
        np.testing.assert_allclose(given, embedder.embed([prompt]), atol=1e-5)


def test_fusion_prefers_what_both_lists_hold() -> None:
    fused = fuse([("a", 9.0), ("b", 8.0)], [("c", 0.9), ("b", 0.8)])
    assert [item for item, _ in fused] == ["b", "a", "c"]
    assert fused[0][1] == pytest.approx(2 / 62)


def test_many_vectors_are_indexed_and_their_similarities_stay_exact(tmp_path) -> None:
    tables = Tables(Folder(tmp_path))
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, 16))
    vectors = centres[rng.integers(200, size=INDEXED)] + 0.3 * rng.normal(size=(INDEXED, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32")
    digests = [f"{number:064x}" for number in range(INDEXED)]
    tables.add_vectors("m", digests, vectors)
    exact = tables.by_nearness("m", vectors[5], 10)
    tables.settle()
    found = tables.by_nearness("m", vectors[5], 10)
    assert [digest for digest, _ in found] == [digest for digest, _ in exact]
    for digest, similarity in found:
        assert similarity == pytest.approx(float(vectors[int(digest, 16)] @ vectors[5]), abs=1e-5)
    # Those that come after the index was built are found as well.
    tables.add_vectors("m", ["f" * 64], vectors[5:6])
    assert "f" * 64 in [digest for digest, _ in tables.by_nearness("m", vectors[5], 2)]


class Numbered:
    """Stands for an embedding model: the nearer two numbers, the more alike their captions are."""

    name = "numbered"
    dimension = 2

    def embed(self, texts, request=False):
        angles = np.array([int(text.split()[-1]) for text in texts]) / 2000
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """1,500 rows whose captions differ in a number; the pictures themselves are not needed."""
    folder = tmp_path_factory.mktemp("many")
    tables = Tables(Folder(folder))
    captions = [f"thing number {number}" for number in range(1500)]
    digests = [f"{number:064x}" for number in range(1500)]
    tables.add(
        [
            Picture(digest, digest, f"{caption}.png", Caption(caption), 8, 8, 0)
            for digest, caption in zip(digests, captions, strict=True)
        ]
    )
    tables.add_vectors("numbered", digests, Numbered().embed(captions))
    tables.settle()
    return folder


@pytest.fixture
def many(filled) -> Library:
    return Library.open(filled, Numbered())


@pytest.mark.parametrize("mode", ["text", "dense", "hybrid"])
def test_pictures_that_are_excluded_make_room_for_others(many, mode) -> None:
    def found(allow, n=3, **options):
        hits = many.search("thing 0", n, mode=mode, allow=allow, **options)
        return [int(hit.file.sha256, 16) for hit in hits]

    assert found(None, 5) == found(lambda digest: True, 5)
    late = found(lambda digest: int(digest, 16) >= 1300)
    assert len(late) == 3 and min(late) >= 1300
    assert found(lambda digest: digest == f"{1499:064x}") == [1499]
    assert len(found(lambda digest: int(digest, 16) % 2 == 0, 800)) == 750
    assert found(lambda digest: False) == []
    if mode == "dense":
        assert late == [1300, 1301, 1302]
    # The threshold holds for those as well.
    close = found(lambda digest: int(digest, 16) >= 200, min_similarity=float(np.cos(0.1015)))
    assert sorted(close) == [200, 201, 202]


def test_without_a_model_pictures_are_excluded_as_well(filled) -> None:
    library = Library.open(filled)
    hits = library.search("thing", 4, allow=lambda digest: int(digest, 16) % 500 == 7)
    assert sorted(int(hit.file.sha256, 16) for hit in hits) == [7, 507, 1007]


def test_a_threshold_ends_the_search_before_the_end_of_the_library(many) -> None:
    asked = []
    limit = float(np.cos(0.0255))  # Fifty are that close.
    allow = lambda digest: asked.append(digest) or digest.endswith("f")  # noqa: E731
    hits = many.search("thing 0", 10, min_similarity=limit, mode="dense", allow=allow)
    assert len(hits) == 3 and len(asked) == 100


def test_all_pictures_are_listed_in_one_order(library, photos, tmp_path) -> None:
    with pytest.raises(LibraryError, match="sport images add DIR"):
        library.pictures()
    library.add([photos])
    listed = library.pictures()
    assert {entry.file.name.split(".")[0]: entry.caption for entry in listed} == {
        name.split(".")[0]: caption for name, caption in PICTURES.items()
    }
    other = Library.open(tmp_path / "other")
    for path in sorted(photos.glob("*.*g"), reverse=True):
        other.add([path])
    (photos / "coins.txt").write_text("roman money")
    library.add([photos])
    digests = [entry.file.sha256 for entry in other.pictures()]
    assert [entry.file.sha256 for entry in library.pictures()] == digests
    assert all(entry.file.path.is_file() for entry in other.pictures())


def test_captions_of_the_samples_find_their_pictures(dense) -> None:
    for name, caption in PICTURES.items():
        assert names(dense.search(caption, n=1)) == [Path(name).stem]
