from __future__ import annotations

import json
import re


def read_metrics(text):
    return [
        {k: float(v) for k, v in json.loads(l)["metrics"].items()}
        for l in text.splitlines()
        if l.strip()
    ]


def summarise(recorded):
    out = {}
    for m in recorded:
        for k, v in m.items():
            o = out.setdefault(k, {"latest": v, "min": v, "max": v})
            o["latest"] = v
            o["min"] = min(v, o["min"])
            o["max"] = max(v, o["max"])
    return out


def parse_log(lines):
    for l in lines:
        for m in re.finditer(r"([\w|-]+)\s*=\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)$", l.strip()):
            if m[2]:
                yield m[1], float(m[2])
