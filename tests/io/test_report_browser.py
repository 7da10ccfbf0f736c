"""The report in headless Chromium: what people do with it, and that it asks the network for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from ip2p_cli.io.report import ReportRow, ReportStep, report
from tests.io.browser import chromium

pytestmark = pytest.mark.slow
HOSTILE = "<script>alert(1)</script>"
SAMPLES = Path(__file__).parents[2] / "samples"
LEFT, RIGHT, END = "\ue012", "\ue014", "\ue010"  # WebDriver's names of keys


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three results of a real photo, the second of which came of two edits."""
    folder = tmp_path_factory.mktemp("report")
    with Image.open(SAMPLES / "landscape.jpg") as photo:
        photo.thumbnail((400, 400))
        photo.convert("RGB").save(folder / "photo.png")
        ImageOps.invert(photo.convert("RGB")).save(folder / "after.png")
        ImageOps.mirror(photo.convert("RGB")).save(folder / "between.png")
    steps = [
        ReportStep(title=HOSTILE, picture=folder / "between.png", facts={"seed": 3}),
        ReportStep(title="make it night", picture=folder / "after.png", facts={"seed": 4}),
    ]
    rows = [
        ReportRow(
            title=f"{place}. a rather long title of seed {place} {HOSTILE} " + "long" * 40,
            picture=folder / "after.png",
            before=folder / "photo.png",
            facts={"score": score, "instruction": HOSTILE},
            steps=steps if place == 2 else (),
            command=f"ip2p edit --seed {place} -- photo.png '{HOSTILE}'",
        )
        for place, score in ((1, 0.5), (2, 0.9), (3, 0.1))
    ]
    html = report(f"Variants {HOSTILE}", rows, folder, facts={"model": "nano"})
    (folder / "report.html").write_bytes(html)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    browser.get(page.as_uri())
    return browser


def all_of(driver: Any, selector: str) -> list[Any]:
    found: list[Any] = driver.find_elements("css selector", selector)
    return found


def cut(driver: Any) -> str:
    """The part of the first picture that the photo before covers, as the browser draws it."""
    said: str = driver.execute_script("return getComputedStyle(document.querySelector('.before')).clipPath")
    return said


def test_the_slider_moves_by_mouse_and_keyboard(opened: Any) -> None:
    from selenium.webdriver import ActionChains

    slider = all_of(opened, "input[type=range]")[0]
    assert cut(opened) == "inset(0px 100% 0px 0px)"
    ActionChains(opened).move_to_element(slider).click().perform()
    middle = float(slider.get_attribute("value"))
    assert 45 <= middle <= 55
    assert f"{100 - middle:g}%" in cut(opened)
    slider.send_keys(RIGHT)
    assert float(slider.get_attribute("value")) == middle + 1
    assert f"{99 - middle:g}%" in cut(opened)
    slider.send_keys(END)
    assert cut(opened) in ("inset(0px 0% 0px 0px)", "inset(0px)")
    slider.send_keys(LEFT)
    assert "1%" in cut(opened)


def test_sorting_sorts_and_goes_back(opened: Any) -> None:
    from selenium.webdriver.support.select import Select

    def order() -> list[str]:
        return [one.text[0] for one in all_of(opened, "article h2")]

    select = Select(all_of(opened, "#order")[0])
    assert order() == ["1", "2", "3"]
    select.select_by_visible_text("score")
    assert order() == ["2", "1", "3"]
    select.select_by_visible_text("as made")
    assert order() == ["1", "2", "3"]


