# SPDX-License-Identifier: MIT
"""The page in a headless Chromium, with numbers that flow: page_test.py GUESTCL_WEB PAGE PICTURES.

Screenshots are left in the folder PICTURES, for people to look at.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

from server import PATIENCE, Web

try:
    from fake_control import Server, device, session, status, vm
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError as error:
    print(f"{error}: install python3-selenium")
    sys.exit(77)

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not BROWSER or not DRIVER:
    print("chromium and chromium-driver are not installed")
    sys.exit(77)

PICTURES = pathlib.Path(sys.argv[3])
NASTY = "<img src=x onerror=document.title='taken'>"
SHARES = {"web1": 0.45, "render-farm": 0.3, "build": 0.1}

# Pixels of a canvas that aren't as its first one.
DRAWN = """
const canvas = document.getElementById(arguments[0]);
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const colors = new Set();
for (let i = 0; i < data.length; i += 4) {
	if (data[i + 3]) colors.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
}
return colors.size;
"""
# At one moment: a table is made anew each second.
ROWS = """
const rows = [...document.querySelectorAll(arguments[0])];
return rows.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.innerText));
"""
LINES = """
const data = Chart.getChart(arguments[0]).data;
return Object.fromEntries(data.datasets.map((set) => [set.label, set.data]));
"""


def answer():
    """VMs whose device time grows by their share, and whose memory waves."""
    start = time.monotonic_ns()

    def of(_):
        now = time.monotonic_ns()
        busy = now - start
        wave = busy // 10**9 % 5
        vms = [
            vm(name, memory=int((share + wave / 20) * (4 << 30)), busy=int(busy * share), traffic=busy // 100)
            for name, share in SHARES.items()
        ]
        return status(
            time_ns=now,
            devices=[device(0, memory=3 << 30, busy=int(busy * sum(SHARES.values())))],
            vms=[*vms, {**vm("nasty", "paused", memory=1 << 28), "name": NASTY}],
            sessions=[
                session(i, name, program="clpeak", busy=int(busy * share), memory=1 << 30)
                for i, (name, share) in enumerate(SHARES.items())
            ] + [session(9, "nasty", program=NASTY)],
        )  # fmt: skip

    return of


def browser(dark=False):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for word in ("--headless=new", "--window-size=1400,1100", "--disable-gpu", "--disable-dev-shm-usage",
                 "--no-first-run", "--disable-background-networking"):  # fmt: skip
        options.add_argument(word)
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")
    if dark:
        options.add_argument("--force-dark-mode")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service(DRIVER), options=options)


class Page(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        PICTURES.mkdir(exist_ok=True)

    def wait(self, driver, condition):
        return WebDriverWait(driver, PATIENCE, 0.2).until(lambda _: condition())

    def rows(self, driver, name):
        return driver.execute_script(ROWS, f"#{name} tr")[1:]

    def open(self, driver, web):
        driver.get(f"http://127.0.0.1:{web.port}/?token={web.token}")
        self.assertEqual(driver.current_url, f"http://127.0.0.1:{web.port}/")

    def assert_quiet(self, driver):
        """Neither errors nor violations of the policy."""
        wrong = [line["message"] for line in driver.get_log("browser") if line["level"] != "INFO"]
        self.assertEqual(wrong, [])

    def test_charts(self):
        with Server(self.folder, answer()), Web(self.folder) as web, browser() as driver:
            self.open(driver, web)

            def lines(chart):
                return driver.execute_script(LINES, chart)

            self.wait(driver, lambda: len(lines("time").get("web1", [])) >= 8)
            times, memory = lines("time"), lines("memory")
            self.assertEqual(set(times), {*SHARES, NASTY})
            self.assertEqual(set(memory), {*SHARES, NASTY})
            for name, share in SHARES.items():
                self.assertIsNone(times[name][0])  # of one answer there is no rate
                for value in times[name][1:]:
                    self.assertAlmostEqual(value, share * 100, delta=0.1)
            self.assertGreater(len(set(memory["web1"])), 1)
            for chart in ("time", "memory"):
                self.assertGreater(driver.execute_script(DRAWN, chart), 8, chart)
            driver.save_screenshot(str(PICTURES / "page.png"))

            vms = {row[0]: row for row in self.rows(driver, "vms")}
            self.assertEqual(set(vms), {*SHARES, NASTY})
            self.assertEqual(vms["web1"][6], "45.0 %")
            self.assertEqual(vms[NASTY][1], "paused")
            self.assertEqual(len(self.rows(driver, "sessions")), 4)
            self.assertEqual(self.rows(driver, "devices")[0][1], "Fake GPU")
            # Names are text.
            self.assertEqual(driver.title, "guestcl")
            self.assertEqual(driver.find_elements(By.TAG_NAME, "img"), [])
            self.assert_quiet(driver)

    def test_many(self):
        """More VMs than there are lines."""
        many = status(vms=[vm(f"vm{i:02}", memory=(i + 1) << 26) for i in range(64)])
        with Server(self.folder, lambda _: many), Web(self.folder) as web, browser(dark=True) as driver:
            self.open(driver, web)
            self.wait(driver, lambda: len(self.rows(driver, "vms")) == 64)
            memory = self.wait(driver, lambda: driver.execute_script(LINES, "memory"))
            self.assertLessEqual(len(memory), 25)
            self.assertEqual(
                sum(values[-1] for values in memory.values()), sum(one["memory_bytes"] for one in many["vms"])
            )
            driver.save_screenshot(str(PICTURES / "many.png"))
            self.assert_quiet(driver)

    def test_troubles(self):
        """A daemon that goes and comes, and a token that nobody knows any more."""
        with Web(self.folder) as web, browser() as driver:
            control = Server(self.folder, answer())
            with control:
                self.open(driver, web)
                self.wait(driver, lambda: len(self.rows(driver, "vms")) == 4)
            trouble = driver.find_element(By.ID, "trouble")
            self.wait(driver, lambda: "guestcld" in trouble.text)
            driver.save_screenshot(str(PICTURES / "trouble.png"))
            with Server(self.folder, answer()):
                self.wait(driver, lambda: not trouble.text)
                driver.delete_all_cookies()
                self.wait(driver, lambda: "TOKEN" in trouble.text)

    def test_no_token(self):
        with Web(self.folder) as web, browser() as driver:
            driver.get(f"http://127.0.0.1:{web.port}/?token=wrong")
            self.assertIn("takes the token", driver.page_source)

    def test_without_charts(self):
        with Server(self.folder, answer()), Web(self.folder, "--chart", "/none") as web, browser() as driver:
            self.open(driver, web)
            self.wait(driver, lambda: len(self.rows(driver, "vms")) == 4)
            self.assertFalse(driver.find_element(By.ID, "time").is_displayed())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
