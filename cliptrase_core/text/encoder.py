"""Encoding of words in prompt templates as unit vectors, without padding and with each prefix computed once.

The text transformer of CLIP is causal, so the result at the end-of-text token does not depend on later tokens, and
the keys and values of a template's prefix do not depend on the word. Both savings are exact. Towers that are not
causal run unchanged, without these savings.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cliptrase_core.cache import LRUCache
from cliptrase_core.cancel import steps
from cliptrase_core.errors import InputError, expect_one_of
from cliptrase_core.models.blocks import finish_block, project
from cliptrase_core.text.vocabulary import Vocabulary
from cliptrase_core.text.words import TextFeatures, Words, read_text_features, read_words

USUAL_TEMPLATES = "simple7"
"""Templates of words that are embedded without a preset."""

CACHED_WORDS = 20_000
"""Limit of cached embeddings: 40 MB at D = 512; the least recently used are removed first."""

PROMPTS_AT_ONCE = 256
"""Prompts of one pass: enough to use all cores, few enough to need little memory."""


@dataclass(frozen=True, eq=False)
class Prefix:
    """Keys and values of a template's prefix, the text before the word.

    Attributes:
        ids: n token ids, start-of-text first.
        keys: (L, heads, n, d).
        values: (L, heads, n, d).
    """

    ids: tuple[int, ...]
    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class Prompt:
    """One prompt: its index, its prefix, and the token ids after the prefix up to end-of-text."""

    index: int
    prefix: Prefix
    ids: tuple[int, ...]


class TextEncoder:
    """Encoder of words with the text tower of an open_clip model; safe to share between threads.

    Args:
        model: an open_clip model in eval mode; read, never changed.
        tokenizer: its tokenizer, texts -> (P, context) ids.
    """

    def __init__(self, model: nn.Module, tokenizer: Callable[..., Tensor]) -> None:
        """Find the text tower and check whether it is causal; nothing is computed yet."""
        self._model: Any = model
        self._tower: Any = model if hasattr(model, "token_embedding") else getattr(model, "text", None)
        self._tokenizer: Any = tokenizer
        self._causal = _is_causal(self._tower)
        self._words: LRUCache[Tensor] = LRUCache(CACHED_WORDS)
        self._prefixes: dict[tuple[int, ...], Prefix] = {}

    def embed(self, words: Sequence[str], templates: str | None = None) -> Tensor:
        """Return one unit vector for each word: the normalised mean of the unit vectors of its prompts.

        Args:
            words: any text; case and spelling are not changed.
            templates: name of a set of prompt templates; None uses `USUAL_TEMPLATES`.

        Returns:
            (P, D) float32, on the device of the model.

        Raises:
            InputError: no words, an empty one, unknown templates, or a word too long for the model's context.
        """
        templates = USUAL_TEMPLATES if templates is None else templates
        sentences, words = templates_by_name(templates), _read_list(words)
        if not words or not all(word.strip() for word in words):
            got = "an empty one" if words else "none"
            raise InputError("words", expected="at least one, none empty", got=got, remedy='For example "cat; dog".')
        known = {word: found for word in words if (found := self._words.peek((templates, word))) is not None}
        new = [word for word in dict.fromkeys(words) if word not in known]
        for word, vector in zip(new, self.embed_new(new, sentences) if new else (), strict=True):
            known[word] = vector.clone()  # a row alone would keep all rows in memory
            self._words.put((templates, word), known[word])
        return torch.stack([known[word] for word in words])

    def read(
        self,
        vocabulary: Words | None,
        features: TextFeatures | None,
        class_names: Sequence[str] | None,
        templates: str,
        width: int,
    ) -> tuple[Vocabulary, Tensor]:
        """Return the vocabulary and the (P, width) features of its prompts; errors as for `embed` and `words`."""
        if features is None:
            words = read_words(vocabulary, class_names)
            return words, self.embed(words.prompts, templates)
        words, rows = read_text_features(features, class_names, vocabulary, width=width)
        return words, rows.to(self._device)

    def unknown(self, words: Sequence[str]) -> list[str]:
        """Return the words with a token whose embedding is zero: the model stores only the tokens of its training.

        Punctuation has no meaning that could be missing.
        """
        words = _read_list(words)
        embedding = getattr(self._tower, "token_embedding", None)
        if not isinstance(embedding, nn.Embedding) or not words:
            return []
        rows = self._tokenizer([_without_punctuation(word) for word in words]).tolist()
        tokens = [row[: self._end_of_text(row)] for row in rows]
        return [word for word, ids in zip(words, tokens, strict=True) if not bool(self._stored[ids].all())]

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self._model.parameters()).device
        return device

    @cached_property
    def _stored(self) -> Tensor:
        """(V,) bool, False for token embeddings of zeros."""
        stored: Tensor = self._tower.token_embedding.weight.detach().any(dim=1).cpu()
        return stored

    @torch.inference_mode()
    def embed_new(self, words: Sequence[str], sentences: Sequence[str]) -> Tensor:
        """Compute the vectors (P, D) of words in these sentences; `embed` calls it for words that are not cached."""
        prompts = [fill(sentence, word) for word in words for sentence in sentences]
        self._check_length(prompts)
        ids = torch.cat([self._tokenizer(part) for part in _batches(prompts)])  # (P, context)
        encode = self._encode_causal if self._causal else self._encode_whole
        vectors = F.normalize(encode(ids, sentences).float(), dim=-1)  # (P, D)
        return F.normalize(vectors.reshape(len(words), len(sentences), -1).mean(dim=1), dim=-1)

    def _check_length(self, prompts: Sequence[str]) -> None:
        context = getattr(self._tokenizer, "context_length", None)
        if context is None or not hasattr(self._tokenizer, "encode"):
            return
        for prompt in steps(prompts):
            count = len(self._tokenizer.encode(prompt)) + 2  # start and end of text
            if count > context:
                shown = prompt if len(prompt) <= 80 else prompt[:77] + "..."
                raise InputError(
                    f"prompt '{shown}'",
                    expected=f"at most {context} tokens",
                    got=str(count),
                    remedy="Use fewer or shorter words for this class.",
                )

    def _encode_whole(self, ids: Tensor, sentences: Sequence[str]) -> Tensor:
        del sentences  # a tower without a causal mask has no reusable prefixes
        return torch.cat([self._model.encode_text(part.to(self._device)) for part in _batches(ids, 64)])

    def _encode_causal(self, ids: Tensor, sentences: Sequence[str]) -> Tensor:
        prefixes = [self._prefix(sentence) for sentence in sentences]
        prompts = []
        for index, row in enumerate(ids.tolist()):
            prefix = prefixes[index % len(sentences)]
            known = len(prefix.ids)
            if tuple(row[:known]) != prefix.ids:  # the tokenizer merged the word with the text before it
                prefix = self._prefix("")
                known = len(prefix.ids)
            prompts.append(Prompt(index, prefix, tuple(row[known : self._end_of_text(row) + 1])))
        out: list[Tensor] = [ids.new_empty(0)] * len(prompts)
        for batch in _similar_lengths(prompts):
            for prompt, vector in zip(batch, self._run_prompts(batch), strict=True):
                out[prompt.index] = vector
        return torch.stack(out)

    def _end_of_text(self, row: list[int]) -> int:
        pool, end = _pooling(self._tower)
        return row.index(end if pool == "eos" and end is not None else max(row))

    def _prefix(self, sentence: str) -> Prefix:
        """Return the keys and values of the text before the word, computed once for each template."""
        row = self._tokenizer([sentence.split("{}")[0].rstrip()])[0].tolist()
        ids = tuple(row[: self._end_of_text(row)])
        if ids not in self._prefixes:
            self._prefixes[ids] = self._run_prefix(ids)
        return self._prefixes[ids]

    def _run_prefix(self, ids: tuple[int, ...]) -> Prefix:
        tower = self._tower
        keys, values = [], []
        device = tower.token_embedding.weight.device
        tokens = tower.token_embedding(torch.tensor([ids], dtype=torch.long, device=device))
        tokens = tokens + tower.positional_embedding[: len(ids)]
        for block in tower.transformer.resblocks:
            p = project(block, tokens)
            keys.append(p.k[0])
            values.append(p.v[0])
            mixed = F.scaled_dot_product_attention(p.q, p.k, p.v, is_causal=True)
            tokens = finish_block(block, tokens, mixed)
        return Prefix(ids, torch.stack(keys), torch.stack(values))

    def _run_prompts(self, batch: Sequence[Prompt]) -> Tensor:
        """Run the tokens after the prefixes in one pass; return (len(batch), D).

        Tokens of all prompts are packed into one row of length R, so that no layer spends time on padding;
        only attention uses the padded layout (B, S).
        """
        tower, device = self._tower, self._tower.token_embedding.weight.device
        prefixes = list({id(p.prefix): p.prefix for p in batch}.values())
        before = max(len(prefix.ids) for prefix in prefixes)
        keys = _stack_left([prefix.keys for prefix in prefixes], before)  # (L, prefixes, heads, n, d)
        values = _stack_left([prefix.values for prefix in prefixes], before)
        prefix_of = torch.tensor([prefixes.index(p.prefix) for p in batch], device=device)  # (B,)
        starts = torch.tensor([len(p.prefix.ids) for p in batch], device=device)
        row, place, unpack = _packing([len(p.ids) for p in batch], device)
        ids = torch.tensor([token for p in batch for token in p.ids], device=device)
        tokens = (tower.token_embedding(ids) + tower.positional_embedding[starts[row] + place])[None]  # (1, R, width)
        seen = _visible(starts, before, unpack.shape[1])  # (B, 1, S, n+S)
        blocks = list(tower.transformer.resblocks)
        for layer, block in enumerate(blocks):
            p = project(block, tokens)
            k = torch.cat([keys[layer, prefix_of], _unpacked(p.k, unpack)], dim=2)  # (B, heads, n+S, d)
            v = torch.cat([values[layer, prefix_of], _unpacked(p.v, unpack)], dim=2)
            if block is blocks[-1]:  # only the end-of-text token is read afterwards
                last = torch.cat([row[1:] != row[:-1], row.new_ones(1, dtype=torch.bool)])
                row, place, tokens = row[last], place[last], tokens[:, last]
            mixed = F.scaled_dot_product_attention(_unpacked(p.q, unpack), k, v, attn_mask=seen)
            tokens = finish_block(block, tokens, mixed[row, :, place].transpose(0, 1)[None])
        return _read_out(tower, tokens[0])


def _packing(lengths: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the prompt of each packed token (R,), its position there (R,), and the packed index by position (B, S)."""
    row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    first = torch.tensor([0, *lengths[:-1]]).cumsum(0)
    place = torch.arange(len(row)) - first[row]
    unpack = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    unpack[row, place] = torch.arange(len(row))
    return row.to(device), place.to(device), unpack.to(device)


