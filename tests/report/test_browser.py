"""The page in a real browser, from a disk: it works, fits, loads nothing, and nothing else runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from artrec.picture import Limits, shrunk
from artrec.report import Facts, jpeg, render
from tests.pictures import picture
from tests.report.literal import bare, full, points
from tests.report.test_pages import HOSTILE, hostile

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next((found for name in NAMES if (found := shutil.which(name))), None)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
THUMBS = [f"{n:016x}" for n in range(8)]

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason=f"no browser to open a report in: none of {', '.join(NAMES)}"
)

Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of everything, with its small pictures, in a folder with an awkward name."""
    place = tmp_path_factory.mktemp("a report & its #1 page")
    return write(place, full(THUMBS))


def write(place: Path, facts: Facts) -> Path:
    (place / "thumbs").mkdir(parents=True)
    for number, name in enumerate(["0123456789abcdef", *THUMBS]):
        data = jpeg(shrunk(picture(number, size=(200, 120 + 20 * number)), Limits(), 160))
        (place / "thumbs" / f"{name}.jpg").write_bytes(data)
    for name, data in render(facts).items():
        (place / name).write_bytes(data)
    return place


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Open a page at a width, light or dark; at the end nothing may have gone wrong on it."""
    with ExitStack() as stack:
        seen: list[tuple[str, str]] = []

        def open_page(place: Path, width: int = 1280, mode: str = "light", **more: Any) -> Page:
            context = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=mode,  # type: ignore[arg-type]
                reduced_motion="reduce",
                **more,
            )
            stack.callback(context.close)
            page = context.new_page()
            page.on("console", lambda said: seen.append(("console", said.text)))
            page.on("pageerror", lambda error: seen.append(("error", str(error))))
            page.on("requestfailed", lambda request: seen.append(("failed", request.url)))
            page.on("dialog", lambda dialog: seen.append(("dialog", dialog.message)))
            page.on("request", lambda r: seen.append(("network", r.url)) if outside(r.url) else 0)
            page.goto((place / "index.html").as_uri())
            return page

        yield open_page
        assert seen == []


def outside(url: str) -> bool:
    return not url.startswith(("file://", "data:"))


def overflow(page: Page) -> list[str]:
    """What sticks out of the page to the right, with the page itself."""
    found: list[str] = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        ["page", ...[...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
            .map((e) => e.tagName + "." + e.getAttribute("class"))]"""
    )
    return found


every_look = pytest.mark.parametrize("mode", ["light", "dark"])


