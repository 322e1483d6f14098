"""A text encoder of BERT's kind."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_MASKED = -1e4


class SelfAttention(nn.Module):
    """Multi-head attention, written out: exporters and fusions see each of its operators."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_size = hidden // heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States [N, L, H] and an additive mask [N, 1, 1, L] to states [N, L, H]."""
        query, key, value = (self._split(layer(states)) for layer in (self.query, self.key, self.value))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.head_size)
        weights = torch.softmax(scores + mask, dim=-1)
        mixed = torch.matmul(weights, value).permute(0, 2, 1, 3).contiguous()
        return mixed.view(mixed.shape[0], mixed.shape[1], self.heads * self.head_size)

    def _split(self, states: Tensor) -> Tensor:
        shape = (states.shape[0], states.shape[1], self.heads, self.head_size)
        return states.view(shape).permute(0, 2, 1, 3)


class EncoderLayer(nn.Module):
    """Attention and a feed-forward network, each with a sum and a layer normalization behind it."""

    def __init__(self, hidden: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.attention = SelfAttention(hidden, heads)
        self.attention_output = nn.Linear(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden)
        self.intermediate = nn.Linear(hidden, feed_forward)
        self.output = nn.Linear(feed_forward, hidden)
        self.output_norm = nn.LayerNorm(hidden)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States [N, L, H] to states [N, L, H]."""
        states = self.attention_norm(self.attention_output(self.attention(states, mask)) + states)
        inner = nn.functional.gelu(self.intermediate(states))
        result: Tensor = self.output_norm(self.output(inner) + states)
        return result


class Encoder(nn.Module):
    """Token and position embeddings, layers of attention, and a classifier on the first token's state.

    Source: Devlin et al. 2019, arXiv:1810.04805.
    """

    def __init__(
        self,
        vocabulary: int = 1000,
        hidden: int = 64,
        layers: int = 2,
        heads: int = 4,
        feed_forward: int = 256,
        positions: int = 128,
        num_classes: int = 4,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, hidden)
        self.positions = nn.Embedding(positions, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.layers = nn.ModuleList(EncoderLayer(hidden, heads, feed_forward) for _ in range(layers))
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token numbers [N, L] and a mask [N, L] (1: a token, 0: filling) to logits [N, classes]."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        states = self.norm(self.words(input_ids) + self.positions(places))
        mask = (1.0 - attention_mask[:, None, None, :].to(states.dtype)) * _MASKED
        for layer in self.layers:
            states = layer(states, mask)
        result: Tensor = self.classifier(states[:, 0])
        return result
