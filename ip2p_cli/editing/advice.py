"""What to try after an edit that did not work: one piece of advice that fits its model and its settings."""

from __future__ import annotations

from collections.abc import Mapping

from ip2p_cli.diffusion.samplers import find_sampler
from ip2p_cli.measures import NOTICEABLE
from ip2p_cli.settings import BUILT_IN
from ip2p_cli.types import ModelSpec, ResolvedEditSettings, VerdictName

# How far scales are moved from a model's own: beyond, edits of Stable Diffusion's shape break rather than help.
_TEXT_RANGE, _IMAGE_RANGE = (0.4, 1.6), (2 / 3, 1.5)
_DISTILLED_RANGE = (1.0, 3.0)  # of text scales with a sampler of distilled models


def advise(
    verdict: VerdictName,
    measures: Mapping[str, float],
    settings: ResolvedEditSettings,
    spec: ModelSpec,
    *,
    problem: str = "",
    has_mask: bool = False,
) -> str:
    """Return what to try next; "" where the edit is ok.

    Args:
        verdict: What became of the edit.
        measures: From `verdict.judge`.
        settings: What it was made with.
        spec: The model.
        problem: Why the model does not follow the instruction, as far as that is known.
        has_mask: Whether a mask said where the photo may change.
    """
    if verdict == "ok":
        return ""
    if problem and verdict != "over-edit":
        return f"this model does not follow that instruction: {problem}"
    if verdict == "no-change" and measures.get("expected", NOTICEABLE) < NOTICEABLE:
        return f"{'the mask holds' if has_mask else 'the photo holds'} nothing that this would change"
    if verdict == "off-target" and measures.get("where", 1.0) < 1 and not has_mask:
        return "say where with --mask or --box"
    change = next_scale(verdict, settings, spec)
    if change is None:
        return "try another --seed"
    name, value = change
    verb = "raise" if value > getattr(settings, name) else "lower"
    return f"{verb} --{name.replace('_', '-')} to {value:g}"


def is_guided(spec: ModelSpec) -> bool:
    """Whether the text scale of a model does something; it does not for one that was made to run without guidance."""
    return _has(spec, "cfg_text") and _own(spec, "cfg_text") != 1


def next_scale(verdict: VerdictName, settings: ResolvedEditSettings, spec: ModelSpec) -> tuple[str, float] | None:
    """Return the scale to change and its new value; None if another seed is the better try."""
    if verdict == "ok":
        return None
    if not is_guided(spec):
        return _back_to_own(settings, spec)
    if find_sampler(settings.sampler).most_steps is not None:
        return _distilled(verdict, settings.cfg_text)
    text, image = settings.cfg_text, settings.cfg_image
    own_text, own_image = _own(spec, "cfg_text"), _own(spec, "cfg_image")
    if verdict == "off-target":
        return ("cfg_text", own_text) if text < own_text else None
    wanted: list[tuple[str, float]]
    if verdict == "no-change":
        wanted = [
            ("cfg_image", own_image if image > own_image else max(_IMAGE_RANGE[0] * own_image, image * 0.8)),
            ("cfg_text", own_text if text < own_text else min(_TEXT_RANGE[1] * own_text, text * 4 / 3)),
        ]
        return next((one for one in map(_rounded, wanted) if _is_change(one, settings, spec, stronger=True)), None)
    wanted = [
        ("cfg_text", own_text if text > own_text else text),
        ("cfg_image", own_image if image < own_image else min(_IMAGE_RANGE[1] * own_image, image * 1.25)),
        ("cfg_text", max(_TEXT_RANGE[0] * own_text, spec.least_cfg_text, text * 0.75)),
    ]
    return next((one for one in map(_rounded, wanted) if _is_change(one, settings, spec, stronger=False)), None)


def _distilled(verdict: VerdictName, text: float) -> tuple[str, float] | None:
    """The next text scale with a sampler of distilled models; the image scale stays at 1, others give artefacts."""
    wanted = {"no-change": min(_DISTILLED_RANGE[1], text + 0.5), "over-edit": max(_DISTILLED_RANGE[0], text - 0.5)}
    value = wanted.get(verdict, text)
    rises = value > text
    return ("cfg_text", value) if value != text and rises is (verdict == "no-change") else None


def _back_to_own(settings: ResolvedEditSettings, spec: ModelSpec) -> tuple[str, float] | None:
    """The first scale that is not the model's own: a model without guidance is made for these alone."""
    names = [name for name in ("cfg_text", "cfg_image") if _has(spec, name)]
    return next(((name, _own(spec, name)) for name in names if getattr(settings, name) != _own(spec, name)), None)


def _rounded(change: tuple[str, float]) -> tuple[str, float]:
    """A scale as people write it: 1.2, 5.5, 10."""
    name, value = change
    return name, round(value, 1) if name == "cfg_image" or value < 5 else round(value * 2) / 2


def _is_change(change: tuple[str, float], settings: ResolvedEditSettings, spec: ModelSpec, *, stronger: bool) -> bool:
    """Whether the model has the scale, and the value is another one, in the direction of a stronger or weaker edit."""
    name, value = change
    difference = value - getattr(settings, name)
    rises = stronger if name == "cfg_text" else not stronger
    return _has(spec, name) and abs(difference) >= 0.05 and (difference > 0) is rises


def _has(spec: ModelSpec, name: str) -> bool:
    return spec.supports is None or name in spec.supports


def _own(spec: ModelSpec, name: str) -> float:
    """The model's own value of a scale."""
    return float(getattr(spec.defaults.or_else(BUILT_IN), name))
