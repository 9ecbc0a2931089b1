"""From samples to ratios, tables and bars. Pure: nothing here reads a clock or starts a process."""

import statistics

BASE = "nginx"

# section, figure, heading, unit, digits
FIGURES = [
    ("small", "cpu_us", "small answer: CPU per request", "µs", 1),
    ("small", "rps", "small answer: requests per second", "/s", 0),
    ("small", "p99_us", "small answer: p99", "µs", 0),
    ("bulk", "down_mbs", "body down: throughput", "MB/s", 0),
    ("bulk", "down_cpu_ms", "body down: CPU per GiB", "ms", 0),
    ("bulk", "up_mbs", "body up: throughput", "MB/s", 0),
    ("bulk", "up_cpu_ms", "body up: CPU per GiB", "ms", 0),
    ("bulk", "growth_mib", "bodies: growth of resident memory", "MiB", 1),
    ("tunnel", "down_mbs", "tunnel down: throughput", "MB/s", 0),
    ("tunnel", "down_cpu_ms", "tunnel down: CPU per GiB", "ms", 0),
    ("tunnel", "up_mbs", "tunnel up: throughput", "MB/s", 0),
    ("tunnel", "up_cpu_ms", "tunnel up: CPU per GiB", "ms", 0),
    ("handshake", "per_s", "TLS handshakes per second", "/s", 0),
    ("handshake", "cpu_us", "CPU per TLS handshake", "µs", 0),
    ("memory", "idle_mib", "resident, idle", "MiB", 1),
    ("memory", "loaded_mib", "resident, with idle streams", "MiB", 1),
    ("memory", "stream_kib", "resident per idle stream", "KiB", 1),
]

SMALL_COLUMNS = ("doorward-cookie", "doorward-token")
BULK_COLUMN = "doorward-token"
# About nothing in a good peer: a ratio to nearly nothing says less than the figures side by side.
DIFFERENCES = {"growth_mib"}

# section, figure, columns, "at most" or "at least", bound, against (None: the figure itself), words
BARS = [
    ("small", "cpu_us", SMALL_COLUMNS, "at most", 1.0, "nginx", "CPU per request"),
    ("small", "cpu_us", SMALL_COLUMNS, "at most", 0.7, "nginx-log", "CPU per request"),
    ("small", "cpu_us", SMALL_COLUMNS, "at most", 0.2, "caddy", "CPU per request"),
    ("bulk", "down_mbs", (BULK_COLUMN,), "at least", 1.0, "nginx", "body down, throughput"),
    ("bulk", "up_mbs", (BULK_COLUMN,), "at least", 1.0, "nginx", "body up, throughput"),
    ("memory", "idle_mib", (BULK_COLUMN,), "at most", 40, None, "resident idle, MiB"),
    ("memory", "stream_kib", (BULK_COLUMN,), "at most", 24, None, "resident per idle stream, KiB"),
]


def samples(results, section, column, figure):
    """All samples of a figure, in the order of the rounds; None for a round that failed."""
    return [sample and sample.get(figure) for sample in results.get(section, {}).get(column, [])]


def median(values):
    """The median of what was measured; None when nothing was."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def ratio(values, base):
    """How many times `base`: the median of the ratios within each round, since rounds differ more than peers do."""
    pairs = [ours / theirs for ours, theirs in zip(values, base) if ours is not None and theirs]
    return statistics.median(pairs) if pairs else None


def cell(results, section, figure, column, unit, digits):
    """Ratio to nginx first, the absolute figure in brackets."""
    values = samples(results, section, column, figure)
    middle = median(values)
    if middle is None:
        return "–"
    absolute = f"{middle:,.{digits}f} {unit}"
    if figure in DIFFERENCES:
        return absolute
    if column == BASE:
        return f"1 ({absolute})"
    times = ratio(values, samples(results, section, BASE, figure))
    return f"({absolute})" if times is None else f"{times:.2f} × ({absolute})"


def table(results, columns):
    """Rows of the table, heading first. Rows and columns that have no figure are left out."""
    columns = [name for name in columns if any(results[section].get(name) for section in results)]
    rows = [["relative to nginx", *columns]]
    for section, figure, heading, unit, digits in FIGURES:
        cells = [cell(results, section, figure, column, unit, digits) for column in columns]
        if any(text != "–" for text in cells):
            rows.append([heading, *cells])
    return rows


def markdown(rows):
    """Rows as a Markdown table that is also readable as it is."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2 if at == 0 else width + 1) + ("" if at == 0 else ":")
                          for at, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def verdicts(results):
    """(state, text) for each bar; state is "pass", "fail" or "not measured"."""
    found = []
    for section, figure, columns, sense, bound, against, words in BARS:
        for column in columns:
            values = samples(results, section, column, figure)
            value = median(values) if against is None else ratio(values, samples(results, section, against, figure))
            limit = f"{sense} {bound:g}" + (f" × {against}" if against else "")
            if value is None:
                found.append(("not measured", f"{column}: {words} {limit}"))
                continue
            met = value <= bound if sense == "at most" else value >= bound
            found.append(("pass" if met else "fail", f"{column}: {words} {limit}: {value:.2f}"))
    return found
