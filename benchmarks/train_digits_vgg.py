"""Train the network for handwritten digits and write its checkpoint into the package.

python benchmarks/train_digits_vgg.py

It takes about a minute on two cores, and prints the accuracy on the held-out digits and the sha256
of the checkpoint, which belongs on the network's card in explman_lite/networks/zoo.py.
"""

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import explman_lite as el
from explman_lite.networks import small

CHECKPOINT = small.CHECKPOINTS / "digits_vgg.pt"
SEED, EPOCHS, LR, WEIGHT_DECAY, SHIFT = 0, 30, 2e-3, 1e-3, 3


def shifted(images: Tensor) -> Tensor:
    """Move each image by up to SHIFT pixels: most of what a small data set lacks."""
    padded = F.pad(images, (SHIFT,) * 4)
    size = images.shape[-1]
    corners = torch.randint(0, 2 * SHIFT + 1, (len(images), 2)).tolist()
    return torch.stack(
        [one[:, y : y + size, x : x + size] for one, (y, x) in zip(padded, corners, strict=True)]
    )


def train() -> nn.Module:
    torch.manual_seed(SEED)
    images, labels = el.load_digits("train")

    def shuffled(epoch: int) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(images))
        return images[order], labels[order]

    return el.training.train(
        small.build_digits_vgg(),
        shuffled,
        epochs=EPOCHS,
        lr=LR,
        weight_decay=WEIGHT_DECAY,
        vary=shifted,
    )


def accuracy(model: nn.Module) -> float:
    images, labels = el.load_digits("test")
    with torch.inference_mode():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


if __name__ == "__main__":
    trained = train()
    torch.save(trained.state_dict(), CHECKPOINT)
    print(f"accuracy on the held-out digits: {accuracy(trained):.2%}")
    print(f"sha256: {hashlib.sha256(CHECKPOINT.read_bytes()).hexdigest()}")
