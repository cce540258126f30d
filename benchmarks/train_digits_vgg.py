"""Train the network for handwritten digits and write its checkpoint into the package.

python benchmarks/train_digits_vgg.py

It takes about a minute on two cores, prints the accuracy on the held-out digits, and writes the
checkpoint's sha256 into explman_lite/digits.py.
"""

import hashlib
import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explman_lite import digits

EPOCHS, BATCH, LR, WEIGHT_DECAY, SHIFT = 30, 64, 2e-3, 1e-3, 3


def shifted(images: Tensor) -> Tensor:
    """Move each image by up to SHIFT pixels: most of what a small data set lacks."""
    padded = F.pad(images, (SHIFT,) * 4)
    size = images.shape[-1]
    corners = torch.randint(0, 2 * SHIFT + 1, (len(images), 2)).tolist()
    return torch.stack(
        [one[:, y : y + size, x : x + size] for one, (y, x) in zip(padded, corners, strict=True)]
    )


def train() -> nn.Module:
    torch.manual_seed(digits.TRAINING_SEED)
    images, labels = digits.load_digits("train")
    model = digits.build_digits_vgg()
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
    images, labels = digits.load_digits("test")
    with torch.inference_mode():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


def save(model: nn.Module) -> None:
    digits.CHECKPOINT.parent.mkdir(exist_ok=True)
    torch.save(model.state_dict(), digits.CHECKPOINT)
    sha256 = hashlib.sha256(digits.CHECKPOINT.read_bytes()).hexdigest()
    source = Path(digits.__file__)
    text = re.sub(
        r"CHECKPOINT_SHA256 = .*", f'CHECKPOINT_SHA256 = "{sha256}"', source.read_text("utf-8")
    )
    source.write_text(text, "utf-8")


if __name__ == "__main__":
    trained = train()
    print(f"accuracy on the held-out digits: {accuracy(trained):.2%}")
    save(trained)
