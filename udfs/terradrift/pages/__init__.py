"""Pieces of HTML pages that need no other file, no script and no network: report, evaluation, map in a notebook."""
