"""A text encoder of BERT's kind, with the names that published weights have."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_MASKED = -1e4
_EPSILON = 1e-12


class Embeddings(nn.Module):
    """The sum of a token's, its place's and, where there are such, its sentence's vector, normalized."""

    def __init__(self, vocabulary: int, hidden: int, positions: int, token_types: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, hidden)
        self.position_embeddings = nn.Embedding(positions, hidden)
        self.token_type_embeddings = nn.Embedding(token_types, hidden) if token_types else None
        self.LayerNorm = nn.LayerNorm(hidden, eps=_EPSILON)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Token numbers [N, L] to states [N, L, H]; all tokens are of the first sentence."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        states = self.word_embeddings(input_ids) + self.position_embeddings(places)
        if self.token_type_embeddings is not None:
            states = states + self.token_type_embeddings(torch.zeros_like(input_ids))
        result: Tensor = self.LayerNorm(states)
        return result


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


class Output(nn.Module):
    """A linear layer, what came before added, and a layer normalization."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(size, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=_EPSILON)

    def forward(self, inner: Tensor, states: Tensor) -> Tensor:
        """Inner states [N, L, S] and states [N, L, H] to states [N, L, H]."""
        result: Tensor = self.LayerNorm(self.dense(inner) + states)
        return result


class EncoderLayer(nn.Module):
    """Attention and a feed-forward network, each with a sum and a layer normalization behind it."""

    def __init__(self, hidden: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(hidden, heads), "output": Output(hidden, hidden)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(hidden, feed_forward)})
        self.output = Output(feed_forward, hidden)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States [N, L, H] to states [N, L, H]."""
        states = self.attention["output"](self.attention["self"](states, mask), states)
        inner = nn.functional.gelu(self.intermediate["dense"](states))
        result: Tensor = self.output(inner, states)
        return result


class Encoder(nn.Module):
    """Token and position embeddings, layers of attention, and a classifier on the first token's state.

    ``num_classes`` null: no classifier, but an embedding of the whole text, the mean of its tokens' states at length 1
    (sentence-transformers; Reimers & Gurevych 2019, arXiv:1908.10084). Source: Devlin et al. 2019, arXiv:1810.04805.
    """

    def __init__(
        self,
        vocabulary: int = 1000,
        hidden: int = 64,
        layers: int = 2,
        heads: int = 4,
        feed_forward: int = 256,
        positions: int = 128,
        token_types: int = 0,
        num_classes: int | None = 4,
    ) -> None:
        super().__init__()
        self.embeddings = Embeddings(vocabulary, hidden, positions, token_types)
        self.encoder = nn.ModuleDict(
            {"layer": nn.ModuleList(EncoderLayer(hidden, heads, feed_forward) for _ in range(layers))}
        )
        self.classifier = None if num_classes is None else nn.Linear(hidden, num_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token numbers [N, L] and a mask [N, L] (1: token, 0: filling) to logits [N, classes] or embeddings [N, H]."""
        states = self.embeddings(input_ids)
        present = attention_mask.to(states.dtype)
        mask = (1.0 - present[:, None, None, :]) * _MASKED
        for layer in self.encoder["layer"].children():
            states = layer(states, mask)
        if self.classifier is not None:
            logits: Tensor = self.classifier(states[:, 0])
            return logits
        weights = present[:, :, None]
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        return nn.functional.normalize(mean, dim=1)