@pytest.mark.parametrize("state", ["granted", "denied"])
def test_copying_copies(opened: Any, state: str) -> None:
    for name in ("clipboard-write", "clipboard-read"):
        setting = state if name == "clipboard-write" else "granted"
        opened.execute_cdp_cmd("Browser.setPermission", {"permission": {"name": name}, "setting": setting})
    button = all_of(opened, "button.copy")[2]
    button.click()
    status = button.find_element("xpath", "following-sibling::*[@role='status']")
    for _ in range(50):
        if status.text:
            break
        opened.execute_async_script("setTimeout(arguments[0], 20)")
    assert status.text == "Copied"
    read = "navigator.clipboard.readText().then(arguments[0], error => arguments[0](String(error)))"
    assert opened.execute_async_script(read) == f"ip2p edit --seed 3 -- photo.png '{HOSTILE}'"


def test_settings_appear_on_click(opened: Any) -> None:
    fact = all_of(opened, "article details dl")[0]
    assert not fact.is_displayed()
    all_of(opened, "article summary")[0].click()
    assert fact.is_displayed()
    assert HOSTILE in fact.text


def test_each_edit_of_the_strip_shows_its_picture_and_settings(opened: Any) -> None:
    row = all_of(opened, "article")[1]
    last = row.find_element("css selector", ".after").get_attribute("src")
    first, second = row.find_elements("css selector", ".strip button")
    first.send_keys(" ")  # by the keyboard
    assert row.find_element("css selector", ".after").get_attribute("src") != last
    said = row.find_element("css selector", ".step").text
    assert f"1. {HOSTILE}" in said
    assert "seed\n3" in said
    assert (first.get_attribute("aria-pressed"), second.get_attribute("aria-pressed")) == ("true", "false")
    second.click()
    assert row.find_element("css selector", ".after").get_attribute("src") == last
    assert "seed\n4" in row.find_element("css selector", ".step").text


def test_nothing_is_fetched_and_nothing_runs(browser: Any, page: Path) -> None:
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())
    addresses = [
        message["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    assert [one for one in addresses if not one.startswith("data:")] == [page.as_uri()]
    assert browser.get_log("browser") == []  # neither errors nor refusals of the page's policy
    assert len(all_of(browser, "script")) == 1
    assert HOSTILE in browser.title
    assert HOSTILE in all_of(browser, "h1")[0].text
    # What does get in, all the same, does not run and is not fetched.
    browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.ran = 1';"
        "document.body.append(script); document.body.append(Object.assign(new Image(), {src: 'http://localhost:9/x'}))"
    )
    assert browser.execute_script("return window.ran") is None
    assert "Content Security Policy" in str(browser.get_log("browser"))


def test_light_and_dark(opened: Any) -> None:
    def shades() -> tuple[int, int]:
        said = "return [getComputedStyle(document.body).color, getComputedStyle(document.querySelector('a')).color]"
        return tuple(  # type: ignore[return-value]
            sum(int(part) for part in colour[4:-1].split(",")) for colour in opened.execute_script(said)
        )

    found = {}
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        found[scheme] = shades()
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert all(dark > light for light, dark in zip(found["light"], found["dark"], strict=True))


def test_a_phone_needs_no_scrolling_sideways(opened: Any) -> None:
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        all_of(opened, "article summary")[0].click()
        all_of(opened, ".strip button")[0].click()
        widths = opened.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert widths == [360, 360]
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_is_shown_has_a_name_and_the_keyboard_reaches_all(opened: Any) -> None:
    tree = opened.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    for role in ("image", "slider", "button", "combobox", "link"):
        found = [one for one in tree if one.get("role", {}).get("value") == role and not one["ignored"]]
        assert found, role
        assert all(one["name"]["value"].strip() for one in found), role
    ways = "select, a[href], input, summary, button, code[tabindex]"
    order = "const e = document.activeElement; return [...document.querySelectorAll(arguments[0])].indexOf(e)"
    reached = []
    for _ in all_of(opened, ways):
        opened.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "key": "Tab", "windowsVirtualKeyCode": 9})
        opened.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", "key": "Tab", "windowsVirtualKeyCode": 9})
        reached.append(opened.execute_script(order, ways))
    assert reached == list(range(len(reached)))
