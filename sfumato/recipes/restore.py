"""Restorers: networks that repair images."""

import dataclasses

from sfumato.core.config import changed
from sfumato.data import augment
from sfumato.degradations import camera, chain, defocus, downsample, gaussian_blur, grain, impulse, jpeg, missing, motion, noise, quantise
from sfumato.degradations import dust as dust_on_prints
from sfumato.models import deconvolving, gated
from sfumato.models import dncnn as plain
from sfumato.objectives import damage, restoration
from sfumato.train.settings import TrainSettings

SYMMETRIES = augment.Config(flip=0.5, turn=0.5)
"""The eight symmetries of a square."""
SOME_GREY = dataclasses.replace(SYMMETRIES, grey=0.15)
"""The same, and some pictures made grey, for networks of colour that grey pictures pass too."""


def denoise() -> TrainSettings:
    """A denoiser of grey images with Gaussian noise of standard deviation 25/255, the common benchmark."""
    return TrainSettings(
        model=gated.Config(channels=1, width=32, encoder=(2, 2), middle=2, decoder=(2, 2), fold=2),
        objective=restoration.Config(),
        data="bsds500",
        patch=64,
        augment=SYMMETRIES,
        degrade=noise.Config(sigma=(25 / 255, 25 / 255)),
        images=100_000,
        batch=8,
        optimiser="muon",
        lr=1e-3,
        lr_end=0.01,
        lr_warmup=5_000,
        clip=0.3,
        ema=5_000,
        ema_rampup=0.02,
        precision="bf16",
        log_every=5_000,
        sample_every=50_000,
        save_every=10_000,
    )


def dncnn() -> TrainSettings:
    """DnCNN as its authors train it: 128 squares of 40 pixels in a batch, sigma 25/255, batch normalisation."""
    return dataclasses.replace(
        denoise(),
        model=plain.Config(channels=1, normalise=True),
        objective=restoration.Config(charbonnier=0.0, l1=1.0),
        data="train400",
        patch=40,
        batch=128,
        optimiser="adam",
        clip=0.0,
    )


def denoise_colour() -> TrainSettings:
    """The colour half of the bundled `denoise`: camera noise, white noise, grain and JPEG blocks, of unknown kind and strength.

    A fifth of the pictures are left as they are, so that a clean picture comes out unchanged.
    """
    return dataclasses.replace(
        denoise(),
        model=gated.Config(channels=3, width=64, encoder=(2,), middle=4, decoder=(2,), fold=2),
        objective=restoration.Config(charbonnier=0.0, psnr=0.01, psnr_top=40.0),
        data="bsds500-half+photos+drawings+bsds500",
        degrade=chain.Config(
            links=(
                camera.Config(),
                noise.Config(sigma=(0.0, 0.22), grey=0.1),
                grain.Config(),
                jpeg.Config(quality=(5.0, 95.0)),
                jpeg.Config(quality=(10.0, 95.0), subsampling="4:4:4"),
                quantise.Config(),
            ),
            chances=(0.38, 0.42, 0.1, 0.3, 0.08, 0.8),
        ),
        images=1_000_000,
        batch=8,
    )


def denoise_grey() -> TrainSettings:
    """`denoise-colour` for pictures without colour; the bundled `denoise` takes those in all channels, which is better for coarse noise."""
    return dataclasses.replace(
        denoise_colour(),
        model=gated.Config(channels=1, width=64, encoder=(2,), middle=4, decoder=(2,), fold=2),
        augment=SYMMETRIES,
    )


def restore() -> TrainSettings:
    """The bundled `restore` for colour pictures: a blind restorer of noise, salt and pepper, mild blur and JPEG.

    One of five pictures is a drawing: from photographs alone, the network would take pure blue and the edges of letters for damage.
    """
    return dataclasses.replace(
        denoise(),
        model=gated.Config(channels=3, width=32, encoder=(2, 2), middle=6, decoder=(2, 2), fold=2, extremes=True),
        objective=restoration.Config(charbonnier=0.0, psnr=0.01, psnr_top=34.0),
        data="bsds500+drawings",
        augment=augment.Config(flip=0.5, turn=0.5, grey=0.1),
        degrade=chain.Config(
            links=(
                gaussian_blur.Config(sigma=(0.3, 1.8), stretch=(1.0, 1.5)),
                motion.Config(length=(2.0, 9.0)),
                defocus.Config(radius=(0.5, 2.0)),
                noise.Config(sigma=(0.0, 0.05)),
                noise.Config(sigma=(0.0, 0.216)),
                impulse.Config(density=(0.0, 0.7)),
                jpeg.Config(quality=(8.0, 95.0)),
                quantise.Config(),
            ),
            chances=(0.07, 0.05, 0.02, 0.25, 0.7, 0.1, 0.12, 0.5),
        ),
        images=480_000,
    )


