"""``python -m benchmarks [NAME ...]``: measure, and write the page anew.

All benchmarks, or those named; the others keep their last results.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.catalogue import BENCHMARKS
from benchmarks.machine import machine
from benchmarks.page import read_results, write_page, write_results
from benchmarks.process import ROOT
from benchmarks.table import Setting


def main() -> int:
    """Exit code 1 when a benchmark failed; the others' results are written all the same."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all"
    )
    arguments.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    arguments.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the real data")
    arguments.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results.json")
    arguments.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks.md")
    chosen = arguments.parse_args()
    unknown = sorted(set(chosen.names) - BENCHMARKS.keys())
    if unknown:
        arguments.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    if not chosen.data.is_dir():
        arguments.error("the data is not there: ../shared/data beside the checkout, or --data")
    failed = []
    for name in chosen.names or BENCHMARKS:
        print(f"{name}: measuring", flush=True)
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="rag-assets-benchmark-") as scratch:
            try:
                tables = BENCHMARKS[name].measure(Setting(chosen.data, Path(scratch), chosen.quick))
            except Exception as error:  # an hour of other benchmarks must not be lost to one
                failed.append(name)
                print(f"{name}: failed: {error!r}", file=sys.stderr, flush=True)
                continue
        seconds = time.perf_counter() - started
        results = read_results(chosen.results)
        results[name] = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "quick": chosen.quick,
            "seconds": round(seconds, 1),
            "tables": tables,
        }
        write_results(chosen.results, results)
        write_page(chosen.page, results)
        print(f"{name}: done in {seconds:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
