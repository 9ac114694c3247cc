"""Judges recorded SCIM requests by RFC 7643 and RFC 7644.

    python judge.py DUMP --base-url URL                        (token in SCIM_TOKEN)
    python judge.py DUMP --schemas FILE --resource-types FILE

DUMP has one JSON object a line with `method`, `path` (below the base URL) and
`body`. Every POST, PUT and PATCH is judged; the operations of a Bulk request
are judged one by one. scim2-models, built from the server's own schemas, judges
by context. It is lenient about what real servers refuse, so the rules below it
are checked beside it. Some are stricter than the RFCs: they are what every
server we met accepts (one explicit path an operation, clearing by `remove`).

Prints each violation with its line number, then `N bodies judged, N failed`.
Exits with 1 when a body failed or none was judged, with 2 when it cannot judge.
Request headers are not in the dump and not judged.
"""

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Union

from pydantic import ValidationError
from scim2_models import (
    BulkRequest,
    Context,
    PatchOp,
    ResourceType,
    Schema,
    SCIMException,
    ScimProvider,
    SearchRequest,
)

MESSAGES = "urn:ietf:params:scim:api:messages:2.0:"
COMMON = [  # RFC 7643, section 3.1, and `schemas` itself: in no schema's list.
    {"name": "schemas", "type": "reference", "multiValued": True},
    {"name": "id", "type": "string"},
    {"name": "externalId", "type": "string"},
    {"name": "meta", "type": "complex"},
]
JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "dateTime": (str,),
    "reference": (str,),
    "binary": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "decimal": (int, float),
}
# attribute, [filter], .subAttribute; the URN before it is taken off beforehand.
PATH = re.compile(
    r"^(?P<attribute>[A-Za-z$][\w$-]*)(?P<filter>\[.*\])?(?:\.(?P<sub>[A-Za-z$][\w$-]*))?$"
)


