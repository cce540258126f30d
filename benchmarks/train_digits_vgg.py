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
SEED, EPOCHS, BATCH, LR, WEIGHT_DECAY, SHIFT = 0, 30, 64, 2e-3, 1e-3, 3


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
    model = small.build_digits_vgg()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = F.cross_entropy(model(shifted(images[batch])), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def accuracy(model: nn.Module) -> float:
    images, labels = el.load_digits("test")
    with torch.inference_mode():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


if __name__ == "__main__":
    trained = train()
    torch.save(trained.state_dict(), CHECKPOINT)
    print(f"accuracy on the held-out digits: {accuracy(trained):.2%}")
    print(f"sha256: {hashlib.sha256(CHECKPOINT.read_bytes()).hexdigest()}")
