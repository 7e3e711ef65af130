"""A server on loopback that speaks the Hub's HTTP API to unmodified clients.

It serves tests and local demos only: tokens are compared as plain strings, nothing is encrypted, and what was
uploaded is gone when it stops. It listens on 127.0.0.1; clients find it by ``HF_ENDPOINT``, and need
``HF_HUB_DISABLE_XET=1``, as it has no Xet storage::

    with HubServer() as hub:
        hub.publish("datasets", "emovid/EmoVid", Path("build"))       # a folder becomes a repo
        hub.accounts["hf_write"] = Account("me", orgs=("emovid",))    # who may create and change repos
        subprocess.run([...], env={"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_write"})

A repo is a chain of commits, and refs are names of commits. `store` holds them, `reading` and `writing` are
the routes, `server` finds the route of a request, and `faults` says which requests shall go wrong, and how.
"""

from hub_server.faults import Fault
from hub_server.server import Exchange, HubServer
from hub_server.store import KINDS, Account, Blob, Commit, Repo

__all__ = ["KINDS", "Account", "Blob", "Commit", "Exchange", "Fault", "HubServer", "Repo"]
