"""The project's data: frozen, keyword-only dataclasses. Imports neither torch nor diffusers.

Options that the user did not set are None in `EditSettings`; they are resolved once, into
`ResolvedEditSettings`: flag > recipe > model default > built-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

DeviceName = Literal["auto", "cuda", "mps", "cpu"]
DtypeName = Literal["auto", "fp32", "fp16", "bf16"]
OutputSize = Literal["input", "model"]
OffloadName = Literal["none", "model", "sequential"]
BackendName = Literal["auto", "torch", "openvino"]
QuantizeName = Literal["none", "int8"]
ModelUse = Literal["edit", "train", "paint"]  # paint: text to image
EngineName = Literal["local", "ray"]
Handoff = Literal["latent", "pixels"]
ResizeMode = Literal["pad", "crop", "original"]
Guard = Literal["none", "low"]
Unknown = Literal["do", "skip", "fail"]
MaskSteps = Literal["all", "last"]
PictureFormat = Literal["keep", "png", "jpg", "webp", "tiff", "avif"]
VerdictName = Literal["no-change", "ok", "over-edit", "off-target"]
# What manifests, indexes and JSON may say of a result beside how it was made, see `Verdict.facts`.
VERDICT_FACTS = ("verdict", "verdict_of_edit", "advice", "measures", "auto_tune")

# Settings that evaluate the model less, with the values at which they do nothing.
NO_SAVINGS: Mapping[str, Any] = {"guidance_interval": "0-1", "adaptive_guidance": 0.0, "feature_reuse": 1}


@dataclass(frozen=True, kw_only=True)
class EditSettings:
    """Settings of one edit as far as someone has said them; None means not said.

    steps: denoising steps, >= 1. cfg_text: s_T of eq. 3 of the paper; cfg_image: s_I. sampler: a name
    from `diffusion.samplers`. seed: 0 .. 2**63 - 1. resolution: the model-size shorter side in pixels
    (the longer one with resize_mode "original"). resize_mode: how a photo meets the model's grid, see
    `io.sizes.model_size`. output_size: "input" (the photo's own size) or "model" (the model's own pixels).
    negative_prompt: what to move away from; it takes the place of the null text in eq. 3.
    guidance_interval: "FROM-TO", the shares of the steps between which there is guidance, "0-1" for all.
    adaptive_guidance: predictions whose cosine is at least 1 minus this count as one from then on, 0 for never.
    feature_reuse: the UNet's deep features are computed at every such step, 1 for each.
    """

    steps: int | None = None
    cfg_text: float | None = None
    cfg_image: float | None = None
    sampler: str | None = None
    seed: int | None = None
    resolution: int | None = None
    output_size: OutputSize | None = None
    resize_mode: ResizeMode | None = None
    negative_prompt: str | None = None
    guidance_interval: str | None = None
    adaptive_guidance: float | None = None
    feature_reuse: int | None = None

    def or_else(self, fallback: EditSettings) -> EditSettings:
        """These settings, with what is unsaid taken from `fallback`."""
        unsaid = {f.name: getattr(fallback, f.name) for f in fields(self) if getattr(self, f.name) is None}
        return replace(self, **unsaid)


@dataclass(frozen=True, kw_only=True)
class ResolvedEditSettings:
    """Settings of one edit with nothing left open (fields as in `EditSettings`)."""

    steps: int
    cfg_text: float
    cfg_image: float
    sampler: str
    seed: int
    resolution: int
    output_size: OutputSize
    resize_mode: ResizeMode = "pad"
    negative_prompt: str = ""
    guidance_interval: str = "0-1"
    adaptive_guidance: float = 0.0
    feature_reuse: int = 1

    @property
    def facts(self) -> dict[str, Any]:
        """The settings by name, without savings that are off: they decide nothing, and older records lack them."""
        return {name: value for name, value in asdict(self).items() if NO_SAVINGS.get(name) != value}


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """Which part of a photo an edit may change, as far as someone has said it; None and () mean not said.

    Attributes:
        mask: A picture in which white may change, its path, or a folder with one for each photo.
        box: Rectangles "x,y,width,height" in pixels or per cent of the photo, which may change. With a mask only what
            is white and in a rectangle may.
        region: Words for what may change: "the sky", "background", "the car". With a mask or rectangles only what is
            in each of them may.
        region_model: CLIPSeg's folder, for words that ip2p does not know itself; None for that in the hub's cache.
        auto_mask: Only where the model itself would edit may change; in a global edit everything.
        invert_mask: Black may change instead; without a mask, what is outside the region; without either, what is
            outside the automatic mask, or the rectangles.
        grow: How far what may change is grown, in pixels or, as "2%", in per cent of the photo's shorter side; a
            negative number shrinks it.
        feather: How wide its border is softened to either side, likewise.
        mask_steps: When the rest is held in place while the model works: after all steps, or in the last tenth.
    """

    mask: str | PathLike[str] | Image | None = None
    box: tuple[str, ...] = ()
    region: str | None = None
    region_model: str | PathLike[str] | None = None
    auto_mask: bool | None = None
    invert_mask: bool | None = None
    grow: float | str | None = None
    feather: float | str | None = None
    mask_steps: MaskSteps | None = None

    @property
    def has_area(self) -> bool:
        """Whether anything says which part may change."""
        return self.mask is not None or bool(self.box) or self.region is not None or bool(self.auto_mask)

    def or_else(self, fallback: MaskSettings) -> MaskSettings:
        """These settings, with what is unsaid taken from `fallback`; what says the area belongs together."""
        area = self if self.has_area else fallback
        is_inverted = area.invert_mask if self.has_area or self.invert_mask is None else self.invert_mask
        return MaskSettings(
            mask=area.mask,
            box=area.box,
            region=area.region,
            auto_mask=area.auto_mask if self.auto_mask is None else self.auto_mask,
            region_model=None if area.region is None else self.region_model or fallback.region_model,
            invert_mask=is_inverted,
            grow=fallback.grow if self.grow is None else self.grow,
            feather=fallback.feather if self.feather is None else self.feather,
            mask_steps=self.mask_steps or fallback.mask_steps,
        )


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model that ip2p can load, and what it wants by default.

    source: a hub id ("owner/name") or a local folder in diffusers layout. multiple: both sides of the
    model-size picture are multiples of this many pixels. pipeline: diffusers' class for a model that edits its own way,
    see `models.adapters`. supports: the fields of EditSettings that it has; None is all. least_cfg_text: the smallest
    text scale that it has.
    """

    name: str
    source: str
    description: str
    licence: str
    revision: str | None = None
    variant: str | None = None
    size_mb: int | None = None
    multiple: int = 64
    pipeline: str | None = None
    supports: frozenset[str] | None = None
    least_cfg_text: float = 0
    defaults: EditSettings = field(default_factory=EditSettings)


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A low-rank change of a model's weights: its file (or the folder that holds it), and how much of it, -10..10."""

    path: Path
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class EditRequest:
    """One photo (upright RGB, any size), one instruction, settings.

    digest: sha256 of the photo's file, in hex: an item's noise follows from it. position: of the edit in a chain, from
    0; so does the noise from that.
    """

    source: Image
    instruction: str
    settings: ResolvedEditSettings
    digest: str = ""
    position: int = 0


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How results become files.

    Attributes:
        quality: Of lossy formats, 1 to 100.
        metadata: Whether EXIF and the record of how it was made are written into the picture.
        strip_location: Whether places are left out of the EXIF and the XMP.
        sidecar: Also write the record beside the picture.
        strip: Also write the photo and its edits side by side.
        gif: Also write the photo and its edits as an animated GIF.
        webp: Likewise as an animated WebP.
    """

    quality: int = 92
    metadata: bool = True
    strip_location: bool = False
    sidecar: bool = False
    strip: bool = False
    gif: bool = False
    webp: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether an edit worked, see `editing.verdict`.

    Attributes:
        name: The photo hardly changed ("no-change"); the edit is plausible ("ok"); too much of the photo is gone
            ("over-edit"); something else changed than was asked for ("off-target").
        advice: What to try next; "" where it is ok.
        measures: What it follows from, by name.
    """

    name: VerdictName
    advice: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """What JSON, manifests and indexes say of it."""
        advice = {"advice": self.advice} if self.advice else {}
        return {"verdict": self.name, **advice, "measures": dict(self.measures)}


@dataclass(frozen=True, kw_only=True)
class EditResult:
    """What an edit gave.

    Attributes:
        image: The picture.
        latent: Unscaled, (1, C, h, w); None from a model that edits in a way of its own.
        model: The model's name.
        seconds: How long it took.
        verdict: Whether it worked.
    """

    request: EditRequest
    image: Image
    latent: torch.Tensor | None
    model: str
    seconds: float
    verdict: Verdict
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What a picture shows. key: its name in all stages. image: the photo it was said of, an absolute path."""

    key: str
    caption: str
    image: str | None = None


@dataclass(frozen=True, kw_only=True)
class Triplet:
    """A caption, an instruction, and what the picture would show afterwards.

    kind: of edit ("season", "object" …). writer: what wrote it. look: the name of a look of `looks` that paints
    it. image: the photo that the caption was said of.
    """

    key: str
    caption: str
    instruction: str
    edited_caption: str
    kind: str
    writer: str
    look: str | None = None
    image: str | None = None
