"""Keeps the spans of a program: the API of OpenTelemetry is installed with pydantic-ai, its SDK is not."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from opentelemetry import trace


class Span(trace.NonRecordingSpan):
    """A span that remembers what it is told."""

    def __init__(self, name: str, attributes: dict[str, Any]) -> None:
        super().__init__(trace.SpanContext(1, 1, is_remote=False, trace_flags=trace.TraceFlags(1)))
        self.name = name
        self.attributes = dict(attributes)
        self.events: list[Any] = []
        self.status: Any = None

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_attributes(self, attributes: Any) -> None:
        self.attributes.update(attributes)

    def add_event(self, name: str, attributes: Any = None, timestamp: Any = None) -> None:
        self.events.append({'name': name, **(attributes or {})})

    def record_exception(self, exception: BaseException, *_: Any, **__: Any) -> None:
        self.events.append({'name': 'exception', 'class': type(exception).__name__})

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.status = str(getattr(status, 'status_code', status))

    def update_name(self, name: str) -> None:
        self.name = name


class SpanKeeper(trace.TracerProvider):
    """A tracer provider, and the spans that its tracers have started."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        return _Tracer(self.spans)

    def kept(self) -> list[dict[str, Any]]:
        """Return the spans as data."""
        return [
            {'name': span.name, 'attributes': span.attributes, 'events': span.events, 'status': span.status}
            for span in self.spans
        ]


class _Tracer(trace.Tracer):
    def __init__(self, spans: list[Span]) -> None:
        self._spans = spans

    def start_span(self, name: str, *_: Any, attributes: Any = None, **__: Any) -> Span:
        span = Span(name, attributes or {})
        self._spans.append(span)
        return span

    @contextmanager
    def start_as_current_span(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, name: str, *_: Any, attributes: Any = None, **__: Any
    ) -> Any:
        span = self.start_span(name, attributes=attributes)
        with trace.use_span(span):
            yield span