class Judge:
    """Knows the server's schemas; each method yields the violations it finds."""

    def __init__(self, schemas: list[dict], resource_types: list[dict]):
        self.schemas = {schema["id"]: schema for schema in schemas}
        self.resource_types = resource_types
        self.provider = ScimProvider.from_discovery(
            [Schema.model_validate(schema) for schema in schemas],
            [ResourceType.model_validate(kind) for kind in resource_types],
        )

    def request(self, method: str, path: str, body: Any) -> Iterator[str]:
        path = path.partition("?")[0].rstrip("/")
        if not isinstance(body, dict):
            yield "the body is not a JSON object"
        elif method == "POST" and path == "/Bulk":
            yield from self.bulk(body)
        elif method == "POST" and path.endswith("/.search"):
            yield from self.message("SearchRequest", SearchRequest, Context.SEARCH_REQUEST, body)
        elif (kind := self.kind_at(path)) is None:
            yield "there is no resource type at this path"
        elif method == "PATCH":
            yield from self.patch(kind, body)
        elif (path == kind["endpoint"]) != (method == "POST"):
            yield f"{method} does not belong to this path"
        else:
            yield from self.resource(kind, method, body)

    def kind_at(self, path: str) -> dict | None:
        for kind in self.resource_types:
            if path == kind["endpoint"] or path.startswith(kind["endpoint"] + "/"):
                return kind
        return None

    def resource(self, kind: dict, method: str, body: dict) -> Iterator[str]:
        """A whole resource: the body of POST and PUT."""
        context = {
            "POST": Context.RESOURCE_CREATION_REQUEST,
            "PUT": Context.RESOURCE_REPLACEMENT_REQUEST,
        }[method]
        yield from by_model(self.provider.model_for_endpoint(kind["endpoint"]), body, context)
        # RFC 7643, section 3: the core schema, and the extensions that are used.
        used = [key for key in body if key.startswith("urn:")]
        yield from listed_schemas(body, {kind["schema"], *used})
        attributes = self.attributes(kind["schema"])
        for name, value in body.items():
            if name in used:
                if name not in self.schemas:
                    yield f"{name}: the server declares no such extension"
                elif isinstance(value, dict):
                    yield from typed_members(name, self.schemas[name]["attributes"], value)
            else:
                yield from typed_members("", attributes, {name: value})

    def patch(self, kind: dict, body: dict) -> Iterator[str]:
        model = self.provider.model_for_endpoint(kind["endpoint"])
        operations = body.get("Operations")
        known = (
            {**body, "Operations": [without_members(o) for o in operations]}
            if isinstance(operations, list)
            else body
        )
        yield from self.message("PatchOp", PatchOp[model], Context.RESOURCE_PATCH_REQUEST, known)
        if not isinstance(operations, list) or not operations:
            yield "there are no Operations"
            return
        for number, operation in enumerate(operations, 1):
            for violation in self.operation(kind, operation):
                yield f"operation {number}: {violation}"

    def operation(self, kind: dict, operation: Any) -> Iterator[str]:
        if not isinstance(operation, dict):
            yield "not a JSON object"
            return
        op, path, value = (operation.get(key) for key in ("op", "path", "value"))
        if op not in ("add", "replace", "remove"):
            yield f"op is {op!r}, and not add, replace or remove in lower case"
        if not isinstance(path, str) or not path:
            yield "there is no path"
            return
        if op == "remove":
            if "value" in operation and path != "members":
                yield f"remove of {path} carries a value"
            return
        if value is None:
            yield f"{op} of {path} carries no value"
            return
        attribute, filtered = self.attribute_at(kind, path)
        if attribute is None:
            yield f"{path}: the server's schemas know no such attribute"
        else:
            yield from typed(
                path, {**attribute, "multiValued": False} if filtered else attribute, value
            )

    def attribute_at(self, kind: dict, path: str) -> tuple[dict | None, bool]:
        """The definition that a path leads to, and whether a filter picks elements."""
        attributes = self.attributes(kind["schema"])
        # A URN has dots of its own; the longest one that is a prefix is meant.
        for urn in sorted(self.schemas, key=len, reverse=True):
            if path == urn:
                return {
                    "name": urn,
                    "type": "complex",
                    "subAttributes": self.schemas[urn]["attributes"],
                }, False
            if path.startswith(urn + ":"):
                attributes, path = self.schemas[urn]["attributes"], path[len(urn) + 1 :]
                break
        parts = PATH.match(path)
        attribute = find(attributes, parts["attribute"]) if parts else None
        if attribute and parts["sub"]:
            attribute = find(attribute.get("subAttributes") or [], parts["sub"])
        return attribute, bool(parts and parts["filter"])

    def bulk(self, body: dict) -> Iterator[str]:
        # Its payloads are judged below, each by its own context.
        models = [
            self.provider.model_for_endpoint(kind["endpoint"]) for kind in self.resource_types
        ]
        yield from self.message(
            "BulkRequest", BulkRequest[Union[tuple(models)]], Context.DEFAULT, body
        )
        for number, operation in enumerate(body.get("Operations") or [], 1):
            method, path, data = (operation.get(key) for key in ("method", "path", "data"))
            if method in ("POST", "PUT", "PATCH"):
                for violation in self.request(method, path or "", data):
                    yield f"bulk operation {number}: {violation}"

    def message(self, name: str, model: Any, context: Context, body: dict) -> Iterator[str]:
        yield from by_model(model, body, context)
        yield from listed_schemas(body, {MESSAGES + name})

    def attributes(self, urn: str) -> list[dict]:
        return COMMON + (self.schemas[urn].get("attributes") or [])


def without_members(operation: Any) -> Any:
    """Takes the value from `remove` of `members`.

    RFC 7644, section 3.5.2.2, knows only the filter in the path, and so does the
    model; servers that ignore the filter want the members listed as the value.
    """
    if isinstance(operation, dict) and (operation.get("op"), operation.get("path")) == (
        "remove",
        "members",
    ):
        return {key: value for key, value in operation.items() if key != "value"}
    return operation


def by_model(model: Any, body: dict, context: Context) -> Iterator[str]:
    try:
        model.model_validate(body, scim_ctx=context)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            where = ".".join(str(step) for step in problem["loc"])
            yield f"{where}: {problem['msg']}" if where else problem["msg"]
    except SCIMException as error:
        yield str(error)


