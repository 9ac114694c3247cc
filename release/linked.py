"""Leaves of a CycloneDX document on standard input what is linked, as `cargo tree --prefix none --format {p}` lists it."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as lines:
    # `name v1.2.3`, of ours with a folder behind it, of what was listed before with `(*)`.
    linked = {tuple(line.split()[:2]) for line in lines}

document = json.load(sys.stdin)
parts = document["components"]
document["components"] = [part for part in parts if (part["name"], "v" + part["version"]) in linked]

refs = {part["bom-ref"] for part in document["components"]}
refs.add(document["metadata"]["component"]["bom-ref"])
kept = [entry for entry in document["dependencies"] if entry["ref"] in refs]
for entry in kept:
    if "dependsOn" in entry:
        entry["dependsOn"] = [ref for ref in entry["dependsOn"] if ref in refs]
document["dependencies"] = kept

json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
print()
