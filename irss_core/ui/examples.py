"""Example pictures and one example clip, drawn at first start from what scikit-image carries inside its package.

Nothing is committed and nothing is downloaded. Every picture used is CC0 or in the public domain, as scikit-image's
own documentation of ``skimage.data`` says; ``EXAMPLE_PICTURES`` names the photographer of each.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from irss_core.media.atomic import atomic_file
from irss_core.media.video import ClipWriter

CLIP_NAME = "pinboard.mp4"
CLIP_SIZE = (160, 120)
CLIP_FRAMES = 24
CLIP_FPS = Fraction(16)
_CLIP_CRF = 10  # nearly transparent: what the models see should be the camera's softness, not the codec's blocks

_SCENE_SIZE = (960, 720)
_PAN = (36.0, 24.0)  # scene pixels to each side
_ROLL_DEGREES = 1.2
_ZOOM = 0.03
_PIN = (625.0, 232.0)  # where in the scene the swinging photograph hangs
_SWING_DEGREES = 5.0


@dataclass(frozen=True)
class Shot:
    """How the scene is filmed: the first ``frames`` frames of a round that takes ``round_frames``.

    One pixel of the ``size`` (width, height) is ``camera_scale`` of the scene's; ``lens_sigma`` is the camera's blur in
    the scene's pixels, enough that sampling every so many of them does not alias.
    """

    size: tuple[int, int]
    frames: int
    round_frames: int
    camera_scale: float
    lens_sigma: float


# Drawn in four times the clip's resolution, so that there is detail to win back.
CLIP_SHOT = Shot(CLIP_SIZE, CLIP_FRAMES, round_frames=CLIP_FRAMES, camera_scale=4, lens_sigma=1.5)


@dataclass(frozen=True)
class ExamplePicture:
    """A picture inside scikit-image's package, and how it is shown: its longer side reduced to ``long_side`` pixels."""

    name: str
    source: str
    long_side: int
    credit: str


EXAMPLE_PICTURES = (
    ExamplePicture("astronaut", "astronaut.png", 192, "Eileen Collins; NASA, public domain"),
    ExamplePicture("cat", "chelsea.png", 224, "Chelsea the cat; Stéfan van der Walt, CC0"),
    ExamplePicture("coffee", "coffee.png", 224, "Pikolo Espresso Bar; Rachel Michetti, CC0"),
    ExamplePicture("rocket", "rocket.jpg", 240, "DSCOVR on Falcon 9; SpaceX, public domain"),
)


def example_images(folder: Path) -> list[Path]:
    """Return the example pictures (8-bit RGB PNG, longer side 192 to 240 pixels), drawing those not in ``folder`` yet.

    Raises:
        OSError: ``folder`` cannot be made.
        IrssError: it cannot be written in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []  # written with overwrite: another process may draw the same picture at the same time
    for picture in EXAMPLE_PICTURES:
        path = folder / f"{picture.name}.png"
        if not path.exists():
            with atomic_file(path, overwrite=True) as stream:
                _reduced(packaged(picture.source), picture.long_side).save(stream, "PNG", optimize=True)
        paths.append(path)
    return paths


def example_clip(folder: Path) -> Path:
    """Return the example clip (H.264, 160x120, 24 frames, seamless when looped), drawing it if ``folder`` lacks it.

    A hand-held camera circles in front of a brick wall with photographs and a note in fine print; one photograph
    swings on its pin, so that not everything moves alike.

    Raises:
        OSError: ``folder`` cannot be made.
        IrssError: it cannot be written in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CLIP_NAME
    if not path.exists():
        width, height = CLIP_SIZE
        with ClipWriter(path, width=width, height=height, fps=CLIP_FPS, crf=_CLIP_CRF, overwrite=True) as writer:
            for index, frame in enumerate(clip_frames()):
                writer.write(frame, index / CLIP_FPS)
    return path


def clip_frames(shot: Shot = CLIP_SHOT) -> Iterator[np.ndarray]:
    """Yield the frames of a clip, by default the example: HxWx3, uint8, RGB."""
    # A lens blurs alike wherever it looks, so what it does to the scene is done once and not in every frame.
    wall, swinging = (_through_lens(image, shot.lens_sigma) for image in (_wall(), _swinging_print()))
    for index in range(shot.frames):
        angle = math.tau * index / shot.round_frames
        camera = _camera(angle, shot)
        frame = _sampled(wall, camera, shot.size)
        frame.alpha_composite(_sampled(swinging, _swing(angle, swinging.size) @ camera, shot.size))
        yield np.array(frame.convert("RGB"))


