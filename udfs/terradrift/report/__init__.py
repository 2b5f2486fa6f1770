"""A finished run as one page that a person can read, keep, print and send: `terradrift report`."""

from terradrift.report.write import write_report

__all__ = ["write_report"]
