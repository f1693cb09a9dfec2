"""Every method by the formulas of its paper, token by token in float64, without code of the package."""

from __future__ import annotations

import math

import numpy as np
import torch

from tests.reference import Reference, bilinear


def softmax(scores):
    largest = max(scores)
    weights = [math.exp(score - largest) for score in scores]
    return [weight / sum(weights) for weight in weights]


def weigh(rows, columns, scale, extra=None):
    """Return softmax(scale rows columns^T + extra), computed element by element."""
    out = []
    for i, row in enumerate(rows):
        out.append(
            softmax(
                [
                    float(row @ column) * scale + (extra[i][j] if extra is not None else 0)
                    for j, column in enumerate(columns)
                ]
            )
        )
    return torch.tensor(out, dtype=torch.float64)


def omega(grid, deviation=5.0):
    """Return NACLIP's Gaussian between patches, (1+N, 1+N); 0 for [CLS]."""
    h, w = grid
    out = np.zeros((1 + h * w, 1 + h * w))
    for i in range(h * w):
        for j in range(h * w):
            square = (i // w - j // w) ** 2 + (i % w - j % w) ** 2
            out[1 + i, 1 + j] = math.exp(-square / (2 * deviation**2))
    return out


class MethodReference(Reference):
    """Features of all tokens by any method, with its published residual or another: "patch", "none" or "cls"."""

    def __init__(self, model, grid, residual=None):
        super().__init__(model)
        self.grid, self.residual = grid, residual
        self.blocks = list(self.visual.transformer.resblocks)

    def inputs(self, pixels):
        """Return the input tokens of each block, then the output of the last block."""
        tokens = [self.embed(pixels)]
        for block in self.blocks:
            tokens.append(self.block(block, tokens[-1], self.query_key))
        return tokens

    def features(self, name, pixels, *words):
        return getattr(self, name)(self.inputs(pixels), *words)

    def heads(self, block, tokens):
        """Return (q, k, v, d ** -0.5) of each head."""
        return [(q, k, v, len(q[0]) ** -0.5) for q, k, v in zip(*self.project(block, tokens), strict=True)]

    def out(self, block, mixed):
        return block.attn.out_proj(torch.cat(mixed, dim=1))

    def added(self, out, tokens, own):
        """Return the attention output plus the residual of each token: its own stream, nothing, or that of [CLS]."""
        streams = {"patch": list(tokens), "none": [0 * row for row in tokens], "cls": [tokens[0] for _ in tokens]}
        return torch.stack([row + x for row, x in zip(out, streams[self.residual or own], strict=True)])

    def with_mlp(self, tokens, mixed):
        block = self.blocks[-1]
        tokens = self.added(self.out(block, mixed), tokens, "patch")
        return self.finish(tokens + block.mlp(block.ln_2(tokens)))

    def bare(self, tokens, mixed):
        return self.finish(self.added(self.out(self.blocks[-1], mixed), tokens, "none"))

    def last(self, inputs):
        return self.heads(self.blocks[-1], inputs[-2])

    def clip(self, inputs):
        if self.residual is None:
            return self.finish(inputs[-1])
        return self.with_mlp(inputs[-2], [weigh(q, k, s) @ v for q, k, v, s in self.last(inputs)])

    def cliptrase(self, inputs):
        mixed = [(weigh(q, q, s) + weigh(k, k, s) + weigh(v, v, s)) @ v for q, k, v, s in self.last(inputs)]
        return self.with_mlp(inputs[-2], mixed)

    def maskclip(self, inputs):
        return self.with_mlp(inputs[-2], [v for _, _, v, _ in self.last(inputs)])

    def sclip(self, inputs):
        mixed = [(weigh(q, q, s) + weigh(k, k, s)) @ v for q, k, v, s in self.last(inputs)]
        return self.with_mlp(inputs[-2], mixed)

    def naclip(self, inputs):
        near = omega(self.grid)
        return self.bare(inputs[-2], [weigh(k, k, s, near) @ v for _, k, v, s in self.last(inputs)])

    def clearclip(self, inputs):
        return self.bare(inputs[-2], [weigh(q, q, s) @ v for q, _, v, s in self.last(inputs)])

    def own_path(self, inputs, mix):
        """Run a separate path through the last six blocks: attention and residual, no MLP. [CLS] is the plain one."""
        first = len(self.blocks) - 6
        path = inputs[first]
        for block, tokens in list(zip(self.blocks, inputs, strict=False))[first:]:
            path = self.added(self.out(block, mix(block, tokens)), path, "patch")
        features = self.finish(path)
        features[0] = self.finish(inputs[-1])[0]
        return features

    def clip_surgery(self, inputs):
        return self.own_path(inputs, lambda block, x: [weigh(v, v, s) @ v for _, _, v, s in self.heads(block, x)])

    def gem(self, inputs):
        def unit(rows):
            return torch.stack([row / row.norm() for row in rows])

        def mix(block, tokens):
            norms = [float(row.norm()) for row in block.ln_1(tokens)]
            out = []
            for q, k, v, s in self.heads(block, tokens):
                beta, mixed = s * sum(norms) / len(norms), 0
                for part in (v, k, q):
                    p = unit(part)
                    p = unit(weigh(p, p, beta) @ p)
                    mixed = mixed + weigh(p, p, beta) @ v
                out.append(mixed / 3)
            return out

        return self.own_path(inputs, mix)

    def resclip(self, inputs, text, word_classes, colours, patch):
        count = len(self.blocks)
        middle = range(count * 5 // 12, count * 9 // 12)
        vanilla = [[weigh(q, k, s) for q, k, _, s in self.heads(self.blocks[b], inputs[b])] for b in middle]
        mean = [sum(maps) / len(middle) for maps in zip(*vanilla, strict=True)]
        near = omega(self.grid)

        def divided(tau, scaled, extra):
            return self.bare(
                inputs[-2],
                [
                    tau * (0.6 * weigh(k, k, s * scaled, extra) + 0.4 * mean[head]) @ v
                    for head, (_, k, v, s) in enumerate(self.last(inputs))
                ],
            )

        patches = divided(2.0, 1.0, near)[1:]
        scores = 40 * patches @ text.T  # (N, P)
        labels = patch_labels(scores.T.reshape(-1, *self.grid), word_classes, colours, patch, least=0.11)
        return divided(2.0, 1.8 * 0.3, near + 1.8 * 0.7 * structure(labels))


def pamr(maps, colours):
    """Apply ten rounds of pixel-adaptive refinement (PAMR) to (P, H, W) maps, pixel by pixel."""
    _, height, width = colours.shape
    weights = {}
    for y in range(height):
        for x in range(width):
            places = [
                (min(max(y + d * dy, 0), height - 1), min(max(x + d * dx, 0), width - 1))
                for d in (8, 16)
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
                if (dy, dx) != (0, 0)
            ]
            total = np.zeros(len(places))
            for channel in colours:
                own = channel[y, x]
                around = np.array([channel[place] for place in places])
                deviation = np.std([*around, own, own], ddof=1)  # the pixel counts once for each of the two dilations
                total -= np.abs(around - own) / (1e-8 + 0.1 * deviation)
            weights[y, x] = places, softmax(list(total / len(colours)))
    for _ in range(10):
        new = np.zeros_like(maps)
        for (y, x), (places, shares) in weights.items():
            new[:, y, x] = sum(share * maps[:, py, px] for share, (py, px) in zip(shares, places, strict=True))
        maps = new
    return maps


def patch_labels(scores, word_classes, colours, patch, least):
    """Return (h, w), the most frequent label of the pixels of each patch; a pixel without a likely word has -1."""
    _, h, w = scores.shape
    pixels = pamr(np.stack([bilinear(one, (h * patch, w * patch)) for one in scores]), colours)
    labels = np.zeros((h * patch, w * patch), dtype=int)
    for y in range(h * patch):
        for x in range(w * patch):
            shares = softmax(list(pixels[:, y, x]))
            best = int(np.argmax(shares))
            labels[y, x] = word_classes[best] if shares[best] >= least else -1
    out = np.zeros((h, w), dtype=int)
    for y in range(h):
        for x in range(w):
            found, counts = np.unique(
                labels[y * patch : (y + 1) * patch, x * patch : (x + 1) * patch], return_counts=True
            )
            out[y, x] = found[np.argmax(counts)]
    return out


def structure(labels):
    """Return the strength with which patches belong together by labels (h, w), (1+N, 1+N) in [0, 1]; 0 for [CLS]."""
    h, w = labels.shape
    count, longest = h * w, max(h - 1, w - 1, 1)
    out = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            (y0, x0), (y1, x1) = divmod(min(i, j), w), divmod(max(i, j), w)
            if labels[y0, x0] != labels[y1, x1]:
                continue
            distance = max(abs(y1 - y0), abs(x1 - x0))
            line = [
                (math.floor(y0 + (y1 - y0) * t / distance + 0.5), math.floor(x0 + (x1 - x0) * t / distance + 0.5))
                for t in range(distance)
            ]
            broken = any(labels[place] != labels[y0, x0] for place in line)
            out[i, j] = math.exp(-distance / longest) if broken else 1
    kernel = [math.exp(-(t**2) / 50) for t in range(-15, 16)]
    blurred = np.zeros_like(out)
    for i in range(count):
        for j in range(count):
            blurred[i, j] = sum(
                kernel[t + 15] / sum(kernel) * out[i, j + t] for t in range(-15, 16) if 0 <= j + t < count
            )
        blurred[i] /= blurred[i].sum()
    return np.pad(blurred / blurred.max(), ((1, 0), (1, 0)))
