"""The page in a real browser: drawn from file://, on a phone and in the dark, filtered, and reloading itself."""

import html as html_module
import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from written_run import BEFORE, finished_rows, write_completions, write_metrics, write_run

from r1zero.reporting import charts
from r1zero.reporting.page import write_page
from r1zero.runs.reading import load_run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")


def browse(url: str, profile: Path, *flags: str) -> str:
    """What ``url`` has become after its scripts ran: the document as HTML."""
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        f"--user-data-dir={profile}",
        "--dump-dom",
        *flags,
        url,
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return result.stdout


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run of 8 steps."""
    return write_run(tmp_path / "run")


@needs_browser
def test_the_browser_of_completions_filters(run_dir: Path, tmp_path: Path) -> None:
    """A frame of a phone's width: nothing sticks out, and a click on an outcome leaves those alone."""
    page = write_page(load_run(run_dir), live=False)
    harness = tmp_path / "harness.html"
    harness.write_text(
        f"""<iframe src="{page.as_uri()}" style="width:390px;height:900px;border:0"></iframe><pre></pre><script>
        document.querySelector("iframe").onload = (event) => {{
          const page = event.target.contentDocument, pick = (name) => page.querySelectorAll(name);
          const count = () => page.querySelector(".count").textContent;
          const said = [page.documentElement.scrollWidth, count()];
          for (const button of pick(".outcomes button")) if (button.textContent === "NO_ANSWER") button.click();
          said.push(count(), [...pick(".list .badge")].map((badge) => badge.textContent).join());
          said.push(pick("svg[data-chart]").length, page.defaultView.getComputedStyle(page.body).backgroundColor);
          document.querySelector("pre").textContent = said.join(" | ");
        }};</script>"""
    )
    flags = ("--allow-file-access-from-files", "--blink-settings=preferredColorScheme=0")
    said = re.search(r"<pre>(.*?)</pre>", browse(harness.as_uri(), tmp_path / "profile", *flags))
    assert said, "the page has not run"
    width, before, after, badges, num_charts, background = said[1].split(" | ")
    assert int(width) <= 390
    assert before == "30 of 30"  # three evaluations of ten problems
    assert (after, set(badges.split(","))) == ("2 of 30", {"NO_ANSWER"})  # of steps 0 and 4
    assert int(num_charts) >= 4
    assert background == "rgb(20, 23, 27)"  # the dark theme's page


@needs_browser
def test_hostile_completions_stay_text(run_dir: Path, tmp_path: Path) -> None:
    page = write_page(load_run(run_dir), live=False)
    dom = browse(page.as_uri(), tmp_path / "profile")
    drawn = dom.partition('<div class="list">')[2].partition("</article></div>")[0]
    assert "<script" not in drawn and "<img" not in drawn
    assert html_module.escape("<script>alert(1)", quote=False) in drawn
    assert '<span class="tag">&lt;think&gt;</span>' in drawn and '<span class="miss">(too low)</span>' in drawn


HARNESS = b"""<iframe src="/report.html"></iframe><img src="/wait"><pre></pre><script>
let loads = 0;
document.querySelector("iframe").onload = (event) => {
  loads += 1;
  document.querySelector("pre").textContent += event.target.contentDocument.querySelector("h1").textContent + ";";
  if (loads === 2) fetch("/done");
};</script>"""


@pytest.fixture
def growing_run(run_dir: Path) -> Iterator[str]:
    """Address of a frame around a live page that is further on each time it is asked for.

    The frame's own page is loaded, and so dumped, when the page in it has been loaded twice.
    """
    seen = []
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/report.html":
                seen.append(1)
                write_metrics(run_dir, finished_rows()[: 5 if len(seen) == 1 else 9])
                body = write_page(load_run(run_dir), live=True).read_bytes().replace(b'seconds="15"', b'seconds="1"')
            elif self.path == "/wait":
                done.wait(timeout=60)
                body = b""
            else:
                body = HARNESS if self.path == "/" else b""
                if self.path == "/done":
                    done.set()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    done.set()
    server.shutdown()
    thread.join()
    server.server_close()


@needs_browser
def test_a_live_page_looks_again(growing_run: str, tmp_path: Path) -> None:
    dom = browse(growing_run, tmp_path / "profile")
    headlines = re.search(r"<pre>(.*?)</pre>", dom, flags=re.DOTALL)
    assert headlines and headlines[1].count("Held-out accuracy 20.0% → 40.0%;") == 1
    assert "Held-out accuracy 20.0% → 70.0%;" in headlines[1]


def test_only_a_live_page_reloads(run_dir: Path) -> None:
    live, done = (write_page(load_run(run_dir), live=live).read_text() for live in (True, False))
    assert 'http-equiv="refresh"' in live and 'data-seconds="15"' in live
    assert 'http-equiv="refresh"' not in done and "data-seconds=" not in done


def test_a_page_of_every_stage_of_a_run(run_dir: Path) -> None:
    """A page can be written after any line of the metrics."""
    for end in range(10):
        write_metrics(run_dir, finished_rows()[:end])
        assert "</html>" in write_page(load_run(run_dir), live=True).read_text()


def test_charts_keep_gaps_and_escape() -> None:
    line = charts.Line("a<b", "c1", [(0, 1.0), (1, None), (2, 3.0), (3, 2.0)])
    drawn = str(charts.svg(charts.Chart("t", [line], marks=((2, "<x>"),))))
    path = re.search(r'class="line"[^>]* d="([^"]*)"', drawn)
    assert path and path[1].count("M") == 2 and path[1].count("L") == 1
    assert "&lt;x&gt;" in drawn and "a<b" not in drawn


def test_long_runs_are_thinned() -> None:
    points = [(step, float(step)) for step in range(5000)]
    thin = charts.thinned(points)
    assert len(thin) <= charts.MAX_POINTS and thin[-1][0] == 4999
    assert thin[0] == (12, 6.0)  # the mean of steps 0 to 12


def test_completions_of_a_long_run_are_bounded(run_dir: Path) -> None:
    for step in range(100, 200):
        write_completions(run_dir, step, BEFORE)
    assert len(write_page(load_run(run_dir), live=False).read_bytes()) < 3_000_000
