"""The command line: ``python -m explman_lite``, with its commands ``manipulate`` and ``bench``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from explman_lite import attack, figures, metrics
from explman_lite.bench.command import add_parser as add_bench
from explman_lite.explainers.base import Explainer
from explman_lite.explainers.registry import EXPLAINERS, ExplainerCard
from explman_lite.maps import relevance_map
from explman_lite.networks.prepare import Network
from explman_lite.networks.zoo import CARDS, card_of, class_names, load_model
from explman_lite.pictures.photos import load_photo, photo_names, text_target
from explman_lite.results import make_folder, provenance

MODELS = sorted(card.name for card in CARDS.values() if card.reads == "photographs")
METHODS: dict[str, ExplainerCard] = {card.option: card for card in EXPLAINERS.values()}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        What follows the name of the program; the arguments of the process if not given.

    Returns
    -------
    int
        Exit status: 0 on success, 2 if an argument or the machine is wrong, 130 after Ctrl-C or a
        request to end.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if arguments is None:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        options.run(options)
    except (ValueError, TypeError, OSError) as error:
        return _refuse(parser.prog, str(error))
    except MemoryError:
        return _refuse(parser.prog, "there is not enough memory; a smaller --size may do")
    except RuntimeError as error:
        # PyTorch's own errors, such as a GPU without room, take many lines.
        return _refuse(parser.prog, str(error).partition("\n")[0])
    except KeyboardInterrupt as interruption:
        return _refuse(parser.prog, str(interruption) or "interrupted", status=130)
    return 0


def _refuse(program: str, reason: str, status: int = 2) -> int:
    print(f"{program}: error: {reason}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    """Build the parser; each command sets ``run``, the function that carries it out."""
    parser = argparse.ArgumentParser(
        prog="explman_lite", description="Manipulate the explanations of a neural network."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "manipulate",
        help="change a picture invisibly until its explanation is another one",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    photos = ", ".join(photo_names())
    command.add_argument("image", metavar="IMAGE", help=f"an image file, or one of: {photos}")
    command.add_argument(
        "target",
        metavar="TARGET",
        help="an image file or photo whose own explanation is the target, or text:SENTENCE",
    )
    command.add_argument("--method", choices=sorted(METHODS), default="gradient")
    command.add_argument("--model", choices=MODELS, default="efficientnet_lite0")
    command.add_argument("--steps", type=int, default=attack.Settings.steps)
    command.add_argument("--lr", type=float, default=attack.Settings.lr, help="largest step size")
    command.add_argument(
        "--output-weight",
        type=float,
        default=attack.Settings.output_weight,
        help="weight of the output",
    )
    command.add_argument("--epsilon", type=float, help="bound on the change of any pixel")
    command.add_argument("--size", type=int, default=224, help="height and width in pixels")
    command.add_argument(
        "--device", type=_device, default="cuda" if torch.cuda.is_available() else "cpu"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    command.set_defaults(run=_manipulate)
    add_bench(commands)
    return parser


def _device(text: str) -> torch.device:
    """Turn text into a device, after making sure that it can hold numbers."""
    try:
        torch.ones(1, device=text).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used: {reason}") from None
    return torch.device(text)


def _manipulate(options: argparse.Namespace) -> None:
    """Carry out ``manipulate``."""
    smallest = card_of(options.model).smallest
    if options.size < smallest:
        raise ValueError(
            f"--size must be at least {smallest} pixels for {options.model}, got {options.size}"
        )
    image = load_photo(options.image, options.size).to(options.device)
    model = load_model(options.model, options.device)
    explainer = _explainer(options, model)
    target = _target_map(options, model, explainer).to(options.device)
    make_folder(options.out)
    result = attack.manipulate(
        model,
        image,
        target,
        explainer,
        steps=options.steps,
        lr=options.lr,
        output_weight=options.output_weight,
        epsilon=options.epsilon,
    )
    _save(result, options)
    if result.interrupted:
        raise KeyboardInterrupt(f"interrupted after {len(result.history)} of {options.steps} steps")


def _explainer(options: argparse.Namespace, model: Network) -> Explainer:
    """Make the explainer; one that has to be fitted is fitted to the photographs of the package."""
    card = METHODS[options.method]
    if card.fit is None:
        return card.make()
    photos = torch.cat([load_photo(name, options.size) for name in photo_names()])
    return card.make(model, photos.to(options.device))


def _target_map(options: argparse.Namespace, model: Network, explainer: Explainer) -> Tensor:
    """Draw the target map from a sentence, or explain what the model predicts for a picture."""
    if options.target.startswith("text:"):
        return text_target(options.target.removeprefix("text:"), options.size)
    picture = load_photo(options.target, options.size).to(options.device)
    with torch.no_grad():
        predicted = model(picture).argmax(dim=1)
    return relevance_map(explainer(model, picture, predicted))


def _save(result: attack.Manipulation, options: argparse.Namespace) -> None:
    """Write figure, picture and summary, and print what was reached."""
    import numpy as np
    from PIL import Image

    figures.use_style()
    pixels = (result.images[0].permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)
    row = result.summary().iloc[0].to_dict()
    row["pcc_target_before"] = metrics.pcc(result.original_maps, result.target_maps).item()
    names = class_names(options.model)
    summary = {
        "image": str(options.image),
        "target": options.target,
        "method": options.method,
        "model": options.model,
        "class": names[int(result.classes[0])],
        "steps": len(result.history),
        "diverged": bool(result.diverged[0]),
        "interrupted": result.interrupted,
        "result": {name: float(f"{value:.6g}") for name, value in row.items()}
        | {"class_kept": bool(row["class_kept"])},
        **provenance(),
    }
    text = json.dumps(summary, indent=2) + "\n"
    with tempfile.TemporaryDirectory(dir=options.out, prefix=".unfinished") as name:
        unfinished = Path(name)
        result.plot().save(unfinished / "manipulation.png")
        Image.fromarray(pixels).save(unfinished / "manipulated.png")
        (unfinished / "summary.json").write_text(text, encoding="utf-8")
        for file in unfinished.iterdir():
            file.replace(options.out / file.name)
    kept = "kept" if row["class_kept"] else "LOST: a larger --output-weight or more --steps hold it"
    print(
        f"The map's correlation with the target is {row['pcc_target']:.2f} "
        f"(before the attack: {row['pcc_target_before']:.2f}), "
        f"the picture's SSIM {row['image_ssim']:.3f}, "
        f"and the class '{summary['class']}' is {kept}.\n"
        f"Wrote manipulation.png, manipulated.png and summary.json to {str(options.out)!r}"
    )


if __name__ == "__main__":
    sys.exit(main())
