"""Train a network for crops of photographs and write its checkpoint into the package.

python benchmarks/train_crops.py crops_vgg

Each takes two to four minutes on two cores. It prints the accuracy on the held-out crops and the
sha256 of the checkpoint, which belongs on the network's card in explman_lite/networks/zoo.py.
"""

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

import explman_lite as el
from explman_lite.networks import small
from explman_lite.networks.layers import Normalize
from explman_lite.networks.zoo import CROPS_MEAN, CROPS_STD
from explman_lite.pictures.crops import draw_crops

EPOCHS, PER_PHOTOGRAPH, BATCH, LR, WEIGHT_DECAY = 10, 500, 64, 2e-3, 1e-1

normalised = Normalize(list(CROPS_MEAN), list(CROPS_STD))


def varied(images: Tensor) -> Tensor:
    """Mirror half of the batches, and change the colours and the brightness of each image."""
    if torch.rand(()) < 0.5:
        images = images.flip(3)
    colours, brightness = torch.rand(len(images), 3, 1, 1), torch.rand(len(images), 1, 1, 1)
    return (images * (0.8 + 0.4 * colours) + 0.15 * (brightness - 0.5)).clamp(0, 1)


def train(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = build().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * -(-PER_PHOTOGRAPH * 10 // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=steps)
    with tqdm(total=steps) as bar:
        for epoch in range(EPOCHS):
            # The order of the crops is drawn too.
            images, labels = draw_crops("train", PER_PHOTOGRAPH, seed=1000 * (seed + 1) + epoch)
            for batch, truth in zip(images.split(BATCH), labels.split(BATCH), strict=True):
                loss = F.cross_entropy(model(normalised(varied(batch))), truth)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                bar.update()
    return model.eval()


def accuracy(model: nn.Module) -> float:
    images, labels = el.load_crops("test")
    with torch.inference_mode():
        return (model(normalised(images)).argmax(dim=1) == labels).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=small.CROPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=small.CHECKPOINTS, help="folder to write to")
    options = parser.parse_args()
    trained = train(small.CROPS[options.network], options.seed)
    checkpoint = options.out / f"{options.network}.pt"
    torch.save(trained.state_dict(), checkpoint)
    print(f"accuracy on the held-out crops: {accuracy(trained):.2%}")
    print(f"sha256: {hashlib.sha256(checkpoint.read_bytes()).hexdigest()}")