@pytest.mark.parametrize(
    ("width", "mode"),
    [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"), (360, "light")],
)
def test_the_page_fits_and_shows_its_pictures(
    opened: Opened, folder: Path, width: int, mode: str
) -> None:
    page = opened(folder, width, mode)
    broken = page.evaluate(
        """async () => { const found = [...document.images].filter((i) => i.offsetParent);
        for (const image of found) image.loading = "eager";
        await Promise.allSettled(found.map((image) => image.decode()));
        return found.filter((image) => !image.naturalWidth).map((image) => image.src); }"""
    )
    assert broken == []
    assert overflow(page) == []
    unfold(page)
    assert overflow(page) == []


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")


@every_look
def test_the_theme_is_the_systems_until_it_is_chosen(
    opened: Opened, folder: Path, mode: str
) -> None:
    page = opened(folder, mode=mode)

    def ground() -> str:
        found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return found

    light, dark = "rgb(253, 253, 252)", "rgb(17, 19, 22)"
    assert ground() == {"light": light, "dark": dark}[mode]
    button = page.get_by_role("button", name="Theme")
    button.click()
    assert (button.inner_text(), ground()) == ("Theme: light", light)
    button.click()
    assert (button.inner_text(), ground()) == ("Theme: dark", dark)
    page.reload()
    assert ground() == dark
    button.click()
    assert ground() == {"light": light, "dark": dark}[mode]


def test_a_click_or_a_key_shows_the_list_of_another_image(opened: Opened, folder: Path) -> None:
    page = opened(folder)
    tabs = page.get_by_role("tablist", name="Images drawn at random").get_by_role("tab")
    shown = page.locator("#lists .panel:visible h3")
    assert tabs.count() == 12
    assert shown.all_inner_texts() == ["work 0"]
    tabs.nth(3).click()
    assert shown.all_inner_texts() == ["work 3"]
    page.keyboard.press("ArrowRight")
    assert shown.all_inner_texts() == ["work 4"]
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert shown.all_inner_texts() == ["work 0"]
    assert tabs.nth(0).get_attribute("aria-selected") == "true"


def test_a_variant_is_chosen_and_the_sections_are_reached(opened: Opened, folder: Path) -> None:
    page = opened(folder)
    choice = page.get_by_role("tablist", name="Which images count").first
    assert page.locator("#q1-0").is_visible()
    choice.get_by_role("tab", name="all images").click()
    assert page.locator("#q4-0").is_visible()
    assert not page.locator("#q1-0").is_visible()
    for link in page.locator('nav a[href^="#"]').all():
        link.click()
        anchor = str(link.get_attribute("href"))
        assert page.locator(anchor).is_visible()


def test_the_map_answers_to_pointer_keys_and_legend(opened: Opened, folder: Path) -> None:
    page = opened(folder)
    card, canvas = page.locator("#map-card"), page.locator("#map-canvas")
    canvas.scroll_into_view_if_needed()
    before = card.inner_text()
    assert "work" in before
    canvas.focus()
    page.keyboard.press("ArrowRight")
    after = card.inner_text()
    assert after != before
    assert page.locator("#map-card img").get_attribute("src") in {
        f"thumbs/{name}.jpg" for name in THUMBS
    }
    box = canvas.bounding_box()
    assert box is not None
    canvas.hover(position={"x": box["width"] / 2, "y": box["height"] - 60})
    assert card.inner_text() not in (before, after)

    def drawn() -> int:
        """Pixels that are not of the ground, counted in a copy: the original is not for reading."""
        found: int = canvas.evaluate(
            """(c) => {
                const copy = new OffscreenCanvas(c.width, c.height);
                const pen = copy.getContext("2d", { willReadFrequently: true });
                pen.drawImage(c, 0, 0);
                const { data } = pen.getImageData(0, 0, c.width, c.height);
                return data.filter((value, place) => place % 4 === 3 && value > 0).length;
            }"""
        )
        return found

    every = drawn()
    page.get_by_role("checkbox", name="Cubism").uncheck()
    assert 0 < drawn() < every
    page.get_by_role("button", name="none").click()
    assert drawn() == 0
    assert card.inner_text() == "No image chosen."
    page.get_by_role("button", name="all", exact=True).click()
    page.get_by_role("button", name="Zoom in").click()
    assert drawn() != every
    page.get_by_role("button", name="Whole map").click()
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    assert "work" in card.inner_text()


def test_the_map_is_coloured_and_drawn_by_what_is_chosen(opened: Opened, folder: Path) -> None:
    page = opened(folder)
    canvas, card = page.locator("#map-canvas"), page.locator("#map-card")
    canvas.scroll_into_view_if_needed()
    assert "cluster" in card.inner_text()

    def drawn() -> str:
        found: str = canvas.evaluate("(c) => c.toDataURL()")
        return found

    seen = [drawn()]
    for choice, value in (("#map-by", "cluster"), ("#map-view", "1"), ("#map-view", "2")):
        page.select_option(choice, value)
        seen.append(drawn())
        if value == "1":
            page.get_by_role("button", name="Turn right").click()
            seen.append(drawn())
            box = canvas.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + 200, box["y"] + 200)
            page.mouse.down()
            page.mouse.move(box["x"] + 260, box["y"] + 220)
            page.mouse.up()
            seen.append(drawn())
    assert len({*seen}) == 6
    assert not page.get_by_role("button", name="Turn right").is_visible()
    assert page.get_by_role("checkbox", name="cluster 2").is_visible()
    assert not page.get_by_role("checkbox", name="Cubism").is_visible()
    page.get_by_role("checkbox", name="cluster 2").uncheck()
    page.select_option("#map-by", "artist")
    assert page.get_by_role("checkbox", name="hokusai").is_visible()