def _unpacked(packed: Tensor, unpack: Tensor) -> Tensor:
    """Unpack (1, heads, R, d) to (B, heads, S, d)."""
    return packed[0][:, unpack].transpose(0, 1)


def _visible(starts: Tensor, before: int, longest: int) -> Tensor:
    """Return the mask of keys for each token: its own prefix (padded on the left), earlier tokens and itself."""
    place = torch.arange(before, device=starts.device)
    prefix = place >= before - starts[:, None]  # (B, n)
    causal = torch.ones(longest, longest, dtype=torch.bool, device=starts.device).tril()
    batch = len(starts)
    parts = [prefix[:, None].expand(batch, longest, before), causal.expand(batch, longest, longest)]
    return torch.cat(parts, dim=2)[:, None]


def _stack_left(parts: Sequence[Tensor], length: int) -> Tensor:
    """Stack (L, heads, n_i, d) into (L, parts, heads, length, d), padded on the left."""
    return torch.stack([F.pad(part, (0, 0, length - part.shape[2], 0)) for part in parts], dim=1)


def _read_out(tower: Any, tokens: Tensor) -> Tensor:
    out: Tensor = tower.ln_final(tokens)
    head = tower.text_projection
    if head is None:
        return out
    projected: Tensor = head(out) if isinstance(head, nn.Linear) else out @ head
    return projected


