"""Draws the dashboard from the answers that the test metrics_story has kept.

    python3 -m venv VENV && VENV/bin/pip install matplotlib==3.11.2
    cargo test --test metrics_story
    VENV/bin/python tests/prometheus/draw.py target/tmp/dashboard.json docs/images/dashboard.png

Grafana is no part of the tests; what is drawn is the file that Grafana is given, and what a real Prometheus answered.
"""

import json
import sys
from datetime import datetime, timezone

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates as dates  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402

BACK, PANEL, TEXT, DIM = "#111217", "#181b1f", "#ccccdc", "#8e8e9c"
COLOURS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d"]
NAMED = {"green": "#299c46", "red": "#d44a3a", "orange": "#d67b1c", "blue": "#1f60c4"}
PER_COLUMN, PER_ROW = 0.72, 0.36


def legend(form, labels):
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form or "value"


def shown(number, unit):
    if unit == "s":
        return f"{number:.1f} s" if number < 120 else f"{number / 60:.0f} min"
    return f"{number:g}"


def newest(series):
    return float(series["values"][-1][1])


def stat(axes, panel, answers):
    default = panel["fieldConfig"]["defaults"]
    values = [(s, newest(s)) for t in panel["targets"] for s in answers[str(panel["id"]) + t["refId"]]]
    name = panel.get("options", {}).get("textMode") == "value_and_name"
    text = "\n".join(
        shown(v, default["unit"]) + (f"  ({legend(panel['targets'][0]['legendFormat'], s['metric'])})" if name else "")
        for s, v in values
    )
    colour = "green"
    for step in default["thresholds"]["steps"]:
        if step["value"] is None or any(v >= step["value"] for _, v in values):
            colour = step["color"]
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, color=NAMED[colour], zorder=0))
    axes.text(0.5, 0.45, text, ha="center", va="center", size=19 if not name else 12, color="white", weight="bold")
    axes.set_xticks([])
    axes.set_yticks([])


def table(axes, panel, answers):
    rows = []
    for target in panel["targets"]:
        series = answers[str(panel["id"]) + target["refId"]]
        last = max(s["values"][-1][0] for s in series)
        rows += [s["metric"] for s in series if s["values"][-1][0] >= last - 1]
    columns = ["connection", "type", "status", "reason"]
    axes.axis("off")
    for number, row in enumerate([dict(zip(columns, columns))] + rows):
        for column, name in enumerate(columns):
            axes.text(
                0.02 + column * 0.25, 0.93 - number * 0.115, row.get(name, ""), size=8.5,
                color=DIM if number == 0 else TEXT, transform=axes.transAxes,
            )


def graph(axes, panel, answers):
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    lines = []
    for target in panel["targets"]:
        for series in answers[str(panel["id"]) + target["refId"]]:
            points = {t: float(v) for t, v in series["values"] if v != "NaN"}
            lines.append((legend(target["legendFormat"], series["metric"]), points))
    times = sorted({t for _, points in lines for t in points})
    when = [datetime.fromtimestamp(t, timezone.utc) for t in times]
    if stacked and lines:
        rows = [[points.get(t, 0.0) for t in times] for _, points in lines]
        axes.stackplot(when, rows, labels=[n for n, _ in lines], colors=COLOURS, alpha=0.7)
    for number, (name, points) in enumerate([] if stacked else lines):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(when, [points.get(t) for t in times], label=name, color=colour, lw=1.4)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=4))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
    axes.tick_params(colors=DIM, labelsize=7)
    axes.grid(color="#2c2f36", lw=0.5)
    if lines:
        axes.legend(loc="upper left", fontsize=6.5, frameon=False, labelcolor=TEXT, ncols=2)


def main(answers_file, picture):
    with open("charts/scim-operator/files/dashboard.json", encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    with open(answers_file, encoding="utf-8") as file:
        answers = json.load(file)
    deep = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels)
    size = (24 * PER_COLUMN, deep * PER_ROW)
    figure = plt.figure(figsize=size, facecolor=BACK)
    for panel in panels:
        at = panel["gridPos"]
        x, y = at["x"] / 24, 1 - (at["y"] + at["h"]) / deep
        if panel["type"] == "row":
            figure.text(x + 0.006, y + 0.3 / deep, panel["title"], color=TEXT, size=11, weight="bold")
            continue
        gap, head = 0.12, 0.75
        left, bottom = x + gap / 24, y + gap / deep
        width, height = (at["w"] - 2 * gap) / 24, (at["h"] - 2 * gap) / deep
        figure.add_artist(Rectangle((left, bottom), width, height, color=PANEL, zorder=-1, transform=figure.transFigure))
        figure.text(left + 0.004, bottom + height - 0.55 / deep, panel["title"], color=TEXT, size=9, weight="bold")
        inner = 1.0 if panel["type"] == "timeseries" else 0.0
        axes = figure.add_axes(
            (left + 0.6 * inner / 24, bottom + 0.75 * inner / deep,
             width - 0.8 * inner / 24, height - (head + 0.75 * inner) / deep),
            facecolor=PANEL,
        )
        for spine in axes.spines.values():
            spine.set_visible(False)
        {"stat": stat, "table": table, "timeseries": graph}[panel["type"]](axes, panel, answers)
    figure.savefig(picture, dpi=70, facecolor=BACK)


main(*sys.argv[1:])
