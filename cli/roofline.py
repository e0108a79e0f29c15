"""The roofline of a run as SVG: each kernel's arithmetic intensity and rate, under what the machine allows.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 52(4), 2009. Both axes
are logarithmic, so that a kernel's distance from the roof above it is its percent of the limit, wherever it is. That
holds for kernels without arithmetic too: they stand in a strip of their own at the left, at the height that one of the
strip's intensity would have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from . import console
from .page import COLORS, text

WIDTH, HEIGHT = 760, 470
LEFT, RIGHT, TOP, BOTTOM = 76, 28, 16, 60  # margins
STRIP = 56  # of kernels without arithmetic
LARGEST = 58.0  # radius of a dot that is all of the time
SMALLEST = 2.5

Kernel = Mapping[str, Any]


@dataclass(frozen=True)
class Axes:
    """Decades of flop/byte from `x[0]` to `x[1]` and of flop/s from `y[0]` to `y[1]` on the paper."""

    x: tuple[int, int]
    y: tuple[int, int]

    def across(self, intensity: float) -> float:
        """Left of the axis' start: in the strip."""
        start = LEFT + STRIP
        low, high = self.x
        if intensity < 10.0**low:
            return LEFT + STRIP / 2
        return start + (math.log10(intensity) - low) / (high - low) * (WIDTH - RIGHT - start)

    def up(self, rate: float) -> float:
        low, high = self.y
        place = (math.log10(max(rate, 10.0**low)) - low) / (high - low)
        return HEIGHT - BOTTOM - place * (HEIGHT - BOTTOM - TOP)

    @property
    def strip(self) -> float:
        """The intensity that stands for none."""
        return 10.0 ** self.x[0]


def roofline(found: Mapping[str, Any]) -> str:
    """The plot of a report of `ircc bench`. The dot of its i-th kernel links to `#kernel-i`."""
    kernels: Sequence[Kernel] = found["kernels"]
    peak = float(found["limits"]["flops_per_second"])
    reads = {int(size): float(rate) for size, rate in found["limits"]["bytes_per_second"].items()}
    axes = axes_for(kernels, peak, reads)
    colors = colors_of(kernels)
    largest_first = sorted(range(len(kernels)), key=lambda i: -kernels[i]["seconds"])
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Roofline plot of the kernels">',
        *_grid(axes),
        *(_roof(axes, peak, reads) if peak and reads else ()),
        *(dot(axes, kernels[i], i, colors[kernels[i]["strategy"]]) for i in largest_first),
        "</svg>",
    ]
    key = "".join(
        f'<span><i style="background: var(--c{color})"></i>{text(strategy or "no strategy")}</span>'
        for strategy, color in colors.items()
    )
    return "\n".join(parts) + f'\n<p class="key">{key}</p>'


def colors_of(kernels: Sequence[Kernel]) -> dict[str, int]:
    """A colour for each strategy, by the time that is spent in it; the last one for all that are left."""
    spent: dict[str, float] = {}
    for kernel in kernels:
        spent[kernel["strategy"]] = spent.get(kernel["strategy"], 0.0) + kernel["seconds"]
    return {name: min(i, COLORS - 1) for i, name in enumerate(sorted(spent, key=lambda name: -spent[name]))}


def axes_for(kernels: Sequence[Kernel], peak: float, reads: Mapping[int, float]) -> Axes:
    """Whole decades that hold all kernels and the ridges of the roof, where arithmetic takes as long as reading."""
    intensities = [k["flops"] / k["bytes"] for k in kernels if k["flops"] and k["bytes"]]
    intensities += [peak / rate for rate in reads.values() if peak] or [1.0]
    low, high = math.floor(math.log10(min(intensities) / 2)), math.ceil(math.log10(max(intensities) * 2))
    rates = [rate for k in kernels if (rate := height(k, 10.0**low)) > 0] + ([peak] if peak else [])
    rates = rates or [1e9]
    return Axes((low, high), (math.floor(math.log10(min(rates) / 1.5)), math.ceil(math.log10(max(rates) * 1.1))))


def height(kernel: Kernel, strip: float) -> float:
    """Operations a second; of a kernel without any, those of one with `strip` for each byte."""
    operations = kernel["flops"] or strip * kernel["bytes"]
    return operations / kernel["seconds"] if kernel["seconds"] else 0.0