def test_every_control_is_reached_by_the_tab_key(opened: Opened, folder: Path) -> None:
    page = opened(folder)
    wanted = page.evaluate(
        """() => [...document.querySelectorAll(
            "a[href], button, input, summary, [tabindex='0']")].filter(
            (e) => e.tabIndex >= 0 && e.offsetParent !== null
            && !e.closest("details:not([open]) > :not(summary)")).length"""
    )
    reached = 0
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        reached += 1
        look = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(look) != "none", "focus cannot be seen"
    assert reached >= wanted > 30


def test_without_scripts_all_panels_stand_in_the_page(opened: Opened, folder: Path) -> None:
    page = opened(folder, java_script_enabled=False)
    assert page.locator("#lists .panel:visible").count() == 12
    assert not page.get_by_role("button", name="Theme").is_visible()


def test_paper_shows_what_is_folded_in(opened: Opened, folder: Path) -> None:
    page = opened(folder)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#lists .panel:visible").count() == 12
    assert page.locator("dl.pairs:visible").count() == 4
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("dl.pairs:visible").count() == 0
    assert len(page.pdf()) > 20_000


@pytest.mark.parametrize("kind", ["script", "attribute", "bidi", "long", "combining"])
def test_no_text_runs_or_breaks_the_page(opened: Opened, tmp_path: Path, kind: str) -> None:
    place = write(tmp_path / "out", hostile(HOSTILE[kind]))
    page = opened(place, 360)
    unfold(page)
    page.locator("#map-canvas").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("window.owned") is None
    assert overflow(page) == []
    page.set_viewport_size({"width": 1280, "height": 900})
    assert overflow(page) == []


def test_injected_code_would_not_run_either(browser: Browser, tmp_path: Path) -> None:
    """The second wall: were some text not escaped, the policy would stop it."""
    place = write(tmp_path / "out", bare())
    path = place / "index.html"
    spoil = "<script>window.owned=1</script><img src=x onerror='window.owned=1'></main>"
    path.write_text(path.read_text().replace("</main>", spoil))
    page = browser.new_page()
    blocked: list[str] = []
    page.on("console", lambda said: blocked.append(said.text))
    page.goto(path.as_uri())
    page.wait_for_load_state("load")
    assert page.evaluate("window.owned") is None
    assert sum("Content Security Policy" in text for text in blocked) >= 2
    page.close()


def test_a_bare_release_opens_without_a_fault(opened: Opened, tmp_path: Path) -> None:
    page = opened(write(tmp_path / "out", bare()), 360)
    assert page.locator("h1").inner_text() == "2026-01-02"
    assert overflow(page) == []


def test_a_map_of_8000_points_is_drawn(opened: Opened, tmp_path: Path) -> None:
    facts = bare().model_copy(update={"points": points(8_000)})
    page = opened(write(tmp_path / "out", facts))
    assert page.locator("#map-canvas").is_visible()
    page.locator("#map-canvas").focus()
    page.keyboard.press("ArrowRight")
    assert "no picture here" in page.locator("#map-card").inner_text()


@pytest.mark.parametrize("name", ["new", "changed"])
@pytest.mark.parametrize(("width", "mode"), [(1280, "dark"), (360, "light")])
def test_the_pages_of_the_morning_fit_and_lead_back(
    opened: Opened, folder: Path, name: str, width: int, mode: str
) -> None:
    page = opened(folder, width, mode)
    unfold(page)
    assert overflow(page) == []
    page.locator(f"nav a[href='{name}.html']").click()
    broken = page.evaluate(
        """async () => { const found = [...document.images];
        for (const image of found) image.loading = "eager";
        await Promise.allSettled(found.map((image) => image.decode()));
        return found.filter((image) => !image.naturalWidth).map((image) => image.src); }"""
    )
    assert broken == []
    assert overflow(page) == []
    assert page.locator("article").count() == 2
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("link", name="2026-01-02").click()
    assert page.url == (folder / "index.html").as_uri()