def _similar_lengths(prompts: Sequence[Prompt]) -> Iterator[Sequence[Prompt]]:
    """Return batches in order of length, so that attention needs little padding."""
    return _batches(sorted(prompts, key=lambda p: len(p.ids)))


def _without_punctuation(word: str) -> str:
    """Return a word with spaces in place of punctuation, currency and mathematical signs; emoji stay."""
    signs = ("Sm", "Sc", "Sk")
    kinds = map(unicodedata.category, word)
    return "".join(" " if kind[0] == "P" or kind in signs else sign for sign, kind in zip(word, kinds, strict=True))


def _read_list(words: Any) -> Sequence[str]:
    """Return words as a list of texts, as `read_words` reads lists; the letters of a single text would be words."""
    words = words.tolist() if isinstance(words, np.ndarray) else words
    single = isinstance(words, (str, bytes, bytearray))
    other = None if single or not isinstance(words, Sequence) else _not_text(words)
    if isinstance(words, Sequence) and not single and other is None:
        return words
    got, remedy = repr(words)[:60], "Make it a list of texts."
    if isinstance(words, str):
        got, remedy = f"the text {words[:40]!r}", "Put it into a list."
    elif isinstance(words, (set, frozenset)):
        remedy = "A set has no order: make it a list."
    elif other is not None:
        got, remedy = f"{other} among them", "Give each word as a text in quotes."
    raise InputError("words", expected="a list of texts", got=got, remedy=remedy)


