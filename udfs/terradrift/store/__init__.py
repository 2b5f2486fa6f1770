"""Objects by key in a folder, on S3, GCS or behind HTTPS: where everything is read from and written to."""

from terradrift.store.answers import Tagged, Version
from terradrift.store.store import Store, open_store

__all__ = ["Store", "Tagged", "Version", "open_store"]
