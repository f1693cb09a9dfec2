"""Cut prompts and cached prefixes equal the whole text tower; the cache is bounded and does not mix words."""

from __future__ import annotations

import threading

import numpy as np
import open_clip
import pytest
import torch
from torch.nn import functional as F

from cliptrase_core import InputError
from cliptrase_core.text import encoder as encoder_module
from cliptrase_core.text.encoder import TEMPLATES, TextEncoder, fill
from tests.conftest import tiny_clip

WORDS = ["cat", "a very long description of a striped tabby", "犬", "dog's", "{0} {}", "\U0001f408", "T-shirt & hat"]


def whole_tower(model, words, templates, tokenizer=None):
    tokenizer = tokenizer or open_clip.tokenizer.SimpleTokenizer()
    rows = []
    for word in words:
        prompts = [fill(template, word) for template in TEMPLATES[templates]]
        rows.append(F.normalize(F.normalize(model.encode_text(tokenizer(prompts)), dim=-1).mean(0), dim=-1))
    return torch.stack(rows)


@pytest.mark.parametrize("templates", ["simple7", "openai80"])
def test_embedding_equals_the_whole_tower_on_whole_prompts(model, templates):
    encoder = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer())
    got = encoder.embed(WORDS, templates)
    torch.testing.assert_close(got, whole_tower(model, WORDS, templates), atol=2e-6, rtol=1e-5)


class Merging(open_clip.tokenizer.SimpleTokenizer):
    """Joins the word to the article before it, as a tokenizer of another language may do."""

    def encode(self, text):
        return super().encode(text.replace("a ", "a"))


def test_a_tokenizer_that_merges_the_word_with_the_text_before_it(model, monkeypatch):
    encoder, prefixes = TextEncoder(model, Merging()), []
    original = TextEncoder._run_prefix
    monkeypatch.setattr(TextEncoder, "_run_prefix", lambda self, ids: prefixes.append(ids) or original(self, ids))
    got = encoder.embed(WORDS)
    torch.testing.assert_close(got, whole_tower(model, WORDS, "simple7", Merging()), atol=2e-6, rtol=1e-5)
    assert len(prefixes) == len(set(prefixes)) <= 8, "each once, that of the start of the text included"


def test_only_new_words_run_and_order_does_not_matter(model, monkeypatch):
    encoder = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer())
    ran = []
    original = TextEncoder._run_prompts
    monkeypatch.setattr(
        TextEncoder, "_run_prompts", lambda self, batch: ran.append(len(batch)) or original(self, batch)
    )
    first = encoder.embed(["cat", "dog"])
    count = sum(ran)
    second = encoder.embed(["dog", "bird", "cat", "dog"])
    assert sum(ran) == count + 7  # one new word, seven templates
    assert torch.equal(second[0], first[1])
    assert torch.equal(second[2], first[0])


def test_a_batch_gives_what_each_word_gives_alone(model):
    together = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer()).embed(WORDS)
    for word, row in zip(WORDS, together, strict=True):
        alone = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer()).embed([word])
        torch.testing.assert_close(alone[0], row, atol=2e-6, rtol=1e-5)


def test_cache_is_bounded_and_forgets_the_word_unused_for_longest(model, monkeypatch):
    monkeypatch.setattr(encoder_module, "CACHED_WORDS", 2)
    encoder, new = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer()), []
    embed_new = encoder.embed_new
    monkeypatch.setattr(encoder, "embed_new", lambda words, sentences: new.extend(words) or embed_new(words, sentences))
    for words in (["cat"], ["dog"], ["cat"], ["bird"], ["bird", "cat"], ["dog"]):
        encoder.embed(words)
    assert new == ["cat", "dog", "bird", "dog"]
    assert encoder.embed(["cat", "dog", "bird", "fish"]).shape == (4, 16)  # more words than are cached


def test_template_sets_do_not_share_words(model):
    encoder = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer())
    assert not torch.equal(encoder.embed(["cat"], "simple7"), encoder.embed(["cat"], "openai80"))


def test_tower_without_a_causal_mask_runs_whole():
    model = tiny_clip()
    model.attn_mask = torch.zeros_like(model.attn_mask)
    encoder = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer())
    torch.testing.assert_close(encoder.embed(["cat"]), whole_tower(model, ["cat"], "simple7"), atol=2e-6, rtol=1e-5)


def test_tower_in_its_own_module_is_found(model):
    torch.manual_seed(0)
    custom = open_clip.model.CustomTextCLIP(
        16,
        {"layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
        {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    ).eval()
    encoder = TextEncoder(custom, open_clip.tokenizer.SimpleTokenizer())
    with torch.inference_mode():
        torch.testing.assert_close(
            encoder.embed(["cat"]), whole_tower(custom, ["cat"], "simple7"), atol=2e-6, rtol=1e-5
        )


def test_prompt_longer_than_the_context_is_named(model):
    encoder = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer())
    with pytest.raises(InputError, match="prompt .* expected at most 77 tokens, got 127. Use fewer"):
        encoder.embed(["word " * 120])


def test_no_words_and_unknown_templates_are_refused(model):
    encoder = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer())
    with pytest.raises(InputError, match="words: expected at least one"):
        encoder.embed([])
    for words in ([""], ["cat", " "], ["", " "], ["\n"]):
        with pytest.raises(InputError, match="words: expected at least one, none empty, got an empty one"):
            encoder.embed(words)
    with pytest.raises(InputError, match="templates: expected one of simple7, openai80"):
        encoder.embed(["cat"], "best")
    for use in (encoder.embed, encoder.unknown):
        with pytest.raises(InputError, match="words: expected a list of texts, got the text 'cow'"):
            use("cow")


def test_threads_with_different_words_get_their_own(model):
    encoder = TextEncoder(model, open_clip.tokenizer.SimpleTokenizer())
    lists = [[f"word {i} {j}" for j in range(5)] for i in range(6)]
    expected = [TextEncoder(model, open_clip.tokenizer.SimpleTokenizer()).embed(words) for words in lists]
    got = [None] * len(lists)

    def work(i):
        got[i] = encoder.embed(lists[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(lists))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_words_are_read_and_templates_left_out_as_in_segment(segmenter):
    usual = segmenter.embed_words(["cat", "dog"], "simple7")
    for words in (np.array(["cat", "dog"]), np.array(["cat", "dog"], object), ("cat", "dog")):
        assert torch.equal(segmenter.embed_words(words, None), usual)
        assert segmenter.unknown_words(words) == segmenter.unknown_words(["cat", "dog"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dog", 1], "got 1 among them. Give each word as a text in quotes."),
        (["dog", None], "got nothing among them. Give each"),
        (np.array([1, 2]), "got 1 among them. Give each"),
        (np.array("cat"), "got the text 'cat'. Put it into a list."),
        ({"cat"}, "got {'cat'}. A set has no order: make it a list."),
        (None, "got nothing. Make it a list of texts."),
        ((word for word in "ab"), "got a generator. Make it a list of texts."),
    ],
)
def test_the_remedy_fits_the_words_that_are_refused(segmenter, words, said):
    with pytest.raises(InputError) as refusal:
        segmenter.embed_words(words)
    assert said in str(refusal.value)


@pytest.mark.parametrize("words", [None, [None], ["cat", 3], "cat", {"cat"}])
def test_words_that_are_no_list_of_texts_are_refused(segmenter, words):
    for work in (segmenter.embed_words, segmenter.unknown_words):
        with pytest.raises(InputError, match="words: expected a list of texts"):
            work(words)
