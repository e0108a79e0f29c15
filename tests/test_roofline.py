"""The page of `ircc bench --html`: every kernel once, where it belongs, and nothing from outside in it or of it."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from typing import Any

import pytest

from ircc.cli.bench import COLUMNS, as_page
from ircc.cli.page import page
from ircc.cli.roofline import HEIGHT, LEFT, STRIP, WIDTH, Axes, axes_for, height

VOID = {"meta", "br"}
READS = {"16384": 1e11, "134217728": 1e10}


class Page(HTMLParser):
    """The elements of a page as (tag, attributes, text); raises where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[tuple[str, list[str]]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        words: list[str] = []
        self.found.append((tag, dict(attrs), words))
        if tag not in VOID:
            self.open.append((tag, words))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, words in self.open:
            words.append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(words)) for name, attributes, words in self.found if name == tag]


def kernel(name: str, seconds: float, flops: int, size: int, **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "nodes": [f"{name}_node"], "strategy": "contraction", "calls": 1, "seconds": seconds,
        "share_percent": 25.0, "peak_percent": 80.0, "flops": flops, "nominal_flops": flops, "bytes": size,
    } | changes  # fmt: skip


def report(*kernels: dict[str, Any], peak: float = 1e11, reads: dict[str, float] = READS) -> dict[str, Any]:
    return {
        "backend": "cpu", "machine": "Abacus", "model": "folder/model.onnx", "threads": 1, "inputs": {"x": [1, 2]},
        "rounds": 3, "seconds": 1e-3, "seconds_in_kernels": 1e-3, "peak_percent": 75.0,
        "limits": {"flops_per_second": peak, "bytes_per_second": reads}, "kernels": list(kernels),
    }  # fmt: skip


KERNELS = (
    kernel("gemm", 4e-4, 40_000_000, 1_000_000),
    kernel("copy", 3e-4, 0, 3_000_000, strategy="transposition"),
    kernel("idle", 0.0, 0, 0, share_percent=0.0, peak_percent=None, strategy=""),
    kernel("<b>&\"'", 2e-4, 1000, 8, nodes=['</title><script src="x">', "&amp;"], nominal_flops=3000),
)


def test_every_kernel_is_there_once() -> None:
    html = Page(as_page(report(*KERNELS)))
    dots = html.all("circle")
    rows = html.all("tr")[1:]
    assert len(dots) == len(rows) == len(KERNELS)
    links = [attributes["href"] for attributes, _ in html.all("a")]
    assert sorted(links, key=str) == [f"#kernel-{i}" for i in range(len(KERNELS))]
    assert {attributes["id"] for attributes, _ in rows} == {str(link)[1:] for link in links}
    for i, one in enumerate(KERNELS):
        words = dots[links.index(f"#kernel-{i}")][1]
        assert all(node in words for node in one["nodes"])
        assert one["strategy"] in words
        row = next(words for attributes, words in rows if attributes["id"] == f"kernel-{i}")
        assert one["name"] in row
    assert "80 % of its limit" in dots[0][1]
    assert "the nodes ask for" in "".join(words for _, words in dots)
    assert [words for _, words in html.all("th")] == [column.removeprefix(">") for column in COLUMNS]


def test_nothing_from_outside_and_nothing_that_runs() -> None:
    source = as_page(report(*KERNELS))
    html = Page(source)
    assert not [tag for tag, _, _ in html.found if tag in ("script", "link", "img", "iframe")]
    assert "http" not in source and "url(" not in source
    links = [value for _, attributes, _ in html.found for key, value in attributes.items() if key in ("href", "src")]
    assert all(str(link).startswith("#") for link in links)
    assert "prefers-color-scheme: dark" in source and 'name="viewport"' in source


def place(dot: dict[str, str | None]) -> tuple[float, float]:
    return float(dot["cx"] or ""), float(dot["cy"] or "")


def test_dots_are_where_their_numbers_say() -> None:
    html = Page(as_page(report(*KERNELS)))
    axes = axes_for(KERNELS, 1e11, {int(size): rate for size, rate in READS.items()})
    by_link = {a["href"]: dot for (a, _), (dot, _) in zip(html.all("a"), html.all("circle"), strict=True)}
    gemm, copy, idle, odd = (place(by_link[f"#kernel-{i}"]) for i in range(4))
    assert gemm == pytest.approx((axes.across(40), axes.up(1e11)), abs=0.1)  # 100 GFLOP/s: on the roof
    assert odd == pytest.approx((axes.across(125), axes.up(5e6)), abs=0.1)
    # 10 GB/s, as fast as memory: on the slope where that comes into the strip
    assert copy == pytest.approx((LEFT + STRIP / 2, axes.up(axes.strip * 1e10)), abs=0.1)
    assert idle == pytest.approx((LEFT + STRIP / 2, axes.up(10.0 ** axes.y[0])), abs=0.1)
    for x, y in (gemm, copy, idle, odd):
        assert LEFT < x < WIDTH and 0 < y < HEIGHT
    radius = [float(by_link[f"#kernel-{i}"]["r"] or "") for i in (0, 2)]
    assert radius[0] > radius[1] > 0


def test_areas_are_shares_of_the_time() -> None:
    two = (kernel("a", 4e-4, 1000, 10, share_percent=80.0), kernel("b", 1e-4, 1000, 10, share_percent=20.0))
    radii = [float(dot["r"] or "") for dot, _ in Page(as_page(report(*two))).all("circle")]
    assert (radii[0] / radii[1]) ** 2 == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("percent", [10.0, 50.0, 100.0])
@pytest.mark.parametrize("flops", [0, 1_000, 100_000_000])
def test_the_distance_from_the_roof_is_the_percent_of_the_limit(percent: float, flops: int) -> None:
    peak, rate, size = 1e11, 1e10, 1_000_000
    seconds = max(flops / peak, size / rate) * 100 / percent
    one = kernel("k", seconds, flops, size)
    axes = axes_for([one], peak, {1 << 30: rate})
    roof = min(peak, (flops / size if flops else axes.strip) * rate)
    assert height(one, axes.strip) / roof == pytest.approx(percent / 100)
    assert axes.up(height(one, axes.strip)) >= axes.up(roof)


def test_without_limits_there_is_no_roof() -> None:
    html = Page(as_page(report(*KERNELS, peak=0.0, reads={})))
    assert len(html.all("circle")) == len(KERNELS)
    assert not [a for a, _ in html.all("polyline") if a["class"] == "roof"]
    with_limits = Page(as_page(report(*KERNELS)))
    assert len([a for a, _ in with_limits.all("polyline") if a["class"] == "roof"]) == len(READS)


def test_axes_hold_everything() -> None:
    axes = Axes((-1, 3), (6, 12))
    assert axes.across(0) < axes.across(0.1) < axes.across(1000) <= WIDTH
    assert axes.across(10) - axes.across(1) == pytest.approx(axes.across(100) - axes.across(10))
    assert HEIGHT > axes.up(0) == axes.up(1e6) > axes.up(1e12) > 0
    assert math.isclose(axes.up(1e7) - axes.up(1e8), axes.up(1e8) - axes.up(1e9))
    assert not axes_for([], 0.0, {}).x[0] >= axes_for([], 0.0, {}).x[1]


def test_titles_are_escaped() -> None:
    html = Page(page("<i>&", "<p>own</p>"))
    assert [words for _, words in html.all("h1")] == ["<i>&"]
    assert not html.all("i") and len(html.all("p")) == 1
