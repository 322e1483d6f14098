"""Networks in PyTorch: what a user's own ``model.py`` holds."""

from __future__ import annotations

import numpy as np
import torch

from tests.cases.making import Make


def always_dropout(make: Make) -> None:
    """F.dropout without training=self.training: the model is random in evaluation too."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body()
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            return self.head(nn.functional.dropout(self.body(image), 0.5))
    """
    )
    make.weights(net)
    make.data(image=make.noise(300, 3, 16, 16), labels=make.rng.integers(0, 10, 300))


def c2f(make: Make) -> None:
    """Pruning YOLO's block: one convolution's output cut in two, both halves and the block's output concatenated."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body(pooled=False)
            self.cv1 = nn.Conv2d(32, 32, 1)
            self.m = nn.Conv2d(16, 16, 3, padding=1)
            self.cv2 = nn.Conv2d(48, 64, 1)
            self.head = nn.Linear(64, 10)

        def forward(self, image):
            y = list(self.cv1(self.body(image)).chunk(2, 1))
            y.append(torch.relu(self.m(y[-1])))
            return self.head(torch.relu(self.cv2(torch.cat(y, 1))).mean((2, 3)))
    """
    )
    make.weights(net)
    make.data(image=make.noise(300, 3, 16, 16), labels=make.rng.integers(0, 10, 300))


def code_changed(make: Make) -> None:
    """The factory's code changes between two runs on one store, its weights don't."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(16, 32)
            self.b = nn.Linear(32, 10)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)))
    """
    )
    make.weights(net)
    make.data(x=make.noise(300, 16), labels=make.rng.integers(0, 10, 300))


def data_parallel(make: Make) -> None:
    """Weights saved from DataParallel: every name begins with module."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body()
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            return self.head(self.body(image))
    """
    )
    torch.save(torch.nn.DataParallel(net()).state_dict(), make.out / "w.pth")

    make.data(image=make.noise(300, 3, 16, 16), labels=make.rng.integers(0, 10, 300))


def dataclass_output(make: Make) -> None:
    """A PyTorch model that returns a dataclass."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body()
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            z = self.body(image)
            return Output(logits=self.head(z), features=z)

    from dataclasses import dataclass
    @dataclass
    class Output:
        logits: torch.Tensor
        features: torch.Tensor
    """
    )
    make.weights(net)
    make.data(image=make.noise(300, 3, 16, 16), labels=make.rng.integers(0, 10, 300))


def dict_order(make: Make) -> None:
    """A dict of outputs, named in another order than the model returns them."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body()
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            z = self.body(image)
            return dict(embedding=z, logits=self.head(z))
    """
    )
    make.weights(net)

    x = make.noise(300, 3, 16, 16)
    with torch.no_grad():
        labels = make.loaded(net)(torch.from_numpy(x))["logits"].argmax(1).numpy()  # it is right about all
    make.data(image=x, labels=labels)


def helper_changed(make: Make) -> None:
    """A module that the factory's file imports changes between two runs on one store."""
    (make.out / "helpers.py").write_text("import torch\nact = torch.relu\n")
    net = make.network(
        """\
    from helpers import act
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(16, 32)
            self.b = nn.Linear(32, 10)

        def forward(self, x):
            return self.b(act(self.a(x)))
    """
    )
    make.weights(net)
    make.data(x=make.noise(300, 16), labels=make.rng.integers(0, 10, 300))


def kwonly(make: Make) -> None:
    """forward takes keyword-only arguments."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(16, 32)
            self.b = nn.Linear(8, 32)
            self.head = nn.Linear(32, 10)

        def forward(self, *, left, right):
            return self.head(torch.relu(self.a(left) + self.b(right)))
    """
    )
    make.weights(net)
    make.data(left=make.noise(300, 16), right=make.noise(300, 8), labels=make.rng.integers(0, 10, 300))


def labels_out_of_range(make: Make) -> None:
    """Labels from 1 to 10 for a model of 10 classes, with training."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body()
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            return self.head(self.body(image))
    """
    )
    make.weights(net)
    make.data(image=make.noise(300, 3, 16, 16), labels=make.rng.integers(1, 11, 300))


def last_batch_of_one(make: Make) -> None:
    """A training split that leaves a last batch of one image, with batch normalization after pooling."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            self.body = nn.Sequential(*layers, nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU())
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            return self.head(self.body(image))
    """
    )
    make.weights(net)
    make.data(image=make.noise(270, 3, 16, 16), labels=make.rng.integers(0, 10, 270))  # 81 to train


def masked_sdpa(make: Make) -> None:
    """scaled_dot_product_attention with a padding mask, static int8."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(100, 32)
            self.qkv = nn.Linear(32, 96)
            self.out = nn.Linear(32, 32)
            self.norm = nn.LayerNorm(32)
            self.head = nn.Linear(32, 10)

        def forward(self, input_ids, attention_mask):
            x = self.embed(input_ids)
            n, t, d = x.shape
            q, k, v = (p.view(n, t, 4, 8).transpose(1, 2) for p in self.qkv(x).chunk(3, -1))
            mask = (1.0 - attention_mask[:, None, None, :].float()) * -3.4e38
            y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            x = self.norm(x + self.out(y.transpose(1, 2).reshape(n, t, d)))
            return self.head(x[:, 0])
    """
    )
    make.weights(net)

    ids = make.rng.integers(2, 100, (300, 12))
    mask = (np.arange(12) < make.rng.integers(3, 13, (300, 1))).astype(np.int64)
    make.data(input_ids=ids, attention_mask=mask, labels=make.rng.integers(0, 10, 300))


