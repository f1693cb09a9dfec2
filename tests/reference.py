"""CLIPtrase as written in the paper, in loops and float64; shares no code with the package."""

from __future__ import annotations

import math

import numpy as np
import torch


class Reference:
    """Reference implementation that runs a float64 model of open_clip token by token; slow on purpose."""

    def __init__(self, model):
        self.visual = model.visual

    def encode(self, pixels):
        """Return (1+N, D) features of the recovered last block and the (1+N, 1+N) affinity of the block before."""
        tokens = self.embed(pixels)
        blocks = list(self.visual.transformer.resblocks)
        for block in blocks[:-2]:
            tokens = self.block(block, tokens, self.query_key)
        affinity = self.affinity(self.project(blocks[-2], tokens))
        tokens = self.block(blocks[-2], tokens, self.query_key)
        return self.finish(self.block(blocks[-1], tokens, self.recovered)), affinity

    def vanilla(self, pixels):
        """Return (1+N, D) features of the plain model, for every token."""
        tokens = self.embed(pixels)
        for block in self.visual.transformer.resblocks:
            tokens = self.block(block, tokens, self.query_key)
        return self.finish(tokens)

    def embed(self, pixels):
        visual, (_, height, width) = self.visual, pixels.shape
        size = visual.patch_size[0]
        h, w = height // size, width // size
        grid = visual.grid_size
        rows = [visual.class_embedding + visual.positional_embedding[0]]
        places = visual.positional_embedding[1:]
        if (h, w) != grid:
            image = places.T.reshape(1, -1, *grid)
            image = torch.nn.functional.interpolate(image, size=(h, w), mode="bicubic", antialias=True)
            places = image[0].flatten(1).T
        for y in range(h):
            for x in range(w):
                patch = pixels[:, y * size : (y + 1) * size, x * size : (x + 1) * size]
                value = torch.stack([(kernel * patch).sum() for kernel in visual.conv1.weight])
                rows.append(value + places[y * w + x])
        return visual.ln_pre(torch.stack(rows))

    @staticmethod
    def project(block, tokens):
        """Return q, k and v, each as (heads, tokens, width / heads)."""
        z, heads = block.ln_1(tokens), block.attn.num_heads
        parts = []
        for weight, bias in zip(block.attn.in_proj_weight.chunk(3), block.attn.in_proj_bias.chunk(3), strict=True):
            parts.append((z @ weight.T + bias).reshape(len(z), heads, -1).transpose(0, 1))
        return parts

    @staticmethod
    def attend(queries, keys, values):
        out = []
        for query in queries:
            scores = [math.exp(float(query @ key) / len(query) ** 0.5) for key in keys]
            out.append(sum(s / sum(scores) * value for s, value in zip(scores, values, strict=True)))
        return torch.stack(out)

    def query_key(self, q, k, v):
        return self.attend(q, k, v)

    def recovered(self, q, k, v):
        return self.attend(q, q, v) + self.attend(k, k, v) + self.attend(v, v, v)

    def block(self, block, tokens, attention):
        mixed = [attention(q, k, v) for q, k, v in zip(*self.project(block, tokens), strict=True)]
        tokens = tokens + block.attn.out_proj(torch.cat(mixed, dim=1))
        return tokens + block.mlp(block.ln_2(tokens))

    @staticmethod
    def affinity(parts):
        count = parts[0].shape[1]
        out = np.zeros((count, count))
        for i in range(count):
            for j in range(count):
                cosines = [
                    float(head[i] @ head[j] / head[i].norm() / head[j].norm()) for part in parts for head in part
                ]
                out[i, j] = sum(cosines) / len(cosines)
        return out

    def finish(self, tokens):
        out = self.visual.ln_post(tokens) @ self.visual.proj
        return (out / out.norm(dim=-1, keepdim=True)).numpy()


def bilinear(grid, size):
    """Interpolate (h, w) to (H, W) bilinearly, with half-pixel centres and repeated edges."""
    weights = []
    for source, target in zip(grid.shape, size, strict=True):
        matrix = np.zeros((target, source))
        for i in range(target):
            place = max((i + 0.5) * source / target - 0.5, 0)
            low = min(int(place), source - 1)
            high = min(low + 1, source - 1)
            matrix[i, low] += 1 - (place - low)
            matrix[i, high] += place - low
        weights.append(matrix)
    return (weights[0] @ grid @ weights[1].T).astype(grid.dtype)