def restore_grey() -> TrainSettings:
    """The bundled `restore` for grey pictures: the same degradations with more noise, and a wider network."""
    return dataclasses.replace(
        restore(),
        model=gated.Config(channels=1, width=64, encoder=(3,), middle=3, decoder=(3,), fold=2, extremes=True),
        augment=SYMMETRIES,
        degrade=changed(restore().degrade, chances=(0.03, 0.02, 0.01, 0.15, 0.85, 0.06, 0.07, 0.4)),
        lr=1.3e-3,
        images=320_000,
    )


def deblock() -> TrainSettings:
    """The bundled `deblock`: removes the blocks and rings of JPEGs of unknown quality from luma, also of one saved twice or with noise."""
    return dataclasses.replace(
        restore_grey(),
        objective=restoration.Config(charbonnier=0.0, psnr=0.01, psnr_top=40.0),
        data="bsds500-half+photos+drawings+bsds500",
        patch=80,
        degrade=chain.Config(
            links=(
                noise.Config(sigma=(0.0, 0.08)),
                jpeg.Config(quality=(5.0, 60.0)),
                jpeg.Config(quality=(40.0, 95.0)),
                quantise.Config(),
            ),
            chances=(0.12, 0.75, 0.35, 0.5),
        ),
        images=250_000,
    )


def inpaint() -> TrainSettings:
    """The bundled `inpaint`: fills the area of a mask, from single pixels to strokes and boxes."""
    return dataclasses.replace(
        denoise(),
        model=gated.Config(channels=3, width=32, encoder=(2, 2), middle=4, decoder=(2, 2), fold=2, planes=("observed",), fill=4),
        objective=restoration.Config(charbonnier=0.0, psnr=0.01, psnr_top=40.0),
        augment=augment.Config(flip=0.5, turn=0.5, grey=0.5),
        degrade=chain.Config(
            links=(
                missing.Config(kind="pixels", share=(0.05, 0.9)),
                missing.Config(kind="text", share=(0.02, 0.3), thickness=(0.03, 0.12)),
                missing.Config(kind="strokes", share=(0.02, 0.25), thickness=(0.02, 0.1)),
                missing.Config(kind="scratches", share=(0.01, 0.15), thickness=(0.02, 0.12)),
                missing.Config(kind="boxes", share=(0.02, 0.2), thickness=(0.01, 0.03)),
            ),
            chances=(0.6, 0.35, 0.2, 0.2, 0.15),
        ),
        images=220_000,
    )


def deblur() -> TrainSettings:
    """The bundled `deblur`: removes a known blur of a lens or of camera motion, with noise of known strength, white or that of a camera."""
    return dataclasses.replace(
        denoise(),
        model=deconvolving.Config(corrector=gated.Config(channels=3, width=32, encoder=(2, 2), middle=4, decoder=(2, 2), fold=2)),
        objective=restoration.Config(charbonnier=0.0, psnr=0.01, psnr_top=40.0),
        patch=96,
        augment=augment.Config(flip=0.5, turn=0.5, grey=0.5),
        degrade=chain.Config(
            links=(
                gaussian_blur.Config(sigma=(0.5, 3.0), stretch=(1.0, 2.0)),
                motion.Config(length=(3.0, 17.0)),
                defocus.Config(radius=(1.0, 4.0)),
                noise.Config(sigma=(0.002, 0.012)),
                noise.Config(sigma=(0.0, 0.04)),
                camera.Config(),
                quantise.Config(),
            ),
            chances=(0.5, 0.45, 0.2, 1.0, 0.3, 0.35, 0.3),
        ),
        images=90_000,
        batch=4,
    )


def deblur_grey() -> TrainSettings:
    """`deblur` for grey pictures, with a wider network. The bundled `deblur` pairs both."""
    return dataclasses.replace(
        deblur(),
        model=deconvolving.Config(corrector=gated.Config(channels=1, width=64, encoder=(3,), middle=3, decoder=(3,), fold=2)),
        augment=SYMMETRIES,
        # Squares of 128 pixels: an inverse filter reaches far, and its result near a border differs from its result inside.
        patch=128,
        batch=2,
        images=38_000,
        lr_warmup=1_500,
        ema=1_500,
    )


