"""Sections and tabs of the page: components, layout, and wiring of events to handlers."""