def dot(axes: Axes, kernel: Kernel, number: int, color: int) -> str:
    """A kernel: its area is its share of the time, its title says what it is."""
    if not kernel["flops"]:
        x = axes.across(0.0)
    elif not kernel["bytes"]:
        x = axes.across(10.0 ** axes.x[1])
    else:
        x = axes.across(kernel["flops"] / kernel["bytes"])
    y = axes.up(height(kernel, axes.strip))
    radius = max(SMALLEST, LARGEST * math.sqrt((kernel["share_percent"] or 0.0) / 100))
    paint = f'style="fill: var(--c{color}); stroke: var(--c{color})"'
    return (
        f'<a href="#kernel-{number}"><circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {paint}>'
        f"<title>{text(title(kernel))}</title></circle></a>"
    )


def title(kernel: Kernel) -> str:
    """What a kernel is and does, in lines."""
    share, limit = kernel["share_percent"], kernel["peak_percent"]
    lines = [
        ", ".join(kernel["nodes"]) or kernel["name"],
        f"strategy: {kernel['strategy'] or 'none'}",
        f"{console.seconds(kernel['seconds'])} in {kernel['calls']} calls"
        + ("" if share is None else f", {share:.1f} % of the time"),
        f"{kernel['flops'] / 1e6:.3g} Mflop, {console.size(kernel['bytes'])}",
    ]
    if kernel["nominal_flops"] != kernel["flops"]:
        lines.append(f"the nodes ask for {kernel['nominal_flops'] / 1e6:.3g} Mflop")
    if limit is not None:
        lines.append(f"{limit:.0f} % of its limit")
    return "\n".join(lines)


# ---- axes and roof


def _line(kind: str, *points: tuple[float, float], inside: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}">{inside}</polyline>'


def _text(x: float, y: float, words: str, anchor: str = "middle", turn: float = 0.0) -> str:
    turned = f' transform="rotate({turn:.1f} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{text(words)}</text>'


def _grid(axes: Axes) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts: list[str] = [_line("grid", (LEFT, TOP), (LEFT, bottom))]
    for k in range(axes.x[0], axes.x[1] + 1):
        x = axes.across(10.0**k)
        parts += [_line("grid", (x, TOP), (x, bottom)), _text(x, bottom + 22, f"{10.0**k:g}")]
    for k in range(axes.y[0], axes.y[1] + 1):
        y = axes.up(10.0**k)
        parts += [_line("grid", (LEFT, y), (right, y)), _text(LEFT - 8, y + 4, f"{10.0 ** (k - 9):g}", "end")]
    parts.append(_text(LEFT + 4, bottom + 22, "0", "start"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 8, "arithmetic intensity, flop/byte"))
    parts.append(_text(18, (TOP + bottom) / 2, "GFLOP/s", turn=-90))
    return parts


def _roof(axes: Axes, peak: float, reads: Mapping[int, float]) -> list[str]:
    """A slope for each memory, as fast as it can be read, up to the peak of multiply-adds."""
    right, start = WIDTH - RIGHT, LEFT + STRIP
    ridge = axes.across(peak / max(reads.values()))
    parts = [_text(ridge, axes.up(peak) - 8, f"{peak / 1e9:.0f} GFLOP/s", "start")]
    last = math.inf
    for size, rate in sorted(reads.items(), key=lambda item: -item[1]):
        words = f"{rate / 1e9:.0f} GB/s up to {console.size(size)}"
        low = axes.strip * rate
        foot = max(axes.strip, 10.0 ** axes.y[0] / rate)  # where the slope comes up from the floor
        points = [(axes.across(foot), axes.up(foot * rate)), (axes.across(peak / rate), axes.up(peak))]
        if low >= 10.0 ** axes.y[0]:
            points.insert(0, (LEFT, axes.up(low)))
        points.append((right, axes.up(peak)))
        parts.append(_line("roof", *points, inside=f"<title>{text(words)}</title>"))
        if rate < last / 1.5:  # else the words would lie on each other
            (x, y), (end, top) = next((a, b) for a, b in pairwise(points) if a[0] >= start)
            turn = math.degrees(math.atan2(top - y, end - x))
            parts.append(_text(x + 8, y - 10 + 8 * math.tan(math.radians(turn)), words, "start", turn))
            last = rate
    return parts
