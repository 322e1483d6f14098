"""A vision transformer, with the names that published weights have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPSILON = 1e-6


class Attention(nn.Module):
    """Multi-head attention; one layer makes queries, keys and values."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.head_dim = hidden // heads
        self.scale = self.head_dim**-0.5
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, states: Tensor) -> Tensor:
        """States [N, L, H] to states [N, L, H]."""
        batch, length, _ = states.shape
        shape = (batch, length, 3, self.num_heads, self.head_dim)
        query, key, value = self.qkv(states).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(torch.matmul(query * self.scale, key.transpose(-2, -1)), dim=-1)
        mixed = torch.matmul(weights, value).transpose(1, 2)
        result: Tensor = self.proj(mixed.reshape(batch, length, self.num_heads * self.head_dim))
        return result


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden, inner)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(inner, hidden)

    def forward(self, states: Tensor) -> Tensor:
        """States [N, L, H] to states [N, L, H]."""
        result: Tensor = self.fc2(self.act(self.fc1(states)))
        return result


class Block(nn.Module):
    """Attention and a feed-forward network, each on normalized states and added to them."""

    def __init__(self, hidden: int, heads: int, inner: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden, eps=_EPSILON)
        self.attn = Attention(hidden, heads)
        self.norm2 = nn.LayerNorm(hidden, eps=_EPSILON)
        self.mlp = Mlp(hidden, inner)

    def forward(self, states: Tensor) -> Tensor:
        """States [N, L, H] to states [N, L, H]."""
        states = states + self.attn(self.norm1(states))
        result: Tensor = states + self.mlp(self.norm2(states))
        return result


class VisionTransformer(nn.Module):
    """Images cut into squares of ``patch`` pixels, a state for each and one for the class, and blocks of attention.

    The defaults are ViT-Tiny/16 for 224 x 224 pixels (timm's ``vit_tiny_patch16_224``, whose weights fit). Source:
    Dosovitskiy et al. 2021, arXiv:2010.11929.
    """

    def __init__(
        self,
        image: int = 224,
        patch: int = 16,
        channels: int = 3,
        hidden: int = 192,
        layers: int = 12,
        heads: int = 3,
        inner: int = 768,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(channels, hidden, patch, stride=patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, hidden))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + (image // patch) ** 2, hidden))
        self.blocks = nn.ModuleList(Block(hidden, heads, inner) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden, eps=_EPSILON)
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Images [N, C, S, S] to logits [N, classes]."""
        patches = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        states = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1) + self.pos_embed
        for block in self.blocks:
            states = block(states)
        logits: Tensor = self.head(self.norm(states)[:, 0])
        return logits
