#!/usr/bin/env python3
"""Times `knnscope video` against matplotlib + ffmpeg, drawing the same histograms, interleaved.

See README.md beside this file.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
except ImportError as error:
    sys.exit(f"{error}: pip install -r requirements.txt")

BINS = 100
FPS = 2
PAUSE_SECS = 0.3


def parse_args():
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-dir", type=Path, required=True, help="results folder with a manifest.json")
    parser.add_argument("--frames", type=int, default=10, help="frames that matplotlib draws at most [10]")
    parser.add_argument("--repeats", type=int, default=3, help="rounds after the warm-up")
    parser.add_argument("--threads", type=int, default=2, help="threads of knnscope; matplotlib has one")
    parser.add_argument("--knnscope", default="knnscope", metavar="PATH", help="the program [knnscope on PATH]")
    args = parser.parse_args()
    for name in ("frames", "repeats", "threads"):
        if getattr(args, name) < 1:
            parser.error(f"--{name}: expected at least 1, found {getattr(args, name)}")
    found = shutil.which(args.knnscope)
    if found is None:
        parser.error(f"--knnscope: there is no program {args.knnscope}")
    args.knnscope = found
    if shutil.which("ffmpeg") is None:
        parser.error("ffmpeg is not on PATH")
    return args


def spread(runs, count):
    """`count` of `runs`, spread evenly, so that small and large ones are among them."""
    if count >= len(runs):
        return runs
    if count == 1:
        return runs[-1:]
    return [runs[round(index * (len(runs) - 1) / (count - 1))] for index in range(count)]


def results_of(manifest, runs, source, folder):
    """Makes a results folder of these runs only: copies of the score files of `source`."""
    folder.mkdir()
    for run in runs:
        for name in (run.get("file"), run.get("idsFile")):
            if name:
                shutil.copyfile(source / name, folder / name)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "runs": runs}, indent=2), encoding="utf-8")


def draw_frame(path, manifest, run, scores, edges, percents, top_percent):
    """One frame of the replaced tool: bars, labels, title, box of figures; 1800 × 900 pixels."""
    figure, axes = plt.subplots(figsize=(18, 9))
    axes.bar(edges[:-1], percents, width=np.diff(edges), align="edge", color="steelblue", edgecolor="white", linewidth=0.3)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, top_percent)
    axes.set_xlabel("dot product similarity")
    axes.set_ylabel("% of scores")
    axes.set_title(f"Exact NN scores: N={run['n']:,}, docs={manifest['numDocs']:,}, topK={manifest['topK']}, M={run['m']}")
    figures = "\n".join(
        (
            f"count {scores.size:>12,}",
            f"min   {scores.min():>12.6f}",
            f"max   {scores.max():>12.6f}",
            f"mean  {scores.mean():>12.6f}",
            f"std   {scores.std():>12.6f}",
        )
    )
    box = {"boxstyle": "round", "facecolor": "white", "alpha": 0.8}
    axes.text(0.02, 0.97, figures, transform=axes.transAxes, va="top", family="monospace", fontsize=12, bbox=box)
    axes.text(0.98, 0.97, f"N = {run['n']:,}", transform=axes.transAxes, va="top", ha="right", fontsize=28, weight="bold")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def run_matplotlib(manifest, runs, source, output):
    """The replaced tool's work in this process, then ffmpeg; the seconds of each stage.

    Reads every file twice, as the tool does: once for the range, once for the bars.
    """
    output.mkdir()
    started = time.perf_counter()
    extremes = []
    for run in runs:
        scores = np.fromfile(source / run["file"], dtype="<f4")
        extremes += [scores.min(), scores.max()]
    edges = np.linspace(min(extremes), max(extremes), BINS + 1)
    histograms = []
    for run in runs:
        scores = np.fromfile(source / run["file"], dtype="<f4")
        counts, _ = np.histogram(scores, bins=edges)
        histograms.append((scores, 100.0 * counts / scores.size))
    top_percent = (math.floor(max(percents.max() for _, percents in histograms) / 0.5) + 1) * 0.5
    binned = time.perf_counter()
    for index, (run, (scores, percents)) in enumerate(zip(runs, histograms)):
        draw_frame(output / f"frame_{index:04d}.png", manifest, run, scores, edges, percents, top_percent)
    drawn = time.perf_counter()
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-framerate", str(FPS), "-i", "frame_%04d.png"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "out.mp4"]
    finish(subprocess.run(command, cwd=output, capture_output=True, text=True), "ffmpeg")
    ended = time.perf_counter()
    return {"histograms": binned - started, "frames": drawn - binned, "ffmpeg": ended - drawn}


def run_knnscope(args, source, output):
    """`knnscope video`, frames and mp4; the seconds of the whole process."""
    command = [args.knnscope, "video", "--input-dir", source, "--output-dir", output, "--fps", FPS, "--bins", BINS]
    command += ["--threads", args.threads, "--quiet"]
    started = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    secs = time.perf_counter() - started
    finish(done, "knnscope")
    return {"process": secs}


def finish(done, name):
    """Ends the program if a process failed."""
    if done.returncode != 0:
        sys.exit(f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def check_output(name, output, frames):
    """Ends the program unless all frames and a video are there; their sizes in bytes."""
    pngs = [path.stat().st_size for path in output.glob("frame_*.png")]
    videos = [path.stat().st_size for path in output.glob("*.mp4")]
    if len(pngs) != frames or len(videos) != 1 or min(pngs + videos) == 0:
        sys.exit(f"WRONG: {name} wrote {len(pngs)} frames and {len(videos)} videos, expected {frames} and 1")
    return sum(pngs), videos[0]


def main():
    """Picks the frames, lets both draw in turn, tells the seconds per frame."""
    args = parse_args()
    manifest = json.loads((args.input_dir / "manifest.json").read_text(encoding="utf-8"))
    runs = manifest["runs"]
    if not runs:
        sys.exit(f"{args.input_dir}: no runs in the manifest")
    chosen = spread(runs, args.frames)
    print(f"{len(chosen)} of {len(runs)} frames, {BINS} bins, {args.threads} threads, median of {args.repeats} interleaved rounds")
    print(f"load average before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")

    with tempfile.TemporaryDirectory(prefix="knnscope-peers-") as folder:
        folder = Path(folder)
        subset = folder / "subset"
        results_of(manifest, chosen, args.input_dir, subset)
        contestants = {
            "matplotlib + ffmpeg": (len(chosen), lambda out: run_matplotlib(manifest, chosen, subset, out)),
            "knnscope": (len(chosen), lambda out: run_knnscope(args, subset, out)),
        }
        if len(chosen) < len(runs):
            contestants["knnscope, all frames"] = (len(runs), lambda out: run_knnscope(args, args.input_dir, out))

        stages = {name: [] for name in contestants}
        sizes = {}
        for turn in range(args.repeats + 1):
            print(f"round {turn} of {args.repeats}" if turn else "warm-up", file=sys.stderr)
            for name, (frames, run) in contestants.items():
                time.sleep(PAUSE_SECS)
                output = folder / "out"
                secs = run(output)
                sizes[name] = check_output(name, output, frames)
                shutil.rmtree(output)
                if turn:
                    stages[name].append({stage: value / frames for stage, value in secs.items()})

    totals = {name: [sum(secs.values()) for secs in rounds] for name, rounds in stages.items()}
    ours = statistics.median(totals["knnscope"])
    print(f"\nseconds per frame{'':8}{'median':>9}{'min':>9}{'max':>9}{'÷ knnscope':>12}{'PNG kB':>9}{'mp4 kB':>9}  (files per frame)")
    for name, secs in totals.items():
        frames, (png, mp4) = contestants[name][0], sizes[name]
        median = statistics.median(secs)
        print(
            f"{name:25}{median:9.4f}{min(secs):9.4f}{max(secs):9.4f}{median / ours:12.2f}"
            f"{png / frames / 1000:9.1f}{mp4 / frames / 1000:9.1f}"
        )
        if len(stages[name][0]) > 1:
            for stage in stages[name][0]:
                print(f"  of which {stage:14}{statistics.median(secs[stage] for secs in stages[name]):9.4f}")


if __name__ == "__main__":
    main()
