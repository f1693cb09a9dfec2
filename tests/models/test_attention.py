"""Recovered affinity, recovered attention and query-key attention equal the paper's equations, written as loops."""

from __future__ import annotations

import math

import pytest
import torch

from cliptrase_core.models.attention import query_key_attention, recovered_affinity, recovered_attention

B, HEADS, T, D = 2, 3, 5, 4


@pytest.fixture
def qkv():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(B, HEADS, T, D, generator=generator, dtype=torch.float64) for _ in range(3)]


def softmax(values):
    largest = max(values)
    weights = [math.exp(value - largest) for value in values]
    return [weight / sum(weights) for weight in weights]


def test_affinity_is_the_mean_cosine_over_heads_and_projections(qkv):
    got = recovered_affinity(*qkv)
    assert got.shape == (B, T, T)
    for b in range(B):
        for i in range(T):
            for j in range(T):
                total = 0.0
                for part in qkv:
                    for head in part[b]:
                        total += float(head[i] @ head[j] / (head[i].norm() * head[j].norm()))
                assert got[b, i, j].item() == pytest.approx(total / (3 * HEADS), abs=1e-12)


def test_recovered_attention_is_a_sum_of_three_softmaxes(qkv):
    got = recovered_attention(*qkv)
    v = qkv[2]
    for b in range(B):
        for head in range(HEADS):
            for i in range(T):
                expected = torch.zeros(D, dtype=torch.float64)
                for part in qkv:
                    scores = [float(part[b, head, i] @ part[b, head, j]) / D**0.5 for j in range(T)]
                    for j, weight in enumerate(softmax(scores)):
                        expected += weight * v[b, head, j]
                torch.testing.assert_close(got[b, head, i], expected)


def test_query_key_attention_rows_add_to_one(qkv):
    got = query_key_attention(qkv[0], qkv[1])
    torch.testing.assert_close(got.sum(-1), torch.ones(B, HEADS, T, dtype=torch.float64))
    scores = [float(qkv[0][0, 0, 1] @ qkv[1][0, 0, j]) / D**0.5 for j in range(T)]
    torch.testing.assert_close(got[0, 0, 1], torch.tensor(softmax(scores), dtype=torch.float64))


def test_affinity_of_half_precision_is_computed_in_float32(qkv):
    half = [part.to(torch.bfloat16) for part in qkv]
    got = recovered_affinity(*half)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.diagonal(dim1=1, dim2=2), torch.ones(B, T))


def test_affinity_of_zero_vectors_is_zero_and_not_nan():
    zeros = torch.zeros(1, 1, 3, 2)
    assert recovered_affinity(zeros, zeros, zeros).abs().max() == 0
