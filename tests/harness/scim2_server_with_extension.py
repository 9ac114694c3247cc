"""scim2-server as `serve.py` starts it, with one more extension of User.

    SCIM_TOKEN=… SCIM_EXTENSION='{"id": "urn:…", …}' python scim2_server_with_extension.py DIRECTORY_OF_SERVE_PY

scim2-server refuses attributes of schemas that it does not know, so that a test
of mapped attributes has to declare the schema they belong to.
"""

import json
import os
import sys

from scim2_models import Schema
from scim2_models import SchemaExtension

sys.path.insert(0, sys.argv[1])
import serve  # noqa: E402  The directory is known only now.

EXTENSION = Schema.model_validate(json.loads(os.environ["SCIM_EXTENSION"]))


def schemas(original=serve.load_default_schemas):
    return {**original(), EXTENSION.id: EXTENSION}


def resource_types(original=serve.load_default_resource_types):
    types = original()
    declared = SchemaExtension(schema_=EXTENSION.id, required=False)
    types["User"].schema_extensions = [*(types["User"].schema_extensions or []), declared]
    return types


serve.load_default_schemas = schemas
serve.load_default_resource_types = resource_types
serve.main()
