"""Writes a comparison as one self-contained HTML page, without scripts, fonts or anything fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from quantize.plots import Line, Pair, lines, pairs

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:900px;margin:24px auto;padding:0 16px}
h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 8px}
table{border-collapse:collapse;width:100%;font-size:13px;margin:6px 0}
td,th{border-bottom:1px solid #ddd;padding:3px 8px;text-align:right}
td:first-child,th:first-child{text-align:left}th{color:#555;font-weight:600}
.verdict{background:#eef4f9;border-left:5px solid #1b6ca8;padding:10px 16px;margin:14px 0}
.verdict b{font-size:17px}.small{color:#666;font-size:12px;overflow-wrap:anywhere}
svg{width:100%;height:auto;margin:8px 0}svg text{font:12px system-ui,sans-serif;fill:#333}
svg .title{font-weight:600;font-size:14px}svg .grid{stroke:#e3e3e3}
"""


def render(result: dict[str, Any]) -> str:
    """The page of what report.compare returned."""
    a, b = result["a"], result["b"]
    names = (f"A: {a['file']}", f"B: {b['file']}")
    fidelity = _divergence(result["divergence"]) if "divergence" in result else _fidelity(result["fidelity"])
    body = [
        f"<h1>{escape(result['role'])}: what B costs against A</h1>",
        f"<div>{escape(names[0])}<br>{escape(names[1])}</div>",
        _verdict(result["verdict"]),
        "<h2>Size, memory, time</h2>",
        pairs("One paired run on one thread", _costs(result), ("A", "B")),
        _windows(result.get("speed by window", {})),
        *fidelity,
        *_tasks(result["tasks"]),
        _types(result.get("tensor types")),
        f'<p class="small">Measured on a {escape(result["machine"])} machine; '
        f"{escape('; '.join(f'{name}: {_limit(value)}' for name, value in result['limits'].items()))}."
        f"<br>A {a['sha256']}<br>B {b['sha256']}</p>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(b["file"])} against {escape(a["file"])}</title>'
    return f"<!doctype html><html lang=en><head>{head}<style>{_STYLE}</style></head><body>{''.join(body)}</body></html>"


def _limit(value: int | None) -> str:
    return "all" if value is None else str(value or "none")


def _verdict(verdict: dict[str, Any]) -> str:
    why = "".join(f"<li>{escape(sentence)}</li>" for sentence in verdict["why"])
    return f'<div class="verdict"><b>The better choice for a board: {verdict["better"]}</b><ul>{why}</ul></div>'


def _costs(result: dict[str, Any]) -> list[Pair]:
    a, b = result["a"], result["b"]
    speed = result["speed"]
    bars = [
        Pair("file", a["bytes"] / 1e6, b["bytes"] / 1e6, "MB"),
        Pair("resident memory", a["resident_mb"], b["resident_mb"], "MB"),
        Pair("time, A = 1", 1.0, 1 / speed["speed"][1], ""),
    ]
    if "decode_speed" in speed:
        bars.append(Pair("time of a prefill, A = 1", 1.0, 1 / speed["prefill_speed"][1], ""))
        bars.append(Pair("time of a decoded token, A = 1", 1.0, 1 / speed["decode_speed"][1], ""))
    return bars


def _windows(speeds: dict[str, float]) -> str:
    if not speeds:
        return ""
    return "<p>By length of the window, B is faster by:</p>" + _table(
        ["window", *speeds], [["times", *(f"{value:.2f}" for value in speeds.values())]]
    )


def _fidelity(found: dict[str, Any]) -> Iterable[str]:
    yield "<h2>Fidelity of the outputs</h2>"
    columns = ["", "files", "cosine, mean", "cosine, least", "SNR (dB)", "largest difference", "mean difference"]
    yield _table(
        columns,
        [
            [f"{domain}: {name}", str(one["files"]), *_digits(out)]
            for domain, one in found.items()
            for name, out in one["outputs"].items()
        ],
    )
    highest = max((x["snr_db"] for one in found.values() for x in one["layers"] if x["snr_db"] < 200), default=100) + 5
    curves = [
        Line(
            domain,
            [min(highest, layer["snr_db"]) for layer in one["layers"]],
            [f"{layer['name']} ({layer['op']})" for layer in one["layers"]],
        )
        for domain, one in found.items()
    ]
    if any(curve.values for curve in curves):
        yield "<h2>Fidelity of every layer</h2>"
        title = "Signal to noise; identical layers at the top; point at a dot for its layer"
        yield lines(title, curves, x_label="layers, first to last", y_label="SNR (dB)")
        yield _worst_layers(found)
    yield "<h2>Rows that lost most</h2>"
    yield _table(
        ["", "file", "row", "cosine"],
        [
            [f"{domain}: {name}", row["file"], str(row["row"]), f"{row['cosine']:.4f}"]
            for domain, one in found.items()
            for name, out in one["outputs"].items()
            for row in out["worst_rows"][:3]
        ],
    )


def _worst_layers(found: dict[str, Any]) -> str:
    rows = [
        [f"{domain}: {layer['name']}", layer["op"], f"{layer['cosine']:.4f}", f"{layer['snr_db']:.1f}"]
        for domain, one in found.items()
        for layer in sorted(one["layers"], key=lambda layer: layer["snr_db"])[:4]
    ]
    return _table(["the layers that lost most", "operator", "cosine", "SNR (dB)"], rows)


def _digits(out: dict[str, Any]) -> list[str]:
    return [
        f"{out['cosine_mean']:.5f}",
        f"{out['cosine_least']:.5f}",
        f"{out['snr_db']:.1f}",
        f"{out['max_difference']:.3g}",
        f"{out['mean_difference']:.3g}",
    ]


def _divergence(found: dict[str, Any]) -> Iterable[str]:
    yield "<h2>Divergence of the next token</h2>"
    keys = ("kld_mean", "kld_median", "kld_99.9%", "kld_max")
    rows = [
        [
            domain,
            str(one["positions"]),
            *(f"{one[key]:.4f}" for key in keys),
            *(f"{100 * one[key]:.2f}%" for key in ("same_top", "rms_change")),
            f"{one['perplexity_ratio']:.4f}",
        ]
        for domain, one in found.items()
    ]
    columns = ["", "tokens", "KLD mean", "median", "99.9%", "max", "same top", "RMS of change", "perplexity, B / A"]
    yield _table(columns, rows)
    curves = [Line(domain, one["kld_quantiles"]) for domain, one in found.items()]
    yield lines(
        "KLD of each token, from least changed to most",
        curves,
        x_label="quantile, 0 to 100%",
        y_label="KLD (nats)",
        log=True,
    )
    yield "<h2>Turns that changed most</h2>"
    worst = [[d, row["prompt"], f"{row['kld_mean']:.4f}"] for d, one in found.items() for row in one["worst"][:3]]
    yield _table(["", "turn", "KLD mean"], worst)


def _tasks(tasks: dict[str, Any]) -> Iterable[str]:
    if not tasks:
        return
    yield "<h2>Tasks, end to end</h2>"
    yield pairs(
        "glasses evaluate with A and with B",
        [Pair(name, one["a_percent"], one["b_percent"], "%") for name, one in tasks.items()],
        ("A", "B"),
    )
    yield _table(
        ["", "items", "A", "B", "points", "better is"],
        [
            [
                name,
                str(one["items"]),
                *(f"{one[key]:.1f}%" for key in ("a_percent", "b_percent")),
                f"{one['b_percent'] - one['a_percent']:+.1f}",
                "more" if one["higher_is_better"] else "less",
            ]
            for name, one in tasks.items()
        ],
    )


def _types(types: Sequence[dict[str, int]] | None) -> str:
    if not types:
        return ""
    kinds = sorted({kind for one in types for kind in one})
    rows = [[name, *(str(one.get(kind, 0)) for kind in kinds)] for name, one in zip("AB", types, strict=True)]
    return "<h2>Tensors by type</h2>" + _table(["", *kinds], rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
