"""Draw the dashboards as people see them: ``make render``. Needs npm, Chromium, Debian's Prometheus and the network.

The synthetic Falco degrades for a minute, a real Prometheus scrapes the exporter, and Grafana's own components
(@grafana/ui, @grafana/data) draw the boards from it. Screenshots go to build/render. It shows axes, units, colours and
legends as Grafana has them; it does not prove that Grafana accepts the files.
"""

import functools
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from e2e.harness import Exporter, Prometheus

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
BUILD: Final = ROOT / "build" / "render"
DEGRADING_SECONDS: Final = 80
LOADERS: Final = [f"--loader:.{kind}=dataurl" for kind in ("svg", "ttf", "woff2", "png")]
SIZES: Final = {"desktop": 1440, "phone": 390}
ROW_PIXELS: Final = 40


class Quiet(SimpleHTTPRequestHandler):
    """Serves the page, and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def bundle() -> Path:
    """Bundle the page; return the folder to serve."""
    site = BUILD / "site"
    site.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", BUILD)
    shutil.copy(HERE / "page.jsx", BUILD)
    options = ["--legacy-peer-deps", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(["npm", "install", *options], cwd=BUILD, check=True)
    flags = ["--bundle", "--format=esm", "--minify", "--target=es2022", "--log-level=error", *LOADERS]
    define = '--define:process.env.NODE_ENV="production"'
    subprocess.run(
        ["npx", "esbuild", "page.jsx", f"--outfile={site / 'page.js'}", define, *flags], cwd=BUILD, check=True
    )
    for file in (HERE / "index.html", *(ROOT / "grafana" / "dashboards").glob("*.json")):
        shutil.copy(file, site)
    return site


def shoot(site_port: int, prometheus_port: int, board: str, theme: str, size: str) -> None:
    """Draw one board."""
    asked = f"board=falco-enrich-{board}.json&prometheus=http://127.0.0.1:{prometheus_port}&theme={theme}&minutes=2"
    host = "&hostname=demo-table-full" if board == "host" else ""
    rows = {"fleet": 34, "host": 68, "fields": 51, "exporter": 47}[board]
    command = [
        "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--virtual-time-budget=15000",
        f"--window-size={SIZES[size]},{rows * ROW_PIXELS}", f"--screenshot={BUILD / f'{board}-{theme}-{size}.png'}",
        f"http://127.0.0.1:{site_port}/index.html?{asked}{host}",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def main() -> int:
    """Draw all boards in both themes and sizes."""
    site = bundle()
    folder = Path(tempfile.mkdtemp(dir=BUILD))
    with Exporter(["demo", "--web.listen-address=127.0.0.1:0"], folder) as exporter:
        exporter.wait_until_ready()
        handler = functools.partial(Quiet, directory=str(site))
        with (
            Prometheus(exporter.port, folder) as prometheus,
            ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        ):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            time.sleep(DEGRADING_SECONDS)
            for board in ("fleet", "host", "fields", "exporter"):
                for theme in ("dark", "light"):
                    for size in SIZES:
                        shoot(server.server_address[1], prometheus.port, board, theme, size)
            server.shutdown()
    print(f"{BUILD}/*.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
