"""The map in a browser: the built page and a finished run, served to this machine or copied for a web server."""

from terradrift.serve.export import export_site
from terradrift.serve.server import serve_run
from terradrift.serve.site import Site, find_site

__all__ = ["Site", "export_site", "find_site", "serve_run"]