def none_output(make: Make) -> None:
    """A PyTorch model that returns (scores, None), as networks with an auxiliary head do in evaluation."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body()
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            return self.head(self.body(image)), None
    """
    )
    make.weights(net)
    make.data(image=make.noise(300, 3, 16, 16), labels=make.rng.integers(0, 10, 300))


def old_weight_norm(make: Make) -> None:
    """Pruning layers with torch.nn.utils.weight_norm (the hook that audio networks have)."""
    net = make.network(
        """\
    from torch.nn.utils import weight_norm

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = weight_norm(nn.Conv1d(4, 32, 5, padding=2))
            self.b = nn.Conv1d(32, 32, 5, padding=2)
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            return self.head(torch.relu(self.b(torch.relu(self.a(image)))).mean(2))
    """
    )
    make.weights(net)
    make.data(image=make.noise(300, 4, 64), labels=make.rng.integers(0, 10, 300))


def one_logit_training(make: Make) -> None:
    """A binary network with one logit, pruned and fine-tuned on labels."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(16, 32)
            self.b = nn.Linear(32, 1)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)))
    """
    )
    make.weights(net)

    x = make.noise(400, 16)
    with torch.no_grad():
        z = make.loaded(net)(torch.from_numpy(x)).numpy()[:, 0]
    make.data(x=x, labels=(z > np.median(z)).astype(np.int64))


def pixelshuffle(make: Make) -> None:
    """Pruning a super-resolution network: global skip, PixelShuffle."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 16, 3, padding=1)
            self.second = nn.Conv2d(16, 16, 3, padding=1)
            self.up = nn.Conv2d(16, 48, 3, padding=1)
            self.last = nn.Conv2d(12, 12, 3, padding=1)
            self.shuffle = nn.PixelShuffle(2)

        def forward(self, image):
            a = torch.relu(self.first(image))
            b = torch.relu(self.second(a)) + a
            c = torch.relu(self.last(self.shuffle(self.up(b))))
            return self.shuffle(c) + nn.functional.interpolate(image, scale_factor=4, mode="bilinear")
    """
    )
    make.weights(net)
    make.data(image=make.noise(300, 3, 16, 16))


def swapped_inputs(make: Make) -> None:
    """Two inputs of one shape, configured in another order than forward's, by forward's names."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(100, 32)
            self.head = nn.Linear(32, 10)

        def forward(self, input_ids, attention_mask):
            mask = attention_mask.unsqueeze(-1).float()
            return self.head((self.embed(input_ids) * mask).sum(1) / mask.sum(1).clamp(min=1))
    """
    )
    make.weights(net)

    ids = make.rng.integers(2, 100, (300, 12))
    mask = (np.arange(12) < make.rng.integers(3, 13, (300, 1))).astype(np.int64)
    with torch.no_grad():
        scores = make.loaded(net)(torch.from_numpy(ids), torch.from_numpy(mask))
    labels = scores.argmax(1).numpy()  # it is right about all
    make.data(input_ids=ids, attention_mask=mask, labels=labels)


def tied_safetensors(make: Make) -> None:
    """Tied weights, written once by safetensors' save_model (as Hugging Face's files are)."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(100, 32)
            self.mix = nn.Linear(32, 32)
            self.head = nn.Linear(32, 100, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids):
            return self.head(torch.relu(self.mix(self.embed(ids).mean(1))))
    """
    )
    make.weights(net)
    make.data(ids=make.rng.integers(0, 100, (300, 12)), labels=make.rng.integers(0, 100, 300))


def weight_norm(make: Make) -> None:
    """Pruning layers with weight_norm and spectral_norm parametrizations."""
    net = make.network(
        """\
    from torch.nn.utils.parametrizations import spectral_norm, weight_norm

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = weight_norm(nn.Conv1d(4, 32, 5, padding=2))
            self.b = weight_norm(nn.Conv1d(32, 32, 5, padding=2))
            self.c = spectral_norm(nn.Conv1d(32, 32, 3, padding=1))
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            x = torch.relu(self.a(image))
            x = x + torch.relu(self.b(x))
            return self.head(torch.relu(self.c(x)).mean(2))
    """
    )
    make.weights(net)
    make.data(image=make.noise(300, 4, 64), labels=make.rng.integers(0, 10, 300))


def whole_model_pickle(make: Make) -> None:
    """torch.save of the whole model instead of its state dict."""
    net = make.network(
        """\
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body()
            self.head = nn.Linear(32, 10)

        def forward(self, image):
            return self.head(self.body(image))
    """
    )
    torch.save(net(), make.out / "w.pt")

    make.data(image=make.noise(300, 3, 16, 16), labels=make.rng.integers(0, 10, 300))
