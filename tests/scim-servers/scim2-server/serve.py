"""scim2-server with its resources in memory: the strictest server at hand.

    SCIM_TOKEN=… python serve.py

The first line on stdout is the base URL, on a free port of 127.0.0.1.

It serves what the command `scim2-server --bearer-token …` serves. The command
itself is not used because it needs a port chosen beforehand, and because its
HTTP/1.0 server with a backlog of 5 stalls under concurrent clients.
"""

import os
import socket
import sys

import uvicorn
from scim2_models import ScimProvider, UnauthorizedException
from scim2_server.applications.asgi import ASGIApplication
from scim2_server.memory import AsyncInMemoryStorage, InMemoryStorage
from scim2_server.requests import ScimRequest
from scim2_server.testserver.application import BEARER_TOKEN_SCHEME
from scim2_server.utils import (
    load_default_resource_types,
    load_default_schemas,
    load_default_service_provider_config,
)


class BearerTokenApplication(ASGIApplication):
    """Refuses requests without the token, as the command's own application does."""

    def __init__(self, token: str, provider: ScimProvider):
        super().__init__(AsyncInMemoryStorage(InMemoryStorage()), provider)
        self.token = token

    def check_auth(self, request: ScimRequest) -> None:
        scheme, _, token = (request.header("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or token != self.token:
            raise UnauthorizedException


def main() -> None:
    token = os.environ.get("SCIM_TOKEN")
    if not token:
        sys.exit("SCIM_TOKEN is not set")
    config = load_default_service_provider_config()
    config.authentication_schemes = [
        *(config.authentication_schemes or []),
        BEARER_TOKEN_SCHEME,
    ]
    provider = ScimProvider.from_discovery(
        load_default_schemas().values(),
        load_default_resource_types().values(),
        config=config,
    )
    # The protocol is named because asyncio turns Nagle's algorithm off only on
    # sockets that say they are TCP; with it each answer would take 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/v2", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(
            BearerTokenApplication(token, provider),
            log_level="error",
            # One event loop and one parser everywhere, whatever else is installed.
            loop="asyncio",
            http="h11",
        )
    )
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
