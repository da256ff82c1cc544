"""The HTTP API: parse, call one function of the service, map errors."""

from irss_core.api.assembly import build_api

__all__ = ["build_api"]