def _camera(angle: float, shot: Shot) -> np.ndarray:
    """Return the 3x3 map from clip pixels to scene pixels at that point of the camera's round."""
    place = (_SCENE_SIZE[0] / 2 + _PAN[0] * math.cos(angle), _SCENE_SIZE[1] / 2 + _PAN[1] * math.sin(angle))
    roll = math.radians(_ROLL_DEGREES) * math.sin(angle + 1.0)
    zoom = 1.0 + _ZOOM * math.cos(angle + 0.5)
    middle = _shift(-shot.size[0] / 2, -shot.size[1] / 2)
    matrix: np.ndarray = _shift(*place) @ _turn(roll, shot.camera_scale / zoom) @ middle
    return matrix


def _swing(angle: float, size: tuple[int, int]) -> np.ndarray:
    """Return the 3x3 map from scene pixels to those of the swinging print, which turns about its middle, its pin."""
    turned = math.radians(_SWING_DEGREES) * math.sin(2 * angle)  # twice a round: not locked to the camera's way
    matrix: np.ndarray = _shift(size[0] / 2, size[1] / 2) @ _turn(turned, 1.0) @ _shift(-_PIN[0], -_PIN[1])
    return matrix


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _turn(radians: float, scale: float) -> np.ndarray:
    cos, sin = scale * math.cos(radians), scale * math.sin(radians)
    return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _through_lens(image: Image.Image, sigma: float) -> Image.Image:
    """Return ``image`` as the lens draws it, in RGBA; blurred premultiplied, or the edges would fray to black."""
    return image.convert("RGBA").convert("RGBa").filter(ImageFilter.GaussianBlur(sigma)).convert("RGBA")


def _sampled(image: Image.Image, matrix: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Return the view of ``image`` in that size through a 3x3 map from the view's pixels to its own."""
    coefficients = tuple(float(value) for value in matrix[:2].ravel())
    return image.transform(size, Image.Transform.AFFINE, coefficients, resample=Image.Resampling.BICUBIC)


def _wall() -> Image.Image:
    """Return the scene without the swinging photograph, in RGB."""
    bricks = packaged("brick.png").convert("L").transpose(Image.Transpose.ROTATE_90).resize(_SCENE_SIZE)
    tint = np.array([1.15, 0.90, 0.78])
    warm = np.clip(np.asarray(bricks, np.float64)[..., None] * tint, 0, 255).astype(np.uint8)
    wall = Image.fromarray(warm)
    wall.paste(_print_of("astronaut.png", 250, "Astronaut"), (175, 130))
    wall.paste(_print_of("rocket.jpg", 270, "Launch day"), (480, 395))
    wall.paste(_note(), (185, 455))
    return wall


def _swinging_print() -> Image.Image:
    """Return the photograph that swings: RGBA, with room around, its pin in the middle."""
    photo = _print_of("coffee.png", 250, "Espresso")
    sheet = Image.new("RGBA", (photo.width + 80, 2 * photo.height + 40))
    sheet.paste(photo, (40, sheet.height // 2 - 10))
    ImageDraw.Draw(sheet).circle((sheet.width / 2, sheet.height / 2), 6, fill="#1f4e8c")
    return sheet


def _print_of(source: str, width: int, caption: str) -> Image.Image:
    """Return a photograph as a paper print: white border, caption below."""
    photo = packaged(source).convert("RGB")
    photo = photo.resize((width, round(photo.height * width / photo.width)), Image.Resampling.LANCZOS)
    paper = Image.new("RGB", (photo.width + 20, photo.height + 46), "#f6f2e9")
    paper.paste(photo, (10, 10))
    ImageDraw.Draw(paper).text((12, photo.height + 14), caption, fill="#33302a", font=ImageFont.load_default(22))
    return paper


def _note() -> Image.Image:
    """Return a note with lines of print that get finer and a fan of converging lines: what resolution is lost on."""
    note = Image.new("RGB", (250, 175), "#fdfbe4")
    draw = ImageDraw.Draw(note)
    top = 8
    for size, line in (
        (30, "IRSS x4"),
        (22, "ESRGAN, TecoGAN"),
        (17, "which one reads better?"),
        (13, "and the small print, too"),
    ):
        draw.text((12, top), line, fill="#20242c", font=ImageFont.load_default(size))
        top += size + 8
    for step in range(15):
        draw.line((60, 170, 60 + 10 * step, 132), fill="#8c1f1f", width=2)
    return note


def _reduced(image: Image.Image, long_side: int) -> Image.Image:
    """Return ``image`` with its longer side ``long_side``, antialiased."""
    factor = long_side / max(image.size)
    size = (round(image.width * factor), round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS)


@functools.cache
def packaged(filename: str) -> Image.Image:
    """Return a picture that scikit-image carries, in RGB. Its own loader is not asked: it may reach for the network."""
    with (importlib.resources.files("skimage") / "data" / filename).open("rb") as stream, Image.open(stream) as image:
        image.load()
        return image.convert("RGB")