def listed_schemas(body: dict, expected: set[str]) -> Iterator[str]:
    listed = body.get("schemas")
    if not isinstance(listed, list) or not all(isinstance(urn, str) for urn in listed):
        yield "there is no list of schemas"
    elif sorted(listed) != sorted(expected):
        yield f"schemas lists {sorted(listed)}, and not {sorted(expected)}"


def find(attributes: list[dict], name: str) -> dict | None:
    """Attribute names ignore case (RFC 7643, section 2.1)."""
    return next((a for a in attributes if a["name"].lower() == name.lower()), None)


def typed(where: str, attribute: dict, value: Any) -> Iterator[str]:
    """Values have the JSON type of their attribute: no "true", no 5 for "5"."""
    if value is None:
        return
    if attribute.get("multiValued") and isinstance(value, list):
        for index, element in enumerate(value):
            yield from typed(f"{where}[{index}]", {**attribute, "multiValued": False}, element)
    elif attribute["type"] == "complex":
        if not isinstance(value, dict):
            yield f"{where}: a JSON object is expected, and not {json.dumps(value)}"
        elif attribute.get("subAttributes"):
            yield from typed_members(where, attribute["subAttributes"], value)
    else:
        expected = JSON_TYPES.get(attribute["type"], (object,))
        # In Python True is an int.
        if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
            yield f"{where}: a JSON {attribute['type']} is expected, and not {json.dumps(value)}"


def typed_members(where: str, attributes: list[dict], value: dict) -> Iterator[str]:
    for name, member in value.items():
        here = f"{where}.{name}" if where else name
        attribute = find(attributes, name)
        if attribute is None:
            yield f"{here}: the server's schemas know no such attribute"
        else:
            yield from typed(here, attribute, member)


def read_list(text: str) -> list[dict]:
    """A ListResponse, or a bare list."""
    parsed = json.loads(text)
    return parsed["Resources"] if isinstance(parsed, dict) else parsed


def fetch(base_url: str, path: str) -> list[dict]:
    request = urllib.request.Request(
        base_url.rstrip("/") + path,
        headers={"Authorization": f"Bearer {os.environ.get('SCIM_TOKEN', '')}"},
    )
    # The server is beside us: a proxy of the environment must not be asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return read_list(answer.read().decode())


def discover(arguments: argparse.Namespace) -> Judge:
    if arguments.base_url:
        return Judge(
            fetch(arguments.base_url, "/Schemas"),
            fetch(arguments.base_url, "/ResourceTypes"),
        )
    with open(arguments.schemas) as schemas, open(arguments.resource_types) as kinds:
        return Judge(read_list(schemas.read()), read_list(kinds.read()))


def main() -> int:
    parser = argparse.ArgumentParser(description="Judges recorded SCIM requests.")
    parser.add_argument("dump")
    parser.add_argument("--base-url", help="where /Schemas and /ResourceTypes are")
    parser.add_argument("--schemas", help="a file with the answer of /Schemas")
    parser.add_argument("--resource-types", help="a file with that of /ResourceTypes")
    arguments = parser.parse_args()
    if not arguments.base_url and not (arguments.schemas and arguments.resource_types):
        parser.error("--base-url, or both --schemas and --resource-types, are needed")
    try:
        judge = discover(arguments)
    except (OSError, urllib.error.URLError, ValueError, KeyError) as error:
        print(f"the server's schemas cannot be had: {error}", file=sys.stderr)
        return 2

    judged = failed = 0
    with open(arguments.dump) as dump:
        for number, line in enumerate(dump, 1):
            record = json.loads(line) if line.strip() else {}
            method, path = record.get("method"), record.get("path", "")
            if method not in ("POST", "PUT", "PATCH"):
                continue
            judged += 1
            violations = list(dict.fromkeys(judge.request(method, path, record.get("body"))))
            failed += bool(violations)
            for violation in violations:
                text = " ".join(violation.split())
                print(f"line {number}: {method} {path}: {text}")
    print(f"{judged} bodies judged, {failed} failed")
    return 1 if failed or not judged else 0


if __name__ == "__main__":
    sys.exit(main())
