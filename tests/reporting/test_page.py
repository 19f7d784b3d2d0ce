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
from r1zero.reporting.comparison import write_comparison
from r1zero.reporting.page import write_page
from r1zero.runs.directory import write_status
from r1zero.runs.files import write_json
from r1zero.runs.reading import load_run
from r1zero.sweeping.report import write_sweep_report

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


# What sticks out of the screen, or is wider than the box that it is in.
CUT = """[...page.querySelectorAll("main *")].filter((one) => {
  const box = one.getBoundingClientRect(), style = page.defaultView.getComputedStyle(one);
  if (!box.width || box.right < -900 || one.closest(".strip, .text")) return false;  // put aside, or scrolled
  const scrolls = style.overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1;
  return scrolls || box.right > page.documentElement.clientWidth + 1 || box.left < -1;
}).map((one) => one.tagName + "." + (one.className.baseVal ?? one.className) + " " + one.textContent.slice(0, 40))"""


@pytest.fixture
def all_pages(run_dir: Path, tmp_path: Path) -> list[Path]:
    """A report, a comparison of runs with long names, and a sweep over two long keys."""
    rows = [row | {"emergence/checks/all": 1.0, "reward": 0.2 * row["step"]} for row in finished_rows()]
    write_metrics(run_dir, rows)
    pages = [write_page(load_run(run_dir), live=False)]
    runs = [run_dir]
    for number in range(3):
        other = tmp_path / f"a_run_with_a_long_name_{number}"
        shutil.copytree(run_dir, other)
        config = (other / "config.yaml").read_text().replace("tiny <test>", f"reward.weights.format=0.5,seed={number}")
        (other / "config.yaml").write_text(
            f"{config}dataset: {{path: /somewhere/far/away/in/a/folder/{number}.jsonl}}\n"
        )
        runs.append(other)
    pages.append(write_comparison([load_run(path) for path in runs], tmp_path / "comparison.html"))
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    swept = ["trainer.max_completion_length", "reward.weights.countdown", "seed"]
    about = {"command": "python -m r1zero.train -m", "swept": swept, "num_jobs": 4}
    write_json(about, sweep / "sweep.json")
    for number in range(4):
        shutil.copytree(run_dir, sweep / str(number))
        write_status(sweep / str(number), "finished", 8)
        settings = dict(zip(swept, (str(256 * (1 + number // 2)), "0.123456789", str(number % 2)), strict=True))
        write_json({"num": number, "status": "finished", "settings": settings}, sweep / str(number) / "job.json")
    return [*pages, write_sweep_report(sweep)[1]]


@needs_browser
def test_nothing_is_cut_on_any_page_at_any_width(all_pages: list[Path], tmp_path: Path) -> None:
    """Each page in a frame of a desk's and of a phone's width; on each, a behaviour's name is given the focus."""
    frames = [(page.as_uri(), width) for page in all_pages for width in (1280, 390)]
    harness = tmp_path / "harness.html"
    harness.write_text(
        "".join(f'<iframe src="{uri}" style="width:{width}px;height:900px;border:0"></iframe>' for uri, width in frames)
        + f"""<pre></pre><script>onload = () => {{
          for (const frame of document.querySelectorAll("iframe")) {{
            const page = frame.contentDocument, name = page.querySelector("button.what");
            const cut = {CUT};
            if (name) name.focus();
            const shown = name ? page.defaultView.getComputedStyle(name.firstElementChild).display : "none";
            const box = name ? name.firstElementChild.getBoundingClientRect() : {{ right: 0 }};
            const said = [frame.clientWidth, shown, box.right <= frame.clientWidth, cut.length, cut.join(", ")];
            document.querySelector("pre").textContent += said.join(" | ") + "\\n";
          }}
        }};</script>"""
    )
    dom = browse(harness.as_uri(), tmp_path / "profile", "--allow-file-access-from-files")
    said = re.search(r"<pre>(.*?)</pre>", dom, flags=re.DOTALL)
    assert said
    lines = [line.split(" | ") for line in said[1].splitlines()]
    assert [int(width) for width, *_ in lines] == [1280, 390] * 3
    assert [shown for _, shown, *_ in lines] == ["block"] * 6
    for _, _, within, num_cut, cut in lines:
        assert (within, num_cut) == ("true", "0"), cut


def test_every_table_becomes_cards_where_the_screen_is_narrow(all_pages: list[Path]) -> None:
    """Each cell carries the heading of its column, and pictures are as wide as there is room."""
    for page in all_pages:
        html = page.read_text()
        tables = re.findall(r'<table class="cards">.*?</table>', html, flags=re.DOTALL)
        assert len(tables) >= 1 and "<img" not in html
        for table in tables:
            body = table.partition("<tbody>")[2]
            assert len(re.findall(r"<t[hd]", body)) == body.count("data-label=") > 0
        assert len(re.findall(r'<svg (?:viewBox=|class="\w+" width="100%")', html)) == html.count("<svg")


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