def _not_text(words: Sequence[Any]) -> str | None:
    """Return the first entry that is not a text, shortened, or None if all are texts."""
    return next(("nothing" if word is None else repr(word)[:40] for word in words if not isinstance(word, str)), None)


def _batches(prompts: Any, at_once: int = PROMPTS_AT_ONCE) -> Iterator[Any]:
    """Yield batches of a list or tensor of prompts, in order; Cancelled may be raised between them."""
    for start in steps(range(0, len(prompts), at_once)):
        yield prompts[start : start + at_once]


def _pooling(tower: Any) -> tuple[str, int | None]:
    pool = str(getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", ""))
    return pool, getattr(tower, "text_eos_id", None) or getattr(tower, "eos_id", None)


def _is_causal(tower: Any) -> bool:
    """Return whether a text tower is like CLIP's own: causal mask, read at end-of-text, packed q/k/v."""
    mask = getattr(tower, "attn_mask", None)
    if not isinstance(mask, Tensor) or not hasattr(tower, "token_embedding"):
        return False
    if getattr(tower, "cls_emb", None) is not None or getattr(tower, "use_pad_mask", False):
        return False
    if _pooling(tower)[0] not in ("argmax", "eos"):
        return False
    looks_ahead = torch.isfinite(mask).triu(1).any()
    packed = all(getattr(block.attn, "in_proj_weight", None) is not None for block in tower.transformer.resblocks)
    return packed and not bool(looks_ahead)


TEMPLATES = MappingProxyType(
    {
        # open_clip stores templates as functions; with the placeholder as the word they return plain templates.
        "simple7": tuple(template("{}") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES),
        "openai80": tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES),
    }
)
"""Template sets by name; every template contains "{}" once."""


def templates_by_name(name: str) -> tuple[str, ...]:
    """Return the templates of a set.

    Raises:
        InputError: unknown name.
    """
    expect_one_of("templates", name, TEMPLATES)
    return TEMPLATES[name]


def fill(template: str, word: str) -> str:
    """Put a word into a template. Never uses `str.format`, because words may contain braces."""
    return template.replace("{}", word, 1)