def upscale_x2() -> TrainSettings:
    """The bundled `upscale-x2`: doubles the sides of images that were reduced with bicubic resampling as in MATLAB."""
    return dataclasses.replace(
        denoise(),
        model=gated.Config(channels=3, width=32, middle=8, scale=2),
        patch=96,
        degrade=chain.Config(links=(downsample.Config(factor=2), quantise.Config())),
        images=60_000,
    )


def upscale_x3() -> TrainSettings:
    """The bundled `upscale-x3`: enlarges the sides three times, from images reduced with bicubic resampling as in MATLAB."""
    return dataclasses.replace(
        upscale_x2(),
        model=gated.Config(channels=3, width=32, middle=10, scale=3),
        patch=144,
        images=60_000,
        degrade=chain.Config(links=(downsample.Config(factor=3), quantise.Config())),
    )


NETWORK_X4 = gated.Config(channels=3, width=32, middle=10, scale=4)
"""The network of `upscale-x4`, which `upscale-gan` trains too."""


def upscale_x4() -> TrainSettings:
    """The bundled `upscale-x4`: enlarges the sides four times, from images reduced with bicubic resampling as in MATLAB."""
    return dataclasses.replace(
        upscale_x2(),
        model=NETWORK_X4,
        patch=160,
        images=50_000,
        degrade=chain.Config(links=(downsample.Config(factor=4), quantise.Config())),
    )


def upscale_jpeg_x2() -> TrainSettings:
    """The bundled `upscale-jpeg-x2`: doubles the sides of small pictures as they are found: soft, a little noisy, and saved as a JPEG.

    The blur comes before the reduction, noise and JPEG after it. A fifth of the pictures have no JPEG, so that clean ones gain too.
    """
    return dataclasses.replace(upscale_x2(), augment=SOME_GREY, degrade=_thumbnails(2), images=400_000)


def upscale_jpeg_x4() -> TrainSettings:
    """The bundled `upscale-jpeg-x4`: `upscale-jpeg-x2` for four times the sides."""
    return dataclasses.replace(upscale_x4(), augment=SOME_GREY, degrade=_thumbnails(4), images=400_000)


def _thumbnails(factor: int) -> chain.Config:
    """Blur of a part of a new pixel, reduction, noise, and a JPEG of the quality of web pages."""
    return chain.Config(
        links=(
            gaussian_blur.Config(sigma=(0.1 * factor, 0.5 * factor), stretch=(1.0, 1.5)),
            downsample.Config(factor=factor),
            noise.Config(sigma=(0.0, 0.03), grey=0.3),
            jpeg.Config(quality=(30.0, 95.0)),
            jpeg.Config(quality=(60.0, 95.0), subsampling="4:4:4"),
            quantise.Config(),
        ),
        chances=(0.4, 1.0, 0.2, 0.65, 0.15, 1.0),
    )


def dust() -> TrainSettings:
    """A detector of dust, hairs and scratches on grainy prints: gives the share of damage of each pixel, not a picture."""
    return dataclasses.replace(
        denoise(),
        model=gated.Config(channels=1, width=16, encoder=(1, 1), middle=2, decoder=(1, 1), residual=False),
        objective=damage.Config(),
        patch=96,
        degrade=chain.Config(
            links=(
                grain.Config(sigma=(0.0, 0.12), size=(0.4, 1.3)),
                dust_on_prints.Config(),
                jpeg.Config(quality=(70.0, 98.0)),
                quantise.Config(),
            ),
            chances=(0.8, 0.9, 0.2, 1.0),
        ),
        images=60_000,
        lr_warmup=1_000,
        ema=2_000,
    )


def deblur_digits() -> TrainSettings:
    """Sharpens blurred MNIST digits: the worked example in docs/blurred-digits.md."""
    return dataclasses.replace(
        denoise(),
        model=gated.Config(channels=1, width=24, encoder=(1, 1), middle=2, decoder=(1, 1), pixel_gate="pointwise"),
        data="mnist",
        patch=0,
        augment=augment.Config(),
        degrade=chain.Config(links=(gaussian_blur.Config(sigma=(2.0, 2.0)), noise.Config(sigma=(0.05, 0.05)))),
        images=120_000,
        batch=32,
        optimiser="adam",
        log_every=10_000,
        sample_every=60_000,
    )
